r"""Items that belong together: what n of them are worth, and tests in which whole clusters change sides.

Items of one template share their words, items of the same two events their sounds: they succeed and fail together. With
deviations $u_i$ from the mean and clusters g of a factor f, the variance of the mean is

$V_f = \frac{G}{G - 1} \frac{1}{n^2} \sum_g (\sum_{i \in g} u_i)^2$,

for crossed factors $V = \sum_S (-1)^{|S| + 1} V_S$ over their non-empty sets S, clusters of a set being those of all
its factors at once. The design effect $V / V_\text{items}$, at least 1, says how many items one independent item takes;
the t distribution of the fewest clusters less one takes the place of the normal.

Sources: Cameron, Gelbach and Miller 2011 (crossed clusters); Cameron and Miller 2015 (t by the fewest clusters); Kish
1965 (design effect); Korn and Graubard 1998, Rao and Scott 1992 (intervals of n / effect items); Fisher 1935, section
21, on clusters for the flips. No bootstrap: over five templates it is too narrow, and at no hits a point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float64, Int

Factors: TypeAlias = dict[str, Int[np.ndarray, " n"]]  # by name, the cluster of each item

# Columns of an item that say what it shares with others; the two of a pair count in either order.
EVENTS = (("event_a", "event_b"), ("key_a", "key_b"), ("label_a", "label_b"))
ALONE = ("template", "attribute")
COLUMNS = (*ALONE, *(column for pair in EVENTS for column in pair))


def factors(columns: Mapping[str, Sequence[str]]) -> Factors:
    """The clusters that the known ``columns`` of items give: by template, attribute, and the two events.

    One that all items share, or none does, is no factor.

    >>> factors({"template": ["x", "x", "y"], "event_a": ["dog", "cat", "dog"], "event_b": ["cat", "dog", "cow"]})
    {'template': array([0, 0, 1]), 'events': array([0, 0, 1])}
    """
    found = {name: list(columns[name]) for name in ALONE if name in columns}
    for a, b in EVENTS:
        if a in columns and b in columns:
            pairs = zip(columns[a], columns[b], strict=True)
            found["events"] = ["\n".join(sorted(pair)) for pair in pairs]
            break
    coded = {name: np.unique(values, return_inverse=True)[1] for name, values in found.items() if values}
    return {name: codes for name, codes in coded.items() if 0 < codes.max() < len(codes) - 1}


def count(codes: Int[np.ndarray, " n"]) -> int:
    """How many clusters there are."""
    return int(codes.max()) + 1


class Worth(NamedTuple):
    """What clustered items are worth: ``effect`` of them count as one, and the quantile of their t distribution."""

    effect: float
    reach: float


def worth(values: Float64[np.ndarray, " n"], by: Factors) -> Worth:
    """The design effect of the mean of ``values``, and the 97.5 % quantile that goes with the fewest clusters."""
    from scipy.special import stdtrit

    n, u = len(values), values - values.mean()
    variance = 0.0
    for size in range(1, len(by) + 1):
        for chosen in combinations(by.values(), size):
            codes = np.unique(np.stack(chosen), axis=1, return_inverse=True)[1].ravel()
            sums = np.bincount(codes, weights=u)
            variance -= (-1) ** size * len(sums) / max(len(sums) - 1, 1) * float(sums @ sums) / n**2
    alone = float(u @ u) / (n * max(n - 1, 1))
    fewest = min(count(codes) for codes in by.values())
    return Worth(max(1.0, variance / alone) if alone > 0 else 1.0, float(stdtrit(fewest - 1, 0.975)))


def flip_p(values: Int[np.ndarray, " n"], codes: Int[np.ndarray, " n"]) -> float:
    """Exact two-sided p of the sum of ``values`` where each cluster's own sum is as likely of either sign.

    Over all 2^G signs, by convolution. With G clusters that are not 0 no p is below 2^(1 - G). `proportions.sign_p`
    where each item is a cluster.

    >>> flip_p(np.array([1, 1, 1, -1]), np.array([0, 0, 1, 1])), flip_p(np.ones(6, int), np.arange(6))
    (1.0, 0.03125)
    """
    sums = np.rint(np.bincount(codes, weights=values)).astype(np.int64)
    reach = int(np.abs(sums).sum())
    weights = np.zeros(2 * reach + 1)  # of every sum, from -reach
    weights[reach] = 1.0
    for step in np.abs(sums[sums != 0]):
        weights = (
            np.roll(weights, step) + np.roll(weights, -step)
        ) / 2  # never round the ends: they are empty
    outer = np.abs(np.arange(-reach, reach + 1)) >= abs(int(sums.sum()))
    return float(min(1.0, weights[outer].sum()))
