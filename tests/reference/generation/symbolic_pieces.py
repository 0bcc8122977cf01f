"""Random pieces from a seed (numpy PCG64), and the bytes of a MIDI file that holds them, made with no library.

A note is (track, start, length, pitch, velocity) in ticks of 480 a beat; track 9 is drums.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clapbench.metrics.symbolic import Score, score_of

TICKS = 480
DRUMS = 9
SCALE = (0, 2, 4, 5, 7, 9, 11)
Note = tuple[int, int, int, int, int]


class Piece(NamedTuple):
    """Notes, time signatures (tick, numerator, denominator) and tempos (tick, beats a minute)."""

    notes: list[Note]
    meters: list[tuple[int, int, int]]
    tempos: list[tuple[int, float]]


def loose(seed: int) -> Piece:
    """Notes anywhere, some as long as several bars, some of no length; one to three time signatures."""
    rng = np.random.default_rng(seed)
    meters, tick = [], 0
    for _ in range(int(rng.integers(1, 4))):
        numerator, denominator = ((4, 4), (3, 4), (6, 8), (7, 8), (5, 4), (2, 2), (3, 16))[rng.integers(0, 7)]
        meters.append((tick, numerator, denominator))
        tick += int(rng.integers(1, 5)) * numerator * 4 * TICKS // denominator
    taken: set[tuple[int, int, int]] = set()
    notes: list[Note] = []
    for _ in range(int(rng.integers(1, 120))):
        track = int(rng.choice([0, 1, 2, DRUMS]))
        start = int(rng.integers(0, tick + 2 * TICKS) // 40 * 40 + rng.choice([0, 0, 0, 7, 20]))
        length = int(rng.choice([0, 20, 100, 240, 480, 960, 5000]))
        pitch = int(rng.integers(30, 90))
        # Of two notes of a pitch that overlap in a track, a file does not tell which one ends.
        if not any(t == track and p == pitch for t, _, p in taken):
            taken.add((track, start, pitch))
            notes.append((track, start, length, pitch, int(rng.integers(1, 128))))
    return Piece(notes, meters, [(0, 120.0)])


def song(seed: int, *, key: int | None = None, bars: int = 8) -> Piece:
    """A melody on a scale in a key of the twelve, over one held chord a bar; a phrase of two bars comes back."""
    rng = np.random.default_rng(1_000 + seed)
    by_lot = int(rng.integers(0, 12))
    root = by_lot if key is None else key
    phrase = [(int(step) * 240, int(rng.integers(0, 7))) for step in range(16) if rng.random() < 0.8]
    notes: list[Note] = []
    for bar in range(bars):
        at = bar * 4 * TICKS
        degree = (0, 3, 4, 0)[bar % 4]
        notes += [(1, at, 4 * TICKS - 30, 48 + root + _scale(degree + third), 70) for third in (0, 2, 4)]
        half = [(tick, d) for tick, d in phrase if tick // (4 * TICKS) == bar % 2]
        notes += [(0, at + tick % (4 * TICKS), 230, 60 + root + _scale(d), 90) for tick, d in half]
        notes += [(DRUMS, at + beat * TICKS, 100, 36, 100) for beat in range(4)]
    return Piece(notes, [(0, 4, 4)], [(0, 100.0)])


def _scale(degree: int) -> int:
    return 12 * (degree // 7) + SCALE[degree % 7]


def wrong_pitches(piece: Piece, *, share: float, seed: int) -> Piece:
    """A share of the notes that are no drums, drawn by lot, moved by 1 to 11 semitones."""
    rng = np.random.default_rng(seed)
    moved = [
        (
            track,
            start,
            length,
            pitch + int(rng.integers(1, 12)) * (track != DRUMS and rng.random() < share),
            velocity,
        )
        for track, start, length, pitch, velocity in piece.notes
    ]
    return piece._replace(notes=moved)


def scored(piece: Piece) -> Score:
    """Made of its notes, with no file between."""
    track, start, length, pitch, velocity = (
        np.array(column, dtype=np.int64) for column in zip(*piece.notes, strict=True)
    )
    return score_of(
        start=start,
        length=length,
        pitch=pitch,
        velocity=velocity,
        track=track,
        is_drum=track == DRUMS,
        ticks_per_beat=TICKS,
        meters=piece.meters,
        tempos=piece.tempos,
    )


def midi(piece: Piece) -> bytes:
    """The piece as a MIDI file of format 1: a track of time signatures and tempos, then one for each of its own."""
    head = [
        (tick, 0, struct.pack(">BBBBBBB", 0xFF, 0x58, 4, n, d.bit_length() - 1, 24, 8))
        for tick, n, d in piece.meters
    ]
    head += [
        (tick, 0, b"\xff\x51\x03" + struct.pack(">I", round(6e7 / bpm))[1:]) for tick, bpm in piece.tempos
    ]
    tracks = [track(head)]
    for number in sorted({note[0] for note in piece.notes}):
        events = []
        for own, start, length, pitch, velocity in piece.notes:
            if own == number:
                order = (
                    1 if length else 3
                )  # what ends at a tick, then what begins there, then what ends at once
                events.append((start, 2, bytes([0x90 | number, pitch, velocity])))
                events.append((start + length, order, bytes([0x80 | number, pitch, 0])))
        tracks.append(track(events))
    return file(tracks)


def file(tracks: Sequence[bytes], *, kind: int = 1, division: int = TICKS, told: int | None = None) -> bytes:
    """A MIDI file of these tracks; ``told`` is how many its header tells of, where that is not how many there are."""
    n = len(tracks) if told is None else told
    return b"MThd" + struct.pack(">IHHH", 6, kind, n, division) + b"".join(tracks)


def track(events: Sequence[tuple[int, int, bytes]]) -> bytes:
    """A track of (tick, order at one tick, message)."""
    body, now = b"", 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        body += _delta(tick - now) + message
        now = tick
    body += b"\x00\xff\x2f\x00"
    return b"MTrk" + struct.pack(">I", len(body)) + body


def _delta(ticks: int) -> bytes:
    groups = [ticks & 0x7F]
    while ticks := ticks >> 7:
        groups.insert(0, 0x80 | (ticks & 0x7F))
    return bytes(groups)
