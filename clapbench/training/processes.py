"""Several processes that train one model: their ranks, and the rows of all of them with gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def rank() -> int:
    """This process's number; 0 where there is one."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gathered(rows: Tensor) -> tuple[Tensor, list[int]]:
    """The rows of every process, in the order of ranks, and how many each has. Gradients flow to where rows came from.

    Every process computes the whole loss from them. The gradient of a row is then that of each process, summed; with
    DDP's mean over processes it is the gradient of one process with the whole batch. Numbers of rows may differ.
    """
    if world() == 1:
        return rows, [len(rows)]
    counts = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(world())]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    sizes = [int(count) for count in counts]
    padded = torch.cat([rows, rows.new_zeros(max(sizes) - len(rows), *rows.shape[1:])])
    everyone = _Gather.apply(padded)
    return torch.cat([part[:size] for part, size in zip(everyone, sizes, strict=True)]), sizes


class _Gather(torch.autograd.Function):
    """Tensors of one shape from every process. torch's own that has a gradient goes by other names in each version."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> tuple[Tensor, ...]:
        parts = [torch.empty_like(rows) for _ in range(world())]
        dist.all_gather(parts, rows)
        return tuple(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = torch.stack(gradients)
        dist.all_reduce(total)
        return total[rank()]


def joined(rows: list[list[tuple[Tensor, Tensor]]]) -> list[list[tuple[Tensor, Tensor]]]:
    """Lists of what every process encoded, list by list; the same in each process."""
    if world() == 1:
        return rows
    everyone: list[list[list[tuple[Tensor, Tensor]]] | None] = [None] * world()
    dist.all_gather_object(everyone, rows)
    return [
        [batch for part in everyone if part is not None for batch in part[number]]
        for number in range(len(rows))
    ]


def agreed(number: int) -> int:
    """The largest of every process's numbers."""
    if world() == 1:
        return number
    asked = torch.tensor([number], device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(asked, op=dist.ReduceOp.MAX)
    return int(asked)


def union(names: Iterable[str]) -> set[str]:
    """What any of the processes names."""
    own = sorted(names)
    everyone: list[list[str] | None] = [own]
    if world() > 1:
        everyone = [None] * world()
        dist.all_gather_object(everyone, own)
    return {name for part in everyone for name in part or ()}
