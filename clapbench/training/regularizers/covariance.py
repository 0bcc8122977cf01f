r"""VICReg's covariance term: keeps the coordinates of a cloud from saying the same.

$c(Z) = \frac{1}{d} \sum_{i \neq j} C_{ij}^2$ with $C$ the covariance matrix (ddof 1), at least 0.

Source: Bardes et al. 2022 (VICReg), eq. 3 and 4. Applied before normalisation. It is 0 on a collapsed cloud too: use it
together with the variance term.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from clapbench.training.clouds import Clouds
from clapbench.training.regularizers.base import SideRegularizer


def off_diagonal_covariance(z: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Sum of squared covariances between different coordinates, per coordinate.

    >>> off_diagonal_covariance(torch.tensor([[1.0, 1.0], [-1.0, -1.0]]))
    tensor(4.)
    """
    covariance = torch.cov(z.T)
    return (covariance.square().sum() - covariance.diagonal().square().sum()) / z.shape[1]


class Covariance(SideRegularizer):
    """Pushes the dimensions of a side towards having no covariance."""

    needs_spread = True

    def side_term(self, clouds: Clouds, side: str) -> Float[Tensor, ""]:
        """The covariances off the diagonal."""
        return off_diagonal_covariance(clouds.side(side))
