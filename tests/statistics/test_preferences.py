"""Bradley-Terry: a likelihood climbed another way, known answers, and what has no strength."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from clapbench.statistics.preferences import bradley_terry


def by_optimiser(wins: np.ndarray) -> np.ndarray:
    """The likelihood itself, climbed by scipy."""
    n = len(wins)

    def loss(s: np.ndarray) -> float:
        return float((wins * np.logaddexp(0, s[None, :] - s[:, None])).sum())

    def slope(s: np.ndarray) -> np.ndarray:
        lost = wins / (1 + np.exp(s[:, None] - s[None, :]))
        return lost.sum(axis=0) - lost.sum(axis=1)

    s = minimize(loss, np.zeros(n), jac=slope, method="BFGS", options={"gtol": 1e-10}).x
    return s - s.mean()


@pytest.mark.parametrize("seed", range(4))
def test_strengths_are_the_likeliest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 3 + seed
    wins = rng.integers(0, 12, size=(n, n)) * ~np.eye(n, dtype=bool)
    assert bradley_terry(wins.astype(float), prior=0.5) == pytest.approx(
        by_optimiser(wins + 0.5 * ~np.eye(n, dtype=bool)), abs=1e-6
    )


def test_of_two_the_difference_is_the_log_odds() -> None:
    strong, weak = bradley_terry(np.array([[0.0, 9.0], [3.0, 0.0]]), prior=0.0)
    assert strong - weak == pytest.approx(np.log(3))
    assert strong + weak == pytest.approx(0)
    a, b = bradley_terry(np.array([[0.0, 8.0], [0.0, 0.0]]))  # .5 makes it finite
    assert a - b == pytest.approx(np.log(17))


def test_strengths_that_made_the_data_come_back() -> None:
    true = np.array([1.5, 0.5, -0.4, -1.6])
    wins = 1e5 / (1 + np.exp(true[None, :] - true[:, None])) * ~np.eye(4, dtype=bool)
    assert bradley_terry(wins, prior=0.0) == pytest.approx(true, abs=1e-9)


def test_order_and_batches_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    wins = rng.integers(0, 9, size=(6, 4, 4)).astype(float)
    every = bradley_terry(wins)
    assert every == pytest.approx(np.stack([bradley_terry(one) for one in wins]), abs=1e-9)
    turned = rng.permutation(4)
    assert bradley_terry(wins[:, turned][:, :, turned]) == pytest.approx(every[:, turned], abs=1e-9)
    wins[:, range(4), range(4)] = 50  # wins against oneself are none
    assert bradley_terry(wins) == pytest.approx(every, abs=1e-9)


def test_without_a_chain_of_losses_there_is_no_strength() -> None:
    unbeaten = np.array([[0.0, 3.0, 2.0], [0.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    with pytest.raises(ValueError, match=r"needed 3 stimuli of which each lost to each.*Set prior=0\.5"):
        bradley_terry(unbeaten, prior=0.0)
    assert np.isfinite(bradley_terry(unbeaten)).all()
    chain = np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]])
    assert bradley_terry(chain, prior=0.0) == pytest.approx(np.zeros(4), abs=1e-9)
    for wrong in (-1.0, np.nan):
        with pytest.raises(ValueError, match="needed counts of wins"):
            bradley_terry(np.array([[0.0, wrong], [1.0, 0.0]]))
