"""Cells and their tables as plain rows, and rows as CSV, without pandas: it takes half a second to import."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from clapbench import sheets
from clapbench.schema import Cell, single_numbers


class Rows(NamedTuple):
    """A table: its columns, and for each row a value by column; what a row lacks is empty."""

    columns: Sequence[str]
    records: Sequence[Mapping[str, Any]]

    @property
    def csv(self) -> str:
        """As text, every number to its last digit; None and NaN are empty."""
        return sheets.text_of(self.columns, self.records)


def rows_of_records(records: Sequence[Mapping[str, Any]]) -> Rows:
    """A table of records, its columns in the order in which they first come."""
    return Rows(list(dict.fromkeys(name for record in records for name in record)), records)


def table_of(cells: Iterable[Cell]) -> Rows:
    """cells.csv: a row for each cell."""
    return rows_of_records([flat(cell) for cell in cells])


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
    """What H is worth, and F, G and H of every protocol."""
    h = cell.score("H")
    found = {}
    if h:
        found = dict(zip(("H_low", "H_high"), h["ci95"], strict=True))
        found |= {f"H_{name}": h[name] for name in ("chance", "p_chance", "p_swap")}
        found |= dict(zip(("H_low_clustered", "H_high_clustered"), h.get("ci95_clustered", ()), strict=False))
        found |= {f"H_p_swap_{name}": p for name, p in h.get("p_swap_clustered", {}).items()}
    found |= dict(
        zip(("mean_margin_low", "mean_margin_high"), cell.extra.get("mean_margin_ci95") or (), strict=False)
    )
    for protocol, outcome in cell.protocols.items():
        found |= {f"{protocol}_{name}": score["value"] for name, score in (outcome or {}).items()}
    return found


def defined(value: float | int | None) -> float:
    """NaN for None, so that a column of numbers is one."""
    return math.nan if value is None else float(value)
