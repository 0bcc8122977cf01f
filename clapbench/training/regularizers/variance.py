r"""VICReg's variance term: keeps each coordinate of a cloud from collapsing.

$v(Z) = \frac{1}{d} \sum_j \max(0, \gamma - \sqrt{\mathrm{Var}(z_j) + \epsilon})$, between 0 and $\gamma$.

Source: Bardes et al. 2022 (VICReg), eq. 1 and 2, $\gamma = 1$, $\epsilon = 10^{-4}$. Applied before
normalisation: on unit rows a standard deviation of 1 per coordinate is out of reach.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from clapbench.kinds import Positive, Side, Weight
from clapbench.training.regularizers.base import Clouds, Regularizer, check_side

EPSILON = 1e-4


def variance_hinge(z: Float[Tensor, "n d"], target: Positive = 1.0) -> Float[Tensor, ""]:
    """Mean shortfall of the coordinates' standard deviations (ddof 1) below ``target``.

    >>> variance_hinge(torch.zeros(4, 2))
    tensor(0.9900)
    """
    return (target - torch.sqrt(z.var(dim=0) + EPSILON)).clamp(min=0).mean()


class Variance(Regularizer):
    """Keeps the spread of each dimension of one side from falling below ``target``."""

    def __init__(self, *, weight: Weight, side: Side, target: Positive) -> None:
        super().__init__(weight=weight)
        self.side, self.target = check_side(side, who="Variance"), target

    def term(self, clouds: Clouds) -> Float[Tensor, ""]:
        """The hinge on the standard deviations."""
        return variance_hinge(clouds.side(self.side), self.target)
