"""Distances of clouds: golden numbers, independent routes on other draws, invariances, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from metrics.clouds_of_numbers import pairs
from scipy.linalg import sqrtm

from clapbench.metrics import clouds, kernel
from clapbench.metrics.adherence import adherence
from clapbench.metrics.coverage import prdc
from clapbench.metrics.frechet import (
    FrechetDistance,
    frechet_distance,
    frechet_infinity,
    frechet_interval,
    frechet_of_moments,
    gaussian,
    notes,
    per_song_frechet,
)
from clapbench.metrics.kernel import kernel_distance, kernel_interval, kid, median_distance
from clapbench.metrics.vendi import vendi_score

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "reference/generation/distribution_golden.json").read_text(encoding="utf-8")
)["embeddings"]
PAIRS = pairs()
SHARES = ("precision", "recall", "density", "coverage")


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_numbers(name: str) -> None:
    reference, generated = PAIRS[name]
    golden = GOLDEN[name]["value"]
    assert frechet_distance(reference, generated) == pytest.approx(max(0, golden["fad"]), rel=1e-9, abs=1e-9)
    moments = frechet_of_moments(gaussian(reference), gaussian(generated))
    assert moments == pytest.approx(max(0, golden["fad"]), rel=1e-7, abs=1e-9)
    assert median_distance(reference) == pytest.approx(golden["kad_bandwidth"], rel=1e-12)
    assert kernel_distance(reference, generated) == pytest.approx(golden["kad"], abs=1e-6)
    assert kid(reference, generated) == pytest.approx(golden["kid"], abs=1e-9)
    assert vendi_score(generated) == pytest.approx(golden["vendi"], rel=1e-9)
    found = prdc(reference, generated)
    assert [getattr(found, share) for share in SHARES] == pytest.approx(
        [golden[s] for s in SHARES], abs=1e-12
    )
    if line := golden.get("fad_infinity"):
        end = frechet_infinity(reference, generated)
        assert list(end.n) == line["n"]
        for field in ("value", "slope", "r2"):
            assert getattr(end, field) == pytest.approx(line[field], rel=1e-8)
    if songs := golden.get("per_song_10"):
        chunks = [generated[10 * place : 10 * place + 10] for place in range(len(songs))]
        assert per_song_frechet(reference, chunks).distances == pytest.approx(songs, rel=1e-9)


@pytest.mark.parametrize("name", GOLDEN)
def test_what_other_packages_gave(name: str) -> None:
    reference, generated = PAIRS[name]
    peers = GOLDEN[name]["peers"]
    found = frechet_distance(reference, generated)
    full_rank = name not in ("rankdef", "unit")
    for package in ("fadtk", "frechet_audio_distance", "torchmetrics _compute_fid"):
        assert found == pytest.approx(peers[package], rel=1e-9 if full_rank else 3e-8, abs=1e-9)
    theirs = kernel_distance(reference, generated, bandwidth=median_distance(generated))
    assert theirs == pytest.approx(peers["kadtk (float32, bandwidth of 2nd argument)"], rel=4e-5, abs=1.2e-5)
    assert vendi_score(generated) == pytest.approx(peers["vendi_score"], rel=1e-12)


@pytest.mark.parametrize("shift", [1, 5])
def test_other_draws_agree_with_plain_formulas(shift: int) -> None:
    for name in ("full", "same", "duplicates"):  # of full rank, as a matrix must be that has a root
        reference, generated = pairs(shift)[name]
        root = sqrtm(np.cov(reference.T) @ np.cov(generated.T))
        trace = np.trace(np.cov(reference.T)) + np.trace(np.cov(generated.T)) - 2 * np.trace(root).real
        mean = ((reference.mean(0) - generated.mean(0)) ** 2).sum()
        assert frechet_distance(reference, generated) == pytest.approx(mean + trace, rel=2e-6, abs=1e-6), name
        apart = np.linalg.norm(reference[:, None] - reference[None], axis=2)
        middle = float(np.median(apart[np.triu_indices(len(reference), 1)]))
        assert median_distance(reference) == pytest.approx(middle, rel=1e-7)


@pytest.mark.parametrize("size", [7, 64, 5000])
def test_blocks_do_not_matter(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reference, generated = PAIRS["duplicates"]
    before = kernel_distance(reference, generated), kid(reference, generated), prdc(reference, generated)
    monkeypatch.setattr(clouds.blocks, "__kwdefaults__", {"size": size})
    after = kernel_distance(reference, generated), kid(reference, generated), prdc(reference, generated)
    assert after[:2] == pytest.approx(before[:2], rel=1e-12)
    assert after[2] == pytest.approx(before[2])


@pytest.mark.parametrize("kept", [1, 40, 3000])
def test_the_median_is_exact_in_little_memory(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrowed from parts of the span; also where half of the distances are one."""
    rng = np.random.default_rng(3)
    for rows in (rng.standard_normal((151, 3)), rng.integers(0, 3, (120, 2)).astype(float), np.ones((9, 2))):
        whole = median_distance(rows)
        with monkeypatch.context() as patch:
            patch.setattr(kernel, "KEPT", kept)
            patch.setattr(kernel, "BINS", 16)
            assert median_distance(rows) == pytest.approx(whole, rel=1e-15)


