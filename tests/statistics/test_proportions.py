"""Intervals and exact tests: known answers, enumeration, and what they do on data without an effect."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import multinomial

from clapbench.statistics.proportions import (
    binomial_p,
    hits_p,
    paired,
    sign_p,
    sign_ps,
    tango,
    tangos,
    wilson,
)


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


# a only, b only, n, level of the interval, as published.
PUBLISHED = [
    (9, 3, 32, 0.95, (-0.027, 0.390)),  # Tango 1998, table of 32 patients
    (0, 1, 44, 0.90, (-0.096, 0.037)),  # Tango 1998, contact lenses
    (16, 8, 86, 0.95, (-0.020, 0.207)),  # Agresti and Min 2005
    (1, 7, 21, 0.95, (-0.517, -0.026)),  # Fagerland, Lydersen and Laake 2014
]


@pytest.mark.parametrize(("a_only", "b_only", "n", "level", "expected"), PUBLISHED)
def test_tangos_interval_is_as_published(a_only, b_only, n, level, expected) -> None:
    """The same values stand in the tests of the R package ratesci 0.2 (pairbinci)."""
    z = {0.95: 1.959963984540054, 0.90: 1.6448536269514722}[level]
    assert tango(a_only, b_only, n, z=z) == pytest.approx(expected, abs=0.0005)


def test_a_bound_is_where_the_score_test_under_the_likeliest_shares_turns() -> None:
    def score(delta: float, b: int, c: int, n: int) -> float:
        q = np.linspace(max(0.0, -delta) + 1e-9, (1 - delta) / 2 - 1e-9, 200_001)
        likelihood = b * np.log(q + delta) + c * np.log(q) + (n - b - c) * np.log(1 - 2 * q - delta)
        best = q[np.argmax(likelihood)]
        return (b - c - n * delta) / math.sqrt(n * (2 * best + delta - delta * delta))

    for b, c, n in ((3, 7, 20), (12, 4, 50), (1, 1, 9)):
        low, high = tango(b, c, n)
        assert score(low, b, c, n) == pytest.approx(1.96, abs=1e-3)
        assert score(high, b, c, n) == pytest.approx(-1.96, abs=1e-3)


def outcomes(n: int) -> tuple[np.ndarray, np.ndarray]:
    """All numbers of items that a alone and b alone may get right of n."""
    a, b = np.indices((n + 1, n + 1)).reshape(2, -1)
    return a[a + b <= n], b[a + b <= n]


def test_the_interval_holds_zero_exactly_where_p_is_large_and_is_never_a_point() -> None:
    for n in (12, 60):
        a, b = outcomes(n)
        ps, (low, high) = sign_ps(a, b), tangos(a.astype(float), b.astype(float), np.full(len(a), float(n)))
        assert ((low > 0) | (high < 0))[ps <= 0.05].all()
        assert (low <= (a - b) / n).all()
        assert ((a - b) / n <= high).all()
        assert (high - low > 1 / n).all()
    low, high = tango(9, 2, 40, p=sign_p(9, 2))  # p .065, where the score test has .035
    assert tango(9, 2, 40).low > 0.0 == low
    assert tango(2, 9, 40, p=sign_p(2, 9)) == (-high, 0.0)


def test_the_interval_covers_over_every_outcome() -> None:
    """Exact coverage: the bootstrap's was .90 and less where few items differ."""
    n = 60
    a_only, b_only = outcomes(n)
    low, high = tangos(a_only.astype(float), b_only.astype(float), np.full(len(a_only), float(n)))
    equal = sign_ps(a_only, b_only) > 0.05
    low, high = np.where(equal, np.minimum(low, 0), low), np.where(equal, np.maximum(high, 0), high)
    for a, b in ((0.02, 0.01), (0.05, 0.05), (0.15, 0.05), (0.4, 0.1)):
        weights = multinomial.pmf(
            np.stack([a_only, b_only, n - a_only - b_only], axis=1), n, [a, b, 1 - a - b]
        )
        covered = weights[(low <= a - b) & (a - b <= high)].sum()
        assert covered > 0.94, (a, b)


def test_models_that_get_the_same_items_right_have_an_interval() -> None:
    same = np.arange(100) < 30
    found = paired(same, same)
    assert (found.value, found.p) == (0.0, 1.0)
    assert found.ci95.low == -found.ci95.high
    assert found.ci95.high == pytest.approx(0.037, abs=0.001)


def test_hits_of_unequal_chances_are_summed_over_every_outcome() -> None:
    chances = [0.5, 0.5, 0.2, 0.2, 0.2, 0.07, 0.9]
    weights = np.zeros(len(chances) + 1)
    for outcome in product((0, 1), repeat=len(chances)):
        weights[sum(outcome)] += math.prod(
            chance if hit else 1 - chance for hit, chance in zip(outcome, chances, strict=True)
        )
    for hits in range(len(chances) + 1):
        expected = sum(weight for weight in weights if weight <= weights[hits] * (1 + 1e-9))
        assert hits_p(hits, chances) == pytest.approx(expected)
    assert hits_p(3, [0.25] * 20) == binomial_p(3, 20, chance=0.25)


def test_unequal_chances_spread_less_than_their_mean() -> None:
    """So the p of one mean chance was too large."""
    chances = [0.9] * 10 + [0.1] * 10
    assert hits_p(16, chances) < binomial_p(16, 20, chance=0.5)


def test_clustered_items_are_worth_fewer() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 10)
    a, b = (np.repeat(rng.random(20) < share, 10) for share in (0.6, 0.4))  # all of a cluster, or none
    alone, found = paired(a, b), paired(a, b, factors={"template": groups})
    assert found.ci95 == alone.ci95
    assert found.ci95_clustered is not None
    assert found.ci95_clustered.low < alone.ci95.low
    assert found.ci95_clustered.high > alone.ci95.high
    each = paired(a[::10], b[::10])  # as if each cluster were one item
    assert found.p_clustered == {"template": pytest.approx(each.p)}
    assert paired(a, b, factors={}).ci95_clustered is None
