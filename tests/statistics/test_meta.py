"""Random-effects meta-analysis against what metafor and statsmodels give for the BCG trials."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from clapbench.statistics.meta import fisher_variance, pooled, restricted_tau2

GOLDEN = json.loads((Path(__file__).parents[1] / "reference" / "meta_golden.json").read_text("utf-8"))
EFFECTS, VARIANCES = np.array(GOLDEN["effects"]), np.array(GOLDEN["variances"])


def test_tau_is_that_of_the_restricted_likelihood() -> None:
    """metafor prints .3132; a grid over the likelihood itself (Viechtbauer 2005, eq. 7) finds the same place."""
    tau2 = restricted_tau2(EFFECTS, VARIANCES)
    assert round(tau2, 4) == GOLDEN["metafor"]["tau2"]

    def likelihood(tau2: float) -> float:
        weights = 1 / (VARIANCES + tau2)
        mean = (weights * EFFECTS).sum() / weights.sum()
        fit = (weights * (EFFECTS - mean) ** 2).sum()
        return float(0.5 * np.log(weights).sum() - 0.5 * np.log(weights.sum()) - 0.5 * fit)

    grid = np.linspace(0.2, 0.45, 2501)
    assert grid[np.argmax([likelihood(one) for one in grid])] == pytest.approx(tau2, abs=2e-4)


def test_mean_and_q_are_those_published() -> None:
    found = pooled(EFFECTS, VARIANCES)
    assert round(found.value, 4) == GOLDEN["metafor"]["value"]
    assert found.q == pytest.approx(GOLDEN["statsmodels"]["q"], rel=1e-9)


def test_hartung_and_knapps_interval_is_that_of_statsmodels() -> None:
    """At the same tau, which statsmodels has from Paule and Mandel."""
    theirs = GOLDEN["statsmodels"]
    found = pooled(EFFECTS, VARIANCES, tau2=theirs["tau2"], least_q=0.0)
    assert (found.low, found.high) == pytest.approx(theirs["hartung_knapp"], abs=1e-7)
    assert (found.value, found.se) == pytest.approx((theirs["value"], theirs["se"]), abs=1e-9)


def test_effects_that_agree_have_no_tau_and_an_interval_all_the_same() -> None:
    found = pooled(np.array([0.3, 0.3]), np.array([0.1, 0.1]))
    assert found.tau2 == 0
    assert found.high - found.low == pytest.approx(
        2 * 12.7062 * 0.05**0.5, rel=1e-4
    )  # t of one degree of freedom
    assert pooled(np.array([0.3, 0.3]), np.array([0.1, 0.1]), least_q=0.0).se == 0
    assert (found.predicted_low, found.predicted_high) == (found.low, found.high)


def test_prediction_is_wider_than_the_mean() -> None:
    found = pooled(EFFECTS, VARIANCES)
    assert found.predicted_low < found.low < found.high < found.predicted_high


def test_refusals() -> None:
    with pytest.raises(ValueError, match="two or more finite effects"):
        pooled(np.array([0.1]), np.array([0.1]))
    with pytest.raises(ValueError, match="more than 3 pairs, got pearson of 3"):
        fisher_variance(0.5, 3, coefficient="pearson")
