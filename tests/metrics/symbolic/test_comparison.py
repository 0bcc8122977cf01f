"""Two sets of pieces: golden numbers, an independent route, corruption of known order, constants, refusals."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from reference.generation import symbolic_pieces as pieces
from reference.generation.symbolic_pieces import scored
from scipy import integrate, stats

from clapbench.metrics.symbolic import (
    DESCRIPTORS,
    Described,
    Undefined,
    compare,
    describe,
    pitch_class_histogram,
    pitch_class_kl,
    read_midi,
    score_of,
    spread,
    tonal_distance,
)
from clapbench.metrics.symbolic.harmony import common_key, turned

FOLDER = Path(__file__).parents[2] / "reference" / "generation"
SETS = json.loads((FOLDER / "symbolic_golden.json").read_text())["sets"]


def golden(name: str):
    return read_midi(FOLDER / "midi" / f"{name}.mid")


def described(values: dict[str, float], *, name: str = "a piece") -> Described:
    """A piece with these numbers alone."""
    rest = dict.fromkeys(DESCRIPTORS, Undefined("it was not asked for"))
    return Described(name=name, n_notes=1, pitch_classes=np.eye(12)[0], values=rest | values)


def test_golden_sets() -> None:
    found = compare(
        [golden(name) for name in SETS["reference"]], [golden(name) for name in SETS["generated"]]
    )
    assert (found.n_reference, found.n_generated, found.eps) == (9, 9, 1e-6)
    assert found.pooled.kl == pytest.approx(SETS["kl"], abs=1e-9)
    assert found.aligned.kl == pytest.approx(SETS["kl_aligned"], abs=1e-9)
    assert found.pooled.tonal_distance == pytest.approx(SETS["tonal_distance"], abs=1e-12)
    librosa = SETS["peers"]["librosa.feature.tonnetz distance"]
    assert found.pooled.tonal_distance == pytest.approx(librosa, abs=1e-12)
    assert pitch_class_kl(found.pooled.generated, found.pooled.reference) == pytest.approx(
        SETS["kl_reverse"], abs=1e-9
    )
    triplets = pitch_class_histogram(golden("triplets"))
    assert pitch_class_kl(found.pooled.reference, triplets) == pytest.approx(SETS["kl_zero_bins"], abs=1e-9)
    coarse = pitch_class_kl(found.pooled.reference, triplets, eps=1e-3)
    assert coarse == pytest.approx(SETS["kl_zero_bins_eps_1e_3"], abs=1e-9)
    assert found.undefined == {}
    assert found.left_out == ()


@pytest.mark.parametrize("seed", range(6))
def test_other_seeds_agree_with_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference, generated = rng.dirichlet(np.full(12, 0.5), 7), rng.dirichlet(np.full(12, 0.5), 5)

    def best(h: np.ndarray, template: np.ndarray) -> np.ndarray:
        turns = [np.array([h[(k - key) % 12] for k in range(12)]) for key in range(12)]
        return turns[
            int(np.argmax([sum(a * b for a, b in zip(turn, template, strict=True)) for turn in turns]))
        ]

    template = reference[0]
    for _ in range(10):
        template = np.mean([best(h, template) for h in reference], axis=0)
    assert common_key(reference) == pytest.approx(template, abs=1e-14)
    ours = turned(generated, common_key(reference))
    assert ours == pytest.approx(np.stack([best(h, template) for h in generated]), abs=0)
    p, q = template, ours.mean(axis=0)
    kl = sum((a + 1e-6) / 1.000012 * math.log((a + 1e-6) / (b + 1e-6)) for a, b in zip(p, q, strict=True))
    assert pitch_class_kl(p, q) == pytest.approx(kl, abs=1e-12)
    assert pitch_class_kl(30 * p, q * 5) == pytest.approx(kl, abs=1e-12)  # of counts as of shares


def test_wrong_notes_are_ordered_by_the_aligned_divergence_and_not_by_the_pooled_one() -> None:
    """Pieces in keys at random: pooling mixes the keys, and wrong notes mix them further."""
    songs = [pieces.song(seed) for seed in range(24)]
    reference = [describe(scored(song)) for song in songs[:12]]
    found = [
        compare(
            reference,
            [
                scored(pieces.wrong_pitches(song, share=share, seed=7 + k))
                for k, song in enumerate(songs[12:])
            ],
        )
        for share in (0, 0.1, 0.2, 0.4, 0.8)
    ]
    aligned, pooled = ([getattr(one, which).kl for one in found] for which in ("aligned", "pooled"))
    assert all(a < b for a, b in pairwise(aligned))
    assert aligned[-1] > 50 * aligned[0]
    assert all(a > b for a, b in pairwise(pooled[:4]))  # it falls


def test_what_lies_in_a_common_key_does_not_change_with_keys() -> None:
    one = [scored(pieces.song(seed, key=0)) for seed in range(8)]
    moved = [scored(pieces.song(seed)) for seed in range(8)]
    assert compare(one, moved).aligned.kl == pytest.approx(0, abs=1e-12)
    assert compare(one, moved).pooled.kl > 0.01
    assert compare(one, one[::-1]).pooled.kl == pytest.approx(0, abs=1e-15)


def test_equal_turns_are_the_first_whatever_rounding_says() -> None:
    """A note fits a diminished seventh in four keys."""
    template, note = np.zeros(12), np.eye(12)[[1]]
    template[[0, 3, 6, 9]] = 0.25, 0.25 * (1 - 1e-15), 0.25, 0.25 * (1 + 1e-15)
    assert turned(note, template).argmax() == 3  # by two semitones, before five, eight and eleven


def test_overlap_is_that_of_kernel_densities() -> None:
    rng = np.random.default_rng(0)
    for shift, sizes in ((0.3, (40, 60)), (3.0, (300, 20)), (0.0, (400, 400))):
        a, b = rng.gamma(2, 1, sizes[0]), rng.gamma(2, 1.5, sizes[1]) + shift
        p, q = stats.gaussian_kde(a), stats.gaussian_kde(b)
        found = spread.overlap(a, b)
        grid = np.linspace(-10, 40, 8_001)
        assert found.area == pytest.approx(integrate.trapezoid(np.minimum(p(grid), q(grid)), grid), abs=1e-5)
        log_ratio = p.logpdf(grid) - q.logpdf(grid)
        assert found.kl == pytest.approx(integrate.trapezoid(p(grid) * log_ratio, grid), rel=1e-4)


def test_overlap_of_samples_far_apart_or_of_unlike_spread_is_finite() -> None:
    rng = np.random.default_rng(1)
    narrow, wide = rng.normal(5, 1e-4, 50), rng.normal(5, 1, 50)
    for p, q in ((narrow, wide), (wide, narrow), (wide, wide + 1_000)):
        found = spread.overlap(p, q)
        assert 0 <= found.area < 0.01
        assert 1 < found.kl < 1e12


def test_many_distances_are_as_good_as_their_bins() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.gamma(2, 1, 30_000), rng.gamma(2, 1.3, 30_000)
    found, grid = spread.overlap(a, b), np.linspace(-2, 40, 4_001)

    def binned(sample: np.ndarray) -> np.ndarray:
        counts, edges = np.histogram(sample, bins=4_000)
        return stats.gaussian_kde((edges[1:] + edges[:-1]) / 2, weights=counts, bw_method=sample.size**-0.2)(
            grid
        )

    p, q = binned(a), binned(b)
    assert found.area == pytest.approx(integrate.trapezoid(np.minimum(p, q), grid), abs=1e-4)


def test_distances_of_all_pairs() -> None:
    x, y = np.array([[0.0], [1.0], [4.0]]), np.array([[2.0], [2.5]])
    assert sorted(spread.within(x)) == [1, 3, 4]
    assert sorted(spread.across(x, y)) == [1, 1.5, 1.5, 2, 2, 2.5]
    assert len(spread.within(np.zeros((0, 1)))) == len(spread.across(np.zeros((0, 1)), y)) == 0
    assert len(spread.within(np.arange(2_500.0)[:, None])) == 2_000 * 1_999 // 2


def test_a_descriptor_within_and_across_the_sets() -> None:
    ours, theirs = (1.0, 2.0, 4.0, 4.5), (3.0, 5.0, 9.0)
    found = compare([described({"groove": v}) for v in ours], [described({"groove": v}) for v in theirs])
    one = found.descriptors["groove"]
    assert (one.reference.n, one.generated.n) == (4, 3)
    assert (one.reference.mean, one.generated.mean) == (np.mean(ours), np.mean(theirs))
    assert one.reference.sd == pytest.approx(np.std(ours, ddof=1))
    between = [abs(a - b) for a in ours for b in theirs]
    assert one.across == pytest.approx((12, np.mean(between), np.std(between, ddof=1)))
    assert one.generated.within == pytest.approx((3, 4.0, np.std([2, 6, 4], ddof=1)))
    inside = np.array([abs(a - b) for k, a in enumerate(ours) for b in ours[k + 1 :]])
    assert one.overlap == pytest.approx(spread.overlap(np.sort(inside), np.sort(between)))
    assert found.values["groove_overlap"] == one.overlap.area
    assert found.values["groove_across"] == one.across.mean


def test_the_order_of_pieces_does_not_matter() -> None:
    songs = [describe(scored(pieces.song(seed))) for seed in range(10)]
    one, other = compare(songs[:6], songs[6:]), compare(songs[:6], songs[:5:-1])
    assert other.values == pytest.approx(one.values, abs=1e-12, nan_ok=True)


def test_a_constant_has_no_density_and_says_so() -> None:
    def numbers(reference: tuple[float, ...], generated: tuple[float, ...]):
        sets = [[described({"groove": float(v)}) for v in side] for side in (reference, generated)]
        return compare(*sets).descriptors["groove"].overlap

    assert numbers((1, 1, 1), (1, 1)) == (1.0, 0.0)
    rounded = 1 + np.finfo(float).eps
    assert numbers((1, 1, rounded), (rounded, 1)) == (1.0, 0.0)
    constant = numbers((1, 1, 1), (1, 2, 3))
    assert constant.area.reason == "every distance within the reference is 0, which has no density"
    assert constant.kl.reason == constant.area.reason
    assert (
        numbers((1, 1, 1), (3, 3)).area.reason
        == "every distance within the reference is 0, which has no density"
    )
    assert numbers((1, 2), (1, 2)).area.reason == "there are fewer than two pairs within the reference"


def test_pieces_without_a_number_are_left_out_and_named() -> None:
    songs = [scored(pieces.song(seed)) for seed in range(6)]
    drums, nothing = golden("drums_only"), golden("no_notes")
    whole, found = compare(songs[:3], songs[3:]), compare([*songs[:3], drums], [nothing, *songs[3:]])
    assert (found.n_reference, found.n_generated) == (4, 4)
    for which in ("pooled", "aligned"):
        assert getattr(found, which)[:2] == (3, 3)
        assert getattr(found, which).kl == pytest.approx(getattr(whole, which).kl, abs=1e-15)
    assert found.descriptors["repetition"].reference.n == 3
    assert found.descriptors["groove"].reference.n == 4
    told = {(one.side, one.piece, one.descriptor): one.reason for one in found.left_out}
    assert told["reference", "drums_only.mid", "repetition"] == "it has drums alone"
    assert told["generated", "no_notes.mid", "groove"] == "it has no notes"
    assert len(told) == 6 + 10


def test_sets_without_pitch_are_undefined_throughout() -> None:
    found = compare([golden("drums_only")] * 2, [scored(pieces.song(0))])
    reason = "no piece of the reference has a pitched note that lasts"
    assert found.undefined["pitch_class_kl"] == found.undefined["tonal_distance_aligned"] == reason
    assert found.undefined["repetition_reference"] == "no piece has it"
    assert found.undefined["pitch_classes_within"] == "there is no pair within the generated set"
    assert math.isnan(found.values["pitch_class_kl_aligned"])
    assert found.values["groove_reference"] == 1.0


def test_distances_of_histograms_are_zero_for_equal_ones_and_undefined_for_none() -> None:
    rng = np.random.default_rng(3)
    p, q = rng.dirichlet(np.ones(12), 2)
    assert pitch_class_kl(p, p) == tonal_distance(p, p) == 0.0
    assert tonal_distance(p, q) == tonal_distance(q, p)
    assert tonal_distance(np.roll(p, 5), np.roll(q, 5)) == pytest.approx(tonal_distance(p, q), abs=1e-15)
    assert pitch_class_kl(np.roll(p, 5), np.roll(q, 5)) == pytest.approx(pitch_class_kl(p, q), abs=1e-15)
    assert tonal_distance(*np.eye(12)[[0, 6]]) == pytest.approx(math.sqrt(8))
    assert pitch_class_kl(list(p), list(q)) == pitch_class_kl(p, q)
    for distance in (pitch_class_kl, tonal_distance):
        assert distance(np.full(12, np.nan), q).reason == "the first histogram is undefined"
        assert distance(p, np.zeros(12)).reason == "the second histogram is empty"


@pytest.mark.parametrize("distance", [pitch_class_kl, tonal_distance])
def test_what_is_no_histogram_is_refused(distance) -> None:
    p = np.full(12, 1 / 12)
    for wrong, got in (
        (p[:11], r"shape \(11,\)"),
        (-p, "-0.0833333 to -0.0833333"),
        (p * np.inf, "inf to inf"),
    ):
        with pytest.raises(
            ValueError, match=f"{distance.__name__}: needed a histogram of 12 shares.* second has {got}"
        ):
            distance(p, wrong)
    with pytest.raises(ValueError, match="pitch_class_kl: needed an eps above 0, got 0"):
        pitch_class_kl(p, p, eps=0.0)


def test_sets_without_pieces_are_refused() -> None:
    song = score_of(start=[0], length=[1], pitch=[60], ticks_per_beat=1)
    for reference, generated, side in (([], [song], "reference"), ([song], [], "generated")):
        with pytest.raises(ValueError, match=f"compare: needed at least one piece as {side}, got none"):
            compare(reference, generated)
