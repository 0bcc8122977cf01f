r"""Two sets of pieces: pitch classes pooled and in a common key, and each descriptor within and across the sets.

Pooled, the pieces' histograms are averaged as they are; aligned, each is turned to a common key first (`harmony`).
Only the aligned divergence grows with the share of wrong notes when pieces stand in many keys: pooling mixes the keys,
and notes at random mix them further, so the pooled one falls. Both are given; read the aligned one. A single key is
where they agree.

Neither sees time or order: see `descriptors` for what does, each compared by overlapped area and divergence (`spread`)
as well as by its mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from clapbench.metrics.symbolic.descriptors import DESCRIPTORS, Described, describe
from clapbench.metrics.symbolic.harmony import (
    CLASSES,
    EPS,
    Histogram,
    Histograms,
    common_key,
    pitch_class_kl,
    tonal_distance,
    turned,
)
from clapbench.metrics.symbolic.score import Score
from clapbench.metrics.symbolic.spread import Overlap, Spread, across, overlap, spread, within
from clapbench.metrics.symbolic.undefined import Undefined, reason_of

PITCH_CLASSES = "pitch_classes"  # the name that the histograms go by among descriptors
ALIGNED = "pitch_classes_aligned"


class Pitches(NamedTuple):
    """The mean histograms of two sets, and how far they lie apart."""

    n_reference: int  # pieces with a pitched note that lasts
    n_generated: int
    reference: Histogram
    generated: Histogram
    kl: float  # nats, of the generated set from the reference
    tonal_distance: float


class Side(NamedTuple):
    """A descriptor over the pieces of a set for which it is defined."""

    n: int
    mean: float  # `Undefined` for histograms, and without a piece
    sd: float
    within: Spread  # of the distances between its pieces: how varied the set is


class Difference(NamedTuple):
    """A descriptor of two sets. ``overlap`` is that of distances within the reference and across the sets."""

    reference: Side
    generated: Side
    across: Spread
    overlap: Overlap


class LeftOut(NamedTuple):
    """A piece that a descriptor is not defined for."""

    side: str  # reference or generated
    piece: str
    descriptor: str
    reason: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """A generated set against a reference, ``n`` pieces each; what is undefined says why (`undefined`, `left_out`)."""

    n_reference: int
    n_generated: int
    eps: float  # of the divergences of pitch classes
    pooled: Pitches
    aligned: Pitches
    descriptors: Mapping[str, Difference]
    left_out: tuple[LeftOut, ...]

    @property
    def values(self) -> dict[str, float]:
        """Every number by a name of its own, NaN where it is undefined: one row of a table.

        ``groove`` and ``groove_reference`` are means of the generated set and of the reference, ``groove_overlap`` and
        ``groove_kl`` compare their distances, and ``groove_within`` and ``groove_across`` are mean distances.
        """
        return dict(self._rows())

    @property
    def undefined(self) -> dict[str, str]:
        """Why those of `values` that are undefined are so."""
        found = {name: reason_of(value) for name, value in self.values.items()}
        return {name: reason for name, reason in found.items() if reason is not None}

    def _rows(self) -> Iterator[tuple[str, float]]:
        for suffix, pitches in (("", self.pooled), ("_aligned", self.aligned)):
            yield f"pitch_class_kl{suffix}", pitches.kl
            yield f"tonal_distance{suffix}", pitches.tonal_distance
        for name, one in self.descriptors.items():
            if name in DESCRIPTORS:  # a histogram has no mean that is a number
                yield name, one.generated.mean
                yield f"{name}_reference", one.reference.mean
            yield f"{name}_overlap", one.overlap.area
            yield f"{name}_kl", one.overlap.kl
            yield f"{name}_within", one.generated.within.mean
            yield f"{name}_within_reference", one.reference.within.mean
            yield f"{name}_across", one.across.mean


def compare(
    reference: Sequence[Score | Described], generated: Sequence[Score | Described], *, eps: float = EPS
) -> Comparison:
    """``generated`` pieces against those of ``reference``; `describe` a set once to compare it with many.

    The order of pieces matters to the common key alone, and there hardly (see `common_key`).

    Raises ValueError where a set has no piece, TypeError for what is no piece.

    >>> from clapbench.metrics.symbolic.score import score_of
    >>> scale = np.array([0, 2, 4, 5, 7, 9, 11])
    >>> beat = {"start": range(7), "length": [1] * 7, "ticks_per_beat": 1}
    >>> in_c, in_f, in_g = (score_of(pitch=60 + key + scale, **beat) for key in (0, 5, 7))
    >>> found = compare([in_c, in_c], [in_f, in_g])
    >>> round(found.pooled.kl, 3), round(found.aligned.kl, 3), found.descriptors["scale_consistency"].generated.mean
    (0.198, 0.0, 1.0)
    >>> found.undefined["groove_overlap"]
    'there are fewer than two pairs within the reference'
    """
    sides = {"reference": _described(reference, "reference"), "generated": _described(generated, "generated")}
    ours, theirs = sides.values()
    left_out = [
        LeftOut(side, piece.name, name, reason)
        for side, pieces in sides.items()
        for piece in pieces
        for name, reason in piece.reasons.items()
    ]
    pooled = [_histograms(pieces) for pieces in (ours, theirs)]
    aligned = pooled
    if len(pooled[0]):
        key = common_key(pooled[0])
        aligned = [turned(own, key) for own in pooled]
    rows = {name: [_column(pieces, name) for pieces in (ours, theirs)] for name in DESCRIPTORS}
    return Comparison(
        n_reference=len(ours),
        n_generated=len(theirs),
        eps=eps,
        pooled=_pitches(*pooled, eps=eps),
        aligned=_pitches(*aligned, eps=eps),
        descriptors={
            name: _difference(*two, is_number=name in DESCRIPTORS)
            for name, two in {**rows, PITCH_CLASSES: pooled, ALIGNED: aligned}.items()
        },
        left_out=tuple(left_out),
    )


def _described(pieces: Sequence[Score | Described], side: str) -> list[Described]:
    if not len(pieces):
        raise ValueError(f"compare: needed at least one piece as {side}, got none.")
    for piece in pieces:
        if not isinstance(piece, Score | Described):
            raise TypeError(
                f"compare: needed pieces as {side}, as read_score or describe give them, got a {type(piece).__name__}."
            )
    return [describe(piece) if isinstance(piece, Score) else piece for piece in pieces]


def _histograms(pieces: Sequence[Described]) -> Histograms:
    """Of the pieces that have one."""
    every = np.stack([piece.pitch_classes for piece in pieces])
    return every[~np.isnan(every).any(axis=1)]


def _column(pieces: Sequence[Described], name: str) -> np.ndarray:
    values = np.array([[piece.values[name]] for piece in pieces], dtype=np.float64)
    return values[~np.isnan(values[:, 0])]


def _pitches(reference: Histograms, generated: Histograms, *, eps: float) -> Pitches:
    sets = {"reference": reference, "generated set": generated}
    means = [own.mean(axis=0) if len(own) else np.full(CLASSES, np.nan) for own in sets.values()]
    lacking = next((name for name, own in sets.items() if not len(own)), None)
    reason = lacking and Undefined(f"no piece of the {lacking} has a pitched note that lasts")
    return Pitches(
        n_reference=len(reference),
        n_generated=len(generated),
        reference=means[0],
        generated=means[1],
        kl=reason or pitch_class_kl(*means, eps=eps),
        tonal_distance=reason or tonal_distance(*means),
    )


def _difference(reference: np.ndarray, generated: np.ndarray, *, is_number: bool) -> Difference:
    own, between = within(reference), across(reference, generated)
    scale = max(np.abs(reference).max(initial=0), np.abs(generated).max(initial=0))
    return Difference(
        reference=_side(reference, own, is_number=is_number, what="within the reference"),
        generated=_side(generated, within(generated), is_number=is_number, what="within the generated set"),
        across=spread(between, what="across the sets"),
        overlap=overlap(own, between, scale=float(scale)),
    )


def _side(rows: np.ndarray, distances: np.ndarray, *, is_number: bool, what: str) -> Side:
    n = len(rows)
    mean: float = Undefined("a histogram has no mean that is a number")
    sd = mean
    if is_number:
        mean = float(rows.mean()) if n else Undefined("no piece has it")
        sd = float(rows.std(ddof=1)) if n > 1 else Undefined("fewer than two pieces have it")
    return Side(n, mean, sd, spread(distances, what=what))
