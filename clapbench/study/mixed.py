r"""Whether an item is solved, by a probe of the model: a logistic mixed model beside the correlations, as mixed.csv.

For item i of a cell of model m (a seed of recipe r) on benchmark b, asked by template t,

$$\operatorname{logit} P(H_i = 1) = \beta_b + \beta x_{m b} + u_r + u_m + u_{m b} + u_t,$$

x a probe at matched N, less the mean of its benchmark, over its standard deviation within benchmarks; $e^\beta$ is the
odds ratio of one such. One model for each probe. Seeds are a level only where a recipe has two, templates only where
items.csv names them. The cell is one where there are several benchmarks: without $u_{m b}$ every item of a cell would
be evidence of what sets its probe apart from that of the same model elsewhere, and a probe that has nothing to do with
H is a finding in a fifth of studies (`bench/mixed_level.py`). A benchmark is a fixed effect below 5 of them: a variance
of two benchmarks cannot be told from one draw to the next, and the benchmarks are not a sample of any others. The
interval is Student's with recipes - 2 degrees of freedom: the probe is a property of recipes, and items by the thousand
do not make more of these.

    clapbench study mixed outputs/demo --probes rankme_text,gap_angle_deg

See `statistics.glmm` for the fit. It knows nothing of what is difficult about a single item.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from math import exp
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from clapbench import config, files, grid
from clapbench.console import complain
from clapbench.results.rows import Rows
from clapbench.results.sweep import Sweep, check_items, read
from clapbench.statistics import glmm
from clapbench.study import correlations, matched
from clapbench.study.levels import recipe_of

COLUMNS = ["probe", "odds_ratio", "low", "high", "p", "n_items", "n_cells", "n_recipes", "df"]
COLUMNS += ["sd_recipe", "sd_seed", "sd_cell", "sd_template", "sd_bench", "bench", "note"]
FEW_BENCHES = 5  # below, a fixed effect


class Items(NamedTuple):
    """Every judged item of some cells: whether it is solved, the place of its cell, its template."""

    success: Bool[np.ndarray, " n"]
    cell: Int[np.ndarray, " n"]
    template: list[str]


def mixed(sweep: Sweep, *, probes: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Rows of mixed.csv. ``probes``: those of the published study, unless they are named."""
    cells = sweep.scored
    if sweep.mixed or len({recipe_of(cell) for cell in cells}) < 3:
        what = "protocols differ" if sweep.mixed else "recipes are fewer than 3"
        raise ValueError(
            f"mixed: needed cells of 3 recipes under one protocol, but in {sweep.folder} {what}. Add models, or run "
            f"the others again with bench.protocol."
        )
    known = correlations.predictors(cells, matched.measure(sweep).matched)
    names = list(probes or (name for name in config.probe_configs("paper") if name in known))
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"mixed: the probe {unknown[0]!r} is in no cell. Choose from: {', '.join(known)}.")
    items = items_of(sweep)
    return [row(sweep, items, known[name].values, name=name) for name in names]


def items_of(sweep: Sweep) -> Items:
    """The items that the cells' protocol judges; ValueError or FileNotFoundError where a cell's are not to be had."""
    success: list[bool] = []
    places: list[int] = []
    templates: list[str] = []
    for index, cell in enumerate(sweep.scored):
        path = sweep.folder / cell.model / cell.bench / "items.csv"
        try:
            rows = check_items(path, cell)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"mixed: needed the items of {cell.model} × {cell.bench} at {path}, got: {error}. Run the cell again "
                f"with force=true."
            ) from error
        judged = [one for one in rows if one.get("H", "") != ""]
        success += [float(one["H"]) > 0 for one in judged]
        templates += [one.get("template") or "" for one in judged]
        places += [index] * len(judged)
    return Items(np.array(success, dtype=bool), np.array(places, dtype=np.int64), templates)


