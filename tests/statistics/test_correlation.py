"""Correlations against hand values and scipy, permutation p against theory, intervals against their coverage.

``python tests/statistics/test_correlation.py`` measures that coverage for docs/correlations.md.
"""

from __future__ import annotations

import itertools
import math
import sys

import numpy as np
import pytest
from scipy import stats

from clapbench.statistics.bayes import bayes_factor
from clapbench.statistics.bootstrap import interval
from clapbench.statistics.coefficients import COEFFICIENTS, Coefficient, correlate, few, partial, weighted
from clapbench.statistics.corrections import holm, max_t
from clapbench.statistics.correlation import table
from clapbench.statistics.influence import without_models
from clapbench.statistics.permutation import distances, free, joint, orders, permuted, within
from clapbench.statistics.power import cells_needed, power_line

NAN = float("nan")
MODELS, BENCHES = list("abcabc"), list("xxxyyy")


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def test_spearman_and_pearson_by_hand():
    x, y = array(1, 2, 3, 4, 5), array(2, 1, 4, 3, 50)
    got = correlate(x, y)
    assert got.spearman == pytest.approx(1 - 6 * 4 / (5 * 24), rel=1e-12)  # 1 - 6 sum d^2 / (n (n^2 - 1))
    assert got.pearson == pytest.approx(98 / np.sqrt(10 * 1810), rel=1e-12)
    assert (got.n, got.note) == (5, None)


def test_numbers_and_p_are_those_of_scipy_ties_included():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 24).astype(float), rng.standard_normal(24)
    got, rank, linear = correlate(x, y), stats.spearmanr(x, y), stats.pearsonr(x, y)
    assert (got.spearman, got.spearman_p) == (rank.statistic, rank.pvalue)
    assert (got.pearson, got.pearson_p) == (linear.statistic, linear.pvalue)


def test_spearman_sees_ranks_only_and_both_see_the_sign():
    x = array(1, 2, 3, 4, 5, 6)
    up, down = correlate(x, np.exp(x)), correlate(x, -np.exp(x))
    assert up.spearman == pytest.approx(1)
    assert up.pearson < 1
    assert (down.spearman, down.pearson) == pytest.approx((-up.spearman, -up.pearson))
    assert correlate(x * 3 - 7, np.exp(x)).pearson == pytest.approx(up.pearson, rel=1e-12)


def test_cells_without_one_of_the_two_are_left_out():
    x, y = array(1, NAN, 3, 4, 2, 9, NAN), array(4, 7, NAN, 1, 3, 8, NAN)
    assert correlate(x, y) == correlate(array(1, 4, 2, 9), array(4, 1, 3, 8))
    assert correlate(x, y).n == 4


def test_order_of_cells_does_not_matter():
    rng = np.random.default_rng(1)
    x, y, order = rng.standard_normal(12), rng.standard_normal(12), rng.permutation(12)
    assert correlate(x[order], y[order])[1:7] == pytest.approx(correlate(x, y)[1:7], rel=1e-12)


def test_a_constant_side_is_undefined_and_says_so():
    got = correlate(np.full(8, 0.3), np.arange(8.0), value_name="gap_l2", score_name="H")
    assert got[1:7] == (None,) * 6
    assert (got.n, got.note) == (8, "gap_l2 is the same in all 8 cells")
    both = correlate(np.zeros(5), np.ones(5), value_name="gap_l2", score_name="H")
    assert both.note == "gap_l2 is the same in all 5 cells; H is the same in all 5 cells"


def test_a_side_constant_up_to_rounding_is_constant():
    got = correlate(0.1 + 1e-16 * np.arange(6), np.arange(6.0), value_name="gap_l2")
    assert got.pearson is None
    assert correlate(0.1 + 1e-9 * np.arange(6), np.arange(6.0)).pearson == pytest.approx(1, abs=1e-6)


def test_too_few_and_infinite_are_refused():
    with pytest.raises(ValueError, match="at least 4 cells with both gap_l2 and H; got 3"):
        correlate(array(1, 2, 3, NAN), array(1, 2, 4, 5), value_name="gap_l2", score_name="H")
    with pytest.raises(ValueError, match="the value is infinite in 1 of 4"):
        correlate(array(1, 2, 3, float("inf")), array(1, 2, 4, 5))


