"""Distances of two sets of rows: golden numbers, other seeds by another route, invariances, known answers, refusals."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reference.generation import distribution_rows
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist, pdist

from clapbench.metrics import coverage as coverage_module
from clapbench.metrics import frechet, kernel
from clapbench.metrics.adherence import TextAdherence, adherence
from clapbench.metrics.coverage import Prdc, prdc
from clapbench.metrics.frechet import (
    FrechetDistance,
    frechet_distance,
    frechet_from_moments,
    frechet_infinity,
    frechet_interval,
    merged,
    moments,
    per_song_frechet,
)
from clapbench.metrics.kernel import KernelDistance, Kid, kernel_distance, kid
from clapbench.metrics.sets import Measured
from clapbench.metrics.vendi import VendiScore, vendi_score

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "reference" / "generation" / "distribution_golden.json").read_text()
)
SETS = distribution_rows.sets()
NAMES = list(GOLDEN["sets"])
OTHER_SEEDS = (7,)
FOUR = ("precision", "recall", "density", "coverage")


def value(name: str) -> dict[str, Any]:
    return GOLDEN["sets"][name]["value"]


def rows(seed: int, n: int = 40, d: int = 6, *, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)) + shift


@pytest.mark.parametrize("name", NAMES)
def test_golden_numbers(name: str) -> None:
    x, y = SETS[name]
    expected = value(name)
    np.testing.assert_allclose([x.sum(), np.abs(y).sum()], GOLDEN["checksums"][name], rtol=1e-12)
    near = {"rel": 1e-9, "abs": 1e-9}
    assert frechet_distance(x, y) == pytest.approx(expected["fad"], **near)
    assert frechet_from_moments(moments(x), moments(y)) == pytest.approx(expected["fad"], **near)
    found = kernel_distance(x, y)
    assert found == pytest.approx(expected["kad"], abs=1e-9)
    assert found.bandwidth == pytest.approx(expected["kad_bandwidth"], rel=1e-12)
    theirs = kernel_distance(y, x).bandwidth
    assert kernel_distance(x, y, bandwidth=theirs) == pytest.approx(expected["kad_eval_bandwidth"], abs=1e-9)
    assert kid(x, y) == pytest.approx(expected["kid"], abs=1e-9)
    assert [getattr(prdc(x, y), one) for one in FOUR] == pytest.approx(
        [expected[one] for one in FOUR], abs=1e-15
    )
    assert vendi_score(y) == pytest.approx(expected["vendi"], rel=1e-9)


@pytest.mark.parametrize("name", [name for name in NAMES if "fad_infinity" in value(name)])
def test_golden_lines_and_songs(name: str) -> None:
    x, y = SETS[name]
    line, expected = frechet_infinity(x, y), value(name)["fad_infinity"]
    assert list(line.n) == expected["n"]
    assert [line.value, line.slope, line.r2] == pytest.approx(
        [expected["value"], expected["slope"], expected["r2"]], rel=1e-8
    )
    found = per_song_frechet(x, y[:50], clips=np.repeat(np.arange(5), 10).tolist())
    by_clip = [song.distance for song in sorted(found.songs, key=lambda song: song.clip)]
    assert by_clip == pytest.approx(value(name)["per_song_10"], rel=1e-9)
    assert [song.distance for song in found.songs] == sorted(by_clip, reverse=True)


@pytest.mark.parametrize("shift", OTHER_SEEDS)
@pytest.mark.parametrize("name", NAMES)
def test_another_route_at_other_seeds(name: str, shift: int) -> None:
    """By scipy's distances and, at full rank, its square root of a matrix; else by singular values of rows."""
    x, y = distribution_rows.sets(shift)[name]
    n, m, d = len(x), len(y), x.shape[1]
    a, b = np.cov(x.T), np.cov(y.T)
    if name in ("full", "same"):
        cross = np.trace(sqrtm(a @ b)).real
    else:
        product = (x - x.mean(0)) @ (y - y.mean(0)).T / np.sqrt((n - 1) * (m - 1))
        cross = np.linalg.svd(product, compute_uv=False).sum()
    fad = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * cross
    for found in (frechet_distance(x, y), frechet_from_moments(moments(x), moments(y))):
        assert found == pytest.approx(fad, rel=1e-9, abs=1e-9)
        assert (found.n_reference, found.n_generated, found.d) == (n, m, d)

    bandwidth = float(np.median(pdist(x)))
    within = [np.exp(-(pdist(own) ** 2) / (2 * bandwidth**2)).mean() for own in (x, y)]
    across = np.exp(-(cdist(x, y) ** 2) / (2 * bandwidth**2)).mean()
    found = kernel_distance(x, y)
    assert found == pytest.approx(100 * (sum(within) - 2 * across), abs=1e-9)
    assert found.bandwidth == pytest.approx(bandwidth, rel=1e-12)
    polynomial = [(own @ own.T / d + 1) ** 3 for own in (x, y)]
    inside = [(own.sum() - np.trace(own)) / (len(own) * (len(own) - 1)) for own in polynomial]
    assert kid(x, y) == pytest.approx(sum(inside) - 2 * ((x @ y.T / d + 1) ** 3).mean(), abs=1e-9)

    ball_x, ball_y = (np.sort(cdist(own, own), axis=1)[:, 5] for own in (x, y))
    apart = cdist(x, y)
    tie = 1e-9  # the copies of "same" lie on the spheres
    near = apart < ball_x[:, None] - tie
    assert [getattr(prdc(x, y), one) for one in FOUR] == pytest.approx(
        [
            near.any(axis=0).mean(),
            (apart < ball_y - tie).any(axis=1).mean(),
            near.sum(axis=0).mean() / 5,
            near.any(axis=1).mean(),
        ],
        abs=1e-15,
    )

    s = np.linalg.svd(y / np.linalg.norm(y, axis=1, keepdims=True), compute_uv=False) ** 2 / m
    s = s[s > 1e-14]
    assert vendi_score(y) == pytest.approx(np.exp(-(s * np.log(s)).sum()), rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_set_with_itself_is_at_0(name: str) -> None:
    for x in SETS[name]:
        shuffled = x[np.random.default_rng(0).permutation(len(x))]
        for found in (
            frechet_distance(x, x),
            frechet_distance(x, shuffled),
            frechet_from_moments(moments(x), moments(shuffled)),
        ):
            assert 0 <= found <= 1e-9


def test_ill_conditioned_sets() -> None:
    """Variances over twelve decades, a shifted origin, and few rows more than dimensions."""
    scale = np.logspace(0, -6, 30)
    x, y = rows(0, 60, 30) * scale, rows(1, 50, 30) * scale * 1.5
    product = (x - x.mean(0)) @ (y - y.mean(0)).T / np.sqrt(59 * 49)
    cross = np.linalg.svd(product, compute_uv=False).sum()
    expected = (
        ((x.mean(0) - y.mean(0)) ** 2).sum() + x.var(0, ddof=1).sum() + y.var(0, ddof=1).sum() - 2 * cross
    )
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)
    assert frechet_from_moments(moments(x), moments(y)) == pytest.approx(expected, rel=1e-7)
    assert 0 <= frechet_distance(x, x) <= 1e-9
    assert frechet_distance(x + 100, y + 100) == pytest.approx(expected, rel=1e-7)


