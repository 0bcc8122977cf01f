"""The determinism certificate: how far an embedding moves when nothing but its company changes.

A sample of clips, and one of captions, is embedded in one batch, in one batch again, in one shuffled batch, and alone.
The drift of a trial is the largest L2 distance between the unit rows of an input there and in the first batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from clapbench.running.batches import CaptionBatch, ClipBatch, ClipLoader, Clips, EncodingPlan, collate_clips

SAMPLE = 16  # clips, and captions
SAMPLE_OUTSIDE = 4  # where each batch starts another interpreter


def sample(n: int, *, most: int = SAMPLE) -> list[int]:
    """At most ``most`` positions, spread evenly over ``n``.

    >>> sample(3), len(sample(800)), sample(800)[-1]
    ([0, 1, 2], 16, 799)
    """
    return torch.linspace(0, n - 1, min(n, most)).round().long().tolist()


def trials(n: int) -> dict[str, list[list[int]]]:
    """Each trial as its batches of positions.

    >>> trials(3)["alone"]
    [[0], [1], [2]]
    """
    shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(0)).tolist()
    return {
        "first": [list(range(n))],
        "again": [list(range(n))],
        "shuffled": [shuffled],
        "alone": [[position] for position in range(n)],
    }


def batches(n: int) -> list[list[int]]:
    """The batches of every trial, one after the other: what has to be embedded for `drift`."""
    return list(chain.from_iterable(trials(n).values()))


def loaders(plan: EncodingPlan) -> tuple[DataLoader[ClipBatch], DataLoader[CaptionBatch]]:
    """The `batches` of a sample of the plan's clips, and of one of its captions; each clip is decoded once."""
    chosen = [plan.clips[row] for row in sample(len(plan.clips))]
    clips = Clips(plan.benchmark, chosen, sample_rate=plan.sample_rate, window=plan.window)
    one_by_one = ClipLoader(clips, batch_size=1, collate_fn=collate_clips)  # type: ignore[arg-type]
    waves = [wave for batch in one_by_one for wave in batch.waves]
    captions = [plan.encoded[row] for row in sample(len(plan.encoded))]
    of_clips = [
        ClipBatch(index=torch.tensor(batch), waves=[waves[row] for row in batch])
        for batch in batches(len(waves))
    ]
    of_captions = [
        CaptionBatch(index=torch.tensor(batch), captions=[captions[row] for row in batch])
        for batch in batches(len(captions))
        if captions
    ]
    return DataLoader(of_clips, batch_size=None), DataLoader(of_captions, batch_size=None)  # type: ignore[arg-type]


def drift(rows: Sequence[Float[Tensor, "_ d"]]) -> dict[str, float]:
    """Largest L2 distance to the first trial, by trial; ``rows`` has a tensor for each of `batches`."""
    n, each = len(rows[0]), iter(rows)
    in_place: dict[str, Tensor] = {}
    for name, plan in trials(n).items():
        together = torch.cat([next(each) for _ in plan]).double()
        in_place[name] = together[torch.tensor(list(chain.from_iterable(plan))).argsort()]
    first = in_place.pop("first")
    return {name: float((other - first).norm(dim=1).max()) for name, other in in_place.items()}
