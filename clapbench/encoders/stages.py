"""Encoders whose features are made in stages, and what encodes some clips at a time.

Waves are heard (no weights), go through a tower, and through a head; tokens through a tower and a head. Features are
these stages one after another, so that training may stop between two of them and keep what it has.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from jaxtyping import Float, Int
from torch import Tensor

from clapbench.encoders.base import Encoder

Item = TypeVar("Item")


class StagedEncoder(Encoder):
    """An encoder in stages; ``token_states`` is the text tower from tokens on, to which captions come by `tokenize`."""

    @abstractmethod
    def heard(self, waves: list[Float[Tensor, " _"]]) -> list[Tensor]:
        """The front end, which has no weights: what the audio tower gets of each wave."""

    @abstractmethod
    def audio_states(self, heard: list[Tensor]) -> list[Tensor]:
        """The audio tower: what the head gets of each clip."""

    def audio_features(self, waves: list[Float[Tensor, " _"]]) -> Float[Tensor, "n d"]:
        """Features of mono float32 waves: heard, then tower, then head."""
        return self.audio_head(self.audio_states(self.heard(waves)))

    @abstractmethod
    def token_states(self, input_ids: Int[Tensor, "n l"], attention_mask: Int[Tensor, "n l"]) -> list[Tensor]:
        """The text tower: what the head gets of each tokenised caption."""

    def text_states(self, captions: list[str]) -> list[Tensor]:
        """The text tower: what the head gets of each caption."""
        return self.token_states(*self.tokenize(captions))

    def token_features(
        self, input_ids: Int[Tensor, "n l"], attention_mask: Int[Tensor, "n l"]
    ) -> Float[Tensor, "n d"]:
        """Features of tokenised captions: tower, then head."""
        return self.text_head(self.token_states(input_ids, attention_mask))


def in_groups(
    compute: Callable[[list[Item]], Iterable[Tensor]], items: Sequence[Item], *, groups: Iterable[list[int]]
) -> list[Tensor]:
    """``compute`` on one group of numbers of ``items`` at a time; its tensors in the order of ``items``."""
    made: dict[int, Tensor] = {}
    for group in groups:
        made.update(zip(group, compute([items[number] for number in group]), strict=True))
    return [made[number] for number in range(len(items))]


def alike(keys: Sequence[Hashable]) -> list[list[int]]:
    """The numbers of those with one key together.

    >>> alike(["a", "b", "a"])
    [[0, 2], [1]]
    """
    groups: dict[Hashable, list[int]] = {}
    for number, key in enumerate(keys):
        groups.setdefault(key, []).append(number)
    return list(groups.values())


def similar(lengths: Sequence[int], *, least: int) -> list[list[int]]:
    """Numbers in the order of their lengths, ``least`` or more together, those of one length never apart.

    >>> similar([5, 9, 5, 7, 5], least=2)
    [[0, 2, 4], [3, 1]]
    """
    groups: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not groups or (len(groups[-1]) >= least and lengths[groups[-1][-1]] != lengths[number]):
            groups.append([])
        groups[-1].append(number)
    return groups
