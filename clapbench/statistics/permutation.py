"""Permutation p: the share of orders of the scores whose coefficient is as far out as the one found.

All orders where there are at most 9!; else 10,000 seeded draws and (b + 1) / (m + 1). Three sets of orders: of all
cells (`free`), of each benchmark's (`within`), of models, whose cells move together (`joint`). All rows of values see
the same orders, so that what several of them do together is kept (`corrections.max_t`).

Source: Phipson and Smyth 2010 for (b + 1) / (m + 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import factorial, prod
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from clapbench.statistics.coefficients import ROUNDING, Coefficient

ENUMERATED = factorial(9)  # as many orders are all tried, more are sampled
DRAWS = 10_000  # sampled orders
EQUAL = 1e-10  # coefficients this close are the same one, computed in another order
CHUNK = 2**22  # numbers at a time

# A stratum is a table of cells, one row per unit; the rows of a stratum are what changes places.
Strata = Sequence[Int[np.ndarray, "_ _"]]


def free(n: int) -> Strata:
    """Every cell can take the score of every other: right for independent cells, which those of a model are not."""
    return [np.arange(n)[:, None]]


def within(benches: Sequence[str]) -> Strata:
    """Cells change places within their benchmark: benchmarks may differ in both probe and score."""
    names = np.array(list(benches))
    return [np.flatnonzero(names == name)[:, None] for name in dict.fromkeys(benches)]


def joint(models: Sequence[str], benches: Sequence[str]) -> Strata:
    """Models change places with all their cells, among models with the same benchmarks: models are the sample.

    >>> [stratum.tolist() for stratum in joint(["a", "a", "b", "b", "c"], ["x", "y", "x", "y", "x"])]
    [[[0, 1], [2, 3]], [[4]]]
    """
    cells: dict[str, dict[str, int]] = {}
    for index, (model, bench) in enumerate(zip(models, benches, strict=True)):
        if bench in cells.setdefault(model, {}):
            raise ValueError(
                f"correlate: needs one cell per model and benchmark; {model} × {bench} comes twice. Leave one out."
            )
        cells[model][bench] = index
    alike: dict[tuple[str, ...], list[list[int]]] = {}
    for own in cells.values():
        alike.setdefault(tuple(sorted(own)), []).append([own[bench] for bench in sorted(own)])
    return [np.array(rows) for rows in alike.values()]


class Orders(NamedTuple):
    """Orders of n cells, the one found first; ``exact`` when there are no others."""

    rows: Int[np.ndarray, "m n"]
    exact: bool


def orders(strata: Strata, *, draws: int = DRAWS, seed: int = 0) -> Orders:
    """All orders that ``strata`` allow, up to 9! of them; else the one found and ``draws`` seeded ones.

    >>> len(orders(free(6)).rows), len(orders(within("xxxyyy")).rows), len(orders(joint("abcabc", "xxxyyy")).rows)
    (720, 36, 6)
    >>> orders(free(12), draws=999).rows.shape
    (1000, 12)
    """
    n = sum(stratum.size for stratum in strata)
    exact = prod(factorial(len(stratum)) for stratum in strata) <= ENUMERATED
    rng = np.random.default_rng(seed)
    rows = np.tile(np.arange(n), (1 if exact else draws + 1, 1))
    for stratum in strata:
        units = len(stratum)
        if exact:
            moved = _all_orders(units)
            m = len(rows)
            rows = np.repeat(rows, len(moved), axis=0)
            rows[:, stratum.ravel()] = np.tile(stratum[moved].reshape(len(moved), -1), (m, 1))
        else:
            moved = rng.random((draws, units)).argsort(axis=1)
            rows[1:, stratum.ravel()] = stratum[moved].reshape(draws, -1)
    return Orders(rows=rows, exact=exact)


@cache
def _all_orders(n: int) -> Int[np.ndarray, "m n"]:
    """The n! orders of n things, in alphabetical order."""
    if n == 1:
        return np.zeros((1, 1), dtype=np.int64)
    rest = _all_orders(n - 1)
    blocks = [np.column_stack([np.full(len(rest), first), rest + (rest >= first)]) for first in range(n)]
    return np.concatenate(blocks)


class Distances(NamedTuple):
    """How far each row's coefficient is from its mean over the orders, in its standard deviations over them.

    The first order is the one found. ``exact`` when there are no others than these.
    """

    rows: Float[np.ndarray, "m p"]
    exact: bool


def distances(
    values: Float[np.ndarray, "p n"],
    scores: Float[np.ndarray, " n"],
    strata: Strata,
    *,
    coefficient: Coefficient = "spearman",
    sides: Sequence[int] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Distances:
    """The distance of every row of ``values`` in every order of ``scores``: two-sided, or where ``sides`` are 1 or -1
    towards that side alone.

    A row that is NaN in some cells is correlated over the others; the scores come to them from all cells. An order in
    which those scores are all alike has no coefficient and counts as 0. No row may be constant, none hold infinity.
    A row with the same coefficient in every order is at distance 0.

    >>> x = np.arange(4.0)
    >>> distances(np.array([x, -x]), x, free(4)).rows[0].round(3).tolist()
    [1.732, 1.732]
    >>> distances(np.array([x, -x]), x, free(4), sides=[1, 1]).rows[0].round(3).tolist()
    [1.732, -1.732]
    """
    rows, exact = orders(strata, draws=draws, seed=seed)
    found = np.empty((len(rows), len(values)))
    there = ~np.isnan(values)
    for mask in np.unique(there, axis=0):
        alike = (there == mask).all(axis=1)
        ours = _directions(values[np.ix_(alike, mask)], coefficient)
        chunks = np.array_split(rows[:, mask], 1 + rows.shape[0] * ours.shape[1] // CHUNK)
        found[:, alike] = np.concatenate(
            [_reordered(scores, chunk, coefficient) @ ours.T for chunk in chunks]
        )
    found -= found.mean(axis=0)
    spread = found.std(axis=0)
    found /= np.where(spread > EQUAL, spread, np.inf)
    signs = np.zeros(len(values), dtype=int) if sides is None else np.array(list(sides))
    return Distances(np.where(signs == 0, np.abs(found), signs * found), exact)


class Permuted(NamedTuple):
    """A permutation p, the smallest that these cells could have given, and the number of orders behind it.

    Where orders are sampled, the smallest is that of the farthest one drawn: 1 / (m + 1), more where values tie.
    """

    p: float
    p_min: float
    orders: int
    exact: bool


def permuted(
    values: Float[np.ndarray, "p n"],
    scores: Float[np.ndarray, " n"],
    strata: Strata,
    *,
    coefficient: Coefficient = "spearman",
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Permuted]:
    """The two-sided permutation p of each row of ``values`` with ``scores``; all rows see the same orders.

    An order counts when its coefficient is as far from the mean over the orders as the one found. That mean is 0 for
    `free`; for the others it is what the benchmarks' own difference gives. See `distances` for what rows may hold.

    >>> x = np.arange(6.0)
    >>> permuted(x[None], x, free(6))[0]  # both +1 and -1 count: 2 / 720
    Permuted(p=0.002777777777777778, p_min=0.002777777777777778, orders=720, exact=True)
    """
    return shares(distances(values, scores, strata, coefficient=coefficient, draws=draws, seed=seed))


def shares(found: Distances) -> list[Permuted]:
    """For each row the share of orders as far out as the one found, and as far out as the farthest."""
    rows, exact = found
    p = (rows >= rows[0] - EQUAL).mean(axis=0)
    least = (rows >= rows.max(axis=0) - EQUAL).mean(axis=0)
    return [
        Permuted(p=float(one), p_min=float(low), orders=len(rows), exact=exact)
        for one, low in zip(p, least, strict=True)
    ]


def distinct(values: Float[np.ndarray, "p n"], coefficient: Coefficient = "spearman") -> int:
    """How many rows are different tests: those that give the same coefficient with anything, but for its sign, are one.

    For Spearman and Kendall these are rows of the same or the reversed ranks, as the cosine and the angle of one gap.

    >>> angle = np.array([0.3, 0.2, 0.9])
    >>> distinct(np.array([angle, np.cos(angle), angle**2 - 1, [1, 2, 3]]))
    2
    """
    there = ~np.isnan(values)
    count = 0
    for mask in np.unique(there, axis=0):
        ours = _directions(values[np.ix_((there == mask).all(axis=1), mask)], coefficient)
        same = np.abs(ours @ ours.T) > 1 - EQUAL
        count += int((~np.triu(same, 1).any(axis=0)).sum())
    return count


def _directions(x: Float[np.ndarray, "p n"], coefficient: Coefficient) -> Float[np.ndarray, "p f"]:
    """Unit vectors whose products are the coefficients: centred values, centred ranks, or signs over pairs.

    A row that is all alike has no direction and becomes zeros.
    """
    if coefficient == "kendall":
        first, second = np.triu_indices(x.shape[1], 1)
        rows = np.sign(x[:, first] - x[:, second])
        least = 0.0
    else:
        from scipy import stats

        rows = x if coefficient == "pearson" else stats.rankdata(x, axis=1)
        least = ROUNDING * np.abs(rows).max(axis=1, keepdims=True)
        rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > least, length, np.inf)


def _reordered(
    y: Float[np.ndarray, " n"], rows: Int[np.ndarray, "m k"], coefficient: Coefficient
) -> Float[np.ndarray, "m f"]:
    """`_directions` of the numbers of ``y`` that each order brings to the k cells."""
    if rows.shape[1] == len(y):
        cells, place = np.arange(len(y)), rows
    else:
        cells = np.sort(rows[0])
        if not (np.sort(rows, axis=1) == cells).all():  # other numbers in each order, with ranks of their own
            return _directions(y[rows], coefficient)
        place = np.searchsorted(cells, rows)
    if coefficient != "kendall":
        return _directions(y[None, cells], coefficient)[0][place]
    first, second = np.triu_indices(len(cells), 1)
    signs = np.sign(y[cells][:, None] - y[cells])
    length = np.linalg.norm(signs[first, second])
    signs /= length if length > 0 else np.inf
    return signs.ravel()[place[:, first] * len(cells) + place[:, second]]
