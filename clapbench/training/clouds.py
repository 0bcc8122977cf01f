"""What objectives and regularisers read: the features of one batch, gathered from every process."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clapbench.training import processes


@dataclass(frozen=True)
class Clouds:
    """Features *before* normalisation: row i of audio and of text are a matching pair.

    ``swapped`` holds the features of the swapped captions of the pairs ``swapped_of`` (a caption without two things to
    swap has none). ``clip``, ``caption`` and ``swapped_caption`` number what the rows stand for: equal numbers are one
    clip, or captions that mean the same. ``step`` counts optimizer steps: what a term draws at random depends on it
    alone, so that every process draws the same.
    """

    audio: Float[Tensor, "n d"]
    text: Float[Tensor, "n d"]
    swapped: Float[Tensor, "m d"]
    swapped_of: Int[Tensor, " m"]
    clip: Int[Tensor, " n"]
    caption: Int[Tensor, " n"]
    swapped_caption: Int[Tensor, " m"]
    step: int = 0

    def side(self, side: str) -> Float[Tensor, "n d"]:
        """The rows of ``audio`` or ``text``."""
        return self.audio if side == "audio" else self.text

    def alike(self, side: str) -> Bool[Tensor, "n n"]:
        """Which rows of a side stand for the same as which: one clip, or captions of one meaning."""
        number = self.clip if side == "audio" else self.caption
        return number.unsqueeze(1) == number

    @property
    def same(self) -> Bool[Tensor, "n n"]:
        """Which clip (row) and caption (column) are no negatives: the match, and others of that clip or meaning."""
        return self.alike("audio") | self.alike("text")

    @property
    def swapped_same(self) -> Bool[Tensor, "n m"]:
        """Which clip and swapped caption are no negatives: a batch may hold the clip that the caption is true of."""
        return self.caption.unsqueeze(1) == self.swapped_caption


def gather_clouds(clouds: Clouds) -> Clouds:
    """The clouds of every process as one, in the order of ranks; gradients flow to where rows came from.

    Each process gets the same. Numbers of pairs and of swapped captions may differ between processes.
    """
    if processes.world() == 1:
        return clouds
    audio, counts = processes.gathered(clouds.audio)
    text, _ = processes.gathered(clouds.text)
    swapped, _ = processes.gathered(clouds.swapped)
    numbers, _ = processes.gathered(torch.stack([clouds.clip, clouds.caption], dim=1))
    before = sum(counts[: processes.rank()])
    owners, _ = processes.gathered(torch.stack([clouds.swapped_of + before, clouds.swapped_caption], dim=1))
    return Clouds(
        audio=audio,
        text=text,
        swapped=swapped,
        swapped_of=owners[:, 0],
        clip=numbers[:, 0],
        caption=numbers[:, 1],
        swapped_caption=owners[:, 1],
        step=clouds.step,
    )


@contextmanager
def full_precision(clouds: Clouds) -> Iterator[Clouds]:
    """The clouds in float32 or wider, and nothing below that computed with them, whatever the trainer's precision.

    Cosines times a scale of 100 need more digits than half precision has, and so do spectra and counts of neighbours.
    """
    features = {name: getattr(clouds, name) for name in ("audio", "text", "swapped")}
    short = {name: rows.float() for name, rows in features.items() if torch.finfo(rows.dtype).bits < 32}
    with torch.autocast(clouds.audio.device.type, enabled=False):
        yield dataclasses.replace(clouds, **short) if short else clouds