def scipy_coefficient(x: np.ndarray, y: np.ndarray, coefficient: Coefficient) -> float:
    function = {"spearman": stats.spearmanr, "pearson": stats.pearsonr, "kendall": stats.kendalltau}[
        coefficient
    ]
    return float(function(x, y).statistic)


def test_kendall_is_scipys_tau_b():
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 6, 24).astype(float), rng.standard_normal(24)
    found = stats.kendalltau(x, y, method="asymptotic")
    assert correlate(x, y)[5:7] == (found.statistic, found.pvalue)


# Permutation


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_exact_p_is_the_share_of_all_orders(coefficient: Coefficient):
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 4, (2, 6)).astype(float), rng.standard_normal(6)
    for row, got in zip(x, permuted(x, y, free(6), coefficient=coefficient), strict=True):
        every = np.abs(
            [scipy_coefficient(row, y[list(o)], coefficient) for o in itertools.permutations(range(6))]
        )
        assert got.p == pytest.approx((every >= every[0] - 1e-9).mean(), abs=1e-12)
        assert got.p_min == pytest.approx((every >= every.max() - 1e-9).mean(), abs=1e-12)
        assert (got.orders, got.exact) == (720, True)


def test_exact_p_of_the_published_study():
    """Text RankMe and H of its six cells: 12 of 720 orders are as far; with 3 models no p is below 1/6."""
    rank, h = array(161.8, 316.7, 272.8, 133.6, 199.3, 175.2), array(0.028, 0.140, 0.125, 0.030, 0.102, 0.076)
    alone = permuted(rank[None], h, free(6))[0]
    assert (alone.p, alone.p_min) == pytest.approx((12 / 720, 2 / 720))
    together = permuted(rank[None], h, joint(MODELS, BENCHES))[0]
    assert (together.p_min, together.orders) == (pytest.approx(1 / 6), 6)
    assert together.p >= together.p_min


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
@pytest.mark.parametrize("scheme", ["free", "within", "joint"])
def test_under_the_null_p_is_valid_at_every_attainable_level(coefficient: Coefficient, scheme: str):
    """Each order of the scores is as likely: over all of them P(p <= a) = a at every a that occurs."""
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((2, 6))
    strata = {"free": free(6), "within": within(BENCHES), "joint": joint(MODELS, BENCHES)}[scheme]
    every = orders(strata).rows
    ps = np.array([permuted(x[None], y[row], strata, coefficient=coefficient)[0].p for row in every])
    for level in np.unique(ps.round(9)):
        assert (ps <= level + 1e-9).mean() == pytest.approx(level, abs=1e-8)


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_under_the_null_p_is_uniform_where_it_is_sampled(coefficient: Coefficient):
    """24 cells, 400 null probes and scores, against the uniform law."""
    rng = np.random.default_rng(5)
    ps = [
        permuted(*nulls(rng), free(24), coefficient=coefficient, draws=499, seed=seed)[0].p
        for seed in range(400)
    ]
    assert stats.kstest(ps, "uniform").pvalue > 0.01
    assert min(ps) >= 1 / 500