def test_order_rotation_and_scale() -> None:
    reference, generated = PAIRS["full"]
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((64, 64)))[0]
    mixed = [rows[rng.permutation(len(rows))] @ turn for rows in (reference, generated)]
    assert frechet_distance(*mixed) == pytest.approx(frechet_distance(reference, generated), rel=1e-9)
    assert frechet_distance(3 * reference, 3 * generated) == pytest.approx(
        9 * frechet_distance(reference, generated), rel=1e-9
    )
    assert kernel_distance(*mixed) == pytest.approx(kernel_distance(reference, generated), abs=1e-9)
    assert frechet_distance(generated, reference) == pytest.approx(
        frechet_distance(reference, generated), rel=1e-9
    )


@pytest.mark.parametrize("name", GOLDEN)
def test_a_cloud_is_at_no_distance_from_itself(name: str) -> None:
    rows = PAIRS[name][0]
    shuffled = rows[np.random.default_rng(1).permutation(len(rows))]
    for found in (frechet_distance(rows, shuffled), frechet_of_moments(gaussian(rows), gaussian(shuffled))):
        assert 0 <= found <= 1e-9


@pytest.mark.parametrize("batch", [1, 37, 2000])
def test_streamed_and_merged_it_is_the_same(batch: int) -> None:
    reference, generated = (torch.from_numpy(rows[:300]) for rows in PAIRS["full"])
    whole = FrechetDistance(dim=64)
    halves = [FrechetDistance(dim=64) for _ in range(2)]
    for is_reference, rows in ((True, reference), (False, generated)):
        for place, part in enumerate(rows.split(batch)):
            whole.update(part, reference=is_reference)
            halves[place % 2].update(part, reference=is_reference)
    halves[0].merge_state(halves[1])
    expected = frechet_distance(reference, generated)
    for metric in (whole, halves[0]):
        assert float(metric.compute()) == pytest.approx(expected, rel=1e-9)
    parts = [gaussian(part) for part in reference.split(max(batch, 2))]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merged(part)
    assert frechet_of_moments(merged, gaussian(generated)) == pytest.approx(expected, rel=1e-9)


def test_intervals_cover() -> None:
    """Of what fresh samples have on average: 60 rounds, one standard error .03."""
    rng = np.random.default_rng(7)

    def drawn() -> tuple[np.ndarray, np.ndarray]:
        return rng.standard_normal((120, 4)), 1.3 * rng.standard_normal((80, 4)) + 0.3

    for distance, interval in ((frechet_distance, frechet_interval), (kernel_distance, kernel_interval)):
        true = np.mean([distance(*drawn()) for _ in range(300)])
        held = [low <= true <= high for low, high in (interval(*drawn(), draws=12) for _ in range(60))]
        assert np.mean(held) > 0.85


