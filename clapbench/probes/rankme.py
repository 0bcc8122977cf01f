r"""Effective rank: how many directions an embedding cloud really uses.

For singular values $s$ of $X \in \mathbb{R}^{n \times d}$ and $p = s / \sum_i s_i$ the effective rank is
$\exp(-\sum_i p_i \log p_i)$, between 1 and $\min(n, d)$. The rows are not centred. It grows with n for one
and the same distribution: compare only at equal n.

Source: Garrido et al. 2023 (RankMe), eq. 1; the quantity itself is Roy and Vetterli 2007. RankMe adds an
epsilon to p; it is left out here, so p sums to one.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from clapbench.probes.base import SideProbe, StreamedProbe, checked
from clapbench.probes.moments import shared_singular_values, singular_values


def effective_rank(x: Float[Tensor, "n d"]) -> Float64[Tensor, ""]:
    """Effective rank of the rows of ``x``, in float64.

    Raises ValueError for no rows, for a value that is not finite, and for rows that are all zero.

    >>> round(effective_rank(torch.eye(4)).item(), 6)
    4.0
    >>> round(effective_rank(torch.ones(5, 3)).item(), 6)
    1.0
    """
    return _effective_number(singular_values(checked(x, who="effective_rank"), who="effective_rank"))


class RankMe(SideProbe, StreamedProbe):
    """Effective rank of one side."""

    def measure(self) -> Float64[Tensor, ""]:
        return _effective_number(shared_singular_values(self.moments(self.side), who="effective_rank"))


def _effective_number(s: Float64[Tensor, " m"]) -> Float64[Tensor, ""]:
    return torch.special.entr(s / s.sum()).sum().exp()
