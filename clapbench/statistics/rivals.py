r"""Which of k models on the same items differ: every pair, corrected for all k (k - 1) / 2 of them.

Two models of one seed each are compared by the exact McNemar p and Tango's interval (`proportions.paired`). A recipe of
several seeds succeeds on item i in a share $x_i$ of them; seeds, too, are a sample, so with S of them

$V = s^2_\text{items} / n + \sum_{r} \max(0, s^2_r / S_r - v_r)$

is the variance of the difference of two recipes r: that of $x_i - y_i$ over items, and that of H over seeds, less the
part $v_r$ (seeds by items) that the first term holds already. A t distribution goes with it.

The correction is Holm's over all pairs, although only those with the best are read: the best is the best by luck, too,
and k - 1 comparisons with it call one of 12 equal models worse in more than 5 % of cases (`bench/diagnosis_level.py`).

Sources: Holm 1979; Cameron, Gelbach and Miller 2011 (crossed samples); Satterthwaite 1946 (degrees of freedom);
Hochberg and Tamhane 1987, chapter 1 (selected comparisons are covered by those of all pairs).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from clapbench.statistics.corrections import holm
from clapbench.statistics.proportions import LEVEL, sign_p, sign_ps, tango, tangos

Hits = Bool[np.ndarray, "_ n"]  # of a recipe: a row for each seed, a column for each item


class Versus(NamedTuple):
    """One model against another on the same items: the difference of their shares, and what it is worth."""

    value: float
    low: float  # of the 95 % interval, of this pair alone
    high: float
    p: float  # exact McNemar, or t where one has several seeds
    p_holm: float  # over all pairs

    @property
    def turned(self) -> Versus:
        """The other one against this one."""
        return Versus(-self.value, -self.high, -self.low, self.p, self.p_holm)


def rivals(models: Sequence[Hits]) -> dict[tuple[int, int], Versus]:
    """Every model against every other, by their numbers, both ways round.

    >>> items = np.arange(100)
    >>> found = rivals([(items < 30)[None], (items < 31)[None], (items < 50)[None]])
    >>> found[0, 2].value, found[0, 2].p_holm < 0.001, found[1, 0].p_holm
    (-0.2, True, 1.0)
    """
    pairs = list(combinations(range(len(models)), 2))
    if not pairs:
        return {}
    alone = all(len(hits) == 1 for hits in models)
    each = _alone(models) if alone else {(a, b): _versus(models[a], models[b]) for a, b in pairs}
    found: dict[tuple[int, int], Versus] = {}
    for (a, b), p in zip(pairs, holm([each[pair].p for pair in pairs]), strict=True):
        found[a, b] = each[a, b]._replace(p_holm=each[a, b].p if p is None else p)
        found[b, a] = found[a, b].turned
    return found


def _alone(models: Sequence[Hits]) -> dict[tuple[int, int], Versus]:
    """`_versus` of models of one seed, all pairs in one go."""
    hits = np.concatenate(models).astype(np.float64)
    one, other = np.triu_indices(len(hits), k=1)
    wins = hits @ (1 - hits).T  # [a, b]: the items that a gets right and b does not
    a_only, b_only = wins[one, other], wins[other, one]
    n = np.full(len(one), float(hits.shape[1]))
    ps = sign_ps(a_only.astype(np.int64), b_only.astype(np.int64))
    low, high = tangos(a_only, b_only, n)
    equal = ps > LEVEL  # where the exact test decides, as in `tango`
    low, high = np.where(equal, np.minimum(low, 0), low), np.where(equal, np.maximum(high, 0), high)
    rows = zip(((a_only - b_only) / n).tolist(), low.tolist(), high.tolist(), ps.tolist(), strict=True)
    return {
        (a, b): Versus(*row, row[-1]) for a, b, row in zip(one.tolist(), other.tolist(), rows, strict=True)
    }


def _versus(a: Hits, b: Hits) -> Versus:
    if len(a) == len(b) == 1:
        return _alone([a, b])[0, 1]
    from scipy.special import stdtr, stdtrit

    difference = a.mean(axis=0) - b.mean(axis=0)
    n, value = len(difference), float(difference.mean())
    items = float(difference.var(ddof=1)) / n
    parts = [_seeds(hits) for hits in (a, b) if len(hits) > 1]
    variance = items + sum(max(0.0, part.seeds - part.shared) for part in parts)
    if variance == 0:  # the difference is one number on every item: nothing is left for Student's t
        a_only, b_only = n * max(value, 0.0), n * max(-value, 0.0)
        p = sign_p(round(a_only), round(b_only))
        low, high = tango(a_only, b_only, n, p=p)
        return Versus(value, low, high, p, p)
    freedom = variance**2 / (items**2 / (n - 1) + sum(part.seeds**2 / part.freedom for part in parts))
    error, reach = variance**0.5, float(stdtrit(freedom, 0.975))
    p = float(2 * stdtr(freedom, -abs(value) / error))
    return Versus(value, max(-1.0, value - reach * error), min(1.0, value + reach * error), p, p)


class _Seeds(NamedTuple):
    seeds: float  # the variance of the mean over seeds
    shared: float  # what of it the variance over items holds already
    freedom: int


def _seeds(hits: Hits) -> _Seeds:
    seeds, n = hits.shape
    means = hits.mean(axis=1)
    rest = hits - means[:, None] - hits.mean(axis=0) + means.mean()
    return _Seeds(
        seeds=float(means.var(ddof=1)) / seeds,
        shared=float((rest**2).sum()) / ((seeds - 1) * (n - 1)) / (n * seeds),
        freedom=seeds - 1,
    )
