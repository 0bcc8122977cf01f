"""Draws of part of the items: how far a number is from that of the population, of one model and of two."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student

from clapbench.statistics.subsampling import difference, of_draws


def drawn(rng: np.random.Generator, *, n: int, m: int, draws: int = 40) -> tuple[float, np.ndarray]:
    """The spread of a skewed sample of ``n``, and that of ``draws`` parts of ``m``."""
    x = rng.exponential(size=n)
    rows = rng.permuted(np.tile(x, (draws, 1)), axis=1)[:, :m]
    return float(x.std(ddof=1)), rows.std(axis=1, ddof=1)


def test_the_interval_is_its_formula() -> None:
    values = np.random.default_rng(0).standard_normal(40)
    error = values.std(ddof=1) * (0.25 / 0.75 + 1 / 40) ** 0.5
    low, high = of_draws(values, part=0.25).ci95
    assert (low, high) == pytest.approx(student.interval(0.95, 39, loc=values.mean(), scale=error))
    whole = of_draws(values, part=0.5, whole=7.0).ci95
    assert tuple(whole) == pytest.approx(student.interval(0.95, 39, loc=7, scale=values.std(ddof=1)))


@pytest.mark.parametrize("m", [100, 200])
def test_intervals_cover_more_often_than_the_quantiles_of_the_draws(m: int) -> None:
    rng = np.random.default_rng(m)
    truth = rng.exponential(size=(4000, m)).std(axis=1, ddof=1).mean()
    covered = np.zeros(2)
    for _ in range(200):
        _, values = drawn(rng, n=400, m=m)
        low, high = np.quantile(values, [0.025, 0.975])
        scale = (m / (400 - m)) ** 0.5  # as before
        mean = values.mean()
        covered[0] += mean - scale * (mean - low) <= truth <= mean + scale * (high - mean)
        low, high = of_draws(values, part=m / 400).ci95
        covered[1] += low <= truth <= high
    assert covered[0] < covered[1]
    assert 0.91 < covered[1] / 200 < 0.985


def test_the_whole_has_an_interval_by_its_halves() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        whole, halves = drawn(rng, n=400, m=200)
        low, high = of_draws(halves, part=0.5, whole=whole).ci95
        covered += low <= 1 <= high
    assert 0.9 < covered / 200 < 0.985


def test_what_the_items_do_to_both_goes_out_of_the_difference() -> None:
    rng = np.random.default_rng(4)
    common, own = 10 * rng.standard_normal(40), rng.standard_normal((2, 1, 40))
    a, b = 50 + common + own[0], 45 + common + own[1]
    low, high = difference(a, b, part=0.5).ci95
    assert 1 < low < high < 9  # that of either side alone is as wide as what both share: 40
    assert of_draws(a[0], part=0.5).ci95.low < 45
    back = difference(b, a, part=0.5).ci95
    assert (back.low, back.high) == pytest.approx((-high, -low))


def test_seeds_widen_the_difference() -> None:
    rng = np.random.default_rng(5)
    noise = 0.1 * rng.standard_normal(40)
    alike, apart = (np.array(means)[:, None] + noise for means in ((50.0, 50.1), (40.0, 60.0)))
    other = 45 + noise[None] + 0.01 * rng.standard_normal((1, 40))
    assert difference(alike, other, part=0.5).ci95.low > 4
    far = difference(apart, other, part=0.5)
    assert far.ci95.low < 0
    assert far.freedom == pytest.approx(1, abs=0.01)
