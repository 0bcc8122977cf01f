r"""KoLeo: pushes each row away from its nearest neighbour.

$k = -\frac{1}{n} \sum_i \log(\lVert u_i - u_{\nu(i)} + \epsilon \rVert + \epsilon)$ over unit rows with $\nu(i)$ the
nearest row to i and $\epsilon = 10^{-8}$; at least $-\log 2$, lower on a more even cloud.

Source: Sablayrolles et al. 2019 (Spreading vectors), the KoLeo regulariser; the epsilons are those of DINOv2's code.
Neighbours are found without gradient. Deviation: rows that stand for the same, and rows that rounding cannot tell
apart, are no neighbours: one caption twice in a batch would cost 18 and have a gradient of 10^8. A row without any
neighbour is left out of the mean; so a wholly collapsed cloud gives 0, and no gradient leads out of it. The term of a
side knows equal clips in audio and equal meanings in text.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clapbench.encoders.base import unit
from clapbench.training.clouds import Clouds
from clapbench.training.regularizers.base import SideRegularizer

EPSILON = 1e-8


def koleo(z: Float[Tensor, "n d"], alike: Bool[Tensor, "n n"] | None = None) -> Float[Tensor, ""]:
    """Mean of minus the logarithm of the distance to the nearest other row of ``z``, at unit length.

    ``alike`` marks rows that are no neighbours of each other, besides those that are equal.

    >>> abs(round(koleo(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])).item(), 4))
    0.6931
    """
    u = unit(z)
    with torch.no_grad():
        cosines = u @ u.T
        hidden = cosines > 1 - 8 * torch.finfo(u.dtype).eps
        hidden = hidden.fill_diagonal_(True) if alike is None else hidden.fill_diagonal_(True) | alike
        cosine, nearest = cosines.masked_fill(hidden, -torch.inf).max(dim=1)
        found = cosine.isfinite()
    distance = (u[found] - u[nearest[found]] + EPSILON).norm(dim=1)
    return -(distance + EPSILON).log().sum() / found.sum().clamp(min=1)


class Koleo(SideRegularizer):
    """Spreads a side by pushing nearest neighbours apart."""

    needs_spread = True

    def side_term(self, clouds: Clouds, side: str) -> Float[Tensor, ""]:
        """The distances to the nearest rows that stand for something else."""
        return koleo(clouds.side(side), clouds.alike(side))
