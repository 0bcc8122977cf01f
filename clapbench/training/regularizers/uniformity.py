r"""Uniformity: spreads a side over the sphere.

$u = \log \frac{1}{|P|} \sum_{(i, j) \in P} e^{-2 \lVert u_i - u_j \rVert^2}$ over the pairs P of unit rows, each once;
between -8 and 0, lower is more even.

Source: Wang and Isola 2020, section 4.1, and the authors' code, with t = 2. The logarithm is of the mean, not the mean
of logarithms. Deviation: pairs of one clip (audio) or one meaning (text) are left out; 0 where no pair is left.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clapbench.encoders.base import unit
from clapbench.training.clouds import Clouds
from clapbench.training.regularizers.base import SideRegularizer

T = 2.0


def uniformity(z: Float[Tensor, "n d"], alike: Bool[Tensor, "n n"] | None = None) -> Float[Tensor, ""]:
    """Logarithm of the mean Gaussian potential between two rows of ``z`` at unit length.

    ``alike`` marks pairs that are left out.

    >>> uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    tensor(-8.)
    """
    u = unit(z)
    left_out = torch.eye(len(u), dtype=torch.bool, device=u.device)
    left_out = left_out if alike is None else left_out | alike
    potential = (2 * T * (u @ u.T - 1)).exp().masked_fill(left_out, 0.0)  # -T |u - v|^2 = 2 T (u.v - 1)
    pairs = (~left_out).sum()
    mean = potential.sum() / pairs.clamp(min=1)
    return torch.where(pairs > 0, mean, torch.ones_like(mean)).log()


class Uniformity(SideRegularizer):
    """Spreads a side evenly over the sphere."""

    needs_spread = True

    def side_term(self, clouds: Clouds, side: str) -> Float[Tensor, ""]:
        """The potential between rows that stand for different things."""
        return uniformity(clouds.side(side), clouds.alike(side))
