"""Corrections of p for several tests: by maxT on shared permutations, or from the p alone by Holm.

maxT knows how the tests depend on each other: in each order of the scores only the largest distance among the tests
counts, so probes that say the same thing cost nothing. Distances are in standard deviations over the orders, since
probes that are there in fewer cells spread wider. (The minimum of the p of each probe, minP, needs no such scale, but
is coarse where orders are few: among 720 each of 13 probes has its own farthest one, and 13 / 720 is its least.)

Sources: Westfall and Young 1993, algorithm 2.8 for step-down maxT (as Ge, Dudoit and Speed 2003, box 2); Holm 1979.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from clapbench.statistics.permutation import EQUAL


class Corrected(NamedTuple):
    """A p corrected over a family of tests, and a bound that it could not have come below."""

    p: float
    p_min: float


def max_t(distances: Float[np.ndarray, "m p"]) -> list[Corrected]:
    r"""Step-down maxT over the columns of ``distances`` (see `permutation.distances`), the first row the one found.

    With the tests in order of their distance, $d_1 \ge d_2 \ge \dots$, the p of test i is the share of orders with
    $\max_{j \ge i} d_j$ as large as the $d_i$ found, and at least that of test i - 1.

    The bound is the larger of two: the share of orders that reach the farthest distance of any test, and the share
    that reach the farthest of this test.

    >>> max_t(np.array([[3.0, 1.0], [1.0, 3.0], [2.0, 2.0], [0.0, 0.0]]))
    [Corrected(p=0.5, p_min=0.5), Corrected(p=0.75, p_min=0.5)]
    """
    if distances.shape[1] == 0:
        return []
    order = np.argsort(-distances[0], kind="stable")
    falling = distances[:, order]
    largest = np.maximum.accumulate(falling[:, ::-1], axis=1)[:, ::-1]
    p = np.maximum.accumulate((largest >= falling[0] - EQUAL).mean(axis=0))
    top = largest[:, 0]
    own = (distances >= distances.max(axis=0) - EQUAL).mean(axis=0)
    least = np.maximum((top >= top.max() - EQUAL).mean(), own)
    back = np.argsort(order)
    return [Corrected(float(one), float(low)) for one, low in zip(p[back], least, strict=True)]


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's p: the chance of any false finding among those up to it. An undefined p stays so and is not counted.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    defined = [index for index, p in enumerate(ps) if p is not None]
    rising = sorted(defined, key=lambda index: ps[index] or 0.0)
    p = np.array([ps[index] for index in rising], dtype=np.float64)
    new = np.minimum(np.maximum.accumulate(p * np.arange(len(p), 0, -1)), 1)
    result: list[float | None] = [None] * len(ps)
    for index, corrected in zip(rising, new, strict=True):
        result[index] = float(corrected)
    return result
