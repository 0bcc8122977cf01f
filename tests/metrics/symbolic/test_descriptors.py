"""What a piece is like: golden numbers, other packages' numbers, loops over notes, known answers, invariances."""

from __future__ import annotations

import copy
import json
import math
import pickle
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from reference.generation import symbolic_pieces as pieces
from reference.generation.symbolic_pieces import scored

from clapbench.metrics import symbolic
from clapbench.metrics.symbolic import DESCRIPTORS, Score, Undefined, describe, read_midi, score_of

FOLDER = Path(__file__).parents[2] / "reference" / "generation"
GOLDEN = json.loads((FOLDER / "symbolic_golden.json").read_text())
NAMES = ("pitch_class_entropy", "ioi_entropy", "position_entropy", "groove", "harmonic_change", "repetition")
SOUNDING = [name for name in GOLDEN["midi"] if name not in ("no_notes", "drums_only")]


def golden(name: str) -> Score:
    return read_midi(FOLDER / "midi" / f"{name}.mid")


def close(found: float, expected: float | None, tolerance: float = 1e-12) -> bool:
    return math.isnan(found) if expected is None else abs(found - expected) <= tolerance


@pytest.mark.parametrize("name", GOLDEN["midi"])
def test_golden_numbers(name: str) -> None:
    score, value = golden(name), GOLDEN["midi"][name]["value"]
    assert len(score.start) == value["n_notes"]
    for own in NAMES:
        assert close(DESCRIPTORS[own](score), value[own]), own
    for weight, key in (("duration", "pitch_classes"), ("count", "pitch_classes_count")):
        h = symbolic.pitch_class_histogram(score, weight=weight)
        assert all(map(close, h, value[key])), weight


@pytest.mark.parametrize("name", SOUNDING)
def test_other_packages_return_the_same(name: str) -> None:
    score, peers = golden(name), GOLDEN["midi"][name]["peers"]
    assert set(peers["notes"]) == {len(score.start)}
    for own in ("pitch_class_entropy", "scale_consistency", "polyphony", "pitch_range"):
        assert close(DESCRIPTORS[own](score), peers[f"muspy {own}"]), own
    counted, lasting = (
        symbolic.pitch_class_histogram(score, weight=weight) for weight in ("count", "duration")
    )
    assert all(map(close, counted, peers["pretty_midi count"]))
    if len(score.tempos) == 1:  # it weighs by seconds
        assert all(
            close(a, b, 1e-9) for a, b in zip(lasting, peers["pretty_midi duration (seconds)"], strict=True)
        )
    # It adds an empty bar where a note ends on the last bar line of its grid.
    n, steps, theirs = (
        score.n_bars,
        int(score.steps(np.diff(score.bars)[:1])[0]),
        peers["muspy groove_consistency at 12 steps per beat"],
    )
    last = len(np.unique(score.steps(score.start[score.start >= score.bars[n - 1]])))
    own = symbolic.groove(score)
    assert close(own, theirs) or close((own * (n - 1) + 1 - last / steps) / n, theirs)