def nulls(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((1, 24)), rng.standard_normal(24)


def test_cells_of_a_model_are_not_independent_and_joint_orders_know_it():
    """8 models x 3 benchmarks, probe and score set by the model alone: free p are far too small, joint p are not."""
    rng = np.random.default_rng(6)
    models, benches = [m for m in "abcdefgh" for _ in range(3)], list("xyz" * 8)
    low = {"free": 0, "joint": 0}
    for seed in range(60):
        x, y = (np.repeat(rng.standard_normal(8), 3) + 0.1 * rng.standard_normal(24) for _ in range(2))
        for name, strata in (("free", free(24)), ("joint", joint(models, benches))):
            low[name] += permuted(x[None], y, strata, draws=199, seed=seed)[0].p <= 0.05
    assert low["free"] > 10
    assert stats.binomtest(low["joint"], 60, 0.05).pvalue > 0.01


def test_joint_orders_keep_a_models_cells_together_and_its_benchmarks():
    models, benches = np.array(list("aabbccd")), np.array(list("xyxyyxx"))
    rows = orders(joint(list(models), list(benches))).rows
    assert len(rows) == len({tuple(row) for row in rows}) == 6  # d has one benchmark and stays
    for row in rows:
        assert (benches[row] == benches).all()
        assert all(len(set(models[row][models == model])) == 1 for model in "abcd")
    with pytest.raises(ValueError, match="a × x comes twice"):
        joint(["a", "a"], ["x", "x"])


def test_orders_are_all_up_to_nine_cells_then_seeded_draws():
    assert len(np.unique(orders(free(7)).rows, axis=0)) == math.factorial(7)
    nine = orders(free(9))
    assert (len(nine.rows), nine.exact) == (362_880, True)
    ten = orders(free(10), draws=999)
    assert (len(ten.rows), ten.exact) == (1000, False)
    np.testing.assert_array_equal(ten.rows[0], np.arange(10))
    np.testing.assert_array_equal(ten.rows, orders(free(10), draws=999).rows)
    assert (ten.rows != orders(free(10), draws=999, seed=1).rows).any()


def test_a_sampled_p_is_close_to_the_exact_one_and_never_zero():
    x, y = np.arange(12.0), np.arange(12.0)
    assert permuted(x[None], y, free(12), draws=999)[0].p == 1 / 1000
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((2, 30))
    got = permuted(x[None], y, free(30), coefficient="pearson")[0]
    assert got.p == pytest.approx(stats.pearsonr(x, y).pvalue, abs=0.02)


def test_the_smallest_sampled_p_knows_ties():
    """0 and 1 by turns in 12 cells: the farthest orders are 2 of 924."""
    x = np.tile([0.0, 1.0], 6)
    got = permuted(x[None], x, free(12))[0]
    assert got.p_min == got.p == pytest.approx(2 / 924, rel=0.5)
    assert got.p_min > 1 / 10_001


def test_orders_within_benchmarks_see_past_their_difference():
    x, y = array(1, 2, 3, 11, 12, 13), array(3, 1, 2, 13, 11, 12)
    assert permuted(x[None], y, free(6))[0].p < 0.2
    assert permuted(x[None], y, within(BENCHES))[0].p > 0.4


@pytest.mark.parametrize("coefficient", ["spearman", "pearson"])
def test_p_within_benchmarks_is_the_exact_p_of_the_partial_coefficient(coefficient: Coefficient):
    rng = np.random.default_rng(14)
    for _ in range(10):
        x, y = rng.standard_normal((2, 6)) + array(
            0, 0, 0, 1, 1, 1
        )  # a difference of benchmarks, with the probe's
        found = [partial(x, y[row], BENCHES, coefficient=coefficient) for row in orders(within(BENCHES)).rows]
        far = np.abs(np.array(found, dtype=float))
        got = permuted(x[None], y, within(BENCHES), coefficient=coefficient)[0]
        assert got.p == pytest.approx((far >= far[0] - 1e-9).mean())


# Resampling


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_a_weight_is_how_often_a_cell_stands_in_the_sample(coefficient: Coefficient):
    rng = np.random.default_rng(8)
    x, y = rng.integers(0, 5, 10).astype(float), rng.standard_normal(10)
    counts = rng.multinomial(10, np.full(10, 0.1), size=20)
    got = weighted(x, y, counts.astype(float), coefficient)
    for value, count in zip(got, counts, strict=True):
        again = scipy_coefficient(np.repeat(x, count), np.repeat(y, count), coefficient)
        assert value == pytest.approx(again, abs=1e-12)


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_a_sample_with_a_constant_side_is_undefined(coefficient: Coefficient):
    x = array(0.1, 0.1, 0.1, 0.7)
    assert np.isnan(weighted(x, np.arange(4.0), array(1, 1, 5, 0)[None], coefficient)[0])


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
@pytest.mark.parametrize("models", [24, 60])
def test_intervals_cover_what_they_say(coefficient: Coefficient, models: int):
    hits, n = coverage(coefficient, models=models, rho=0.6, rounds=200, draws=200)
    assert stats.binomtest(hits, n, 0.95).pvalue > 0.01


def coverage(
    coefficient: Coefficient, *, models: int, rho: float, rounds: int, draws: int = 1000, law: str = "normal"
) -> tuple[int, int]:
    """How many intervals of how many hold the true coefficient: 2 benchmarks, models half of the variance.

    The law is normal, "t3" (each model's cells at a scale of its own, Student's t with 3 degrees of freedom) or
    "lognormal" (the exponential of the normal); of the heavy ones the true Pearson coefficient alone is known here.
    """
    assert coefficient == "pearson" or law == "normal"
    true = {
        "pearson": math.expm1(rho) / math.expm1(1) if law == "lognormal" else rho,
        "spearman": 6 / math.pi * math.asin(rho / 2),
        "kendall": 2 / math.pi * math.asin(rho),
    }[coefficient]
    root = np.linalg.cholesky([[1, rho], [rho, 1]])
    rng = np.random.default_rng(models)
    names = [str(model) for model in range(models) for _ in range(2)]
    hits = 0
    for seed in range(rounds):
        common, own = rng.standard_normal((models, 1, 2)), rng.standard_normal((models, 2, 2))
        scale = np.sqrt(3 / rng.chisquare(3, (models, 1, 1))) if law == "t3" else 1.0
        cells = (scale * (common + own) / math.sqrt(2)) @ root.T
        x, y = (np.exp(cells) if law == "lognormal" else cells).reshape(-1, 2).T
        found = interval(x, y, names, coefficient=coefficient, draws=draws, seed=seed)
        hits += found.low is not None and found.low <= true <= found.high
    return hits, rounds


def test_a_pearson_interval_is_no_narrower_than_the_jackknifes():
    """Heavy tails: what one model does alone is in the interval."""
    rng = np.random.default_rng(16)
    x, y = rng.standard_t(2, (2, 12))
    names = list("abcdefghijkl")
    found = interval(x, y, names, coefficient="pearson", draws=400)
    one = np.arctanh(stats.pearsonr(x, y).statistic)
    kept = 1 - np.eye(12)
    without = np.arctanh(weighted(x, y, kept, "pearson"))
    error = math.sqrt(11 / 12 * ((without - without.mean()) ** 2).sum())
    half = (np.arctanh(found.high) - np.arctanh(found.low)) / 2
    assert half >= stats.t.ppf(0.975, 11) * error - 1e-12
    assert (np.arctanh(found.high) + np.arctanh(found.low)) / 2 == pytest.approx(one)
    assert found.bound < max(abs(found.low), abs(found.high))


def test_no_interval_is_given_in_words():
    rng = np.random.default_rng(9)
    x, y = rng.standard_normal((2, 8))
    four = interval(x, y, list("aabbccdd"))
    assert four[:3] == (None, None, "no interval: it needs at least 5 models, there are 4")
    assert "one line" in (interval(x, x, list("abcdefgh")).note or "")
    assert "undefined" in (interval(x, np.ones(8), list("abcdefgh")).note or "")
    five = interval(x, y, list("aabbccde"), draws=500)
    assert five.note is None
    assert five.low is not None
    assert -1 <= five.low < five.high <= 1
    assert five == interval(x, y, list("aabbccde"), draws=500)


def test_a_model_is_drawn_with_all_its_cells():
    """Every model measured twice: as many models, as wide an interval."""
    rng = np.random.default_rng(10)
    x, y = rng.standard_normal((2, 20))
    names = [str(model) for model in range(20)]
    once = interval(x, y, names, coefficient="pearson", draws=500)
    twice = interval(np.tile(x, 2), np.tile(y, 2), names * 2, coefficient="pearson", draws=500)
    assert twice == pytest.approx(once)


def test_range_without_one_model_by_hand():
    x, y, names = np.arange(8.0), array(0, 1, 2, 3, 4, 5, 7, 0), list("aabbccdd")
    got = without_models(x, y, names, coefficient="pearson")
    each = [stats.pearsonr(x[[n != m for n in names]], y[[n != m for n in names]]).statistic for m in "abcd"]
    assert got[:2] == pytest.approx((min(each), max(each)))
    assert got.most_influential == "d"
    assert got.without_most_influential == pytest.approx(each[3])
    assert "fewer than 4" in (without_models(x[:4], y[:4], list("abcd")).note or "")
    assert "constant" in (without_models(x, array(0, 0, 0, 0, 0, 0, 1, 2), names).note or "")


def test_an_outlier_is_a_model_that_makes_up_more_than_its_share_and_a_control_is_named():
    rng = np.random.default_rng(15)
    x = rng.standard_normal(10)
    y, names = x + 0.5 * rng.standard_normal(10), list("abcdefghij")
    x[3], y[3] = 6.0, -6.0
    got = without_models(x, y, names, coefficient="pearson", controls=["a", "absent"])
    assert (got.most_influential, got.outliers, got.controls) == ("d", ("d",), ("a",))
    kept = [name != "d" for name in names]
    assert (
        got.without_outliers
        == got.without_most_influential
        == pytest.approx(stats.pearsonr(x[kept], y[kept]).statistic)
    )
    assert got.without_controls == pytest.approx(stats.pearsonr(x[1:], y[1:]).statistic)
    alone = without_models(x[:4], y[:4], list("abcd"), controls="ab")
    assert (alone.controls, alone.without_controls) == (("a", "b"), None)


# Given the benchmark


def test_partial_is_the_correlation_of_residuals():
    rng = np.random.default_rng(11)
    x, y, benches = rng.standard_normal(12), rng.standard_normal(12), list("xxxxxyyyyzzz")
    x[:5] += 10
    dummies = np.array([[b == name for name in "xyz"] for b in benches], dtype=float)
    for coefficient, a, b in (("pearson", x, y), ("spearman", stats.rankdata(x), stats.rankdata(y))):
        residuals = [side - dummies @ np.linalg.lstsq(dummies, side)[0] for side in (a, b)]
        assert partial(x, y, benches, coefficient=coefficient) == pytest.approx(
            stats.pearsonr(*residuals).statistic
        )
    assert partial(x, y, ["x"] * 12, coefficient="kendall") == pytest.approx(stats.kendalltau(x, y).statistic)
    assert partial(array(1, 1, 1, 2, 2, 2), np.arange(6.0), BENCHES) is None


# Many probes, few cells


def test_holm_by_hand():
    ps = [0.001, 0.02, 0.02, 0.3, 0.04, 0.9]
    np.testing.assert_allclose(holm(ps), [0.006, 0.1, 0.1, 0.6, 0.12, 0.9])
    assert holm([None, 0.5]) == [None, 0.5]
    assert holm([]) == []


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
@pytest.mark.parametrize(("effect", "tests"), [(0.5, 1), (0.8, 1), (0.9, 1), (0.9, 8), (0.95, 1)])
def test_the_cells_needed_do_show_the_effect(coefficient: Coefficient, effect: float, tests: int):
    """As often as promised, by a permutation test of normal data; more often where cells are few."""
    rng = np.random.default_rng(12)
    rho = {
        "pearson": effect,
        "spearman": 2 * math.sin(math.pi * effect / 6),
        "kendall": math.sin(math.pi * effect / 2),
    }[coefficient]
    n = cells_needed(effect, coefficient=coefficient, tests=tests)
    null = np.sort(-np.abs(by_rows(*rng.standard_normal((2, 20_000, n)), coefficient)))
    x, y = np.moveaxis(rng.standard_normal((2000, n, 2)) @ np.linalg.cholesky([[1, rho], [rho, 1]]).T, -1, 0)
    p = np.searchsorted(null, -np.abs(by_rows(x, y, coefficient)) + 1e-9, side="right") / len(null)
    share = (p <= 0.05 / tests).mean()
    assert share >= 0.78
    assert share <= 0.92 or n < 10


def by_rows(x: np.ndarray, y: np.ndarray, coefficient: Coefficient) -> np.ndarray:
    if coefficient == "kendall":
        first, second = np.triu_indices(x.shape[1], 1)
        return (np.sign(x[:, first] - x[:, second]) * np.sign(y[:, first] - y[:, second])).mean(axis=1)
    if coefficient == "spearman":
        x, y = x.argsort(axis=1).argsort(axis=1), y.argsort(axis=1).argsort(axis=1)
    x, y = (side - side.mean(axis=1, keepdims=True) for side in (x, y))
    return (x * y).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))


