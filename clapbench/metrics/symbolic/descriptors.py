r"""What a single piece is like: one number each, or `Undefined` with a reason. In pitch, drums are left out.

Entropies are in bits, $-\sum_i p_i \log_2 p_i$ over the shares of what occurs. Times fall into a grid of 12 steps a
beat. "Rhythmic entropy" has no one definition: that of intervals and that of places in the bar are two, and both are
here. No number sees all: pitch numbers are blind to order, interval entropy levels off where onsets are loosened,
groove and repetition know nothing of key.

Sources: Wu and Yang 2020 (The Jazz Transformer) for pitch-class entropy and grooving similarity; Dong et al.
2020 (MusPy) for polyphony and pitch range; harmonic change and scale consistency: `harmony`; repetition:
`structure`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from clapbench.metrics.symbolic.harmony import (
    Histogram,
    harmonic_change,
    pitch_class_histogram,
    scale_consistency,
    without_pitch,
)
from clapbench.metrics.symbolic.score import Score
from clapbench.metrics.symbolic.structure import repetition
from clapbench.metrics.symbolic.undefined import Undefined, reason_of

NO_NOTES = "it has no notes"


def pitch_class_entropy(score: Score) -> float:
    """Entropy of the pitch classes of the notes, in bits: 0 for one class, to log2(12) = 3.585.

    >>> from clapbench.metrics.symbolic.score import score_of
    >>> pitch_class_entropy(score_of(start=[0, 1, 2, 3], length=[1] * 4, pitch=[60, 72, 67, 55], ticks_per_beat=1))
    1.0
    """
    reason = without_pitch(score)
    return Undefined(reason) if reason else _entropy(pitch_class_histogram(score, weight="count"))


def ioi_entropy(score: Score) -> float:
    """Entropy of the intervals between successive distinct onsets of all tracks, in bits, from 0.

    Intervals are rounded to 1/12 beat. `Undefined` for fewer than two onsets.
    """
    onsets = np.unique(score.start)
    if len(onsets) < 2:
        return Undefined("it has fewer than two onsets" if len(onsets) else NO_NOTES)
    return _entropy(_counts(score.steps(np.diff(onsets))))


def position_entropy(score: Score) -> float:
    """Entropy of the place in the bar of each note's onset, of all tracks, in bits, from 0; places are 1/12 beat."""
    if not len(score.start):
        return Undefined(NO_NOTES)
    _, places = _places(score)
    return _entropy(_counts(places))


def groove(score: Score) -> float:
    """How alike successive bars are in where notes begin, of all tracks: 1 less the share of steps that differ, 0 to 1.

    A bar has 12 steps a beat; bars are those up to the last onset. Bars of unequal length (a pickup, a change of
    meter) are not compared. `Undefined` without two successive bars of one length.

    >>> from clapbench.metrics.symbolic.score import score_of
    >>> piece = score_of(start=[0, 2, 4, 7], length=[1] * 4, pitch=[60] * 4, ticks_per_beat=1)
    >>> round(groove(piece), 4) == round(1 - 2 / 48, 4)
    True
    """
    n = score.n_bars
    if n < 2:
        return Undefined("it has fewer than two bars" if n else NO_NOTES)
    widths = np.diff(score.steps(score.bars))[:n]
    alike = (widths[1:] == widths[:-1]) & (widths[1:] > 0)
    if not alike.any():
        return Undefined("no two successive bars are of one length")
    bars, places = _places(score)
    within = bars < n  # an onset just before the last line falls on it
    hit: Bool[np.ndarray, "n steps"] = np.zeros((n, widths.max()), dtype=bool)
    hit[bars[within], places[within]] = True
    differ = (hit[1:] != hit[:-1]).sum(axis=1)
    return float(1 - (differ[alike] / widths[1:][alike]).mean())


def polyphony(score: Score) -> float:
    """How many different pitches sound at once, on average over the time in which any does: from 1.

    `Undefined` without a pitched note that lasts.
    """
    if reason := without_pitch(score):
        return Undefined(reason)
    kept = ~score.is_drum
    start, end, pitch = score.start[kept], score.start[kept] + score.length[kept], score.pitch[kept]
    sounds = _covered(start, end)
    if not sounds:
        return Undefined("no pitched note lasts")
    apart = pitch * (score.end + 1)  # each pitch in a stretch of time of its own
    return _covered(start + apart, end + apart) / sounds


def pitch_range(score: Score) -> float:
    """Semitones from the lowest to the highest pitched note."""
    reason = without_pitch(score)
    return Undefined(reason) if reason else float(np.ptp(score.pitch[~score.is_drum]))


def note_density(score: Score) -> float:
    """Notes a beat, drums among them, up to the end of the last one. `Undefined` where none lasts."""
    if not score.end:
        return Undefined("no note lasts" if len(score.start) else NO_NOTES)
    return len(score.start) * score.ticks_per_beat / score.end


DESCRIPTORS: Mapping[str, Callable[[Score], float]] = {
    "pitch_class_entropy": pitch_class_entropy,
    "scale_consistency": scale_consistency,
    "pitch_range": pitch_range,
    "polyphony": polyphony,
    "note_density": note_density,
    "ioi_entropy": ioi_entropy,
    "position_entropy": position_entropy,
    "groove": groove,
    "harmonic_change": harmonic_change,
    "repetition": repetition,
}


@dataclass(frozen=True, eq=False)
class Described:
    """A piece's numbers: what `compare` reads of it, in a fraction of its memory."""

    name: str
    n_notes: int
    pitch_classes: Histogram  # weighed by duration; NaN throughout where it is undefined
    values: Mapping[str, float]  # by descriptor, `Undefined` among them

    @property
    def reasons(self) -> dict[str, str]:
        """Why what is undefined is undefined, by descriptor."""
        found = {name: reason_of(value) for name, value in self.values.items()}
        return {name: reason for name, reason in found.items() if reason is not None}


def describe(score: Score) -> Described:
    """Every one of `DESCRIPTORS`, and the pitch-class histogram, of a piece."""
    return Described(
        name=score.name,
        n_notes=len(score.start),
        pitch_classes=pitch_class_histogram(score),
        values={name: descriptor(score) for name, descriptor in DESCRIPTORS.items()},
    )


def _counts(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_counts=True)[1].astype(np.float64)


def _entropy(weights: np.ndarray) -> float:
    p = weights[weights > 0] / weights.sum()
    return abs(float((p * np.log2(p)).sum()))  # none is above 0; abs makes -0 of a single class 0


def _places(score: Score) -> tuple[np.ndarray, np.ndarray]:
    """The bar that each onset falls in once it is rounded, and its step in it."""
    lines, steps = score.steps(score.bars), score.steps(score.start)
    bars = np.searchsorted(lines, steps, side="right") - 1
    return bars, steps - lines[bars]


def _covered(start: np.ndarray, end: np.ndarray) -> int:
    """How many ticks lie in one of these stretches at least."""
    order = np.argsort(start, kind="stable")
    start, end = start[order], end[order]
    before = np.concatenate([start[:1], np.maximum.accumulate(end)[:-1]])
    return int(np.maximum(0, end - np.maximum(start, before)).sum())
