"""What stands beside a p: Bayes factors against another library, equivalence, and what noise in a score takes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import ROOT
from scipy import integrate, stats

from clapbench.statistics.attenuation import reliability, share_variance
from clapbench.statistics.bayes import bayes_factor
from clapbench.statistics.bootstrap import interval
from clapbench.statistics.correlation import table

GOLDEN = json.loads((ROOT / "tests/reference/bayes_golden.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", GOLDEN["rows"], ids=lambda row: f"{row['r']}-{row['n']}")
def test_the_bayes_factor_is_that_of_pingouin(row: dict[str, float]):
    assert bayes_factor(row["r"], int(row["n"])) == pytest.approx(row["bf10"], rel=1e-9)
    assert bayes_factor(-row["r"], int(row["n"])) == bayes_factor(row["r"], int(row["n"]))


def test_the_bayes_factor_is_the_mean_likelihood_ratio_over_all_correlations():
    """Jeffreys's integral: (1 - rho^2)^((n - 1) / 2) / (1 - rho r)^(n - 3 / 2), nearly the exact likelihood of r."""
    r, n = 0.4, 60
    mean, _ = integrate.quad(
        lambda rho: (1 - rho**2) ** ((n - 1) / 2) / (1 - rho * r) ** (n - 1.5) / 2, -1, 1
    )
    assert bayes_factor(r, n) == pytest.approx(mean, rel=0.01)


def test_the_bayes_factor_where_there_is_none():
    assert bayes_factor(1.0, 10) is None
    assert bayes_factor(0.5, 2) is None
    assert bayes_factor(0.999999, 10_000) is None  # more than a float holds


@pytest.mark.parametrize("coefficient", ["spearman", "pearson"])
def test_an_effect_as_large_as_the_bound_is_excluded_wrongly_in_5_percent_at_most(coefficient):
    """Two one-sided tests at their limit: the true coefficient is the margin."""
    rng = np.random.default_rng(7)
    rho, n = 0.3, 150
    margin = rho if coefficient == "pearson" else 6 / np.pi * np.arcsin(rho / 2)
    root = np.linalg.cholesky([[1, rho], [rho, 1]])
    names = [str(model) for model in range(60)]
    wrong = 0
    for seed in range(n):
        x, y = root @ rng.standard_normal((2, 60))
        found = interval(x, y, names, coefficient=coefficient, draws=200, seed=seed)
        assert found.bound is not None
        assert abs(np.corrcoef(x, y)[0, 1]) <= found.bound or coefficient == "spearman"
        wrong += found.bound < margin
    assert stats.binomtest(wrong, n, 0.05, alternative="greater").pvalue > 0.01


def test_reliability_is_the_share_of_variance_between_cells():
    """Shares of 100 items: two draws of the same cells correlate by it, and the coefficient comes back."""
    rng = np.random.default_rng(8)
    true = rng.uniform(0.3, 0.7, 4000)
    first, second = rng.binomial(100, true) / 100, rng.binomial(100, true) / 100
    noise = np.array([share_variance(h, 100) for h in first])
    trust = reliability(first, noise)
    assert trust == pytest.approx(np.corrcoef(first, second)[0, 1], abs=0.02)
    probe = true + 0.1 * rng.standard_normal(4000)
    names = [str(cell) for cell in range(4000)]
    (row,) = table(
        {"probe": probe[:200]},
        first[:200],
        models=names[:200],
        benches=["x"] * 200,
        score_variance=noise[:200],
        coefficients=["pearson"],
        draws=9,
    )
    assert row.disattenuated == pytest.approx(row.value / np.sqrt(row.reliability))
    assert np.corrcoef(probe, first)[0, 1] / np.sqrt(trust) == pytest.approx(
        np.corrcoef(probe, true)[0, 1], abs=0.02
    )


def test_scores_that_differ_by_their_noise_alone_have_no_coefficient_without_it():
    rng = np.random.default_rng(9)
    scores = np.array([0.50, 0.51, 0.49, 0.50, 0.52, 0.48])
    rows = table(
        {"probe": rng.standard_normal(6)},
        scores,
        models="abcdef",
        benches="xxxxxx",
        score_variance=np.full(6, 0.0025),
        draws=99,
    )
    for row in rows:
        assert (row.disattenuated, row.reliability < 0) == (None, True)
        assert "differ by no more than their sampling noise" in (row.note or "")
    assert share_variance(0.5, 1) is None
    assert reliability(np.ones(4), np.zeros(4)) is None
    assert (
        table({"probe": scores}, scores[::-1], models="abcdef", benches="xxxxxx", draws=99)[0].reliability
        is None
    )
