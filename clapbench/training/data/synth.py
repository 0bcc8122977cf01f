"""Clips with captions to train on, mixed on the fly from a bank of synthesised events.

Half order scenes, a third attribute scenes, the rest single events. Class pairs that the embedded benchmarks
use (`scenes.held_out`) never occur, nor do the benchmarks' draws: the bank has seeds of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from clapbench.benchmarks.synthetic import RECIPE
from clapbench.encoders.base import Hearing
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
from clapbench.sound.waves import resampled
from clapbench.training.data.base import NumberedPairs, Pair, Row

T = TypeVar("T")

ORDER_SHARE, ATTRIBUTE_SHARE = 0.50, 0.37  # of scenes; the rest are single events
STREAM = 7  # keeps the generators of training apart from those of the benchmarks
FLOOR = (10 ** (-70 / 20), 10 ** (-50 / 20))  # RMS of the background noise
NOISE = 2**20  # samples of noise that backgrounds are cut from: drawing them anew would be most of the time


class Event(NamedTuple):
    """A rendered event: a draw of its class, neutral or in a state of an attribute."""

    key: str
    attribute: str | None
    state: State | None
    draw: int


@dataclass(frozen=True)
class Scene:
    """One event, or two in the order of time, with a caption. Scenes of one ``seed`` have the same silences and noise.

    Two events with attributes leave room for either state of each, so that a scene and its partner are laid out alike.
    """

    events: tuple[Event, ...]
    caption: str
    meaning: str
    seed: int

    def room(self, event: Event) -> list[Event]:
        """The events that have to fit where this one sounds."""
        if len(self.events) == 1 or event.state is None:
            return [event]
        return [event._replace(state=state) for state in STATES]


class Told(NamedTuple):
    """A scene, and the partner that swaps its events or their states (None for one event)."""

    scene: Scene
    partner: Scene | None


class EventBank:
    """Rendered events: ``neutral`` draws of each class, ``varied`` draws of each class, attribute and state.

    Draw number i of a class has the same seed in both states, so that only the attribute tells them apart. An event is
    rendered when it is first asked for, and kept (all of 60 and 30 draws: 0.5 GB); a copy in another process starts
    empty.
    """

    def __init__(self, *, seed: int, neutral: int, varied: int) -> None:
        self.seed, self.neutral, self.varied = seed, neutral, varied
        self.kinds: list[tuple[str, str | None, State | None]] = [
            kind
            for key, item in EVENTS.items()
            for kind in [(key, None, None), *((key, axis, state) for axis in item.axes for state in STATES)]
        ]
        self._numbers = {key: number for number, key in enumerate(EVENTS)}
        self._waves: dict[Event, Float[np.ndarray, " _"]] = {}
        noise = np.random.default_rng([seed, STREAM, len(EVENTS)])
        self._noise = noise.standard_normal(NOISE, dtype=np.float32)

    def draws(self, attribute: str | None) -> int:
        """How many there are of a class, with an attribute or without."""
        return self.neutral if attribute is None else self.varied

    def wave(self, event: Event) -> Float[np.ndarray, " _"]:
        """The sound of an event, mono at ``SAMPLE_RATE``."""
        if event not in self._waves:
            rng = np.random.default_rng([self.seed, STREAM, self._numbers[event.key], event.draw])
            self._waves[event] = render(event.key, rng, attribute=event.attribute, state=event.state)
        return self._waves[event]

    def background(self, seconds: float, rng: np.random.Generator) -> Float[np.ndarray, " n"]:
        """White noise at a random level."""
        level = np.float32(np.exp(rng.uniform(*np.log(FLOOR))))
        length = round(seconds * SAMPLE_RATE)
        start = int(rng.integers(NOISE - length))
        return level * self._noise[start : start + length]

    def fill(self) -> None:
        """Renders what is not yet."""
        for key, attribute, state in self.kinds:
            for draw in range(self.draws(attribute)):
                self.wave(Event(key, attribute, state, draw))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_waves": {}}


class SynthPairs(NumberedPairs):
    """Synthesised scenes; ``pool`` of them in shuffled epochs, or without end. Pair i depends on (``seed``, i) alone.

    ``swapped_scenes`` puts each scene's partner next to it; where there is none, another single event.
    """

    def __init__(
        self,
        *,
        batch_size: Pairs,
        seed: Seed,
        pool: Pairs | None,
        neutral: Count,
        varied: Count,
        swapped_scenes: bool,
        hearing: Hearing,
        num_workers: int | None = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, seed=seed, hearing=hearing, num_workers=num_workers)
        if swapped_scenes and pool is not None and pool % 2:
            raise ValueError(
                f"data: needed an even number of pairs where each scene's partner is next to it, got pool={pool}. "
                f"Set data.pool={pool + 1}."
            )
        self.pool, self.swapped_scenes = pool, swapped_scenes
        self.group = 2 if swapped_scenes else 1
        self.keeps_heard = pool is not None  # half of a step is mixing and hearing
        self.bank = EventBank(seed=seed, neutral=neutral, varied=varied)
        self._known: dict[int, Told] = {}  # of a pool all, else the last one: a wave is asked for after its pair
        self.class_pairs = {axis: class_pairs(axis, held=False) for axis in (None, *ATTRIBUTES)}

    @property
    def n_pairs(self) -> int | None:
        """The pool."""
        return self.pool

    @property
    def has_swapped(self) -> bool:
        """Every scene of two events has a partner."""
        return True

    @property
    def content(self) -> dict[str, Any]:
        """What decides every pair."""
        return {
            "pairs": self.pool,
            "seed": self.seed,
            "neutral": self.bank.neutral,
            "varied": self.bank.varied,
            "swapped_scenes": self.swapped_scenes,
        }

    def rows(self) -> Iterator[list[Row]]:
        """This process's rows of each batch."""
        if self.num_workers and self.decodes:
            self.bank.fill()  # once, here, rather than in each worker of each epoch
        return super().rows()

    def pair(self, number: int) -> Pair:
        """The pair of a number, named by it."""
        scene, partner = self.told(number)
        return Pair(
            clip=f"synth/{number}",
            caption=scene.caption,
            meaning=scene.meaning,
            swapped=partner.caption if partner else None,
            swapped_meaning=partner.meaning if partner else None,
        )

    def wave(self, number: int) -> Float[Tensor, " _"]:
        """The scene of a number, mixed."""
        scene = self.told(number).scene
        rng = np.random.default_rng(scene.seed)
        seconds = [
            max(len(self.bank.wave(other)) for other in scene.room(event)) / SAMPLE_RATE
            for event in scene.events
        ]
        plan = layout(seconds, rng)
        wave = self.bank.background(plan.seconds, rng)
        for event, onset in zip(scene.events, plan.onsets(seconds), strict=True):
            sound = self.bank.wave(event)
            start = min(round(onset * SAMPLE_RATE), len(wave) - len(sound))
            wave[start : start + len(sound)] += sound
        rate, window = self.hearing
        return resampled(wave, SAMPLE_RATE, sample_rate=rate, window=window)

    def identity(self, number: int) -> str:
        """What decides the sound of a pair."""
        content = {**self.content, "pairs": None, "recipe": RECIPE, "number": number}
        return f"synth {json.dumps(content)}"

    def told(self, number: int) -> Told:
        """The scene of a number with its partner; with ``swapped_scenes`` 2 i and 2 i + 1 are each other's."""
        if number not in self._known:
            if self.pool is None:
                self._known.clear()
            self._known[number] = self._told(number)
        return self._known[number]

    def _told(self, number: int) -> Told:
        which, is_second = divmod(number, 2) if self.swapped_scenes else (number, 0)
        rng = np.random.default_rng([self.seed, STREAM, len(EVENTS) + 1, which])
        first = self.drawn(rng)
        if not is_second:
            return first
        return Told(first.partner, first.scene) if first.partner else self.single(rng)

    def drawn(self, rng: np.random.Generator) -> Told:
        """A scene of a kind drawn at random."""
        kind = rng.uniform()
        if kind < ORDER_SHARE:
            return self.order(rng)
        if kind < ORDER_SHARE + ATTRIBUTE_SHARE:
            return self.attribute(rng)
        return self.single(rng)

    def order(self, rng: np.random.Generator) -> Told:
        """Two events in a row; its partner has them the other way round."""
        pair = pick(rng, self.class_pairs[None])
        template = pick(rng, list(ORDER_TEMPLATES))
        events = [self.event(rng, key) for key in pair]
        seed = seed_from(rng)

        def telling(earlier: Event, later: Event) -> Scene:
            return Scene(
                events=(earlier, later),
                caption=order_caption(template, earlier=earlier.key, later=later.key),
                meaning=f"{earlier.key} < {later.key}",
                seed=seed,
            )

        first, second = (events[index] for index in rng.permutation(2))
        return Told(telling(first, second), telling(second, first))

    def attribute(self, rng: np.random.Generator) -> Told:
        """Two events, one high and one low on an attribute; its partner has the states exchanged."""
        axis = pick(rng, list(ATTRIBUTES))
        pair = pick(rng, self.class_pairs[axis])
        mentioned = tuple(pair[index] for index in rng.permutation(2))
        template = pick(rng, list(ATTRIBUTE_TEMPLATES))
        in_time = mentioned if template in ORDERED or rng.integers(2) else mentioned[::-1]
        events = {key: self.event(rng, key, axis, "high") for key in in_time}
        seed = seed_from(rng)

        def telling(states: tuple[State, State]) -> Scene:  # of the mentioned, in their order
            state = dict(zip(mentioned, states, strict=True))
            first, second = ((key, state[key]) for key in mentioned)
            return Scene(
                events=tuple(events[key]._replace(state=state[key]) for key in in_time),
                caption=attribute_caption(template, axis, first=first, second=second),
                meaning=f"{axis}: {sorted(state.items())}",
                seed=seed,
            )

        ways = (telling(("high", "low")), telling(("low", "high")))
        turn = int(rng.integers(2))
        return Told(ways[turn], ways[1 - turn])

    def single(self, rng: np.random.Generator) -> Told:
        """One event, with or without an attribute told."""
        if rng.integers(2):
            key, axis, state = pick(rng, self.bank.kinds)
        else:
            key, axis, state = pick(rng, list(EVENTS)), None, None
        scene = Scene(
            events=(self.event(rng, key, axis, state),),
            caption=pick(rng, single_captions(key, axis, state)),
            meaning=f"{key} {axis} {state}",
            seed=seed_from(rng),
        )
        return Told(scene, None)

    def event(
        self,
        rng: np.random.Generator,
        key: str,
        attribute: str | None = None,
        state: State | None = None,
    ) -> Event:
        """Any draw of this kind."""
        return Event(key, attribute, state, int(rng.integers(self.bank.draws(attribute))))


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of ``options``, each as likely."""
    return options[int(rng.integers(len(options)))]


def seed_from(rng: np.random.Generator) -> int:
    """A seed for a generator of silences and noise."""
    return int(rng.integers(2**63))
