"""What objectives and regularisers read: the features of one batch, gathered from every process."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor


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

    @property
    def same(self) -> Bool[Tensor, "n n"]:
        """Which clip (row) and caption (column) are no negatives: the match, and others of that clip or meaning."""
        by_clip = self.clip.unsqueeze(1) == self.clip
        return by_clip | (self.caption.unsqueeze(1) == self.caption)

    @property
    def swapped_same(self) -> Bool[Tensor, "n m"]:
        """Which clip and swapped caption are no negatives: a batch may hold the clip that the caption is true of."""
        return self.caption.unsqueeze(1) == self.swapped_caption

    def side(self, side: str) -> Float[Tensor, "n d"]:
        """The rows of ``audio`` or ``text``."""
        return self.audio if side == "audio" else self.text
