r"""Strengths from paired preferences: Bradley and Terry's model.

i is preferred to j with probability $p_i / (p_i + p_j)$. From $w_{ij}$, how often i was preferred to j (a tie is half a
win for each), Hunter's minorise-maximise steps

$p_i \leftarrow \sum_j w_{ij} \Big/ \sum_{j \ne i} \frac{w_{ij} + w_{ji}}{p_i + p_j}$

climb to the likeliest strengths. They are given as logarithms with mean 0, so a difference of 1 is odds of e : 1. With
``prior`` added to every $w_{ij}$ they exist for any data (.5 is the habit); without it each stimulus must have lost to,
directly or over others, each stimulus (Ford 1957).

Sources: Bradley and Terry 1952; Hunter 2004, "MM algorithms for generalized Bradley-Terry models", eq. 3.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

PRIOR = 0.5  # of a win each way, for every pair
ROUNDS = 20_000
CLOSE = 1e-13  # the largest step, on the logarithms, that ends the climb


def bradley_terry(
    wins: Float64[np.ndarray, "*draws s s"], *, prior: float | int = PRIOR, close: float = CLOSE
) -> Float64[np.ndarray, "*draws s"]:
    """Log strengths, mean 0, of each table of wins. ValueError for counts below 0 and where they do not exist.

    >>> bradley_terry(np.array([[0.0, 3.0], [1.0, 0.0]]), prior=0.0).round(4)
    array([ 0.5493, -0.5493])
    """
    n = wins.shape[-1]
    if not (np.isfinite(wins).all() and (wins >= 0).all()):
        raise ValueError("bradley_terry: needed counts of wins, at least 0, got others.")
    off = ~np.eye(n, dtype=bool)
    wins = np.where(off, wins + prior, 0.0)
    if n < 2 or not _beaten(wins).all():
        raise ValueError(
            f"bradley_terry: needed {n} stimuli of which each lost to each, directly or over others: else a strength "
            "is infinite. Set prior=0.5, or leave out what won or lost always."
        )
    both, won = wins + wins.swapaxes(-1, -2), wins.sum(axis=-1)
    found = np.zeros(wins.shape[:-1])
    for _ in range(ROUNDS):
        p = np.exp(found)
        step = np.log(won / (both / (p[..., :, None] + p[..., None, :])).sum(axis=-1))
        step -= step.mean(axis=-1, keepdims=True)
        moved = float(np.abs(step - found).max(initial=0.0))
        found = step
        if moved < close:
            break
    return found


def _beaten(wins: Float64[np.ndarray, "*draws s s"]) -> np.ndarray:
    """Whether from each stimulus a chain of wins leads to each other, table by table."""
    n = wins.shape[-1]
    reached = (wins > 0) | np.eye(n, dtype=bool)
    for _ in range(n.bit_length()):
        reached = (reached.astype(np.float64) @ reached.astype(np.float64)) > 0
    return np.asarray(reached.all(axis=(-1, -2)))
