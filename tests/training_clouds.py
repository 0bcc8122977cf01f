"""Clouds to try objectives and regularisers on."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from clapbench.training.clouds import Clouds

FEATURES = ("audio", "text", "swapped")


def cloud(n: int = 12, d: int = 5, *, seed: int = 0) -> Tensor:
    """Rows off the origin whose coordinates differ in spread."""
    generator = torch.Generator().manual_seed(seed)
    scales = torch.linspace(0.2, 2.0, d, dtype=torch.float64)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) * scales + 0.3


def clouds(n: int = 12, *, swapped_of: tuple[int, ...] = (7, 0, 3, 11), step: int = 0) -> Clouds:
    """Pairs of which 1 and 2 share a clip, 4 and 5 a meaning; the swapped caption of 3 is true of 6."""
    clip, caption = torch.arange(n), torch.arange(100, 100 + n)
    clip[2], caption[5] = clip[1], caption[4]
    owners = torch.tensor(swapped_of, dtype=torch.long)
    return Clouds(
        audio=cloud(n, seed=1),
        text=cloud(n, seed=2),
        swapped=cloud(len(owners), seed=3),
        swapped_of=owners,
        clip=clip,
        caption=caption,
        swapped_caption=torch.where(owners == 3, caption[6], 200 + owners),
        step=step,
    )


def cast(batch: Clouds, dtype: torch.dtype) -> Clouds:
    return dataclasses.replace(batch, **{name: getattr(batch, name).to(dtype) for name in FEATURES})


def leaves(batch: Clouds) -> Clouds:
    """The same batch, whose features collect gradients."""
    parts = {name: getattr(batch, name).clone().requires_grad_() for name in FEATURES}
    return dataclasses.replace(batch, **parts)


def collapsed(batch: Clouds) -> Clouds:
    """Every row the same, on every side."""
    return dataclasses.replace(batch, **{name: torch.ones_like(getattr(batch, name)) for name in FEATURES})


def of_pairs(batch: Clouds, rows: list[int]) -> Clouds:
    """The pairs with these numbers in this order, with their swapped captions; a number may come twice."""
    kept = [
        (new, k)
        for new, old in enumerate(rows)
        for k, of in enumerate(batch.swapped_of.tolist())
        if of == old
    ]
    index, owned = torch.tensor(rows), torch.tensor([k for _, k in kept], dtype=torch.long)
    return Clouds(
        audio=batch.audio[index],
        text=batch.text[index],
        swapped=batch.swapped[owned],
        swapped_of=torch.tensor([new for new, _ in kept], dtype=torch.long),
        clip=batch.clip[index],
        caption=batch.caption[index],
        swapped_caption=batch.swapped_caption[owned],
        step=batch.step,
    )
