"""The logistic mixed model: a slope that is known, an independent fit, and intervals that know their recipes."""

from __future__ import annotations

import numpy as np
import pytest

from clapbench.statistics.glmm import fit

RECIPES, ITEMS = 16, 60


def drawn(*, slope: float, sd: float, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Items of recipes with a predictor of the recipe: success, predictor, recipe."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(RECIPES)
    logits = -0.3 + slope * x + sd * rng.standard_normal(RECIPES)
    recipe = np.repeat(np.arange(RECIPES), ITEMS)
    return rng.random(len(recipe)) < 1 / (1 + np.exp(-logits[recipe])), x[recipe], [f"r{k}" for k in recipe]


def quadrature(success: np.ndarray, x: np.ndarray, recipe: list[str]) -> np.ndarray:
    """Maximum likelihood of slope, intercept and log sd, the random intercept integrated by Gauss and Hermite."""
    from scipy.optimize import minimize

    nodes, weights = np.polynomial.hermite_e.hermegauss(31)
    names = np.array(recipe)
    cells = [
        (x[names == one][0], success[names == one].sum(), (names == one).sum()) for one in sorted(set(recipe))
    ]
    at, hits, n = (np.array(column, dtype=float)[:, None] for column in zip(*cells, strict=True))

    def loss(parameters: np.ndarray) -> float:
        slope, intercept, log_sd = parameters
        logits = intercept + slope * at + np.exp(log_sd) * nodes
        logs = hits * logits - n * np.logaddexp(0, logits)
        top = logs.max(axis=1, keepdims=True)
        return -float((top[:, 0] + np.log(np.exp(logs - top) @ weights)).sum())

    return minimize(loss, np.array([0.0, 0.0, -0.5]), method="Nelder-Mead").x


def test_an_independent_fit_finds_the_same() -> None:
    success, x, recipe = drawn(slope=0.8, sd=0.5, seed=0)
    found = fit(success, np.column_stack([x, np.ones(len(x))]), {"recipe": recipe})
    slope, intercept, log_sd = quadrature(success, x, recipe)
    assert found.coefficients == pytest.approx([slope, intercept], abs=0.05)
    assert found.sds["recipe"] == pytest.approx(np.exp(log_sd), abs=0.12)


def test_more_items_of_the_same_recipes_do_not_make_the_slope_sure() -> None:
    """The error of a recipe's property is that of a regression over the recipes, whatever the items."""
    success, x, recipe = drawn(slope=0.0, sd=1.0, seed=1)
    found = fit(success, np.column_stack([x, np.ones(len(x))]), {"recipe": recipe})
    values = x[::ITEMS]
    least = found.sds["recipe"] / np.sqrt(((values - values.mean()) ** 2).sum())
    assert found.errors[0] > 0.95 * least


def test_a_level_that_makes_no_difference_has_a_small_sd() -> None:
    success, x, recipe = drawn(slope=0.5, sd=0.8, seed=2)
    lot = [f"t{k % 5}" for k in range(len(x))]
    found = fit(success, np.column_stack([x, np.ones(len(x))]), {"recipe": recipe, "template": lot})
    assert found.sds["template"] < 0.4 < found.sds["recipe"]
