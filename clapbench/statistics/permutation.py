"""Permutation p: the share of orders of the scores whose coefficient is as far out as the one found.

All orders where there are at most 9!; else 10,000 seeded draws and (b + 1) / (m + 1). Three sets of orders: of all
cells (`free`), of each benchmark's (`within`), of models, whose cells move together (`joint`).

Source: Phipson and Smyth 2010 for (b + 1) / (m + 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import factorial, prod
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from clapbench.statistics.coefficients import Coefficient

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
    `free`; for the others it is what the benchmarks' own difference gives. No row may be constant, none hold NaN.

    >>> x = np.arange(6.0)
    >>> permuted(x[None], x, free(6))[0]  # both +1 and -1 count: 2 / 720
    Permuted(p=0.002777777777777778, p_min=0.002777777777777778, orders=720, exact=True)
    """
    rows, exact = orders(strata, draws=draws, seed=seed)
    ours = _directions(values, coefficient)
    chunks = np.array_split(rows, 1 + rows.shape[0] * ours.shape[1] // CHUNK)
    found = np.concatenate([_reordered(scores, chunk, coefficient) @ ours.T for chunk in chunks])
    distance = np.abs(found - found.mean(axis=0))
    shares = (distance >= distance[0] - EQUAL).mean(axis=0)
    least = (distance >= distance.max(axis=0) - EQUAL).mean(axis=0)
    return [
        Permuted(p=float(p), p_min=float(p_min), orders=len(rows), exact=exact)
        for p, p_min in zip(shares, least, strict=True)
    ]


def _directions(x: Float[np.ndarray, "p n"], coefficient: Coefficient) -> Float[np.ndarray, "p f"]:
    """Unit vectors whose products are the coefficients: centred values, centred ranks, or signs over pairs."""
    if coefficient == "kendall":
        first, second = np.triu_indices(x.shape[1], 1)
        rows = np.sign(x[:, first] - x[:, second])
    else:
        from scipy import stats

        rows = x if coefficient == "pearson" else stats.rankdata(x, axis=1)
        rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _reordered(
    y: Float[np.ndarray, " n"], rows: Int[np.ndarray, "m n"], coefficient: Coefficient
) -> Float[np.ndarray, "m f"]:
    """`_directions` of ``y`` in each order."""
    if coefficient != "kendall":
        return _directions(y[None], coefficient)[0][rows]
    first, second = np.triu_indices(len(y), 1)
    signs = np.sign(y[:, None] - y)
    signs /= np.linalg.norm(signs[first, second])
    return signs.ravel()[rows[:, first] * len(y) + rows[:, second]]
