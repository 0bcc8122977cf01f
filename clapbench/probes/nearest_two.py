"""The exact distances of each row to its two nearest others, by proposals in single precision."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from clapbench.probes.moments import SQUARES, matrix_product

BLOCK = 4096  # rows by rows whose products are held at once: 64 MiB
GROUP = 16  # products of which the largest stands for all
PROPOSED = 4  # neighbours of a row, of which two are wanted
FAR = -1e30  # product with a row that is none


def nearest_two(x: Float64[Tensor, "n d"]) -> Float64[Tensor, "n 2"]:
    """Distances of each row to its two nearest others."""
    centred = x - x.mean(dim=0)
    radius = centred.norm(dim=1).max()
    doubtful = torch.arange(len(x), device=x.device)
    if not SQUARES[0] < radius**2 < SQUARES[1]:
        return _searched(x, doubtful)
    centred /= radius
    nearest = x.new_empty(len(x), 2)
    # Products in "single" precision may be of fewer digits than the bound below supposes, if somebody allowed it.
    exact = torch.get_float32_matmul_precision() == "highest"
    for dtype in (torch.float32, torch.float64) if exact else (torch.float64,):
        with torch.autocast(x.device.type, enabled=False):
            few = len(doubtful) < len(x)
            search = partial(_propose_for, wanted=doubtful) if few else _propose
            product, proposed = search(centred.to(dtype))
        nearest[doubtful] = _decided(x, doubtful, proposed)
        # What was not proposed is no nearer than the last proposal, but for the error of a sum of d + 2 products
        # in the unit ball.
        error = 2 * (x.shape[1] + 4) * torch.finfo(dtype).eps
        beyond = -2 * product[:, -1].double() - error
        doubtful = doubtful[(nearest[doubtful, 1] / radius).square() > beyond]
        if not len(doubtful):
            return nearest
    nearest[doubtful] = _searched(x, doubtful)
    return nearest


def _propose(y: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n p"], Int[Tensor, "n p"]]:
    """For each row the largest of $-|y_i - y_j|^2 / 2$ over the others, and their j; each pair once."""
    left = _lifted(y)
    swap = [*range(y.shape[1]), -1, -2]  # the product of a lifted row with a swapped one is what is wanted
    proposals = min(PROPOSED, len(y) - 1)
    product = y.new_full((len(left), proposals), -torch.inf)
    proposed = torch.zeros_like(product, dtype=torch.long)
    steps = torch.arange(GROUP, device=y.device)

    def take(rows: slice, start: int, block: Float[Tensor, "r c"], dim: int) -> None:
        """Keeps the largest along ``dim`` of ``block``, which are in the groups with the largest maxima."""
        groups = block.unflatten(dim, (GROUP, -1)).amax(dim=dim)
        width = groups.shape[dim]
        leading = groups.topk(min(proposals, width), dim=dim).indices.unsqueeze(dim)
        member = leading + width * (steps[:, None, None] if dim == 0 else steps[:, None])
        member = member.flatten(dim, dim + 1)
        some = block.gather(dim, member)
        if dim == 0:
            some, member = some.T, member.T
        values = torch.cat([product[rows], some], dim=1)
        where = torch.cat([proposed[rows], member + start], dim=1)
        best = values.topk(proposals, dim=1)
        product[rows], proposed[rows] = best.values, where.gather(1, best.indices)

    for i in range(0, len(left), BLOCK):
        rows = slice(i, i + BLOCK)
        for j in range(i, len(left), BLOCK):
            columns = slice(j, j + BLOCK)
            block = matrix_product(left[rows], left[columns][:, swap].T)
            if i == j:
                block.fill_diagonal_(-torch.inf)
            else:
                take(columns, i, block, dim=0)
            take(rows, j, block, dim=1)
    return product[: len(y)], proposed[: len(y)]


def _lifted(y: Float[Tensor, "n d"]) -> Float[Tensor, "m e"]:
    r"""Rows $(y, 1, -|y|^2 / 2)$; then, to whole groups, rows that are far from all."""
    half = y.square().sum(dim=1, keepdim=True) / 2
    far = -len(y) % GROUP
    return torch.cat(
        [
            torch.nn.functional.pad(y, (0, 0, 0, far)),
            torch.nn.functional.pad(torch.ones_like(half), (0, 0, 0, far), value=1.0),
            torch.nn.functional.pad(-half, (0, 0, 0, far), value=FAR),
        ],
        dim=1,
    )


def _propose_for(
    y: Float[Tensor, "n d"], wanted: Int[Tensor, " m"]
) -> tuple[Float[Tensor, "m p"], Int[Tensor, "m p"]]:
    """As `_propose`, for the rows ``wanted`` alone."""
    half = y.square().sum(dim=1) / 2
    found = []
    for rows in wanted.split(max(1, BLOCK * BLOCK // (2 * len(y)))):
        block = matrix_product(y[rows], y.T)
        block -= half
        block -= half[rows, None]
        block[torch.arange(len(rows), device=y.device), rows] = -torch.inf
        found.append(block.topk(min(PROPOSED, len(y) - 1), dim=1))
    return torch.cat([top.values for top in found]), torch.cat([top.indices for top in found])


def _decided(
    x: Float64[Tensor, "n d"], wanted: Int[Tensor, " m"], proposed: Int[Tensor, "m p"]
) -> Float64[Tensor, "m 2"]:
    """The two smallest distances to the rows proposed, from differences: expanded squares lose near neighbours."""
    size = max(1, BLOCK * GROUP // x.shape[1])
    return torch.cat(
        [
            (x[some] - x[rows, None]).norm(dim=2).topk(2, largest=False).values
            for rows, some in zip(wanted.split(size), proposed.split(size), strict=True)
        ]
    )


def _searched(x: Float64[Tensor, "n d"], wanted: Int[Tensor, " m"]) -> Float64[Tensor, "m 2"]:
    """The two smallest distances to all other rows, from differences."""
    found = []
    for rows in wanted.split(max(1, BLOCK * BLOCK // len(x))):
        distance = torch.cdist(x[rows], x, compute_mode="donot_use_mm_for_euclid_dist")
        distance[torch.arange(len(rows), device=x.device), rows] = torch.inf
        found.append(distance.topk(2, largest=False).values)
    return torch.cat(found)
