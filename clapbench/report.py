"""From the cells of a sweep to its summary: tables, correlations of geometry with H, and a wandb summary run.

Reads cell.json files and nothing else, so it can be run at any time: ``python -m clapbench.report outputs/NAME``.
It covers the cells that sweep.json lists (those of the last command), or all there are where there is no such file.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from rich import box
from rich.markup import escape
from rich.table import Table

from clapbench import cache
from clapbench.console import console
from clapbench.correlate import MIN_PAIRS, Correlation, correlate
from clapbench.schema import Cell, Embeddings, null_undefined

log = logging.getLogger(__name__)

FEW = 10  # cells; below this a coefficient says little
COLUMNS = ["kind", "probe", "n", "spearman", "spearman_p", "pearson", "pearson_p", "note"]


class Cells(pd.DataFrame):
    """A row per cell with flat column names, and the embeddings that each was computed from."""

    _metadata = ["cache_dir"]
    cache_dir: Path

    @property
    def _constructor(self) -> type[Cells]:
        return Cells

    def embeddings(self, model: str, bench: str) -> Embeddings:
        """Unit rows of one cell, as arrays with their ids: ``.audio``, ``.audio_id``, ``.text``, ``.text_id``."""
        chosen = self[(self["model"] == model) & (self["bench"] == bench) & (self["status"] == "ok")]
        if len(chosen) != 1:
            there = ", ".join(f"{m} × {b}" for m, b in zip(self["model"], self["bench"], strict=True))
            raise KeyError(f"no finished cell {model} × {bench}. Choose from: {there}.")
        path = self.cache_dir / chosen["embeddings_path"].item()
        if not path.is_file():
            raise FileNotFoundError(
                f"cell {model} × {bench}: its embeddings are not at {path}. "
                f"Give load(cache_dir=DIR), or run the cell again with force=true."
            )
        return cache.load(path)


@dataclass(frozen=True)
class Sweep:
    """The cells that a summary covers; ``absent`` are listed in sweep.json and have no cell.json."""

    folder: Path
    cells: tuple[Cell, ...]
    absent: tuple[tuple[str, str], ...]
    covers: str
    cache_dir: Path

    @property
    def finished(self) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if cell.status == "ok")

    @property
    def failed(self) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if cell.status != "ok")


def load(folder: str | Path, *, cache_dir: str | Path | None = None) -> Cells:
    """The cells of a sweep folder as a DataFrame; ``.embeddings(model, bench)`` gives a cell's arrays.

    >>> cells = load("outputs/demo")  # doctest: +SKIP
    >>> cells[["model", "bench", "H", "rankme_text"]]  # doctest: +SKIP
    >>> cells.embeddings("mini", "synth_order").text.shape  # doctest: +SKIP
    (800, 128)
    """
    sweep = read(Path(folder))
    table = Cells([flat(cell) for cell in sweep.cells])
    table.cache_dir = Path(cache_dir) if cache_dir is not None else sweep.cache_dir
    return table


def read(folder: Path) -> Sweep:
    """The cells of a sweep folder, sorted as its sweep.json lists them."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"sweep {folder}: no such folder. Give one that evaluate.py wrote, as outputs/NAME."
        )
    listing = folder / "sweep.json"
    if listing.is_file():
        try:
            record = json.loads(listing.read_text(encoding="utf-8"))
            names = [(cell["model"], cell["bench"]) for cell in record["cells"]]
            cache_dir = folder / record["cache_dir"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"sweep {folder}: needed the list of cells that evaluate.py writes in {listing}, got: {error!r}. "
                f"Delete that file to cover every cell of the folder."
            ) from error
        covers = f"the {count(names)} of the last command"
    else:
        names = [path.parts[-3:-1] for path in sorted(folder.glob("*/*/cell.json"))]  # type: ignore[misc]
        covers, cache_dir = f"all {count(names)} in {folder}", folder.parent / "cache"
    if not names:
        raise FileNotFoundError(
            f"sweep {folder}: holds no cell. Run evaluate.py with sweep={folder.name} first."
        )
    paths = {name: folder.joinpath(*name, "cell.json") for name in names}
    return Sweep(
        folder=folder,
        cells=tuple(Cell.read(path) for path in paths.values() if path.is_file()),
        absent=tuple(name for name, path in paths.items() if not path.is_file()),
        covers=covers,
        cache_dir=cache_dir,
    )