class Loops:
    """The same numbers by loops over a piece's notes, in fractions of a bar."""

    def __init__(self, piece: pieces.Piece) -> None:
        self.notes = sorted(piece.notes, key=lambda note: note[1])
        self.pitched = [note for note in self.notes if note[0] != pieces.DRUMS]
        end = max(max(note[1] + note[2], note[1] + 1) for note in self.notes)
        lines, changes = [0], {tick: (n, d) for tick, n, d in piece.meters}
        bar, tick = changes[0], 0
        while tick < end:
            following = tick + 4 * pieces.TICKS * bar[0] // bar[1]
            tick = min([following, *(change for change in changes if tick < change < following)])
            bar = changes.get(tick, bar)
            lines.append(tick)
        self.lines = lines

    def bar(self, tick: int) -> int:
        return sum(line <= tick for line in self.lines) - 1

    @staticmethod
    def step(tick: int) -> int:
        return math.floor(Fraction(tick * 12, pieces.TICKS) + Fraction(1, 2))

    def place(self, tick: int) -> tuple[int, int]:
        lines = [self.step(line) for line in self.lines]
        own = sum(line <= self.step(tick) for line in lines) - 1
        return own, self.step(tick) - lines[own]

    @staticmethod
    def entropy(items: list[object]) -> float:
        counts = Counter(items).values()
        return sum(-c / len(items) * math.log2(c / len(items)) for c in counts)

    def pitch_class_entropy(self) -> float | None:
        return self.entropy([note[3] % 12 for note in self.pitched]) if self.pitched else None

    def ioi_entropy(self) -> float | None:
        onsets = sorted({note[1] for note in self.notes})
        return self.entropy([self.step(b - a) for a, b in pairwise(onsets)]) if len(onsets) > 1 else None

    def position_entropy(self) -> float | None:
        return self.entropy([self.place(note[1])[1] for note in self.notes])

    def groove(self) -> float | None:
        n = self.bar(self.notes[-1][1]) + 1
        hit = [
            {place for bar, place in (self.place(note[1]) for note in self.notes) if bar == own}
            for own in range(n)
        ]
        widths = [self.step(b) - self.step(a) for a, b in pairwise(self.lines)]
        pairs = [(own, own + 1) for own in range(n - 1) if widths[own] == widths[own + 1]]
        return 1 - sum(len(hit[a] ^ hit[b]) / widths[a] for a, b in pairs) / len(pairs) if pairs else None

    def harmonic_change(self) -> float | None:
        chroma = []
        for low, high in pairwise(self.lines):
            own = Counter[int]()
            for _, start, length, pitch, _ in self.pitched:
                own[pitch % 12] += max(0, min(high, start + length) - max(low, start))
            chroma.append(own)
        found = [self.tonal(a, b) for a, b in pairwise(chroma) if a.total() and b.total()]
        return sum(found) / len(found) if found else None

    @staticmethod
    def tonal(a: Counter[int], b: Counter[int]) -> float:
        """On each circle a complex number; sines and cosines change places, which leaves distances as they are."""
        square = 0.0
        for radius, semitone in ((1, 7), (1, 9), (0.5, 4)):
            turn = np.exp(1j * np.pi / 6 * semitone)
            points = [sum(radius * w * turn**k for k, w in own.items()) / own.total() for own in (a, b)]
            square += abs(points[0] - points[1]) ** 2
        return math.sqrt(square)

    def bars(self) -> list[set[tuple[int, int]]]:
        n = self.bar(max(note[1] for note in self.pitched)) + 1
        found: list[set[tuple[int, int]]] = [set() for _ in range(n)]
        for _, start, _, pitch, _ in self.pitched:
            found[self.bar(start)].add((start - self.lines[self.bar(start)], pitch))
        return found

    def repetition(self) -> float | None:
        bars = self.bars() if self.pitched else []
        means = []
        for lag in range(1, len(bars) // 2 + 1):
            own = [len(a & b) / len(a | b) for a, b in zip(bars, bars[lag:], strict=False) if a | b]
            means += [sum(own) / len(own)] if own else []
        return max(means, default=None)

    def polyphony(self) -> float | None:
        ticks: dict[int, set[int]] = {}
        for _, start, length, pitch, _ in self.pitched:
            for tick in range(start, start + length, 1):
                ticks.setdefault(tick, set()).add(pitch)
        return sum(map(len, ticks.values())) / len(ticks) if ticks else None


@pytest.mark.parametrize("seed", range(40))
def test_other_seeds_agree_with_loops_over_the_notes(seed: int, tmp_path: Path) -> None:
    piece = pieces.loose(seed)
    path = tmp_path / "piece.mid"
    path.write_bytes(pieces.midi(piece))
    score, loops = read_midi(path), Loops(piece)
    assert len(score.start) == len(piece.notes)
    assert score.bars.tolist() == loops.lines
    for name in (*NAMES, "polyphony"):
        assert close(DESCRIPTORS[name](score), getattr(loops, name)()), name


def test_a_score_made_of_notes_is_that_of_their_file(tmp_path: Path) -> None:
    for seed in range(5):
        piece = pieces.loose(seed)
        path = tmp_path / f"{seed}.mid"
        path.write_bytes(pieces.midi(piece))
        ours, read = scored(piece), read_midi(path)
        for column in ("start", "length", "pitch", "velocity", "is_drum", "bars"):
            assert np.array_equal(getattr(ours, column), getattr(read, column)), column
        assert (ours.meters, ours.tempos) == (read.meters, read.tempos)
        assert read.path == path


def test_neither_the_order_of_notes_nor_their_tracks_nor_the_fineness_of_ticks_matters() -> None:
    for seed in range(6):
        piece = pieces.loose(seed)
        numbers = describe(scored(piece))
        shuffled = [piece.notes[k] for k in np.random.default_rng(seed).permutation(len(piece.notes))]
        one_track = [(track if track == pieces.DRUMS else 3, *rest) for track, *rest in shuffled]
        other = scored(piece._replace(notes=one_track))
        finer = score_of(
            start=3 * other.start,
            length=3 * other.length,
            pitch=other.pitch,
            is_drum=other.is_drum,
            ticks_per_beat=3 * pieces.TICKS,
            meters=[(3 * tick, n, d) for tick, n, d in piece.meters],
        )
        for found in (describe(other), describe(finer)):
            assert np.allclose(found.pitch_classes, numbers.pitch_classes, rtol=0, atol=1e-15, equal_nan=True)
            assert found.values == pytest.approx(numbers.values, abs=1e-13, nan_ok=True)


def test_another_key_changes_the_histogram_and_no_number() -> None:
    low, high = scored(pieces.song(3, key=0)), scored(pieces.song(3, key=5))
    assert describe(high).values == pytest.approx(describe(low).values, abs=1e-12)
    turned = np.roll(symbolic.pitch_class_histogram(low), 5)
    assert symbolic.pitch_class_histogram(high) == pytest.approx(turned, abs=1e-15)


def test_known_answers() -> None:
    one = score_of(start=range(12), length=[1] * 12, pitch=range(60, 72), ticks_per_beat=1)
    assert symbolic.pitch_class_entropy(one) == pytest.approx(math.log2(12))
    assert symbolic.ioi_entropy(one) == 0.0
    assert math.copysign(1, symbolic.ioi_entropy(one)) == 1
    assert symbolic.position_entropy(one) == 2.0
    assert symbolic.groove(one) == 1.0
    assert symbolic.scale_consistency(one) == pytest.approx(7 / 12)
    assert symbolic.note_density(one) == 1.0
    assert symbolic.polyphony(one) == 1.0
    assert symbolic.pitch_range(one) == 11.0
    chord = score_of(start=[0] * 3, length=[4] * 3, pitch=[60, 64, 67], ticks_per_beat=1)
    assert symbolic.polyphony(chord) == 3.0
    assert isinstance(symbolic.groove(chord), Undefined)


def test_half_a_step_goes_up_whatever_the_division() -> None:
    """As floats of beats these halves are not halves."""
    for ticks_per_beat in (24, 480, 960, 7 * 24):
        step = ticks_per_beat // 12
        halves = score_of(
            start=np.arange(200) * step + step // 2,
            length=[0] * 200,
            pitch=[60] * 200,
            ticks_per_beat=ticks_per_beat,
        )
        assert np.array_equal(halves.steps(halves.start), np.arange(200) + 1)


def test_what_is_undefined_says_why() -> None:
    nothing = score_of(start=[], length=[], pitch=[], ticks_per_beat=480)
    found = describe(nothing)
    assert found.n_notes == 0
    assert set(found.reasons) == set(DESCRIPTORS)
    assert set(found.reasons.values()) == {"it has no notes"}
    assert np.isnan(found.pitch_classes).all()
    drums = describe(golden("drums_only"))
    pitch = {
        "pitch_class_entropy",
        "scale_consistency",
        "pitch_range",
        "polyphony",
        "harmonic_change",
        "repetition",
    }
    assert drums.reasons == dict.fromkeys(pitch, "it has drums alone")
    assert drums.values["groove"] == 1.0
    instants = score_of(start=[0, 0], length=[0, 0], pitch=[60, 61], ticks_per_beat=1)
    assert describe(instants).reasons == {
        "polyphony": "no pitched note lasts",
        "note_density": "no note lasts",
        "ioi_entropy": "it has fewer than two onsets",
        "groove": "it has fewer than two bars",
        "harmonic_change": "no two successive bars sound",
        "repetition": "it has fewer than two bars",
    }
    assert np.isnan(symbolic.pitch_class_histogram(instants)).all()
    assert symbolic.pitch_class_histogram(instants, weight="count")[:2].tolist() == [0.5, 0.5]
    pickup = score_of(start=[0, 1], length=[1, 4], pitch=[60, 61], ticks_per_beat=1, bars=[0, 1, 5])
    assert symbolic.groove(pickup).reason == "no two successive bars are of one length"


def test_undefined_is_a_nan_that_survives_copies() -> None:
    found = Undefined("it has no notes")
    for other in (found, copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert math.isnan(other)
        assert symbolic.reason_of(other) == "it has no notes"
    assert f"{found:.2f}" == "nan"
    assert symbolic.reason_of(float("nan")) is None


def test_the_weight_of_a_histogram_is_one_of_two() -> None:
    with pytest.raises(ValueError, match="needed weight duration or count, got 'seconds'"):
        symbolic.pitch_class_histogram(golden("held"), weight="seconds")


def test_neither_libraries_of_files_nor_torch_are_imported_with_the_package() -> None:
    code = (
        "import sys, clapbench.metrics.symbolic;"
        "print([name for name in ('torch', 'symusic', 'partitura', 'scipy', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
