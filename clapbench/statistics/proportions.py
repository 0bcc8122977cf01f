"""What a count is worth: intervals and exact tests on successes among n items.

Sources: Wilson 1927 for the interval; McNemar 1947, in its exact form, the sign test, for two conditions of one item.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool


class Interval(NamedTuple):
    """A 95 % interval of a proportion, 0 to 1."""

    low: float
    high: float


def wilson(hits: int, n: int) -> Interval:
    """The 95 % Wilson score interval of a share.

    >>> low, high = wilson(10, 100)
    >>> round(low, 4), round(high, 4)
    (0.0552, 0.1744)
    """
    from scipy.stats import binomtest

    found = binomtest(hits, n).proportion_ci(confidence_level=0.95, method="wilson")
    return Interval(float(found.low), float(found.high))


def binomial_p(hits: int, n: int, *, chance: float) -> float:
    """Exact two-sided p of ``hits`` among ``n`` when each has probability ``chance``: above and below count.

    >>> binomial_p(5, 10, chance=0.5)
    1.0
    """
    from scipy.stats import binomtest

    return float(binomtest(hits, n, chance).pvalue)


def sign_p(wins: int, losses: int) -> float:
    """Exact two-sided p of ``wins`` against ``losses`` when each is as likely; 1 when there are none.

    >>> sign_p(5, 0)
    0.0625
    """
    from scipy.stats import binomtest

    return float(binomtest(wins, wins + losses, 0.5).pvalue) if wins + losses else 1.0


class Difference(NamedTuple):
    """Of two models on the same items: share of a minus share of b, its interval, and the items they differ on."""

    value: float
    ci95: Interval
    p: float
    a_only: int
    b_only: int


def paired(
    a: Bool[np.ndarray, " n"], b: Bool[np.ndarray, " n"], *, draws: int = 10_000, seed: int = 0
) -> Difference:
    """``a`` against ``b`` item by item: exact McNemar p, and a percentile bootstrap over items for the difference."""
    difference = a.astype(np.int64) - b.astype(np.int64)
    n = len(difference)
    # Resampling items is drawing how often each of the three outcomes occurs.
    counts = np.array([(difference == value).sum() for value in (-1, 0, 1)])
    drawn = np.random.default_rng(seed).multinomial(n, counts / n, size=draws)
    low, high = np.quantile((drawn[:, 2] - drawn[:, 0]) / n, [0.025, 0.975])
    return Difference(
        value=float(difference.mean()),
        ci95=Interval(float(low), float(high)),
        p=sign_p(int(counts[2]), int(counts[0])),
        a_only=int(counts[2]),
        b_only=int(counts[0]),
    )