def test_known_answers() -> None:
    line = np.array([[-1.0], [1.0]])
    for far in (1e-100, 1e100):
        assert frechet_distance(rows(0) * far, rows(1) * far) == pytest.approx(
            frechet_distance(rows(0), rows(1)) * far**2, rel=1e-9, abs=0
        )
    assert frechet_distance(line, 3 * line + 5) == pytest.approx(25 + 2 * (3 - 1) ** 2)
    assert frechet_distance(rows(0), rows(0) + 2) == pytest.approx(4 * 6)
    same = np.full((20, 6), 0.5)
    for a, b, expected in (
        (same, same, 0),
        (same, rows(0), (rows(0) - 0.5).mean(0) @ (rows(0) - 0.5).mean(0)),
    ):
        spread = b.var(axis=0, ddof=1).sum()
        assert frechet_distance(a, b) == pytest.approx(expected + spread)
        assert frechet_from_moments(moments(a), moments(b)) == pytest.approx(expected + spread)
    assert vendi_score(np.ones((7, 3))) == pytest.approx(1)
    assert vendi_score(np.eye(5) * np.arange(1, 6)) == pytest.approx(5)
    x = rows(0)
    assert [getattr(prdc(x, x[::-1]), one) for one in FOUR] == [1, 1, 1, 1]
    assert [getattr(prdc(x, x + 100), one) for one in FOUR] == [0, 0, 0, 0]
    found = kernel_distance(x, x + 1000)
    expected = 100 * sum(np.exp(-(pdist(x) ** 2) / (2 * found.bandwidth**2)).mean() for _ in range(2))
    assert found == pytest.approx(expected)


