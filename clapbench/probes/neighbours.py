r"""The k nearest other rows of every row, exactly, in blocks.

Candidates come from the expanded square $\lVert x\rVert^2 + \lVert y\rVert^2 - 2 x \cdot y$ of centred rows, a matrix
product, which loses what is small against $\lVert x\rVert^2$. So more than k are kept, their distances are taken again
from differences, and where rounding could have hidden a nearer row all distances of that row are.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float64, Int
from torch import Tensor

MARGIN = 8  # candidates beyond k
BLOCK = 2**22  # squares held at once: 32 MiB
ROUNDING = 64 * torch.finfo(torch.float64).eps  # of an expanded square, against the largest one


class Neighbours(NamedTuple):
    """Of each row, the nearest first."""

    place: Int[Tensor, "n k"]
    distance: Float64[Tensor, "n k"]


def nearest(x: Float64[Tensor, "n d"], k: int, *, who: str) -> Neighbours:
    """The ``k`` nearest other rows of every row of ``x``, by Euclidean distance.

    Raises ValueError in the name of ``who`` for fewer than ``k`` + 1 rows, and k < 1.

    >>> nearest(torch.tensor([[0.0], [1.0], [3.0]]).double(), k=1, who="doc").place.ravel().tolist()
    [1, 0, 1]
    """
    if k < 1:
        raise ValueError(f"{who}: k must be 1 or more, got {k}.")
    if len(x) <= k:
        raise ValueError(f"{who}: k={k} needs at least {k + 1} distinct rows, got {len(x)}.")
    x = x - x.mean(dim=0)
    squares = x.square().sum(dim=1)
    tolerance = ROUNDING * x.shape[1] ** 0.5 * squares.max()
    kept = min(k + MARGIN, len(x) - 1)
    found = []
    for rows in torch.arange(len(x), device=x.device).split(max(1, BLOCK // len(x))):
        expanded = torch.addmm(squares, x[rows], x.T, alpha=-2.0) + squares[rows, None]
        expanded[torch.arange(len(rows), device=x.device), rows] = torch.inf
        near = expanded.topk(kept, largest=False)
        exact = _differences(x, rows, near.indices)
        order = exact.sort(dim=1)
        index, distance = near.indices.gather(1, order.indices)[:, :k], order.values[:, :k]
        if kept < len(x) - 1:
            hidden = near.values[:, -1] - tolerance <= distance[:, -1].square()
            if hidden.any():
                index[hidden], distance[hidden] = _by_differences(x, rows[hidden], k)
        found.append(Neighbours(place=index, distance=distance))
    return Neighbours(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def distinct(x: Float64[Tensor, "n d"]) -> Float64[Tensor, "m d"]:
    """The rows of ``x`` without repeats, sorted, so that their order did not matter."""
    return torch.unique(x + 0.0, dim=0)  # + 0.0 makes -0.0 equal to 0.0


def _differences(
    x: Float64[Tensor, "n d"], rows: Int[Tensor, " b"], others: Int[Tensor, "b c"]
) -> Float64[Tensor, "b c"]:
    pieces = [
        torch.linalg.vector_norm(x[piece, None] - x[other], dim=2)
        for piece, other in zip(rows.split(64), others.split(64), strict=True)
    ]
    return torch.cat(pieces)


def _by_differences(x: Float64[Tensor, "n d"], rows: Int[Tensor, " b"], k: int) -> Neighbours:
    index, distance = [], []
    for piece in rows.split(64):
        every = torch.cdist(x[piece], x, compute_mode="donot_use_mm_for_euclid_dist")
        every[torch.arange(len(piece), device=x.device), piece] = torch.inf
        near = every.topk(k, largest=False)
        index.append(near.indices)
        distance.append(near.values)
    return Neighbours(place=torch.cat(index), distance=torch.cat(distance))