def test_power_in_words():
    assert cells_needed(0.0) is None
    assert cells_needed(-1.0) == 5  # of 4 cells no p is below 2 / 24
    assert cells_needed(-1.0, tests=13) == 6
    assert "no number of cells" in power_line("gap_l2", 0.0, n=6)
    assert ", 10 when 8 different probes are tried" in power_line("rankme_text", 0.94, n=6, tests=8)


def test_few_cells_are_shouted_about():
    assert (few(9) or "").startswith("ONLY 9 CELLS")
    assert few(10) is None


# The whole


def test_a_table_row_holds_what_the_parts_say():
    rng = np.random.default_rng(13)
    probes = {"a": rng.standard_normal(12), "b": rng.standard_normal(12)}
    h, models, benches = rng.standard_normal(12), list("abcdefabcdef"), list("x" * 6 + "y" * 6)
    rows = table(
        probes, h, models=models, benches=benches, nulls={"dim": np.tile([1.0, 1, 2, 2, 3, 3], 2)}, draws=500
    )
    assert [(row.kind, row.name, row.coefficient) for row in rows] == [
        (kind, name, coefficient)
        for kind, name in (("probe", "a"), ("probe", "b"), ("null predictor", "dim"))
        for coefficient in COEFFICIENTS
    ]
    for row in rows[:6]:
        x, coefficient = probes[row.name], row.coefficient
        assert row.value == getattr(correlate(x, h), coefficient)
        assert row.p_exact == permuted(x[None], h, free(12), coefficient=coefficient, draws=500)[0].p
        assert (row.p_exact_sampled, row.p_exact_min) == (True, 1 / 501)
        assert row.p_joint == permuted(x[None], h, joint(models, benches), coefficient=coefficient)[0].p
        far = distances(np.array(list(probes.values())), h, joint(models, benches), coefficient=coefficient)
        corrected = max_t(far.rows)["ab".index(row.name)]
        assert (row.p_maxt, row.p_maxt_min, row.orders, row.tests) == (*corrected, 720, 2)
        band = interval(x, h, models, coefficient=coefficient, draws=500)
        assert (row.ci95_low, row.ci95_high, row.equivalence_bound) == (band.low, band.high, band.bound)
        assert row.partial == partial(x, h, benches, coefficient=coefficient)
        assert (row.n, row.n_models, row.note) == (12, 6, None)
        assert row.bf10 == (None if coefficient == "kendall" else bayes_factor(row.value, 6))
    assert {row.p_maxt for row in rows[6:]} == {None}
    assert all(row.p_joint is not None for row in rows[6:])


