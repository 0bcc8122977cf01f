r"""Prediction, not fit: what a probe says of recipes, families and benchmarks whose H it has not seen.

A recipe, a family or a benchmark is left out; on the rest a line $H = a_b + \beta x$ is fitted by least squares, with
an intercept for each benchmark b. Of what was left out then are told, as means over the folds and benchmarks:

- ``h_error``: $|\hat H - H|$;
- ``rank_error``: how many places of the benchmark's n recipes lie between the predicted H and the true one, over
  $n - 1$. The predicted H takes its place among the other recipes, those left out by their predictions;
- ``regret``: the highest H of the benchmark less the H of the recipe with the highest $\beta x$: what choosing by the
  probe costs. Only $\beta$ is from the rest. Equal predictions share it.

Where a benchmark is left out, its probe and its mean are not known to the line: x counts from the mean of the
benchmark's own x, and $a_b$ is the mean of the other benchmarks' H. Null predictors (`correlations.null_predictors`)
are held to the same; ``random`` places and selects by lot, as an expectation. A probe that does no better than these
has described the recipes that it was looked at with, and predicts nothing.

Sources: Stone 1974 for leaving out; Savage 1951 for regret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from clapbench.schema import Cell
from clapbench.study.correlations import null_predictors
from clapbench.study.levels import Measures, family_of, recipe_of

COLUMNS = ["left_out", "kind", "probe", "n", "folds", "rank_error", "h_error", "regret", "note"]
LEVELS: dict[str, Callable[[Cell], str]] = {
    "recipe": recipe_of,
    "family": family_of,
    "bench": lambda cell: cell.bench,
}
LEAST = 3  # cells that a line needs
EQUAL = 1e-9  # predictions this close are one


class Errors(NamedTuple):
    """Of one fold on one benchmark."""

    rank: float
    h: float
    regret: float
    n: int  # cells left out


def predicted(recipes: Measures) -> list[dict[str, Any]]:
    """Rows of prediction.csv: each probe and null predictor, with a recipe, a family and a benchmark left out."""
    h, cells = recipes.h, recipes.cells
    given = [("probe", name, one.values) for name, one in recipes.probes.items()]
    given += [("null predictor", name, values) for name, values in null_predictors(cells).items()]
    benches = np.array([cell.bench for cell in cells])
    found = []
    for level, name_of in LEVELS.items():
        units = np.array([name_of(cell) for cell in cells])
        if len(set(units.tolist())) < 2:
            continue
        for kind, name, x in given:
            found.append({"left_out": level, "kind": kind, "probe": name, **row(x, h, units, benches)})
        lot = {"left_out": level, "kind": "null predictor", "probe": "random"}
        found.append({**lot, **row(None, h, units, benches)})
    return found


def row(
    x: Float[np.ndarray, " n"] | None,
    h: Float[np.ndarray, " n"],
    units: np.ndarray,
    benches: np.ndarray,
) -> dict[str, Any]:
    """The mean errors of one predictor over what is left out by ``units``; ``x`` None: by lot.

    >>> x, bench = np.arange(5.0), np.array(["b"] * 5)
    >>> found = row(x, 0.1 * x + 0.2, np.array(list("abcde")), bench)
    >>> found["rank_error"], round(found["h_error"], 9), found["regret"], found["folds"]
    (0.0, 0.0, 0.0, 5)
    >>> found = row(None, 0.1 * x + 0.2, np.array(list("abcde")), bench)
    >>> round(found["rank_error"], 2), round(found["regret"], 2)
    (0.4, 0.2)
    """
    there = ~np.isnan(h) if x is None else ~(np.isnan(h) | np.isnan(x))
    own = None if x is None else x[there]
    folds = list(_folds(own, h[there], units[there], benches[there]))
    record: dict[str, Any] = {
        "n": int(there.sum()),
        "folds": len(folds),
        "rank_error": None,
        "h_error": None,
        "regret": None,
    }
    if not folds:
        return {**record, "note": f"needs at least {LEAST} cells that are not left out"}
    weights = np.array([one.n for one in folds], dtype=np.float64)
    record |= {
        "rank_error": float(np.average([one.rank for one in folds], weights=weights)),
        "h_error": None if x is None else float(np.average([one.h for one in folds], weights=weights)),
        "regret": float(np.mean([one.regret for one in folds])),
    }
    return {**record, "note": None}


def _folds(
    x: Float[np.ndarray, " n"] | None, h: Float[np.ndarray, " n"], units: np.ndarray, benches: np.ndarray
) -> Iterator[Errors]:
    """The errors of each fold on each benchmark that lost a cell and has at least two."""
    for unit in dict.fromkeys(units.tolist()):
        out = units == unit
        if (~out).sum() < LEAST:
            continue
        slope, guess = (0.0, np.zeros_like(h)) if x is None else line(x, h, out, benches)
        for bench in dict.fromkeys(benches[out].tolist()):
            inside = benches == bench
            own, true = out[inside], h[inside]
            if len(true) < 2:
                continue
            if x is None:
                yield by_lot(true, own)
                continue
            yield Errors(
                rank=rank_error(guess[inside], true, own),
                h=float(np.abs(guess[inside] - true)[own].mean()),
                regret=regret(slope * x[inside], true),
                n=int(own.sum()),
            )


def line(
    x: Float[np.ndarray, " n"], h: Float[np.ndarray, " n"], out: Bool[np.ndarray, " n"], benches: np.ndarray
) -> tuple[float, Float[np.ndarray, " n"]]:
    """The slope on what is not left out, and H by the line for every cell; a constant probe has the slope 0."""
    centre, level = np.empty_like(x), np.empty_like(h)
    for bench in dict.fromkeys(benches.tolist()):
        inside = benches == bench
        known = inside & ~out
        centre[inside] = x[known].mean() if known.any() else x[inside].mean()
        level[inside] = h[known].mean() if known.any() else np.nan
    level[np.isnan(level)] = h[~out].mean()
    own, target = (x - centre)[~out], (h - level)[~out]
    spread = float((own**2).sum())
    slope = float((own * target).sum()) / spread if spread > EQUAL**2 * float((x**2).sum()) else 0.0
    return slope, level + slope * (x - centre)


def rank_error(
    guess: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"], out: Bool[np.ndarray, " n"]
) -> float:
    """Mean distance of places, over n - 1, of the cells left out: by their prediction, and by their H."""
    mixed = np.where(out, guess, true)
    places = [(_place(mixed, index), _place(true, index)) for index in map(int, np.flatnonzero(out))]
    return float(np.mean([abs(one - other) for one, other in places])) / (len(true) - 1)


def _place(values: Float[np.ndarray, " n"], index: int) -> float:
    """How many of the others are lower; half of those that are equal count."""
    difference = np.delete(values, index) - values[index]
    return float((difference < -EQUAL).sum() + 0.5 * (np.abs(difference) <= EQUAL).sum())


def regret(guess: Float[np.ndarray, " n"], true: Float[np.ndarray, " n"]) -> float:
    """The highest value less that of the cell which ``guess`` puts first; the mean over those that it puts first."""
    reach = EQUAL * max(1e-300, float(np.abs(guess).max()))
    return float(true.max() - true[guess >= guess.max() - reach].mean())


def by_lot(true: Float[np.ndarray, " n"], out: Bool[np.ndarray, " n"]) -> Errors:
    """What placing and selecting by lot are expected to cost."""
    n = len(true)
    places = np.array([_place(true, index) for index in map(int, np.flatnonzero(out))])
    rank = float(np.abs(places[:, None] - np.arange(n)).mean()) / (n - 1)
    return Errors(rank=rank, h=float("nan"), regret=float(true.max() - true.mean()), n=int(out.sum()))