def count(names: Sequence[Any]) -> str:
    return "1 cell" if len(names) == 1 else f"{len(names)} cells"


def flat(cell: Cell) -> dict[str, Any]:
    """A cell as one row of cells.csv."""
    return {
        "model": cell.model,
        "bench": cell.bench,
        "status": cell.status,
        "n_items": cell.n_items,
        "protocol": cell.protocol,
        **{name: defined(cell.scores.get(name)) for name in ("F", "G", "H")},
        **{name: defined(value) for name, value in cell.probes.items()},
        "ties": cell.ties,
        "near_ties": cell.near_ties,
        "dropped_items": cell.dropped_items,
        **{f"embeddings_{key}": value for key, value in cell.embeddings.items()},
        **{f"checkpoint_{key}": value for key, value in cell.checkpoint.items()},
        **{f"runtime_{key}_s": value for key, value in cell.runtime_s.items()},
        "config_key": cell.config_key,
        "git_sha": cell.git_sha,
        "created": cell.created,
        "error": cell.error,
    }


def correlations(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Each probe with H over the finished cells, pooled over benchmarks: the rows of correlations.csv."""
    scored = [cell for cell in cells if cell.scores.get("H") is not None]
    names = list(dict.fromkeys(name for cell in scored for name in cell.probes))
    heights = as_array(cell.scores["H"] for cell in scored)
    rows = []
    for name in names:
        values = as_array(cell.probes.get(name) for cell in scored)
        try:
            found = correlate(values, heights, value_name=name, score_name="H")
        except ValueError as reason:
            n = int((~np.isnan(values)).sum())
            found = Correlation(n, None, None, None, None, note=str(reason))
        rows.append({"kind": "probe", "probe": name, **found._asdict()})
    return rows


def defined(value: float | None) -> float:
    """NaN for None, so that a column of numbers is one."""
    return math.nan if value is None else value


def as_array(values: Iterable[float | None]) -> Float[np.ndarray, " n"]:
    return np.array([defined(value) for value in values], dtype=np.float64)


def tables(sweep: Sweep) -> dict[str, pd.DataFrame]:
    """The summary's two tables: ``cells``, a row per cell; ``correlations``, a row per probe."""
    return {
        "cells": pd.DataFrame([flat(cell) for cell in sweep.cells]),
        "correlations": pd.DataFrame(correlations(sweep.cells), columns=COLUMNS),
    }


def build(folder: Path) -> Sweep:
    """Writes cells.csv, correlations.csv and summary.json into the sweep's folder."""
    sweep = read(folder)
    for name, table in tables(sweep).items():
        cache.write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    text = json.dumps(null_undefined(summary(sweep)), indent=1, allow_nan=False) + "\n"
    cache.write_text(folder / "summary.json", text)
    return sweep


def summary(sweep: Sweep) -> dict[str, Any]:
    """What summary.json holds. It depends on the cells alone, so an unchanged sweep has an unchanged summary."""
    done = sweep.finished
    rows = correlations(sweep.cells)
    return {
        "schema": 1,
        "sweep": sweep.folder.name,
        "covers": sweep.covers,
        "n_cells": len(sweep.cells) + len(sweep.absent),
        "n_ok": len(done),
        "failed": [{"model": c.model, "bench": c.bench, "error": c.error} for c in sweep.failed],
        "absent": [{"model": model, "bench": bench} for model, bench in sweep.absent],
        "cells": [{"model": c.model, "bench": c.bench, "n_items": c.n_items, **c.scores} for c in done],
        "correlation_with": "H, pooled over benchmarks",
        "correlations": {row["probe"]: {k: v for k, v in row.items() if k != "probe"} for row in rows},
    }


def headline(sweep: Sweep) -> dict[str, float]:
    """The sweep in flat numbers, for a run's summary: each cell's H, each probe's coefficients."""
    numbers = {f"H/{cell.model}/{cell.bench}": cell.scores["H"] for cell in sweep.finished}
    for row in correlations(sweep.cells):
        numbers |= {f"{name}/{row['probe']}": row[name] for name in ("spearman", "pearson")}
    return {name: value for name, value in numbers.items() if value is not None}


def show(sweep: Sweep) -> None:
    """Prints both tables, with n beside every coefficient, and what failed."""
    console.print(cells_table(sweep))
    rows = correlations(sweep.cells)
    n = max((row["n"] for row in rows), default=0)
    if n >= MIN_PAIRS:
        console.print(correlations_table(rows))
        models = len({cell.model for cell in sweep.finished})
        console.print(
            f"[dim]n: cells, from {models} models. p is asymptotic, takes cells as independent and is not corrected "
            f"for the {len(rows)} probes tried.[/]",
            highlight=False,
        )
        if n < FEW:
            console.print(f"[yellow]n = {n}: one cell more or less can turn these coefficients round.[/]")
    else:
        console.print(f"[dim]no correlations: they need {MIN_PAIRS} finished cells, there are {n}.[/]")
    for cell in sweep.failed:
        console.print(
            f"[red]failed[/] {cell.model} × {cell.bench}: {escape(str(cell.error))}", soft_wrap=True
        )
    for model, bench in sweep.absent:
        console.print(f"[red]absent[/] {model} × {bench}: no cell.json was written")
    console.print(
        f"[dim]{sweep.folder}: cells.csv, correlations.csv and summary.json cover {sweep.covers}.[/]",
        soft_wrap=True,
    )


# Probe name to its two-line head; the rest of the probes are in cells.csv.
SHOWN = {"rankme_text": "RankMe\ntext", "twonn_text": "Two-NN\ntext", "gap_angle_deg": "gap\ndeg"}


def cells_table(sweep: Sweep) -> Table:
    table = Table(
        title=f"{sweep.folder.name}: compositional retrieval and geometry",
        caption="F: each clip picks its caption. G: each caption picks its clip. H: both.\n"
        "Chance for independent similarities: F .250, G .250, H .167.",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        show_edge=False,
    )
    shown = {name: head for name, head in SHOWN.items() if any(name in cell.probes for cell in sweep.cells)}
    for name in ("model", "bench"):
        table.add_column(name, no_wrap=True)
    for name in ("n", "F", "G", "H", *shown.values()):
        table.add_column(name, justify="right")
    for cell in sweep.cells:
        if cell.status == "ok":
            scores = [number(cell.scores.get(name), digits=3) for name in ("F", "G", "H")]
            probes = [number(cell.probes.get(name), digits=1) for name in shown]
            table.add_row(cell.model, cell.bench, str(cell.n_items), *scores, *probes)
        else:
            table.add_row(cell.model, cell.bench, "[red]failed[/]")
    return table


def correlations_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(
        title="each probe with H, over cells",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        show_edge=False,
    )
    table.add_column("probe", no_wrap=True)
    for name in ("n", "Spearman", "p", "Pearson", "p"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row["probe"],
            str(row["n"]),
            number(row["spearman"], digits=2, sign=True),
            number(row["spearman_p"], digits=3),
            number(row["pearson"], digits=2, sign=True),
            number(row["pearson_p"], digits=3),
        )
    return table


def number(value: float | None, *, digits: int, sign: bool = False) -> str:
    """A number for a table, without the zero before its point; a dash where there is none."""
    if value is None:
        return "–"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 and digits > 1 else text


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print("usage: python -m clapbench.report outputs/NAME   rebuilds and prints the summary of a sweep")
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    try:
        show(build(Path(arguments[0])))
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
