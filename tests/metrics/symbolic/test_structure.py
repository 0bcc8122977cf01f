"""Bars against bars: loops over sets, phrases that return, bars that change places."""

from __future__ import annotations

import numpy as np
import pytest
from reference.generation import symbolic_pieces as pieces
from reference.generation.symbolic_pieces import scored

from clapbench.metrics.symbolic import harmonic_change, repetition, score_of, self_similarity


def of_bars(bars: list[list[tuple[int, int]]]):
    """A piece of 4/4 from (place in ticks of 12 a beat, pitch) of each bar."""
    start = [48 * number + place for number, bar in enumerate(bars) for place, _ in bar]
    pitch = [pitch for bar in bars for _, pitch in bar]
    return score_of(start=start, length=[12] * len(start), pitch=pitch, ticks_per_beat=12)


def test_the_matrix_is_that_of_sets() -> None:
    rng = np.random.default_rng(0)
    bars = [
        [(int(rng.integers(0, 4)) * 12, int(rng.integers(60, 63))) for _ in range(rng.integers(0, 6))]
        for _ in range(20)
    ]
    bars.append([(0, 60)])
    found = self_similarity(of_bars(bars))
    assert found.shape == (21, 21)
    for a, one in enumerate(map(set, bars)):
        for b, other in enumerate(map(set, bars)):
            if one | other:
                assert found[a, b] == pytest.approx(len(one & other) / len(one | other), abs=1e-15)
            else:
                assert np.isnan(found[a, b])


def test_a_phrase_that_returns_is_found_at_its_lag() -> None:
    a, b, c, d = ([(0, 60 + k), (24, 70 - k)] for k in range(4))
    assert repetition(of_bars([a, b, c, d] * 3)) == 1.0
    assert repetition(of_bars([a, b, a, c])) == pytest.approx(0.5)  # lag 2: a with a, b with c
    assert repetition(of_bars([a, b, c, d])) == 0.0


def test_bars_that_change_places_repeat_less_and_hold_the_same_notes() -> None:
    phrase = [[(0, 60 + k), (24, 64 + k)] for k in (0, 5, 7, 2)]
    bars = phrase * 4
    order = np.random.default_rng(1).permutation(len(bars))
    shuffled = of_bars([bars[k] for k in order])
    assert repetition(of_bars(bars)) == 1.0
    assert repetition(shuffled) < 0.6
    assert harmonic_change(shuffled) != pytest.approx(harmonic_change(of_bars(bars)))


def test_a_song_repeats_where_its_notes_are_wrong_less() -> None:
    song = pieces.song(4)
    levels = [
        repetition(scored(pieces.wrong_pitches(song, share=share, seed=1))) for share in (0, 0.1, 0.3, 0.8)
    ]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] > levels[1] > levels[-1]


def test_drums_are_no_bars() -> None:
    drums = score_of(start=[0, 48], length=[1, 1], pitch=[36, 36], is_drum=True, ticks_per_beat=12)
    assert self_similarity(drums).shape == (0, 0)


def test_a_long_piece_takes_no_longer_than_it_must() -> None:
    """4,000 bars of 1,000 kinds of notes: the matrix has 16 million places."""
    rng = np.random.default_rng(2)
    start = rng.integers(0, 4_000 * 48, 20_000)
    piece = score_of(start=start, length=[1] * 20_000, pitch=rng.integers(0, 128, 20_000), ticks_per_beat=12)
    assert 0 < repetition(piece) < 0.1
