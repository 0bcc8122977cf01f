"""Cells as a DataFrame: a row per cell, with the embeddings that it was computed from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from clapbench.results import cache
from clapbench.results.sweep import read
from clapbench.schema import Cell, Embeddings, single_numbers


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
        return rows_of(self.cache_dir / chosen["embeddings_path"].item(), model=model, bench=bench)


def rows_of(path: Path, *, model: str, bench: str) -> Embeddings:
    """The embeddings of a cell; FileNotFoundError that names the cell when they are gone."""
    if not path.is_file():
        raise FileNotFoundError(
            f"cell {model} × {bench}: its embeddings are not at {path}. "
            f"Bring the cache folder along, give load(cache_dir=DIR), or run the cell again with force=true."
        )
    return cache.load(path)


def load(folder: str | Path, *, cache_dir: str | Path | None = None) -> Cells:
    """Every cell of a sweep folder as a DataFrame; ``.embeddings(model, bench)`` gives a cell's arrays.

    The summary of a sweep covers the cells of its last command; here are those of single runs too.

    >>> cells = load("outputs/demo")  # doctest: +SKIP
    >>> cells[["model", "bench", "H", "rankme_text"]]  # doctest: +SKIP
    >>> cells.embeddings("mini", "synth_order").text.shape  # doctest: +SKIP
    (800, 128)
    """
    sweep = read(Path(folder))
    listed = {(cell.model, cell.bench) for cell in sweep.cells}
    paths = sorted(Path(folder).glob("*/*/cell.json"))
    others = [Cell.read(path) for path in paths if path.parts[-3:-1] not in listed]
    table = Cells(frame((*sweep.cells, *others)))
    table.cache_dir = Path(cache_dir) if cache_dir is not None else sweep.cache_dir
    return table


def frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """A row per cell; counts stay whole numbers where a failed cell has none."""
    return pd.DataFrame([flat(cell) for cell in cells]).astype({"n_items": "Int64"})


def flat(cell: Cell) -> dict[str, Any]:
    """A cell as one row of cells.csv."""
    return {
        "model": cell.model,
        "bench": cell.bench,
        "status": cell.status,
        "n_items": cell.n_items,
        "protocol": cell.protocol,
        **{name: defined(cell.scores.get(name)) for name in ("F", "G", "H")},
        **score_columns(cell),
        **{name: defined(value) for name, value in cell.probes.items()},
        **single_numbers(cell.extra),
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


def score_columns(cell: Cell) -> dict[str, float]:
    """What H is score_columns, and F, G and H of every protocol."""
    h = cell.score("H")
    found = {}
    if h:
        found = dict(zip(("H_low", "H_high"), h["ci95"], strict=True))
        found |= {f"H_{name}": h[name] for name in ("chance", "p_chance", "p_swap")}
    for protocol, outcome in cell.protocols.items():
        found |= {f"{protocol}_{name}": score["value"] for name, score in (outcome or {}).items()}
    return found


def defined(value: float | int | None) -> float:
    """NaN for None, so that a column of numbers is one."""
    return math.nan if value is None else float(value)
