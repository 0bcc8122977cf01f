r"""Hubness: whether few rows are among the nearest neighbours of very many.

With $N_k(i)$ the number of rows that have row i among their k nearest others, it is the skewness of $N_k$ over the
rows, $E[(N_k - k)^3] / E[(N_k - k)^2]^{3/2}$. About 0 where all are neighbours equally often, large with hubs;
no upper bound for growing n. It grows with n and with the intrinsic dimension.

Source: Radovanović et al. 2010 (Hubs in space), their $S_{N_k}$: population moments. Repeated rows, which would
be each other's neighbours, are removed before the search.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from clapbench.probes.base import Choices, SideProbe
from clapbench.probes.neighbours import distinct, nearest
from clapbench.rows import Rows, checked


def hubness_skewness(x: Rows, k: int = 10) -> Float64[Tensor, ""]:
    """Skewness of how often a distinct row of ``x`` is among the ``k`` nearest of another, by Euclidean distance.

    Raises ValueError for no more than ``k`` distinct rows, and where every row is a neighbour equally often.

    >>> star = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.1, 0.0], [0.0, 1.2], [0.0, -1.3]])
    >>> round(hubness_skewness(star, k=1).item(), 6)
    1.290994
    """
    points = distinct(checked(x, who="hubness_skewness"))
    place = nearest(points, k, who="hubness_skewness").place
    counts = torch.bincount(place.ravel(), minlength=len(points)).double()
    away = counts - k
    if not away.any():
        raise ValueError(
            f"hubness_skewness: each of {len(points)} distinct rows is a neighbour of exactly {k}: no skewness."
        )
    return away.pow(3).mean() / away.square().mean().pow(1.5)


class Hubness(SideProbe):
    """Hubness of one side."""

    choices: ClassVar[Choices] = {"k": (5, 10, 20, 40)}

    def __init__(self, side: str | None = None, k: int = 10, **kwargs: Any) -> None:
        super().__init__(side, **kwargs)
        self.k = k

    def measure(self) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return hubness_skewness(self.rows(self.side), k=self.k)
