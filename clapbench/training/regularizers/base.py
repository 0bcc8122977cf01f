"""A regulariser is one weighted term added to the contrastive loss, computed from a batch's features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor, nn

from clapbench.kinds import Weight


@dataclass(frozen=True)
class Clouds:
    """A training batch as features *before* normalisation: row i of audio and of text are a matching pair.

    ``swapped`` holds the text features of the swapped captions of the pairs ``swapped_of`` (a caption without
    two things to swap has none); ``scale`` is the learned factor on cosine similarities.
    """

    audio: Float[Tensor, "n d"]
    text: Float[Tensor, "n d"]
    swapped: Float[Tensor, "m d"]
    swapped_of: Int[Tensor, " m"]
    scale: Float[Tensor, ""]

    def side(self, side: str) -> Float[Tensor, "n d"]:
        return self.audio if side == "audio" else self.text


class Regularizer(nn.Module, ABC):
    """``weight`` times ``term``. A subclass with ``reads_swapped`` gets the swapped captions encoded."""

    reads_swapped = False

    def __init__(self, *, weight: Weight) -> None:
        super().__init__()
        self.weight = weight

    @abstractmethod
    def term(self, clouds: Clouds) -> Float[Tensor, ""]: ...

    def forward(self, clouds: Clouds) -> Float[Tensor, ""]:
        return self.weight * self.term(clouds)


def check_side(side: str, *, who: str) -> str:
    if side not in ("audio", "text"):
        raise ValueError(f"{who}: side must be 'audio' or 'text', got {side!r}.")
    return side
