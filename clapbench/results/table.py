"""Cells as a DataFrame: a row per cell, with the embeddings that it was computed from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from clapbench.results.rows import flat
from clapbench.results.sweep import cell_in, cells_in, read, rows_of
from clapbench.schema import Cell, Embeddings


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


def load(folder: str | Path, *, cache_dir: str | Path | None = None) -> Cells:
    """Every cell of a sweep folder as a DataFrame; ``.embeddings(model, bench)`` gives a cell's arrays.

    The summary of a sweep covers the cells of its last command; here are those of single runs too. A cell that cannot
    be read is a row of status "damaged", with the reason as its error.

    >>> cells = load("outputs/demo")  # doctest: +SKIP
    >>> cells[["model", "bench", "H", "rankme_text"]]  # doctest: +SKIP
    >>> cells.embeddings("mini", "synth_order").text.shape  # doctest: +SKIP
    (800, 128)
    """
    sweep = read(Path(folder))
    listed = {(cell.model, cell.bench) for cell in sweep.cells}
    others = [cell_in(sweep.folder, name) for name in cells_in(sweep.folder) if name not in listed]
    table = Cells(frame((*sweep.cells, *others)))
    table.cache_dir = Path(cache_dir) if cache_dir is not None else sweep.cache_dir
    return table


def frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """A row per cell; counts stay whole numbers where a failed cell has none."""
    return pd.DataFrame([flat(cell) for cell in cells]).astype({"n_items": "Int64", "seed": "Int64"})
