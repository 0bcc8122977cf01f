r"""Effective rank: how many directions an embedding cloud really uses.

For singular values $s$ of $X \in \mathbb{R}^{n \times d}$ and $p = s / \sum_i s_i$ the effective rank is
$\exp(-\sum_i p_i \log p_i)$, between 1 and $\min(n, d)$. The rows are not centred unless asked for.
It grows with n for one and the same distribution: compare only at equal n.

Source: Garrido et al. 2023 (RankMe), eq. 1; the quantity itself is Roy and Vetterli 2007. RankMe adds an
epsilon to p; it is left out here, so p sums to one.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from clapbench.probes.base import Choices, SideProbe, StreamedProbe
from clapbench.probes.moments import about_mean, moments, shared_singular_values, singular_values
from clapbench.rows import Rows, checked


def effective_rank(x: Rows, *, center: bool = False) -> Float64[Tensor, ""]:
    """Effective rank of the rows of ``x``, a 0-d float64 tensor; with ``center`` of the rows less their mean.

    ``x`` is n x d, in any of the forms of `Rows`. Centred, the range is 1 to min(n - 1, d).

    Raises ValueError for no rows, for a value that is not finite, and for rows that are all zero (with
    ``center``: equal); TypeError for what holds no rows.

    >>> round(effective_rank(torch.eye(4)).item(), 6)
    4.0
    >>> round(effective_rank(torch.ones(5, 3)).item(), 6)
    1.0
    >>> round(effective_rank(torch.eye(4), center=True).item(), 6)
    3.0
    """
    cloud = moments(checked(x, who="effective_rank"))
    if center:
        cloud = about_mean(cloud, who="effective_rank")
    return _effective_number(singular_values(cloud.rows, who="effective_rank"))


class RankMe(SideProbe, StreamedProbe):
    """Effective rank of one side; with ``center`` of its rows less their mean.

    >>> round(RankMe()(torch.eye(4)).item(), 6)
    4.0
    """

    choices: ClassVar[Choices] = {"center": (False, True)}

    def __init__(self, side: str | None = None, *, center: bool = False, **kwargs: Any) -> None:
        super().__init__(side, **kwargs)
        self.center = center

    def measure(self) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        cloud = self.moments(self.side)
        if self.center:
            cloud = about_mean(cloud, who="effective_rank")
        return _effective_number(shared_singular_values(cloud.rows, who="effective_rank"))


def _effective_number(s: Float64[Tensor, " m"]) -> Float64[Tensor, ""]:
    return torch.special.entr(s / s.sum()).sum().exp()
