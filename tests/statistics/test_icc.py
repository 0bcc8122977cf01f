"""ICC(1): the published example, a variance that is known, and what cannot be had."""

from __future__ import annotations

import numpy as np
import pytest

from clapbench.statistics.icc import icc1

# Shrout and Fleiss 1979, table 2: four ratings of each of six targets.
TABLE_2 = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]


def test_the_published_example() -> None:
    """ICC(1,1) is .17 there (table 4); F, and the interval as psych 2.4 (R) has it: F 1.79, -.13 to .72."""
    found = icc1([np.array(row, dtype=float) for row in TABLE_2])
    assert (found.groups, found.n, found.replicates) == (6, 24, 4.0)
    assert round(found.value, 2) == 0.17
    assert round(found.f, 2) == 1.79
    assert (round(found.low, 2), round(found.high, 2)) == (-0.13, 0.72)


def test_it_covers_the_true_share_with_seeds_of_unequal_number() -> None:
    """12 recipes of 1 to 4 seeds, half of the variance between them: 95 % within the error of 400 draws."""
    rng = np.random.default_rng(0)
    sizes = [1, 2, 3, 4] * 3
    hits, values = 0, []
    for _ in range(400):
        groups = [rng.normal() + rng.normal(size=size) for size in sizes]
        found = icc1(groups)
        hits += found.low <= 0.5 <= found.high
        values.append(found.value)
    assert 0.92 <= hits / 400 <= 0.98
    assert abs(np.mean(values) - 0.5) < 0.05


def test_scale_and_origin_do_not_matter_and_a_nan_is_left_out() -> None:
    groups = [np.array([1.0, 2.0]), np.array([4.0, np.nan, 5.0]), np.array([np.nan]), np.array([3.0])]
    kept = [np.array([1.0, 2.0]), np.array([4.0, 5.0]), np.array([3.0])]
    assert icc1(groups) == icc1(kept)
    assert icc1([100 * one - 7 for one in kept]).value == pytest.approx(icc1(kept).value)


def test_what_is_undefined_says_why() -> None:
    one_each = icc1([np.array([1.0]), np.array([2.0])])
    assert one_each.value is None
    assert one_each.note == "needs at least a group with two numbers"
    assert icc1([np.array([1.0, 2.0])]).note == "needs at least two groups"
    assert icc1([np.array([1.0, 1.0]), np.array([1.0, 1.0])]).value is None
    sure = icc1([np.array([1.0, 1.0]), np.array([2.0, 2.0])])
    assert (sure.value, sure.low) == (1.0, None)
