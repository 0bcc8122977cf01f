r"""Barlow Twins between the sides: a coordinate says the same in audio and text, and different ones different things.

$b = \sum_i (1 - c_{ii})^2 + \lambda \sum_{i \neq j} c_{ij}^2$ with $c$ the correlation (ddof 0) of coordinate i of the
audio rows and coordinate j of the text rows, at least 0; d where one side is collapsed.

Source: Zbontar et al. 2021 (Barlow Twins), eq. 1, and the authors' code: $\lambda = 0.0051$, and $\epsilon = 10^{-5}$
is added to each variance. Applied before normalisation; it depends on neither scale nor place of a coordinate. Theirs
are two views by one network: here the sides are two networks, and the term lines up their coordinates too.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from clapbench.kinds import Weight
from clapbench.training.clouds import Clouds
from clapbench.training.regularizers.base import Regularizer

EPSILON = 1e-5


def barlow(
    audio: Float[Tensor, "n d"], text: Float[Tensor, "n d"], redundancy: Weight = 0.0051
) -> Float[Tensor, ""]:
    """Shortfall of the correlations of equal coordinates, and ``redundancy`` times those of different ones.

    >>> z = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    >>> round(barlow(z, z).item(), 6), round(barlow(z, -z).item(), 3)
    (0.0, 8.0)
    """
    a, t = (_standardised(side) for side in (audio, text))
    correlation = a.T @ t / len(a)
    diagonal = correlation.diagonal()
    redundant = correlation.square().sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + redundancy * redundant


def _standardised(z: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    return (z - z.mean(dim=0)) / torch.sqrt(z.var(dim=0, correction=0) + EPSILON)


class Barlow(Regularizer):
    """Correlates equal coordinates of the sides; ``redundancy`` weighs the correlations of different ones."""

    needs_spread = True

    def __init__(self, *, weight: Weight, redundancy: Weight) -> None:
        super().__init__(weight=weight)
        self.redundancy = redundancy

    def term(self, clouds: Clouds) -> Float[Tensor, ""]:
        """The distance of the correlation matrix from the identity."""
        return barlow(clouds.audio, clouds.text, self.redundancy)
