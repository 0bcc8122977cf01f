"""A piece as notes: what MIDI and MusicXML both tell of it, in ticks, so that equal times are equal.

A beat is a quarter note, whatever the time signature. Bars begin anew at each time signature; before the first it is
4/4, as the MIDI file specification has it. Where beats fall into a grid of `GRID` steps, a time goes to the nearest
step, a half up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

GRID = 12  # steps a beat: halves, thirds and quarters of a beat have one each
# Of one piece. What is larger is damaged, or no piece: 4,000 bars of 4/4 are two hours at 120 beats a minute.
MOST_NOTES = 1_000_000
MOST_BARS = 4_000
MOST_TICKS = 2**32
FINEST = 64  # the largest denominator of a time signature

Ticks = Int64[np.ndarray, " n"]


class Meter(NamedTuple):
    """A time signature, ``numerator``/``denominator``, and the tick from which it holds."""

    tick: int
    numerator: int
    denominator: int


class Tempo(NamedTuple):
    """Beats (quarter notes) a minute, and the tick from which they hold."""

    tick: int
    bpm: float


COMMON = Meter(0, 4, 4)


@dataclass(frozen=True, eq=False)
class Score:
    """A piece: one row per note, in order of start, then pitch. Its arrays are not to be written to.

    Made by `score_of`, and by the functions that read files.
    """

    ticks_per_beat: int
    start: Ticks
    length: Ticks  # ticks; 0 is allowed
    pitch: Ticks  # MIDI numbers, 60 = middle C; of a drum its instrument
    velocity: Ticks  # 0 to 127
    track: Ticks
    is_drum: Bool[np.ndarray, " n"]
    bars: Int64[np.ndarray, " lines"]  # ticks of the bar lines: the first, then the end of each bar
    meters: tuple[Meter, ...]
    tempos: tuple[Tempo, ...]  # none where the file tells none
    path: Path | None = None

    @property
    def onset(self) -> np.ndarray:
        """Starts in beats, float64 [n]."""
        return self.start / self.ticks_per_beat

    @property
    def duration(self) -> np.ndarray:
        """Lengths in beats, float64 [n]."""
        return self.length / self.ticks_per_beat

    @property
    def end(self) -> int:
        """The tick at which the last note ends; 0 where there is none."""
        return int((self.start + self.length).max(initial=0))

    @property
    def name(self) -> str:
        """The file's name, as messages have it."""
        return "a piece" if self.path is None else self.path.name

    def pitched(self) -> Score:
        """The piece without its drums."""
        kept = ~self.is_drum
        columns = {name: getattr(self, name)[kept] for name in COLUMNS}
        return Score(**{one.name: getattr(self, one.name) for one in fields(self)} | columns)

    def steps(self, ticks: np.ndarray) -> np.ndarray:
        """The nearest of `GRID` steps a beat for each of these ticks, a half up; int64 of the same shape."""
        return (2 * GRID * ticks + self.ticks_per_beat) // (2 * self.ticks_per_beat)

    def bar_of(self, ticks: np.ndarray) -> np.ndarray:
        """The number of the bar that each of these ticks lies in, from 0; int64 of the same shape."""
        return np.searchsorted(self.bars, ticks, side="right") - 1

    @property
    def n_bars(self) -> int:
        """Bars up to that of the last onset, drums among them; 0 where there is no note."""
        return int(self.bar_of(self.start).max(initial=-1)) + 1


COLUMNS = ("start", "length", "pitch", "velocity", "track", "is_drum")


def score_of(
    *,
    start: Sequence[int] | np.ndarray,
    length: Sequence[int] | np.ndarray,
    pitch: Sequence[int] | np.ndarray,
    ticks_per_beat: int,
    velocity: Sequence[int] | np.ndarray | int = 64,
    track: Sequence[int] | np.ndarray | int = 0,
    is_drum: Sequence[bool] | np.ndarray | bool = False,
    meters: Sequence[tuple[int, int, int]] = (COMMON,),
    tempos: Sequence[tuple[int, float]] = (),
    bars: Sequence[int] | np.ndarray | None = None,
    path: Path | None = None,
) -> Score:
    """A `Score` of notes in any order; ``start`` and ``length`` in ticks, one entry per note in each column.

    ``bars`` are bar lines that a file tells itself; None lays them by ``meters``.

    Raises ValueError for columns of unequal length, for a value that no note has, and for more than `MOST_NOTES`
    notes or `MOST_BARS` bars.

    >>> piece = score_of(start=[480, 0], length=[480, 240], pitch=[64, 60], ticks_per_beat=480, meters=[(0, 3, 4)])
    >>> piece.onset.tolist(), piece.duration.tolist(), piece.pitch.tolist(), piece.bars.tolist()
    ([0.0, 1.0], [0.5, 1.0], [60, 64], [0, 1440])
    """
    if not 1 <= ticks_per_beat <= MOST_TICKS:
        raise ValueError(f"needed 1 tick a beat or more, got {ticks_per_beat}")
    n = len(start)
    if n > MOST_NOTES:
        raise ValueError(f"needed at most {MOST_NOTES:,} notes, got {n:,}")
    given = {"start": start, "length": length, "pitch": pitch, "velocity": velocity, "track": track}
    columns = {name: _column(name, values, n) for name, values in given.items()}
    drums = np.broadcast_to(np.asarray(is_drum, dtype=bool), (n,))
    order = np.lexsort(
        (drums, *(columns[name] for name in ("track", "velocity", "length", "pitch", "start")))
    )
    sorted_columns = {name: _fixed(values[order]) for name, values in {**columns, "is_drum": drums}.items()}
    all_meters, all_tempos = _meters(meters), _tempos(tempos)
    ends = int((columns["start"] + columns["length"]).max(initial=0))
    # A bar that a note begins in is whole, though the note may last no time.
    until = max(ends, int(columns["start"].max(initial=-1)) + 1)
    lines = _lines(all_meters, until, ticks_per_beat) if bars is None else _given_lines(bars, until)
    return Score(
        ticks_per_beat=ticks_per_beat,
        **sorted_columns,
        bars=_fixed(lines),
        meters=all_meters,
        tempos=all_tempos,
        path=path,
    )


