"""Scenes of two events, as recipes: who sounds when, and the captions that tell a scene from its partner.

An order item has the same two rendered events in both orders; lead-in, gap and length are shared. An
attribute item has the same events at the same onsets; only the two states are exchanged. Neither the order of
the events nor that of their mention tells which state comes first. Background noise: -60 dBFS, equal in both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from jaxtyping import Float

from clapbench.sound.synth.captions import (
    ATTRIBUTE_TEMPLATES,
    ORDER_TEMPLATES,
    ORDERED,
    attribute_caption,
    order_caption,
)
from clapbench.sound.synth.events import ATTRIBUTES, EVENTS, SAMPLE_RATE, State, classes_with, draw, render

SHORTEST, LARGEST = 2.0, 6.0  # s, a scene
GAP = (0.05, 0.4)  # s between two events
SLACK = (0.1, 1.5)  # s of lead-in and trailing silence together
FLOOR = 10 ** (-60 / 20)  # RMS of the background noise

STATES: tuple[State, State] = ("high", "low")


@dataclass(frozen=True)
class EventSpec:
    """One event in a scene: what ``render`` needs, and when it starts."""

    key: str
    attribute: str | None
    state: State | None
    seed: int
    onset: float  # s


@dataclass(frozen=True)
class Scene:
    """Events on a background: everything that decides a clip."""

    events: tuple[EventSpec, ...]
    seconds: float
    noise_seed: int


@dataclass(frozen=True)
class Pair:
    """A scene with its caption, its partner with the partner's caption, and the columns for tables."""

    pair: Scene
    reversed: Scene
    pair_caption: str
    reversed_caption: str
    about: dict[str, str]


@dataclass(frozen=True)
class Layout:
    """The silences of a scene, in seconds: before the first event, between events; and the whole length."""

    lead: float
    gaps: tuple[float, ...]
    seconds: float

    def onsets(self, durations: Sequence[float]) -> tuple[float, ...]:
        """When each event starts if they last this long, one after another."""
        starts = [self.lead]
        for duration, gap in zip(durations, self.gaps, strict=False):
            starts.append(starts[-1] + duration + gap)
        return tuple(starts)


def layout(durations: Sequence[float], rng: np.random.Generator) -> Layout:
    """Random silences around events of these lengths (seconds), which may then come in any order."""
    gaps = tuple(float(gap) for gap in rng.uniform(*GAP, size=len(durations) - 1))
    slack, share, filler = rng.uniform(*SLACK), rng.uniform(), rng.uniform()
    used = sum(durations) + sum(gaps)
    if used + SLACK[0] > LARGEST:
        raise ValueError(
            f"layout: needed events within {LARGEST - SLACK[0]} s, got {used:.2f} s. Shorten them."
        )
    shortest = SHORTEST + 0.5 * filler  # else every scene of short events would last the same
    seconds = float(min(max(used + slack, shortest), LARGEST))
    return Layout(lead=float(share * (seconds - used)), gaps=gaps, seconds=seconds)


def held_out(a: str, b: str) -> bool:
    """Whether the unordered pair of classes is kept for the benchmarks (a third), never for training."""
    digest = hashlib.sha256("|".join(sorted((a, b))).encode()).digest()
    return int.from_bytes(digest[:4], "big") % 3 == 0


def class_pairs(attribute: str | None = None, *, held: bool) -> tuple[tuple[str, str], ...]:
    """The class pairs on one side of the partition, among the classes in which ``attribute`` can be heard."""
    keys = EVENTS if attribute is None else classes_with(attribute)
    return tuple(pair for pair in combinations(sorted(keys), 2) if held_out(*pair) == held)


def draw_order(rng: np.random.Generator, *, keys: tuple[str, str], template: str) -> Pair:
    """An order item of the two classes; which of them comes first in the pair's clip is random."""
    earlier, later = (keys[index] for index in rng.permutation(2))
    seeds = {key: int(rng.integers(2**63)) for key in (earlier, later)}
    lengths = {key: draw(key, np.random.default_rng(seed)).seconds for key, seed in seeds.items()}
    plan = layout(list(lengths.values()), rng)
    noise_seed = int(rng.integers(2**63))

    def scene(*order: str) -> Scene:
        onsets = plan.onsets([lengths[key] for key in order])
        events = tuple(
            EventSpec(key, None, None, seeds[key], onset) for key, onset in zip(order, onsets, strict=True)
        )
        return Scene(events=events, seconds=plan.seconds, noise_seed=noise_seed)

    return Pair(
        pair=scene(earlier, later),
        reversed=scene(later, earlier),
        pair_caption=order_caption(template, earlier=earlier, later=later),
        reversed_caption=order_caption(template, earlier=later, later=earlier),
        about={"kind": "order", "event_a": earlier, "event_b": later, "template": template},
    )


