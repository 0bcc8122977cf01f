"""What seeds say of a sweep: the mean and spread of each recipe over them, and the share of variance that recipes make.

Rows of seeds.csv, one for each recipe, benchmark and number (H, the probes), and of levels.csv, one ICC(1) for each
benchmark and number (`statistics.icc`). A number that differs as much between seeds as between recipes says nothing of
a recipe, whatever it correlates with.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import Any

import numpy as np
from jaxtyping import Float

from clapbench.statistics.icc import icc1
from clapbench.study.levels import Measures, family_of, grouped, recipe_of

SEEDS = ["recipe", "family", "bench", "kind", "name", "n", "mean", "sd", "low", "high", "least", "most"]
LEVELS = ["bench", "kind", "name", "recipes", "models", "seeds", "icc", "low", "high", "between", "within"]
LEVELS += ["f", "note"]


def over_seeds(models: Measures) -> list[dict[str, Any]]:
    """Rows of seeds.csv. ``low`` and ``high`` are Student's 95 % interval of the recipe's mean over its n seeds."""
    found = []
    groups = grouped(models.cells, by=lambda cell: (recipe_of(cell), cell.bench))
    for (recipe, bench), indices in groups.items():
        family = family_of(models.cells[indices[0]])
        for kind, name, values in numbers(models):
            there = values[indices][~np.isnan(values[indices])]
            if len(there):
                row = {"recipe": recipe, "family": family, "bench": bench, "kind": kind, "name": name}
                found.append({**row, **spread(there)})
    return found


def spread(values: Float[np.ndarray, " n"]) -> dict[str, Any]:
    """Mean, standard deviation, Student's 95 % interval of the mean, and the range; None where one value has none.

    >>> found = spread(np.array([0.4, 0.5, 0.6]))
    >>> round(found["sd"], 3), round(found["low"], 3), round(found["high"], 3)
    (0.1, 0.252, 0.748)
    """
    n, mean = len(values), float(values.mean())
    row: dict[str, Any] = {"n": n, "mean": mean, "sd": None, "low": None, "high": None}
    if n > 1:
        from scipy.special import stdtrit  # Student's quantile, without the seconds that scipy.stats takes

        sd = float(values.std(ddof=1))
        reach = float(stdtrit(n - 1, 0.975)) * sd / sqrt(n)
        row |= {"sd": sd, "low": mean - reach, "high": mean + reach}
    return row | {"least": float(values.min()), "most": float(values.max())}


def reliability(models: Measures) -> list[dict[str, Any]]:
    """Rows of levels.csv: ICC(1) of H and of each probe on each benchmark, with seeds as replicates of recipes."""
    found = []
    for bench in models.benches:
        inside = [index for index, cell in enumerate(models.cells) if cell.bench == bench]
        recipes = grouped([models.cells[index] for index in inside], by=recipe_of)
        for kind, name, values in numbers(models):
            one = icc1([values[inside][indices] for indices in recipes.values()])
            found.append(
                {
                    "bench": bench,
                    "kind": kind,
                    "name": name,
                    "recipes": one.groups,
                    "models": one.n,
                    "seeds": one.replicates,
                    "icc": one.value,
                    "low": one.low,
                    "high": one.high,
                    "between": one.between,
                    "within": one.within,
                    "f": one.f,
                    "note": one.note,
                }
            )
    return found


def numbers(found: Measures) -> Iterator[tuple[str, str, Float[np.ndarray, " n"]]]:
    """H, then the probes: kind, name and a value for each cell."""
    yield "score", "H", found.h
    for name, probe in found.probes.items():
        yield "probe", name, probe.values
