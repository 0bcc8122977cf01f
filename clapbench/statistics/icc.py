r"""Intraclass correlation: which share of a number's variance lies between groups (recipes, systems), not within them.

ICC(1), `icc1`.

One-way random effects: $y_{ij} = \mu + a_i + e_{ij}$, replicates $j$ (seeds) of groups $i$ (recipes), a of them, N
numbers in all. With the mean squares between and within groups and $F = MS_b / MS_w$,

$$\mathrm{ICC}(1) = \frac{F - 1}{F + k_0 - 1}, \quad
k_0 = \frac{1}{a - 1} \Bigl( N - \frac{\sum_i n_i^2}{N} \Bigr),$$

from $-1 / (k_0 - 1)$ to 1; $k_0$ is the number of replicates where all groups have as many. It estimates
$\sigma_a^2 / (\sigma_a^2 + \sigma_e^2)$; below 0 it says that groups differ less than their replicates do.
95 %: the same with $F / F_{.975; a - 1, N - a}$ and $F \cdot F_{.975; N - a, a - 1}$. The interval is exact for normal
data and groups of one size; for others $k_0$ makes it an approximation.

ICC(2) and ICC(3), `two_way`, where each of k raters rates each of n targets. With the mean squares between targets
$MS_R$, between raters $MS_C$, and of what is left $MS_E$,

$\mathrm{ICC}(2, 1) = \frac{MS_R - MS_E}{MS_R + (k - 1) MS_E + k (MS_C - MS_E) / n}, \quad
\mathrm{ICC}(2, k) = \frac{MS_R - MS_E}{MS_R + (MS_C - MS_E) / n}$

count what raters differ by on the whole as error (agreement), of one rater and of the mean of k;
$\mathrm{ICC}(3, 1) = (MS_R - MS_E) / (MS_R + (k - 1) MS_E)$ and $\mathrm{ICC}(3, k) = 1 - MS_E / MS_R$ do not
(consistency). At most 1.

Sources: Shrout and Fleiss 1979, ICC(1,1) and its interval (p. 424), table 4 for the others; McGraw and Wong 1996, case
1, tables 4 and 7; Donner 1986, eq. 2.3, for $k_0$.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from clapbench.statistics.coefficients import ROUNDING


class Icc(NamedTuple):
    """ICC(1) of some groups; None is undefined, and ``note`` says why."""

    groups: int
    n: int  # numbers
    replicates: float | None  # of a group, k_0
    value: float | None = None
    low: float | None = None
    high: float | None = None
    between: float | None = None  # variance, at least 0
    within: float | None = None  # variance
    f: float | None = None
    note: str | None = None


def icc1(groups: Sequence[Float[np.ndarray, " _"]]) -> Icc:
    """ICC(1) of numbers in groups. A NaN is left out, and with it a group that holds nothing else.

    >>> found = icc1([np.array([1.0, 1.1]), np.array([2.0, 2.1]), np.array([3.0, 3.1])])
    >>> round(found.value, 3), found.groups, found.n, found.replicates
    (0.995, 3, 6, 2.0)
    """
    kept = [one[~np.isnan(one)] for one in (np.asarray(group, dtype=np.float64) for group in groups)]
    kept = [one for one in kept if len(one)]
    a, n = len(kept), sum(map(len, kept))
    if a < 2 or n == a:
        what = "two groups" if a < 2 else "a group with two numbers"
        return Icc(groups=a, n=n, replicates=None, note=f"needs at least {what}")
    k = (n - sum(len(one) ** 2 for one in kept) / n) / (a - 1)
    every = np.concatenate(kept)
    means = np.array([one.mean() for one in kept])
    sizes = np.array([len(one) for one in kept])
    between = float((sizes * (means - every.mean()) ** 2).sum() / (a - 1))
    within = float(sum(((one - one.mean()) ** 2).sum() for one in kept) / (n - a))
    least = (ROUNDING * np.abs(every).max()) ** 2
    if within <= least:
        note = "every number is the same" if between <= least else "no difference within a group"
        return Icc(a, n, k, value=None if between <= least else 1.0, note=note)
    f = between / within
    low, high = (_of(bound, k) for bound in _bounds(f, a=a, n=n))
    return Icc(
        groups=a,
        n=n,
        replicates=k,
        value=_of(f, k),
        low=low,
        high=high,
        between=max(0.0, (between - within) / k),
        within=within,
        f=f,
    )


def _bounds(f: float, *, a: int, n: int) -> tuple[float, float]:
    """The 95 % interval of F for the true ratio of variances."""
    from scipy.stats import f as law

    return f / float(law.ppf(0.975, a - 1, n - a)), f * float(law.ppf(0.975, n - a, a - 1))


def _of(f: float, k: float) -> float:
    return (f - 1) / (f + k - 1)


class TwoWay(NamedTuple):
    """ICC(2) and ICC(3) of targets by raters; None is undefined, and ``note`` says why."""

    targets: int  # n
    raters: int  # k
    icc2: float | None = None  # one rater, agreement
    icc2k: float | None = None  # the mean of all raters, agreement
    icc3: float | None = None  # one rater, consistency
    icc3k: float | None = None  # the mean of all raters, consistency
    note: str | None = None


def two_way(x: Float[np.ndarray, "targets raters"]) -> TwoWay:
    """ICC(2,1), ICC(2,k), ICC(3,1) and ICC(3,k) of a table without gaps.

    >>> found = two_way(np.array([[1.0, 2.0], [2.0, 3.0], [4.0, 5.0]]))
    >>> found.icc3, round(found.icc2, 3)
    (1.0, 0.824)
    """
    x = np.asarray(x, dtype=np.float64)
    n, k = x.shape
    if n < 2 or k < 2:
        return TwoWay(n, k, note=f"needs at least two targets and two raters, got {n} and {k}")
    rows, columns, mean = x.mean(axis=1), x.mean(axis=0), x.mean()
    between = float(k * ((rows - mean) ** 2).sum() / (n - 1))
    raters = float(n * ((columns - mean) ** 2).sum() / (k - 1))
    left = float(((x - rows[:, None] - columns + mean) ** 2).sum() / (n - 1) / (k - 1))
    least = (ROUNDING * np.abs(x).max()) ** 2
    if between <= least:
        return TwoWay(n, k, note="no difference between the means of the targets")
    left = 0.0 if left <= least else left
    raters = 0.0 if raters <= least else raters
    return TwoWay(
        targets=n,
        raters=k,
        icc2=_ratio(between - left, between + (k - 1) * left + k * (raters - left) / n),
        icc2k=_ratio(between - left, between + (raters - left) / n),
        icc3=_ratio(between - left, between + (k - 1) * left),
        icc3k=_ratio(between - left, between),
    )


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
