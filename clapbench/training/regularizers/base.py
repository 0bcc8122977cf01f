"""A regulariser is one weighted term added to the objective, computed from a batch's features."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clapbench.kinds import Sides, Weight
from clapbench.training.clouds import Clouds, full_precision

BOTH = frozenset({"audio", "text"})


class Regularizer(nn.Module, ABC):
    """``weight`` times ``term``. What a check can read before any training:

    ``sides`` are those that the term moves, ``needs_spread`` says that it is undefined on fewer than 2 rows, and one
    with ``reads_swapped`` gets the swapped captions encoded.
    """

    sides: frozenset[str] = BOTH
    needs_spread = False
    reads_swapped = False

    def __init__(self, *, weight: Weight) -> None:
        super().__init__()
        self.weight = weight

    @abstractmethod
    def term(self, clouds: Clouds) -> Float[Tensor, ""]:
        """The penalty of a batch, before its weight; differentiable."""

    def forward(self, clouds: Clouds) -> Float[Tensor, ""]:
        """The weighted term of a batch, in float32 or wider."""
        with full_precision(clouds) as wide:
            return self.weight * self.term(wide)


class SideRegularizer(Regularizer):
    """A term of one side's rows; on both sides the mean of their two terms."""

    def __init__(self, *, weight: Weight, side: Sides) -> None:
        super().__init__(weight=weight)
        self.sides = check_sides(side, who=type(self).__name__)

    @abstractmethod
    def side_term(self, clouds: Clouds, side: str) -> Float[Tensor, ""]:
        """The penalty of the rows of ``audio`` or ``text``."""

    def term(self, clouds: Clouds) -> Float[Tensor, ""]:
        """The mean over the sides."""
        return torch.stack([self.side_term(clouds, side) for side in sorted(self.sides)]).mean()


def check_sides(side: str, *, who: str) -> frozenset[str]:
    """The sides that ``side`` names; ValueError in the name of ``who`` where it names none."""
    if side not in ("audio", "text", "both"):
        raise ValueError(f"{who}: side must be 'audio', 'text' or 'both', got {side!r}.")
    return BOTH if side == "both" else frozenset({side})