NUMBERS: dict[str, Callable[[Any, Any], Any]] = {
    "frechet": frechet_distance,
    "kernel": kernel_distance,
    "kid": kid,
    "vendi": lambda _, y: vendi_score(y),
    "prdc": lambda x, y: [getattr(prdc(x, y), one) for one in FOUR],
    "adherence": lambda x, y: list(adherence(x, y)[:1]) + list(adherence(x, y).interval),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("d", [6, 64])
def test_neither_order_nor_blocks_nor_kind_of_array_matter(
    name: str, d: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = NUMBERS[name]
    x, y = rows(0, 40, d), rows(1, 40, d, shift=0.2)
    expected = number(x, y)
    order = np.random.default_rng(2).permutation(40)
    assert number(x[order], y[order]) == pytest.approx(expected, rel=1e-11, abs=1e-12)
    assert number(torch.from_numpy(x), y.tolist()) == pytest.approx(expected, rel=1e-12, abs=1e-13)
    monkeypatch.setattr(kernel, "BLOCK", 7)
    monkeypatch.setattr(kernel, "SAMPLE", 5)  # whose median is far off
    monkeypatch.setattr(kernel, "MARGIN", 1e-3)
    monkeypatch.setattr(coverage_module, "BLOCK", 7)
    monkeypatch.setattr(frechet, "CHUNK", 7)
    assert number(x, y) == pytest.approx(expected, rel=1e-11, abs=1e-12)
    if name not in ("kid", "vendi"):  # which look from the origin; cosines bear a rotation alone
        turn = np.linalg.qr(rows(3, d, d)).Q
        assert number(x @ turn, y @ turn) == pytest.approx(expected, rel=1e-9)


METRICS: dict[str, tuple[Callable[[], Any], Callable[[Any, Any], Any]]] = {
    "frechet": (FrechetDistance, frechet_distance),
    "kernel": (KernelDistance, kernel_distance),
    "kid": (Kid, kid),
    "prdc": (Prdc, lambda x, y: {one: getattr(prdc(x, y), one) for one in FOUR}),
    "adherence": (
        TextAdherence,
        lambda x, y: {one: getattr(adherence(x, y), one) for one in ("matched", "mismatched")},
    ),
}


def plain(found: Any) -> Any:
    return {k: v.item() for k, v in found.items()} if isinstance(found, dict) else found.item()


@pytest.mark.parametrize("d", [6, 64])
@pytest.mark.parametrize("name", METRICS)
def test_metrics_stream_and_merge(name: str, d: int) -> None:
    make, function = METRICS[name]
    x, y = rows(0, 40, d), rows(1, 40, d, shift=0.2)
    expected = pytest.approx(function(x, y), rel=1e-10, abs=1e-12)
    for batch in (1, 7, 40):
        metric = make()
        for start in range(0, 40, batch):
            metric.update(x[start : start + batch], y[start : start + batch])
        assert plain(metric.compute()) == expected
    first, second = make(), make()
    first.update(x[:15], y[:15])
    second.update(x[15:], y[15:])
    first.merge_state(second)
    assert plain(first.compute()) == expected
    metric = make()
    metric(x[:20], y[:20])
    assert plain(metric(x[20:], y[20:])) == pytest.approx(function(x[20:], y[20:]), rel=1e-10, abs=1e-12)
    assert plain(copy.deepcopy(metric).compute()) == expected
    metric.reset()
    metric.update(x, y)
    assert plain(metric.compute()) == expected


def test_vendi_streams_and_merges() -> None:
    y = rows(0, 40, 64)
    first, second = VendiScore(), VendiScore()
    for metric, part in ((first, y[:15]), (second, y[15:])):
        for piece in np.array_split(part, 4):
            metric(piece)
    first.merge_state(second)
    assert first.compute().item() == pytest.approx(vendi_score(y), rel=1e-10)


def test_merged_moments_are_those_of_all_rows() -> None:
    x = rows(0) + 1e4
    found, expected = merged(moments(x[:1]), moments(x[1:])), moments(x)
    assert found.n == expected.n
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-14)
    np.testing.assert_allclose(found.scatter, np.cov(x.T) * 39, rtol=1e-9, atol=1e-9)


def test_intervals() -> None:
    x, y = rows(0, 200, 8), rows(1, 150, 8) * 1.3
    found = frechet_interval(x, y)
    assert found.value == frechet_distance(x, y)
    assert found.interval.low < found.value < found.interval.high
    assert found.corrected < found.value
    assert found.corrected_interval.low < 8 * 0.3**2 < found.corrected_interval.high
    assert frechet_interval(x, y, seed=1).interval != found.interval
    by_clip = frechet_interval(
        x, np.repeat(y, 3, axis=0), generated_clips=np.repeat(np.arange(150), 3).tolist()
    )
    width = np.diff(found.interval)[0]
    assert np.diff(by_clip.interval)[0] == pytest.approx(width, rel=0.5)
    naive = frechet_interval(x, np.repeat(y, 30, axis=0))
    assert np.diff(naive.interval)[0] < np.diff(by_clip.interval)[0]


def test_the_kernel_interval_is_a_jackknife() -> None:
    x, y = rows(0, 12), rows(1, 9, shift=0.3)
    variance = 0.0
    for own, others in ((x, lambda part: (part, y)), (y, lambda part: (x, part))):
        found = np.array([kid(*others(np.delete(own, i, axis=0))) for i in range(len(own))])
        variance += (len(own) - 1) / len(own) * ((found - found.mean()) ** 2).sum()
    whole = kid(x, y)
    assert whole.interval is not None
    assert whole.interval.high - whole == pytest.approx(1.959963984540054 * variance**0.5)


def test_songs_far_away_are_outliers() -> None:
    generated = np.concatenate([rows(1, 100), rows(2, 5) + 9, rows(3, 1)])
    clips = [*np.repeat(np.arange(20), 5).tolist(), *["far"] * 5, "short"]
    found = per_song_frechet(rows(0, 100), generated, clips=clips)
    assert [song.clip for song in found.songs if song.outlier] == ["far"]
    assert found.songs[0].clip == "far"
    assert found.songs[-1].clip == "short"
    assert np.isnan(found.songs[-1].distance)
    assert "1 of 22 clips" in found.notes[0]


def test_adherence_against_all_pairs() -> None:
    x, prompts = rows(0, 30), rows(1, 10)
    which = np.repeat(np.arange(10), 3)
    found = adherence(x, prompts[which])
    cosines = 1 - cdist(x, prompts[which], "cosine")
    other = which[:, None] != which
    assert found.matched == pytest.approx(cosines.diagonal().mean())
    assert found.mismatched == pytest.approx(cosines[other].mean())
    assert (found.n, found.prompts) == (30, 10)
    means = (cosines.diagonal()).reshape(10, 3).mean(axis=1)
    assert found.interval is not None
    reach = 2.2621571628540993 * means.std(ddof=1) / 10**0.5
    assert found.interval.high - found.matched == pytest.approx(reach)
    one = adherence(x, prompts[which * 0])
    assert (one.interval, one.mismatched) == (None, None)
    assert "one prompt" in one.notes[0]


def test_notes() -> None:
    assert frechet_distance(rows(0), rows(1)).notes == ()
    assert "6 generated rows do not fill 6 dimensions" in frechet_distance(rows(0), rows(1, 6)).notes[0]
    line = frechet_infinity(rows(0, 30), rows(1, 30))
    assert (line.r2 < 0.9) == any("R2" in note for note in line.notes)
    flat = frechet_infinity(np.eye(2), np.zeros((20, 2)))
    assert np.isnan(flat.r2)
    assert "do not trust" in flat.notes[-1]
    assert kid(np.eye(2), np.eye(2)).interval is None


def test_a_measured_number_survives_a_copy() -> None:
    found = kernel_distance(rows(0), rows(1))
    for twin in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert isinstance(twin, Measured)
        assert (twin, repr(twin)) == (found, repr(found))


TWO_SETS = (frechet_distance, kernel_distance, kid, prdc, frechet_interval, frechet_infinity, adherence)


@pytest.mark.parametrize("number", TWO_SETS)
def test_refusals_of_every_one(number: Callable[[Any, Any], Any]) -> None:
    x, y = rows(0), rows(1)
    name = number.__name__
    with pytest.raises(ValueError, match=rf"{name} \(\w+\): needed at least 2 rows, got 1"):
        number(x, y[:1])
    with pytest.raises(ValueError, match=rf"{name}.*: needed .*one space, got .*6 numbers .* 5"):
        number(x, y[:, :5])
    for bad in (np.nan, np.inf):
        broken = y.copy()
        broken[3, 2] = bad
        with pytest.raises(ValueError, match=rf"{name} \(\w+\): needs finite rows; 1 of 40"):
            number(x, broken)


def test_refusals_of_one() -> None:
    x, y = rows(0), rows(1)
    cases: list[tuple[str, Callable[[], object]]] = [
        ("needed k from 1 to 39", lambda: prdc(x, y, k=40)),
        ("needed k from 1 to 39", lambda: prdc(x, y, k=0)),
        ("a bandwidth above 0, got 0", lambda: kernel_distance(x, y, bandwidth=0.0)),
        ("half of its pairs are equal", lambda: kernel_distance(x * 0, y)),
        ("at least 3 different sizes", lambda: frechet_infinity(x, y[:3])),
        ("from 2 to 40 rows, got 15 from 50", lambda: frechet_infinity(x, y, least=50)),
        ("at least 3 parts", lambda: frechet_interval(x, y, generated_clips=[0, 1] * 20)),
        ("clip of each of 40 rows, got 2 labels", lambda: per_song_frechet(x, y, clips=["a", "b"])),
        ("got least=1", lambda: per_song_frechet(x, y, clips=[0] * 40, least=1)),
        ("1 rows of zeros", lambda: vendi_score([[0.0, 0.0], [1.0, 0.0]])),
        ("as many of each; got 40 and 39", lambda: adherence(x, y[1:])),
        ("got 40 clips and 39 prompts", lambda: TextAdherence().update(x, y[1:])),
        ("at least 2 rows, got 1", lambda: frechet_from_moments(moments(x[:1]), moments(y))),
        (
            "needed finite moments",
            lambda: frechet_from_moments(moments(x), moments(y)._replace(mean=x[0] * np.nan)),
        ),
        ("needed both sets in one space", lambda: merged(moments(x), moments(y[:, :5]))),
    ]
    for message, wrong in cases:
        with pytest.raises(ValueError, match=message):
            wrong()


@pytest.mark.parametrize("make", [FrechetDistance, KernelDistance, Kid, Prdc])
@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_refusals_of_metrics(make: Callable[[], Any]) -> None:
    metric = make()
    metric.update(reference=rows(0))
    with pytest.raises(ValueError, match="rows of the generated set, got none"):
        metric.compute()
    with pytest.raises(ValueError, match=r"needed (both sets in one space|rows of 6 numbers as before), got"):
        metric.update(reference=rows(0)[:, :5])
