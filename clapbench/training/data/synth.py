"""Batches of clips with captions to train on, mixed on the fly from a bank of synthesised events.

Half order scenes, a third attribute scenes, the rest single events. Class pairs that the embedded benchmarks
use (`scenes.held_out`) never occur, nor do the benchmarks' draws: the bank has seeds of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from clapbench.kinds import Count, Pairs, Seed
from clapbench.sound.synth.captions import (
    ATTRIBUTE_TEMPLATES,
    ORDER_TEMPLATES,
    ORDERED,
    attribute_caption,
    order_caption,
    single_captions,
)
from clapbench.sound.synth.events import ATTRIBUTES, EVENTS, SAMPLE_RATE, State, render
from clapbench.sound.synth.scenes import STATES, class_pairs, layout

T = TypeVar("T")

ORDER_SHARE, ATTRIBUTE_SHARE = 0.50, 0.37  # of a batch; the rest are single events
STREAM = 7  # keeps the generators of training apart from those of the benchmarks
FLOOR = (10 ** (-70 / 20), 10 ** (-50 / 20))  # RMS of the background noise


@dataclass
class PairBatch:
    """``n`` clips with their captions, and the swapped captions of those ``m`` that have one.

    Pairs with one number in ``meaning`` describe the same, so they are no negatives of each other.
    """

    waves: list[Float[Tensor, " _"]]
    captions: list[str]
    meaning: Int[Tensor, " n"]
    swapped: list[str]
    swapped_of: Int[Tensor, " m"]

    def to(self, device: torch.device) -> PairBatch:
        """The batch with its waves on ``device``."""
        return PairBatch(
            waves=[wave.to(device) for wave in self.waves],
            captions=self.captions,
            meaning=self.meaning.to(device),
            swapped=self.swapped,
            swapped_of=self.swapped_of.to(device),
        )


@dataclass(frozen=True)
class Example:
    """A clip with its caption, and the partner that swaps its events or their states (None for one event)."""

    wave: Float[np.ndarray, " _"]
    caption: str
    meaning: str
    partner: Example | None = None


class EventBank:
    """Rendered events: ``neutral`` draws of each class, ``varied`` draws of each class, attribute and state.

    Draw number i of a class has the same seed in both states, so that only the attribute tells them apart.
    """

    def __init__(self, *, seed: int, neutral: int, varied: int) -> None:
        self.waves: dict[tuple[str, str | None, State | None], list[Float[np.ndarray, " _"]]] = {}
        for number, (key, item) in enumerate(EVENTS.items()):

            def draws(
                count: int,
                attribute: str | None = None,
                state: State | None = None,
                *,
                key: str = key,
                number: int = number,
            ) -> list[Float[np.ndarray, " _"]]:
                generators = (np.random.default_rng([seed, STREAM, number, index]) for index in range(count))
                return [render(key, rng, attribute=attribute, state=state) for rng in generators]

            self.waves[key, None, None] = draws(neutral)
            for attribute in item.axes:
                for state in STATES:
                    self.waves[key, attribute, state] = draws(varied, attribute, state)


class SynthPairs(IterableDataset[PairBatch]):
    """Batches of ``batch_size`` pairs without end; ``swapped_scenes`` puts each scene's partner in, too.

    The k-th batch depends on (``seed``, k) only.
    """

    def __init__(
        self, *, batch_size: Pairs, seed: Seed, neutral: Count, varied: Count, swapped_scenes: bool
    ) -> None:
        self.batch_size, self.seed, self.swapped_scenes = batch_size, seed, swapped_scenes
        self.bank = EventBank(seed=seed, neutral=neutral, varied=varied)
        self.pairs = {axis: class_pairs(axis, held=False) for axis in (None, *ATTRIBUTES)}

    def loader(self) -> DataLoader[PairBatch]:
        """The batches, one by one."""
        return DataLoader(self, batch_size=None)

    def __iter__(self) -> Iterator[PairBatch]:
        number = 0
        while True:
            yield self.batch(np.random.default_rng([self.seed, STREAM, len(EVENTS), number]))
            number += 1

    def batch(self, rng: np.random.Generator) -> PairBatch:
        """As many examples as a batch holds; with swapped scenes a swapped partner follows its example."""
        examples: list[Example] = []
        while len(examples) < self.batch_size:
            example = self.example(rng)
            examples.append(example)
            if self.swapped_scenes and example.partner is not None:
                examples.append(example.partner)
        examples = examples[: self.batch_size]
        partners = {i: example.partner for i, example in enumerate(examples) if example.partner is not None}
        return PairBatch(
            waves=[torch.from_numpy(example.wave) for example in examples],
            captions=[example.caption for example in examples],
            meaning=torch.tensor([zlib.crc32(example.meaning.encode()) for example in examples]),
            swapped=[partner.caption for partner in partners.values()],
            swapped_of=torch.tensor(list(partners), dtype=torch.long),
        )

    def example(self, rng: np.random.Generator) -> Example:
        """An example of a kind drawn at random."""
        kind = rng.uniform()
        if kind < ORDER_SHARE:
            return self.order(rng)
        if kind < ORDER_SHARE + ATTRIBUTE_SHARE:
            return self.attribute(rng)
        return self.single(rng)

    def order(self, rng: np.random.Generator) -> Example:
        """Two events in a row; its partner has them the other way round, in the same noise."""
        pair = pick(rng, self.pairs[None])
        sounds = {key: pick(rng, self.bank.waves[key, None, None]) for key in pair}
        template = pick(rng, list(ORDER_TEMPLATES))
        lengths = {key: len(sound) / SAMPLE_RATE for key, sound in sounds.items()}
        plan = layout(list(lengths.values()), rng)
        floor = noise(plan.seconds, rng)

        def telling(earlier: str, later: str) -> Example:
            onsets = plan.onsets([lengths[earlier], lengths[later]])
            return Example(
                wave=mix(floor, [sounds[earlier], sounds[later]], onsets),
                caption=order_caption(template, earlier=earlier, later=later),
                meaning=f"{earlier} < {later}",
            )

        first, second = (pair[index] for index in rng.permutation(2))
        return with_partner(telling(first, second), telling(second, first))

    def attribute(self, rng: np.random.Generator) -> Example:
        """Two events, one high and one low on an attribute; its partner has them exchanged, in the same noise."""
        axis = pick(rng, list(ATTRIBUTES))
        pair = pick(rng, self.pairs[axis])
        mentioned = tuple(pair[index] for index in rng.permutation(2))
        template = pick(rng, list(ATTRIBUTE_TEMPLATES))
        in_time = mentioned if template in ORDERED or rng.integers(2) else mentioned[::-1]
        draws = {key: int(rng.integers(len(self.bank.waves[key, axis, "high"]))) for key in pair}
        longest = [
            max(len(self.bank.waves[key, axis, state][draws[key]]) for state in STATES) / SAMPLE_RATE
            for key in in_time
        ]
        plan = layout(longest, rng)
        floor = noise(plan.seconds, rng)

        def telling(states: tuple[State, State]) -> Example:  # of the mentioned, in their order
            state = dict(zip(mentioned, states, strict=True))
            parts = [self.bank.waves[key, axis, state[key]][draws[key]] for key in in_time]
            first, second = ((key, state[key]) for key in mentioned)
            return Example(
                wave=mix(floor, parts, plan.onsets(longest)),
                caption=attribute_caption(template, axis, first=first, second=second),
                meaning=f"{axis}: {sorted(state.items())}",
            )

        ways = (telling(("high", "low")), telling(("low", "high")))
        turn = int(rng.integers(2))
        return with_partner(ways[turn], ways[1 - turn])

    def single(self, rng: np.random.Generator) -> Example:
        """One event, with or without an attribute told."""
        if rng.integers(2):
            key, axis, state = pick(rng, list(self.bank.waves))
        else:
            key, axis, state = pick(rng, list(EVENTS)), None, None
        sound = pick(rng, self.bank.waves[key, axis, state])
        plan = layout([len(sound) / SAMPLE_RATE], rng)
        return Example(
            wave=mix(noise(plan.seconds, rng), [sound], (plan.lead,)),
            caption=pick(rng, single_captions(key, axis, state)),
            meaning=f"{key} {axis} {state}",
        )


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of ``options``, each as likely."""
    return options[int(rng.integers(len(options)))]


def with_partner(example: Example, partner: Example) -> Example:
    """The example that knows its partner, which knows it in turn by caption."""
    back = Example(wave=example.wave, caption=example.caption, meaning=example.meaning)
    partner = Example(partner.wave, partner.caption, partner.meaning, partner=back)
    return Example(example.wave, example.caption, example.meaning, partner=partner)


def noise(seconds: float, rng: np.random.Generator) -> Float[np.ndarray, " n"]:
    """A scene's background: white, at a random level."""
    level = np.float32(np.exp(rng.uniform(*np.log(FLOOR))))
    return level * rng.standard_normal(round(seconds * SAMPLE_RATE), dtype=np.float32)


def mix(
    floor: Float[np.ndarray, " n"], sounds: list[Float[np.ndarray, " _"]], onsets: tuple[float, ...]
) -> Float[np.ndarray, " n"]:
    """The background with each sound added at its onset (seconds)."""
    wave = floor.copy()
    for sound, onset in zip(sounds, onsets, strict=True):
        start = min(round(onset * SAMPLE_RATE), len(wave) - len(sound))
        wave[start : start + len(sound)] += sound
    return wave
