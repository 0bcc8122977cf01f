"""Agreement of raters: golden numbers, definitions by loops, and intervals that cover."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from clapbench.statistics import crossed
from clapbench.statistics.agreement import krippendorff, reliability, resampled
from clapbench.statistics.crossed import Draws
from clapbench.statistics.icc import two_way

# Krippendorff's example of interval data with gaps (2011, "Computing Krippendorff's alpha-reliability", section C).
GAPS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, np.nan, np.nan, np.nan],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, np.nan, 3],
        [np.nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, np.nan],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, np.nan],
    ]
)


def by_definition(x: np.ndarray) -> float:
    """Every pair of ratings of a unit against every pair of all, one by one."""
    units = [[v for v in unit if not np.isnan(v)] for unit in x.T]
    units = [unit for unit in units if len(unit) > 1]
    every = [v for unit in units for v in unit]
    n = len(every)
    observed = sum(sum((a - b) ** 2 for a, b in permutations(u, 2)) / (len(u) - 1) for u in units) / n
    return 1 - observed / (sum((a - b) ** 2 for a, b in permutations(every, 2)) / (n * (n - 1)))


def test_alpha_is_the_published_one_and_its_definition() -> None:
    assert round(krippendorff(GAPS), 3) == 0.849
    rng = np.random.default_rng(3)
    for raters, units in ((2, 5), (6, 11), (9, 3)):
        x = rng.normal(size=(raters, units)) + rng.normal(size=units)
        assert krippendorff(x) == pytest.approx(by_definition(x), abs=1e-12)
        x[rng.random(x.shape) < 0.3] = np.nan
        assert krippendorff(x) == pytest.approx(by_definition(x), abs=1e-12)


def test_alpha_does_not_mind_order_scale_or_origin() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(5, 8)) + rng.normal(size=8)
    alpha = krippendorff(x)
    assert krippendorff(x[rng.permutation(5)][:, rng.permutation(8)]) == pytest.approx(alpha, abs=1e-12)
    assert krippendorff(-3 * x + 1e4) == pytest.approx(alpha, abs=1e-9)
    assert krippendorff(np.hstack([x, np.full((5, 2), np.nan)])) == pytest.approx(alpha, abs=1e-12)


def test_alpha_of_perfect_and_of_no_agreement() -> None:
    assert krippendorff(np.tile(np.arange(5.0), (3, 1))) == 1.0
    noise = np.random.default_rng(0).normal(size=(40, 200))
    assert abs(krippendorff(noise)) < 0.01
    assert krippendorff(np.full((3, 4), 7.0)) is None
    assert krippendorff(np.array([[1.0, np.nan], [np.nan, 2.0]])) is None
    assert krippendorff(np.zeros((3, 0))) is None


def test_the_figures_are_those_of_their_own_functions_and_pairs_give_them_too() -> None:
    """The sums over pairs of different raters, of which intervals are made, are the ANOVA's where each counts once."""
    x = np.random.default_rng(5).normal(size=(7, 4, 3)) * 5 + [10.0, 30.0, 35.0]
    found = reliability(x, draws=50)
    icc, alpha = two_way(x.mean(axis=1).T), krippendorff(x.reshape(7, -1))
    assert (found.mean.value, found.single.value, found.alpha.value) == (icc.icc2k, icc.icc2, alpha)
    assert found.ceiling.value == pytest.approx(icc.icc2k**0.5)
    assert found.ceiling.ci95 == pytest.approx([bound**0.5 for bound in found.mean.ci95])
    once = resampled(x, Draws(np.ones((1, 7)), np.ones((1, 4))))
    assert np.ravel(once) == pytest.approx([icc.icc2k, icc.icc2, alpha], abs=1e-12)


def test_a_rater_drawn_twice_does_not_agree_with_himself() -> None:
    """Ratings without any agreement have none in the draws either, on average."""
    x = np.random.default_rng(6).normal(size=(8, 6, 5))
    _, single, alpha = resampled(x - x.mean(axis=0), crossed.drawn(8, 6, draws=2000))
    assert abs(np.nanmean(alpha) - krippendorff((x - x.mean(axis=0)).reshape(8, -1))) < 0.03
    assert np.nanmean(single) < 0.05


def test_intervals_cover_what_more_raters_would_find() -> None:
    rng = np.random.default_rng(7)
    quality, n = np.array([70.0, 55.0, 50.0, 30.0]), 120

    def study(raters: int) -> np.ndarray:
        bias = rng.normal(0, 6, (raters, 1, 1))
        return quality + bias + rng.normal(0, 5, (raters, 1, 4)) + rng.normal(0, 9, (raters, 8, 4))

    truth = reliability(study(2000), draws=1).single.value
    hits = 0
    for seed in range(n):
        found = reliability(study(14), draws=200, seed=seed).single.ci95
        hits += found.low <= truth <= found.high
    assert hits / n > 0.85