def test_without_end_the_distance_of_one_law_is_about_nothing() -> None:
    rng = np.random.default_rng(2)
    reference, generated = rng.standard_normal((4000, 8)), rng.standard_normal((1000, 8))
    found = frechet_infinity(reference, generated)
    assert abs(found.value) < 0.02 < frechet_distance(reference, generated[:200])
    assert found == frechet_infinity(reference, generated)
    assert found.notes == ()
    constant = frechet_infinity(reference[:, :1] * 0 + 1, generated[:, :1] * 0)
    assert "no line over 1/n" in constant.notes[0]


def test_songs_that_stand_out_and_songs_of_one_chunk() -> None:
    rng = np.random.default_rng(4)
    songs = [rng.standard_normal((6, 3)) for _ in range(12)]
    songs[3] = songs[3] + 20
    songs[7] = songs[7][:1]
    found = per_song_frechet(rng.standard_normal((100, 3)), songs)
    assert (found.outliers, found.undefined) == ((3,), (7,))
    assert np.isnan(found.distances[7])


def test_few_rows_are_told() -> None:
    assert notes(n_reference=100, n_generated=80, d=64) == ()
    assert "not of full rank" in notes(n_reference=100, n_generated=64, d=64)[0]


def test_clips_that_are_what_was_asked_for() -> None:
    rng = np.random.default_rng(5)
    prompts = rng.standard_normal((50, 16))
    found = adherence(prompts + 0.1 * rng.standard_normal((50, 16)), 2 * prompts)
    assert found.interval.low < found.matched < found.interval.high
    assert found.lead > 0.9
    shuffled = adherence(prompts, np.roll(prompts, 1, axis=0))
    assert shuffled.matched == pytest.approx(
        np.mean(
            [
                a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                for a, b in zip(prompts, np.roll(prompts, 1, axis=0), strict=True)
            ]
        )
    )


GOOD = np.random.default_rng(6).standard_normal((20, 3))
BAD: dict[str, tuple[Any, str]] = {
    "one row": (GOOD[:1], "at least 2 generated rows, got 1"),
    "no number": (np.where(np.arange(60).reshape(20, 3) == 4, np.nan, GOOD), "generated row 1 has others"),
    "dimension": (GOOD[:, :2], "rows of one dimension, got 3 .* and 2 "),
    "shape": (GOOD[0], "generated rows of numbers"),
    "text": (np.full((3, 3), "a"), "generated rows of numbers"),
}


@pytest.mark.parametrize(
    "distance", [frechet_distance, kernel_distance, kid, frechet_interval, kernel_interval]
)
@pytest.mark.parametrize("case", BAD)
def test_what_is_no_cloud_is_refused(case: str, distance: Callable[..., Any]) -> None:
    rows, words = BAD[case]
    with pytest.raises(ValueError, match=words.replace("at least 2", "at least [24]")):
        distance(GOOD, rows)


def test_further_refusals() -> None:
    with pytest.raises(ValueError, match="at least 6 generated rows, got 5"):
        prdc(GOOD, GOOD[:5])
    with pytest.raises(ValueError, match="k of 1 or more"):
        prdc(GOOD, GOOD, k=0)
    with pytest.raises(ValueError, match="bandwidth above 0, got 0"):
        kernel_distance(np.ones((5, 2)), GOOD[:, :2])
    with pytest.raises(ValueError, match="row 2 is 0"):
        vendi_score(np.array([[1.0, 0], [0, 1], [0, 0]]))
    with pytest.raises(ValueError, match="a prompt for each clip, got 19 for 20"):
        adherence(GOOD, GOOD[:19])
    metric = FrechetDistance(dim=3)
    metric.update(torch.from_numpy(GOOD[:1]), reference=True)
    with pytest.raises(ValueError, match="at least 2 reference rows, got 1"):
        metric.compute()
    with pytest.raises(ValueError, match="rows of one dimension"):
        metric.update(torch.from_numpy(GOOD[:, :2]), reference=False)
    with pytest.raises(ValueError, match="needed 3 points or more"):
        frechet_infinity(GOOD, GOOD, points=2)