def row(sweep: Sweep, items: Items, values: Float[np.ndarray, " n"], *, name: str) -> dict[str, Any]:
    """One probe's row."""
    x = standardised(values, [cell.bench for cell in sweep.scored])
    kept = ~np.isnan(x)[items.cell]
    cells = [cell for cell, there in zip(sweep.scored, ~np.isnan(x), strict=True) if there]
    recipes = {recipe_of(cell) for cell in cells}
    df = len(recipes) - 2
    record: dict[str, Any] = {
        "probe": name,
        "n_items": int(kept.sum()),
        "n_cells": len(cells),
        "n_recipes": len(recipes),
        "df": df,
    }
    if df < 1 or not np.nanmax(np.abs(x), initial=0.0) > 0:
        return {**record, "note": "needs a probe that differs between 3 recipes"}
    own = [sweep.scored[index] for index in items.cell[kept]]
    benches = list(dict.fromkeys(cell.bench for cell in cells))
    groups = {"recipe": [recipe_of(cell) for cell in own]}
    if len({(cell.model) for cell in cells}) > len(recipes):
        groups["seed"] = [cell.model for cell in own]
    if len(benches) > 1:
        groups["cell"] = [f"{cell.model}/{cell.bench}" for cell in own]
    templates = [text for text, there in zip(items.template, kept, strict=True) if there]
    if any(templates):
        groups["template"] = [f"{cell.bench}/{text}" for cell, text in zip(own, templates, strict=True)]
    fixed = [x[items.cell[kept]], np.ones(len(own))]
    if len(benches) < FEW_BENCHES:
        of = np.array([cell.bench for cell in own])
        fixed += [(of == bench).astype(np.float64) for bench in benches[1:]]
    else:
        groups["bench"] = [cell.bench for cell in own]
    found = glmm.fit(items.success[kept], np.column_stack(fixed), groups)
    return {
        **record,
        **odds(float(found.coefficients[0]), float(found.errors[0]), df=df),
        **{f"sd_{level}": sd for level, sd in found.sds.items()},
        "bench": "random" if "bench" in groups else "fixed",
        "note": None if found.converged else "the fit did not converge",
    }


def odds(coefficient: float, error: float, *, df: int) -> dict[str, float]:
    """The odds ratio of a coefficient with Student's 95 % interval and p."""
    from scipy.special import stdtr, stdtrit

    reach = float(stdtrit(df, 0.975)) * error
    return {
        "odds_ratio": exp(coefficient),
        "low": exp(coefficient - reach),
        "high": exp(coefficient + reach),
        "p": 2 * float(stdtr(df, -abs(coefficient) / error)),
    }


def standardised(values: Float[np.ndarray, " n"], benches: Sequence[str]) -> Float[np.ndarray, " n"]:
    """Values less their benchmark's mean, over the standard deviation that is left; NaN stays.

    >>> standardised(np.array([1.0, 3.0, 11.0, 13.0]), "xxyy").round(3).tolist()
    [-1.0, 1.0, -1.0, 1.0]
    """
    of = np.array(list(benches))
    found = values.astype(np.float64).copy()
    for bench in dict.fromkeys(benches):
        inside = (of == bench) & ~np.isnan(values)
        found[inside] -= found[inside].mean() if inside.any() else 0.0
    there = found[~np.isnan(found)]
    sd = float(np.sqrt((there**2).mean())) if len(there) else 0.0
    return found / sd if sd > 1e-12 * max(1.0, float(np.nanmax(np.abs(values), initial=0.0))) else 0.0 * found


def table_of(rows: Iterable[dict[str, Any]]) -> grid.Table:
    """The rows for a terminal."""
    columns = [grid.Column("probe", name=True)]
    columns += [
        grid.Column("odds ratio\nper SD", keep=9),
        grid.Column("95 %", keep=8),
        grid.Column("p", keep=7),
    ]
    columns += [grid.Column("df", keep=6)]
    levels = ("recipe", "seed", "cell", "template", "bench")
    columns += [grid.Column(f"sd\n{level}", keep=3) for level in levels]

    def text(value: float | None, digits: int = 2) -> str:
        return "–" if value is None else f"{value:.{digits}f}"

    lines = []
    for one in rows:
        interval = "–" if one.get("low") is None else f"{one['low']:.2f} to {one['high']:.2f}"
        cells = [one["probe"], text(one.get("odds_ratio")), interval, text(one.get("p"), 3), str(one["df"])]
        lines.append(grid.Line([*cells, *(text(one.get(f"sd_{level}")) for level in levels)]))
    caption = [
        "Odds of an item in H for one SD of the probe within a benchmark; sd in logits (docs/levels.md)."
    ]
    return grid.Table(
        columns, lines, title="items in H by probe, mixed model", caption=caption, file="mixed.csv"
    )


def main(arguments: Sequence[str]) -> int:
    """The command: writes mixed.csv into a sweep's folder and prints it; the exit code."""
    parser = argparse.ArgumentParser(
        prog="clapbench study mixed",
        description="A logistic mixed model of the items of a sweep, probe by probe.",
    )
    parser.add_argument("folder", help="a sweep's folder, as outputs/NAME")
    parser.add_argument("--probes", help="names with commas between (default: the published study's)")
    given = parser.parse_args(arguments)
    names = [name for name in (given.probes or "").split(",") if name] or None
    try:
        rows = mixed(read(Path(given.folder)), probes=names)
    except (OSError, ValueError, ImportError) as error:
        complain(f"error: {error}")
        return 1
    files.write_changed(Path(given.folder) / "mixed.csv", Rows(COLUMNS, rows).csv)
    grid.show(table_of(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
