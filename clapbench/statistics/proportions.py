r"""What a count is worth: intervals and exact tests on successes among n items, of one model or of two.

Of two models on the same items only the b that the first alone gets right and the c of the second alone tell them
apart. The exact McNemar p is the sign test of b against c. The interval of the difference $\Delta$ is that of the
$\Delta$ which the score test does not refuse, $|T(\Delta)| \le 1.96$ with

$T(\Delta) = (b - c - n \Delta) / \sqrt{n (2 \tilde q + \Delta (1 - \Delta))}$

and $\tilde q$ the likeliest share of c under $\Delta$. At $\Delta = 0$, and there alone, the exact test decides: so the
interval holds 0 exactly where p > .05. It is never a point, not even at b = c = 0.

Sources: Wilson 1927; McNemar 1947; Tango 1998 (Statistics in Medicine 17, eq. 18 to 20 and the appendix); Wang 1993 for
sums of unequal chances. That the exact p decides at 0 is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int

from clapbench.statistics import clusters

LEVEL = 0.05
Z = 1.959963984540054  # the normal's 97.5 % quantile
HALVINGS = 50  # of the search for a bound: to the last digits


class Interval(NamedTuple):
    """A 95 % interval of a proportion, 0 to 1, or of a difference of two, -1 to 1."""

    low: float
    high: float


def wilson(hits: int | float, n: int | float, *, z: float = Z) -> Interval:
    """The Wilson score interval of a share, at 95 % unless ``z`` says otherwise.

    >>> low, high = wilson(10, 100)
    >>> round(low, 4), round(high, 4)
    (0.0552, 0.1744)
    """
    if n <= 0:
        raise ValueError(f"wilson: needed at least 1 item, got {n}")
    share, wide = hits / n, z * z / n
    centre = (share + wide / 2) / (1 + wide)
    half = z / (1 + wide) * (share * (1 - share) / n + wide / (4 * n)) ** 0.5
    low = 0.0 if hits <= 0 else max(0.0, centre - half)  # exactly, as its formula is before rounding
    return Interval(low, 1.0 if hits >= n else min(1.0, centre + half))


def binomial_p(hits: int, n: int, *, chance: float) -> float:
    """Exact two-sided p of ``hits`` among ``n`` when each has probability ``chance``: above and below count.

    >>> binomial_p(5, 10, chance=0.5)
    1.0
    """
    from scipy.stats import binomtest

    return float(binomtest(hits, n, chance).pvalue)


def hits_p(hits: int, chances: Sequence[float] | Float64[np.ndarray, " n"]) -> float:
    """Exact two-sided p of ``hits`` when item i has probability ``chances[i]``: the Poisson-binomial distribution.

    The sum of the outcomes that are no likelier than the one found; `binomial_p` where all chances are one.

    >>> round(hits_p(2, [0.5, 0.1]), 3)
    0.05
    """
    levels, counts = np.unique(np.asarray(chances, dtype=np.float64), return_counts=True)
    if not len(levels):
        raise ValueError("hits_p: needed at least 1 chance, got none")
    if len(levels) == 1:
        return binomial_p(hits, int(counts[0]), chance=float(levels[0]))
    from scipy.stats import binom

    # Items of one chance are a binomial each; the distribution of a sum is the convolution.
    parts = [binom.pmf(np.arange(n + 1), n, level) for level, n in zip(levels, counts.tolist(), strict=True)]
    weights = reduce(np.convolve, parts)
    return float(min(1.0, weights[weights <= weights[hits] * (1 + 1e-7)].sum()))


def sign_p(wins: int, losses: int) -> float:
    """Exact two-sided p of ``wins`` against ``losses`` when each is as likely; 1 when there are none.

    >>> sign_p(5, 0)
    0.0625
    """
    return float(sign_ps(np.array([wins]), np.array([losses]))[0])


def sign_ps(wins: Int[np.ndarray, " k"], losses: Int[np.ndarray, " k"]) -> Float64[np.ndarray, " k"]:
    """`sign_p` of many."""
    from scipy.special import bdtr  # the binomial distribution without the seconds that scipy.stats takes

    fewer = np.minimum(wins, losses).astype(np.float64)
    return np.minimum(1.0, 2 * bdtr(fewer, wins + losses, 0.5))


class Difference(NamedTuple):
    """Of two models on the same items: share of a minus share of b, its interval, and the items they differ on.

    The last two hold where items share a template or an event (see `clusters`), else None.
    """

    value: float
    ci95: Interval
    p: float  # exact McNemar
    a_only: int
    b_only: int
    ci95_clustered: Interval | None = None
    p_clustered: dict[str, float] | None = None  # by what is flipped as a whole


def paired(
    a: Bool[np.ndarray, " n"], b: Bool[np.ndarray, " n"], *, factors: clusters.Factors | None = None
) -> Difference:
    """``a`` against ``b`` item by item: the exact McNemar p, and the interval of the difference that goes with it.

    ``factors`` say which items belong together; then Tango's interval stands for as many items as these are worth
    (Rao and Scott 1992), and whole clusters change sides in the test.

    >>> found = paired(np.arange(40) < 9, np.arange(40) >= 38)
    >>> round(found.value, 3), round(found.p, 3), [round(bound, 3) for bound in found.ci95]
    (0.175, 0.065, [0.0, 0.339])
    """
    if not len(a) or len(a) != len(b):
        raise ValueError(f"paired: needed the same items of both models, got {len(a)} and {len(b)}")
    difference = a.astype(np.int64) - b.astype(np.int64)
    n, a_only, b_only = len(difference), int((difference > 0).sum()), int((difference < 0).sum())
    p = sign_p(a_only, b_only)
    found = Difference(
        value=float(difference.mean()), ci95=tango(a_only, b_only, n, p=p), p=p, a_only=a_only, b_only=b_only
    )
    if not factors:
        return found
    worth = clusters.worth(difference.astype(np.float64), factors)
    ps = {name: clusters.flip_p(difference, codes) for name, codes in factors.items()}
    return found._replace(
        ci95_clustered=tango(a_only / worth.effect, b_only / worth.effect, n / worth.effect, z=worth.reach),
        p_clustered=ps,
    )


def tango(
    a_only: int | float, b_only: int | float, n: int | float, *, z: float = Z, p: float | None = None
) -> Interval:
    """Tango's score interval of a difference of paired shares; with the exact ``p``, it holds 0 where that is > .05.

    >>> [round(bound, 3) for bound in tango(1, 7, 21)], [round(bound, 3) for bound in tango(0, 0, 100)]
    ([-0.517, -0.026], [-0.037, 0.037])
    """
    counts = [np.array([float(count)]) for count in (a_only, b_only, n)]
    low, high = (float(bound[0]) for bound in tangos(*counts, z=z))
    if p is not None and p > LEVEL:
        low, high = min(low, 0.0), max(high, 0.0)
    return Interval(low, high)


def tangos(
    a_only: Float64[np.ndarray, " k"],
    b_only: Float64[np.ndarray, " k"],
    n: Float64[np.ndarray, " k"],
    *,
    z: float = Z,
) -> tuple[Float64[np.ndarray, " k"], Float64[np.ndarray, " k"]]:
    """The lower and upper bounds of `tango` for many pairs of models, by halving: T falls as the difference grows."""
    sign = np.array([[1.0], [-1.0]])  # of the lower bounds and of the upper ones, in two rows
    b, c = np.stack([a_only, a_only]), np.stack([b_only, b_only])
    found = (b - c) / n
    inside, outside = found, np.broadcast_to(-sign, found.shape)
    for _ in range(HALVINGS):
        delta = (inside + outside) / 2
        linear = (2 * n - b + c) * delta - b - c
        variance = delta * (1 - delta)
        q = (np.sqrt(np.maximum(linear**2 + 8 * n * c * variance, 0)) - linear) / (4 * n)
        spread = np.sqrt(np.maximum(n * (2 * q + variance), 0))
        refused = sign * (b - c - n * delta) > z * spread
        inside, outside = np.where(refused, inside, delta), np.where(refused, delta, outside)
    low, high = np.where(found == -sign, found, inside)
    return low, high