def test_what_a_table_cannot_have_is_none_with_a_reason():
    probes = {
        "flat": np.ones(6),
        "three": array(1, 2, 3, NAN, NAN, NAN),
        "infinite": array(1, 2, 3, 4, 5, float("inf")),
        "five": array(NAN, 3, 1, 4, 2, 6),
    }
    rows = table(probes, array(1, 4, 2, 3, 6, 5), models=MODELS, benches=BENCHES, coefficients=["spearman"])
    flat, three, infinite, five = rows
    assert flat.note == "undefined: flat is the same in all 6 cells"
    assert "at least 4 cells with both three and the score; got 3" in (three.note or "")
    assert "infinite is infinite in 1 of 6" in (infinite.note or "")
    assert [row.value for row in rows[:3]] == [row.p_maxt for row in rows[:3]] == [None] * 3
    assert (five.n, five.tests) == (5, 1)
    assert five.p_maxt == five.p_joint
    flat_score = table({"five": np.arange(6.0)}, np.ones(6), models=MODELS, benches=BENCHES, score_name="H")
    assert {row.note for row in flat_score} == {"undefined: H is the same in all 6 cells"}


def main(rounds: int) -> None:
    """The tables of docs/correlations.md."""
    print(
        f"coverage in % of {rounds} intervals at 95 %; one standard error is {100 * (0.0475 / rounds) ** 0.5:.1f}"
    )
    print("| coefficient | law | true Pearson | 6 models | 12 | 24 | 60 |\n|---|---|---|---|---|---|---|")
    kinds = [
        ("pearson", "t3"),
        ("pearson", "lognormal"),
        *((coefficient, "normal") for coefficient in COEFFICIENTS),
    ]
    for (coefficient, law), rho in itertools.product(kinds, (0.0, 0.6, 0.9)):
        found = [
            coverage(coefficient, models=models, rho=rho, rounds=rounds, law=law)
            for models in (6, 12, 24, 60)
        ]
        shares = " | ".join(f"{100 * hits / n:.1f}" for hits, n in found)
        print(f"| {coefficient} | {law} | {rho} | {shares} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
