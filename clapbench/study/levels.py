"""The levels of a sweep: a model is one seed of a recipe, and a recipe one of a family. The recipe is the unit.

Seeds of one recipe are no further recipes: taken as such they would make a sample of six recipes look like one of
eighteen. So each probe and score is a mean over the seeds of a recipe on a benchmark before anything is correlated. A
cell that names no recipe is a recipe of its own, and a recipe without a family a family of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from clapbench.results.sweep import Sweep
from clapbench.schema import Cell, single_numbers
from clapbench.study.correlations import Predictor, as_array, score


class Measures(NamedTuple):
    """Cells with H, and the probes of each; by model or, averaged, by recipe."""

    cells: tuple[Cell, ...]
    probes: Mapping[str, Predictor]
    protocol: str

    @property
    def h(self) -> Float[np.ndarray, " n"]:
        """H of each cell under the protocol; NaN where it has none."""
        return as_array(score(cell, "H", protocol=self.protocol) for cell in self.cells)

    @property
    def benches(self) -> list[str]:
        """The benchmarks, in the order of the cells."""
        return list(dict.fromkeys(cell.bench for cell in self.cells))


class Levels(NamedTuple):
    """A sweep by model, and the same by recipe."""

    models: Measures
    recipes: Measures

    @property
    def seeded(self) -> bool:
        """Whether any recipe has more than one seed on a benchmark."""
        return len(self.recipes.cells) < len(self.models.cells)

    @property
    def note(self) -> str | None:
        """What a reader of correlations has to know; None where every model is a recipe of its own."""
        if not self.seeded:
            return None
        models = {cell.model for cell in self.models.cells}
        recipes = {cell.model for cell in self.recipes.cells}
        return (
            f"Seeds are averaged: {len(models)} models are {len(recipes)} recipes, and a row of the correlations is a "
            f"recipe on a benchmark, a mean over its seeds (docs/levels.md)."
        )


def recipe_of(cell: Cell) -> str:
    """How the model of a cell was made, whatever its seed."""
    return cell.recipe or cell.model


def family_of(cell: Cell) -> str:
    """The recipes that the model of a cell is kin to."""
    return cell.family or recipe_of(cell)


def levels(
    sweep: Sweep,
    probes: Mapping[str, Predictor],
    *,
    noise: Mapping[tuple[str, str], float | None] | None = None,
) -> Levels:
    """The cells with H of a sweep, whose ``probes`` are in the same order, by model and by recipe.

    ``noise`` is the variance that the sampling of items adds to a recipe's mean H on a benchmark, where it is known.
    """
    by_model = Measures(cells=tuple(sweep.scored), probes=probes, protocol=sweep.protocol)
    return Levels(models=by_model, recipes=averaged(by_model, noise=noise or {}))


def averaged(found: Measures, *, noise: Mapping[tuple[str, str], float | None]) -> Measures:
    """Each recipe on each benchmark as one cell, the mean of its seeds; what a seed lacks is not counted."""
    groups = grouped(found.cells, by=lambda cell: (recipe_of(cell), cell.bench))
    cells = tuple(
        mean_cell([found.cells[index] for index in indices], protocol=found.protocol, noise=noise.get(key))
        for key, indices in groups.items()
    )
    probes = {
        name: one._replace(
            values=means(one.values, groups.values()), all_rows=means(one.all_rows, groups.values())
        )
        for name, one in found.probes.items()
    }
    return Measures(cells=cells, probes=probes, protocol=found.protocol)


def grouped(cells: Sequence[Cell], *, by: Callable[[Cell], Hashable]) -> dict[Any, list[int]]:
    """The places of the cells that share a key, by key."""
    found: dict[Any, list[int]] = {}
    for index, cell in enumerate(cells):
        found.setdefault(by(cell), []).append(index)
    return found


def mean_cell(seeds: Sequence[Cell], *, protocol: str, noise: float | None = None) -> Cell:
    """The seeds of a recipe on a benchmark as one cell under the recipe's name, with what correlations look at.

    Intervals and p values of one cell are no longer those of a mean: p is undefined, and ci95 spans the intervals of
    all seeds, so that a recipe is below chance where each of its seeds is. ``noise`` is of H under ``protocol``.
    """
    first, recipe = seeds[0], recipe_of(seeds[0])
    if len(seeds) == 1:
        return replace(first, model=recipe)
    shared = [name for name in first.protocols if all(seed.protocols.get(name) for seed in seeds)]
    judged = {name: _mean_protocol([seed.protocols[name] for seed in seeds]) for name in shared}
    if protocol in judged:
        judged[protocol]["H"]["noise"] = noise
    numbers = [single_numbers(seed.extra) for seed in seeds]
    sizes = [single_numbers(seed.embeddings) for seed in seeds]
    return replace(
        first,
        model=recipe,
        seed=None,
        protocol=protocol,
        n_items=first.n_items if len({seed.n_items for seed in seeds}) == 1 else None,
        scores={name: _mean(score(seed, name, protocol=protocol) for seed in seeds) for name in first.scores},
        protocols=judged,
        extra={name: _mean(one.get(name) for one in numbers) for name in numbers[0]},
        embeddings={**first.embeddings, **{name: _mean(one.get(name) for one in sizes) for name in sizes[0]}},
        probes={name: _mean(seed.probes.get(name) for seed in seeds) for name in first.probes},
    )


def _mean_protocol(outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        name: {
            **one,
            "value": _mean(outcome[name]["value"] for outcome in outcomes),
            "ci95": [
                end(outcome[name]["ci95"][side] for outcome in outcomes)
                for side, end in enumerate((min, max))
            ],
            "p_chance": math.nan,
            "p_swap": math.nan,
            "noise": None,
        }
        for name, one in outcomes[0].items()
    }


def _mean(values: Iterable[float | int | None]) -> float | None:
    defined = [float(value) for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def means(values: Float[np.ndarray, " n"], groups: Iterable[Sequence[int]]) -> Float[np.ndarray, " m"]:
    """The mean of each group's values, of those that are defined."""
    kept = [values[list(indices)] for indices in groups]
    kept = [one[~np.isnan(one)] for one in kept]
    return np.array([one.mean() if len(one) else np.nan for one in kept])