def draw_attribute(
    rng: np.random.Generator, *, attribute: str, mentioned: tuple[str, str], template: str
) -> Pair:
    """An attribute item that mentions the two classes in this order; the order in time is random.

    Where the template claims an order, the class mentioned first is the earlier one.
    """
    flip = bool(rng.integers(2)) and template not in ORDERED
    in_time = mentioned[::-1] if flip else mentioned
    states = STATES if rng.integers(2) else STATES[::-1]  # of mentioned
    seeds = {key: int(rng.integers(2**63)) for key in in_time}
    lengths = [
        max(
            draw(key, np.random.default_rng(seeds[key]), attribute=attribute, state=s).seconds for s in STATES
        )
        for key in in_time
    ]
    plan = layout(lengths, rng)
    noise_seed = int(rng.integers(2**63))

    def scene(of: dict[str, State]) -> Scene:
        onsets = plan.onsets(lengths)
        events = tuple(
            EventSpec(k, attribute, of[k], seeds[k], onset) for k, onset in zip(in_time, onsets, strict=True)
        )
        return Scene(events=events, seconds=plan.seconds, noise_seed=noise_seed)

    def caption(of: dict[str, State]) -> str:
        first, second = ((key, of[key]) for key in mentioned)
        return attribute_caption(template, attribute, first=first, second=second)

    pair = dict(zip(mentioned, states, strict=True))
    swapped = dict(zip(mentioned, states[::-1], strict=True))
    return Pair(
        pair=scene(pair),
        reversed=scene(swapped),
        pair_caption=caption(pair),
        reversed_caption=caption(swapped),
        about={
            "kind": "attribute",
            "attribute": attribute,
            "event_a": in_time[0],
            "event_b": in_time[1],
            "state_a": ATTRIBUTES[attribute][pair[in_time[0]]],
            "state_b": ATTRIBUTES[attribute][pair[in_time[1]]],
            "mentioned_first": mentioned[0],
            "template": template,
        },
    )


@lru_cache(maxsize=8)
def order_deck(seed: int) -> tuple[tuple[str, tuple[str, str]], ...]:
    """Every (template, held-out pair) once; templates in turn: half of any beginning is before and after."""
    rng = np.random.default_rng([seed, 0])
    pairs = class_pairs(held=True)
    shuffled = [[pairs[index] for index in rng.permutation(len(pairs))] for _ in ORDER_TEMPLATES]
    return tuple(
        (template, column[row])
        for row in range(len(pairs))
        for template, column in zip(ORDER_TEMPLATES, shuffled, strict=True)
    )


@lru_cache(maxsize=40)
def attribute_deck(attribute: str, seed: int) -> tuple[tuple[str, tuple[str, str]], ...]:
    """Every (template, held-out pair in the order of its mention) once, shuffled."""
    rng = np.random.default_rng([seed, 1 + list(ATTRIBUTES).index(attribute)])
    mentions = [order for pair in class_pairs(attribute, held=True) for order in (pair, pair[::-1])]
    deck = [(template, mentioned) for template in ATTRIBUTE_TEMPLATES for mentioned in mentions]
    return tuple(deck[index] for index in rng.permutation(len(deck)))


def order_item(seed: int, index: int) -> Pair:
    """Pair ``index`` of the held-out order benchmark with this seed."""
    deck = order_deck(seed)
    template, keys = deck[index % len(deck)]
    return draw_order(np.random.default_rng([seed, 10, index]), keys=keys, template=template)


def attribute_item(seed: int, index: int) -> Pair:
    """Pair ``index`` of the held-out attribute benchmark with this seed; the attributes take turns."""
    attribute = list(ATTRIBUTES)[index % len(ATTRIBUTES)]
    deck = attribute_deck(attribute, seed)
    template, mentioned = deck[(index // len(ATTRIBUTES)) % len(deck)]
    rng = np.random.default_rng([seed, 20, index])
    return draw_attribute(rng, attribute=attribute, mentioned=mentioned, template=template)


def mix(scene: Scene) -> Float[np.ndarray, " n"]:
    """The scene's clip: mono float32 at ``SAMPLE_RATE``. Events never overlap, so the peak stays below 1."""
    size = round(scene.seconds * SAMPLE_RATE)
    wave = FLOOR * np.random.default_rng(scene.noise_seed).standard_normal(size, dtype=np.float32)
    for event in scene.events:
        rng = np.random.default_rng(event.seed)
        part = render(event.key, rng, attribute=event.attribute, state=event.state)
        start = min(round(event.onset * SAMPLE_RATE), size - len(part))
        wave[start : start + len(part)] += part
    return wave.astype(np.float32)
