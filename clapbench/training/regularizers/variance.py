r"""VICReg's variance term: keeps each coordinate of a cloud from collapsing.

$v(Z) = \frac{1}{d} \sum_j \max(0, \gamma - \sqrt{\mathrm{Var}(z_j) + \epsilon})$ with ddof 1, between 0 and $\gamma$.

Source: Bardes et al. 2022 (VICReg), eq. 1 and 2, $\gamma = 1$, $\epsilon = 10^{-4}$. Applied before
normalisation: on unit rows a standard deviation of 1 per coordinate is out of reach. The authors' code halves the
variance term of each side and leaves the covariance term whole, the paper does not: its ratio of 25 : 1 is 12.5 : 1
there.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from clapbench.kinds import Positive, Sides, Weight
from clapbench.training.clouds import Clouds
from clapbench.training.regularizers.base import SideRegularizer

EPSILON = 1e-4


def variance_hinge(z: Float[Tensor, "n d"], target: Positive = 1.0) -> Float[Tensor, ""]:
    """Mean shortfall of the coordinates' standard deviations below ``target``.

    >>> variance_hinge(torch.zeros(4, 2))
    tensor(0.9900)
    """
    return (target - torch.sqrt(z.var(dim=0) + EPSILON)).clamp(min=0).mean()


class Variance(SideRegularizer):
    """Keeps the spread of each dimension from falling below ``target``."""

    needs_spread = True

    def __init__(self, *, weight: Weight, side: Sides, target: Positive) -> None:
        super().__init__(weight=weight, side=side)
        self.target = target

    def side_term(self, clouds: Clouds, side: str) -> Float[Tensor, ""]:
        """The hinge on the standard deviations."""
        return variance_hinge(clouds.side(side), self.target)