def test_what_cannot_be_had_says_why() -> None:
    alone = reliability(np.tile([1.0, 2.0], (1, 3, 1)))
    assert alone.mean.value is None
    assert alone.note == "needs at least two targets and two raters, got 2 and 1"
    one_trial = reliability(np.random.default_rng(0).normal(size=(5, 1, 3)))
    assert one_trial.mean.value is not None
    assert (one_trial.mean.ci95, one_trial.note) == (
        None,
        "no interval: it needs at least 2 raters and 2 trials",
    )
    assert reliability(np.ones((4, 3, 2))).note == "no difference between the means of the targets"
    assert reliability(np.zeros((4, 3, 0))).mean.value is None


def test_seed_and_chunks_decide_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(8).normal([1.0, 2.0, 4.0], size=(6, 4, 3))
    found = reliability(x, draws=100, seed=3)
    assert reliability(x, draws=100, seed=3) == found
    assert reliability(x, draws=100, seed=4) != found
    monkeypatch.setattr("clapbench.statistics.agreement.CHUNK", 500)
    again = reliability(x, draws=100, seed=3)
    assert again.mean.ci95 == pytest.approx(found.mean.ci95)
    assert again.alpha.ci95 == pytest.approx(found.alpha.ci95)


def test_two_way_iccs_are_shrout_and_fleiss_s_and_an_analysis_of_variance_s() -> None:
    """Their table 2 and 4 (1979); statsmodels' sums of squares for other tables."""
    published = two_way(
        np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7.0]])
    )
    assert [round(one, 2) for one in published[2:6]] == [0.29, 0.62, 0.71, 0.91]
    statsmodels = pytest.importorskip("statsmodels.formula.api")
    import pandas as pd
    from statsmodels.stats.anova import anova_lm

    rng = np.random.default_rng(9)
    for n, k in ((5, 11), (3, 2), (12, 4)):
        x = rng.normal(size=(n, k)) + 2 * rng.normal(size=(n, 1)) + rng.normal(size=k)
        table = pd.DataFrame(
            [(f"t{i}", f"r{j}", x[i, j]) for i in range(n) for j in range(k)],
            columns=["target", "rater", "y"],
        )
        squares = anova_lm(statsmodels.ols("y ~ target + rater", table).fit())
        r, c, e = squares["sum_sq"] / squares["df"]
        found = two_way(x)
        assert found.icc2 == pytest.approx((r - e) / (r + (k - 1) * e + k * (c - e) / n), abs=1e-9)
        assert found.icc2k == pytest.approx((r - e) / (r + (c - e) / n), abs=1e-9)
        assert found.icc3 == pytest.approx((r - e) / (r + (k - 1) * e), abs=1e-9)
        assert found.icc3k == pytest.approx(1 - e / r, abs=1e-9)


def test_two_way_iccs_without_error_or_difference() -> None:
    assert two_way(np.array([[1.0, 1.0], [2.0, 2.0], [5.0, 5.0]]))[2:6] == (1.0, 1.0, 1.0, 1.0)
    assert two_way(np.array([[1.0, 2.0], [1.0, 2.0]])).icc2 is None
    shifted = two_way(np.array([[1.0, 11.0], [2.0, 12.0], [3.0, 13.0]]))
    assert shifted.icc3 == pytest.approx(1.0)
    assert shifted.icc2 < 0.1


def test_draws_keep_listeners_and_trials_whole() -> None:
    x = np.random.default_rng(10).normal(size=(5, 4, 3))
    chosen = crossed.drawn(5, 4, draws=30, seed=1)
    assert (chosen.listeners.sum(axis=1) == 5).all()
    found = crossed.means(x, chosen)
    for draw in range(30):
        rows = np.repeat(np.arange(5), chosen.listeners[draw].astype(int))
        columns = np.repeat(np.arange(4), chosen.trials[draw].astype(int))
        assert found[draw] == pytest.approx(x[rows][:, columns].mean(axis=(0, 1)))
    assert crossed.bounds(np.array([np.nan])) is None


def test_intervals_over_listeners_and_trials_cover_where_those_over_ratings_do_not() -> None:
    rng = np.random.default_rng(11)
    n, hits, naive = 200, 0, 0
    for seed in range(n):
        x = 50 + rng.normal(0, 6, (12, 1, 1)) + rng.normal(0, 4, (1, 8, 1)) + rng.normal(0, 8, (12, 8, 1))
        low, high = crossed.bounds(crossed.means(x, crossed.drawn(12, 8, draws=400, seed=seed))[:, 0])
        hits += low <= 50 <= high
        naive += abs(x.mean() - 50) <= 1.96 * x.std() / x.size**0.5
    assert hits / n > 0.9
    assert naive / n < 0.75