LARGEST = {"start": MOST_TICKS, "length": MOST_TICKS, "pitch": 127, "velocity": 127, "track": 2**31}


def _column(name: str, values: Sequence[int] | np.ndarray | int, n: int) -> np.ndarray:
    column = np.asarray(values)
    if column.size and column.dtype.kind not in "iu":
        raise ValueError(f"needed a whole number as {name} of each note, got {column.dtype}")
    if column.ndim and column.shape != (n,):
        raise ValueError(f"needed one {name} for each of {n} notes, got {column.shape}")
    column = np.broadcast_to(column.astype(np.int64), (n,))
    wrong = (column < 0) | (column > LARGEST[name])
    if wrong.any():
        raise ValueError(f"needed a {name} from 0 to {LARGEST[name]:,}, got {int(column[wrong][0]):,}")
    return column


def _fixed(values: np.ndarray) -> np.ndarray:
    values.setflags(write=False)
    return values


def _meters(given: Sequence[tuple[int, int, int]]) -> tuple[Meter, ...]:
    """In order, the last of those at one tick, from tick 0."""
    for tick, numerator, denominator in given:
        powers = denominator in (1, 2, 4, 8, 16, 32, FINEST)
        if not (powers and 1 <= numerator <= 255 and 0 <= tick <= MOST_TICKS):
            raise ValueError(
                f"needed a time signature as 3/4, its denominator a power of 2 up to {FINEST}, got "
                f"{numerator}/{denominator} at tick {tick}"
            )
    latest = {COMMON.tick: COMMON} | {meter[0]: Meter(*meter) for meter in given}
    return tuple(latest[tick] for tick in sorted(latest))


def _tempos(given: Sequence[tuple[int, float]]) -> tuple[Tempo, ...]:
    for tick, bpm in given:
        if not (0 < bpm < math.inf and 0 <= tick <= MOST_TICKS):
            raise ValueError(f"needed a tempo above 0 beats a minute, got {bpm:g} at tick {tick}")
    latest = {tempo[0]: Tempo(*tempo) for tempo in given}
    return tuple(latest[tick] for tick in sorted(latest))


def _lines(meters: Sequence[Meter], until: int, ticks_per_beat: int) -> np.ndarray:
    """Bar lines from 0 to the end of the bar in which the music ends; one at each change of time signature."""
    lines = [np.zeros(1, dtype=np.int64)]
    changes = [*(meter.tick for meter in meters[1:]), MOST_TICKS]
    for meter, change in zip(meters, changes, strict=True):
        if meter.tick >= until:
            break
        # A bar is this fraction of ticks long: whole but where ticks are coarser than the denominator's notes.
        ticks, parts = 4 * meter.numerator * ticks_per_beat, meter.denominator
        n = -(-(min(until, change) - meter.tick) * parts // ticks)
        if n + sum(map(len, lines)) - 1 > MOST_BARS:
            raise ValueError(
                f"needed at most {MOST_BARS:,} bars, got more: its notes end at beat {until / ticks_per_beat:,.0f}"
            )
        lines.append(np.minimum(meter.tick + np.arange(1, n + 1) * ticks // parts, change))
    return np.unique(np.concatenate(lines))


def _given_lines(bars: Sequence[int] | np.ndarray, until: int) -> np.ndarray:
    """Bar lines of a file, from 0, and one more where the music goes on after the last."""
    lines = np.unique(np.append(np.asarray(bars, dtype=np.int64), 0))
    if lines[0] < 0:
        raise ValueError(f"needed bar lines from tick 0 on, got {lines[0]}")
    lines = np.append(lines, until) if lines[-1] < until else lines
    if len(lines) - 1 > MOST_BARS:
        raise ValueError(f"needed at most {MOST_BARS:,} bars, got {len(lines) - 1:,}")
    return lines
