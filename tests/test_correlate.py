"""Correlations against hand values and scipy, with missing, constant and too few cells."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from scipy import stats

from clapbench import correlate as module
from clapbench.correlate import correlate

NAN = float("nan")


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
    assert correlate(x[order], y[order])[1:5] == pytest.approx(correlate(x, y)[1:5], rel=1e-12)


def test_a_constant_side_is_undefined_and_says_so():
    got = correlate(np.full(8, 0.3), np.arange(8.0), value_name="gap_l2", score_name="H")
    assert got[1:5] == (None, None, None, None)
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


def test_examples_in_docstrings_are_right():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
