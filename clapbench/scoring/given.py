"""Similarities, matches and protocols as callers give them, turned into what the scores take, or refused in words."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from clapbench.rows import Rows, checked
from clapbench.scoring.items import Items, items_alone
from clapbench.scoring.pairs import PROTOCOLS


def protocol(name: str, *, who: str) -> None:
    """ValueError for a protocol that an item's own similarities do not tell."""
    if name not in PROTOCOLS:
        raise ValueError(f"{who}: protocol must be one of {', '.join(PROTOCOLS)}, got {name!r}.")
    if name == "pool":
        raise ValueError(
            f"{who}: protocol 'pool' compares each item with the whole benchmark, which its own similarities do not "
            f"hold. Use clapbench.scoring.pairs.judge with the embeddings, or 'official', 'single', 'triplet'."
        )


def items(similarities: Rows, *, protocol: str, who: str) -> Items:
    """Items of blocks [clip, caption], 2 x 2 or 3 x 3; three pairs for ``triplet``."""
    blocks = checked(similarities, who=who, axes="items clips captions", rows="similarities").cpu()
    size = tuple(blocks.shape[1:])
    if size not in ((2, 2), (3, 3)) or (protocol == "triplet" and size != (3, 3)):
        needed = "(n, 3, 3)" if protocol == "triplet" else "(n, 2, 2) or (n, 3, 3)"
        raise ValueError(
            f"{who}: needs similarities of shape {needed} for {protocol!r}; got {tuple(blocks.shape)}."
        )
    return items_alone(blocks)


def no_items() -> Items:
    """None at all, for what depends on the protocol alone."""
    return items_alone(torch.empty(0, 2, 2, dtype=torch.float64))


def match(x: Rows, *, shape: tuple[int, ...], who: str) -> Bool[Tensor, "q n"]:
    """Which candidates match which query: a mask of this ``shape``, a match in each row."""
    found = torch.as_tensor(np.asarray(x) if not isinstance(x, Tensor) else x.cpu())
    if found.shape != shape:
        raise ValueError(
            f"{who}: needs match in the shape of the similarities, {shape}; got {tuple(found.shape)}."
        )
    if found.dtype != torch.bool:
        if not ((found == 0) | (found == 1)).all():
            raise TypeError(
                f"{who}: needs match to be true or false; got {found.dtype} with other values than 0, 1."
            )
        found = found.bool()
    lonely = ~found.any(dim=1)
    if lonely.any():
        raise ValueError(
            f"{who}: needs a match for each row; {int(lonely.sum())} of {len(found)} have none "
            f"(first: {int(lonely.nonzero()[0])}). Leave them out."
        )
    return found


def classes(x: Rows, *, shape: tuple[int, ...], who: str) -> Bool[Tensor, "k l"]:
    """Which classes each clip has: a mask of this ``shape``, or the number of one class for each clip."""
    found = torch.as_tensor(np.asarray(x) if not isinstance(x, Tensor) else x.cpu())
    if found.dim() != 1:
        return match(found, shape=shape, who=who)
    if found.is_floating_point() or found.dtype == torch.bool:
        raise TypeError(
            f"{who}: needs whole numbers as classes, or a mask clips x classes; got {found.dtype}."
        )
    if len(found) != shape[0] or not 0 <= int(found.min()) <= int(found.max()) < shape[1]:
        raise ValueError(
            f"{who}: needs a class from 0 to {shape[1] - 1} for each of {shape[0]} clips; got {len(found)}, from "
            f"{int(found.min())} to {int(found.max())}."
        )
    return torch.nn.functional.one_hot(found.long(), shape[1]).bool()


def cut(k: int, *, who: str) -> None:
    """ValueError for a rank below 1."""
    if k < 1:
        raise ValueError(f"{who}: k must be 1 or more, got {k}.")
