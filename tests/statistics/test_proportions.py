"""Intervals and exact tests: known answers, enumeration, and what they do on data without an effect."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clapbench.statistics.proportions import binomial_p, paired, sign_p, wilson


def test_wilson_is_its_formula() -> None:
    z = 1.959963984540054
    for hits, n in ((0, 10), (3, 10), (50, 400), (400, 400)):
        p = hits / n
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        found = wilson(hits, n)
        assert found.low == pytest.approx(max(0.0, centre - half), abs=1e-12)
        assert found.high == pytest.approx(min(1.0, centre + half), abs=1e-12)


def test_binomial_p_is_the_sum_of_outcomes_no_more_likely() -> None:
    n, chance = 12, 1 / 6
    weights = [math.comb(n, k) * chance**k * (1 - chance) ** (n - k) for k in range(n + 1)]
    for hits in range(n + 1):
        expected = sum(weight for weight in weights if weight <= weights[hits] * (1 + 1e-9))
        assert binomial_p(hits, n, chance=chance) == pytest.approx(expected)


def test_below_chance_is_a_finding_too() -> None:
    assert binomial_p(0, 100, chance=1 / 6) < 1e-6
    assert binomial_p(40, 100, chance=1 / 6) < 1e-6
    assert binomial_p(17, 100, chance=1 / 6) > 0.85


@pytest.mark.parametrize(
    ("wins", "losses", "p"), [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (0, 5, 0.0625), (7, 7, 1.0)]
)
def test_sign_p(wins: int, losses: int, p: float) -> None:
    assert sign_p(wins, losses) == pytest.approx(p)


def test_paired_counts_what_only_one_gets_right() -> None:
    a = np.array([True] * 30 + [False] * 10 + [True] * 60)
    b = np.array([True] * 30 + [True] * 10 + [False] * 60)
    found = paired(a, b)
    assert (found.a_only, found.b_only) == (60, 10)
    assert found.value == pytest.approx(0.5)
    assert found.p == sign_p(60, 10)
    assert found.ci95.low < 0.5 < found.ci95.high
    back = paired(b, a)
    assert back.value == -found.value
    assert back.p == found.p


def test_the_paired_bootstrap_is_that_of_drawn_items() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random(80) < 0.6, rng.random(80) < 0.4
    difference = a.astype(int) - b.astype(int)
    drawn = difference[rng.integers(80, size=(20_000, 80))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    found = paired(a, b)
    assert found.ci95.low == pytest.approx(low, abs=0.015)
    assert found.ci95.high == pytest.approx(high, abs=0.015)


def test_the_interval_covers_and_p_is_valid_without_an_effect() -> None:
    rng = np.random.default_rng(2)
    covered, small = [], []
    for _ in range(300):
        found = paired(rng.random(120) < 0.3, rng.random(120) < 0.3, draws=1000)
        covered.append(found.ci95.low <= 0 <= found.ci95.high)
        small.append(found.p <= 0.05)
    assert np.mean(covered) > 0.91
    assert np.mean(small) < 0.08
