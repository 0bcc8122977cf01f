"""Effects over blocks: against scipy, known answers, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from clapbench.statistics.blocks import effect, flips_p, slope

RNG = np.random.default_rng(0)
BLOCKS = RNG.normal(0.4, 1.0, size=6)


@pytest.mark.parametrize(
    ("sign", "alternative"), [("either", "two-sided"), ("positive", "greater"), ("negative", "less")]
)
def test_mean_interval_and_p_are_those_of_scipy(sign: str, alternative: str) -> None:
    found, theirs = effect(BLOCKS, sign=sign), stats.ttest_1samp(BLOCKS, 0, alternative=alternative)
    band = stats.ttest_1samp(BLOCKS, 0).confidence_interval(0.95)
    assert (found.value, found.low, found.high, found.p) == pytest.approx(
        (BLOCKS.mean(), band.low, band.high, theirs.pvalue), rel=1e-9
    )


def test_no_effect_is_shown_exactly_where_the_90_percent_interval_lies_within_the_margin() -> None:
    band = stats.ttest_1samp(BLOCKS, 0).confidence_interval(0.90)
    reach = max(abs(band.low), abs(band.high))
    assert effect(BLOCKS, sign="none", margin=reach * 1.001).p < 0.05
    assert effect(BLOCKS, sign="none", margin=reach * 0.999).p > 0.05


def test_sign_flips_count_orders_that_are_as_far_out() -> None:
    theirs = stats.permutation_test((BLOCKS,), np.mean, permutation_type="samples", n_resamples=10_000)
    assert flips_p(BLOCKS) == pytest.approx(theirs.pvalue)
    assert flips_p(np.full(5, 2.0), sign="negative") == 1.0
    assert flips_p(np.ones(20)) == pytest.approx(1 / 10_001, abs=1e-9)


def test_blocks_without_spread_leave_no_doubt() -> None:
    found = effect(np.full(4, 0.5))
    assert (found.low, found.high, found.p, found.same_sign) == (0.5, 0.5, 0.0, 4)
    assert effect(np.zeros(4)).p == 1.0


def test_one_block_has_a_value_and_nothing_more() -> None:
    assert effect(np.array([0.3]))[:5] == (0.3, None, None, None, None)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 block"):
        effect(np.array([]))
    with pytest.raises(ValueError, match="finite"):
        effect(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="margin"):
        effect(BLOCKS, sign="none")
    with pytest.raises(ValueError, match="2 different doses"):
        slope(np.ones(3), np.arange(3.0))


def test_a_slope_is_that_of_polyfit() -> None:
    x, y = RNG.normal(size=(2, 7))
    assert slope(x, y) == pytest.approx(np.polyfit(x, y, 1)[0])
