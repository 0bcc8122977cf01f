"""Two models on the same items: the difference of their shares, item by item."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from clapbench.results.sweep import check_items
from clapbench.schema import Cell
from clapbench.statistics import clusters
from clapbench.statistics.proportions import Difference, paired

ITEM = ["item", "caption_p", "caption_r", "clip_p", "clip_r"]  # what makes two rows the same item
JUDGED = ["F", "G", "H"]


class NoPairsError(ValueError):
    """A cell of a benchmark that has no F, G and H."""


def compare(a: Path, b: Path) -> dict[str, Difference]:
    """F, G and H of cell ``a`` minus those of cell ``b``, over the items that both protocols judge.

    Where items share a template, an attribute or their events, also for as many items as these are worth (`clusters`).

    Raises ``ValueError`` unless both cover the same items under one protocol.
    """
    cells = [Cell.read(path) for path in (a, b)]
    for path, cell in zip((a, b), cells, strict=True):
        if cell.status != "ok":
            raise ValueError(
                f"compare: needed two finished cells, got a {cell.status} one in {path}. Run it again."
            )
    if cells[0].bench != cells[1].bench:
        raise ValueError(
            f"compare: needed one benchmark, got {cells[0].bench} in {a} and {cells[1].bench} in {b}. "
            f"Compare two models on one benchmark."
        )
    tables = [read_items(path, cell) for path, cell in zip((a, b), cells, strict=True)]
    if cells[0].protocol != cells[1].protocol:
        raise ValueError(
            f"compare: needed one protocol, got {cells[0].protocol} in {a} and {cells[1].protocol} in {b}. "
            f"Run one of them again with bench.protocol."
        )
    keys = [set(map(tuple, table[ITEM].to_numpy())) for table in tables]
    if keys[0] != keys[1]:
        raise ValueError(
            f"compare: needed the same items, got {len(keys[0] - keys[1])} that only {a} has and "
            f"{len(keys[1] - keys[0])} that only {b} has. Compare two models on one benchmark."
        )
    shared = [column for column in clusters.COLUMNS if column in tables[0].columns]
    one, other = tables[0][[*ITEM, *JUDGED, *shared]], tables[1][[*ITEM, *JUDGED]]
    both = one.merge(other, on=ITEM, suffixes=("_a", "_b"), validate="one_to_one")
    found = {}
    for name in JUDGED:
        judged = both.dropna(subset=[f"{name}_a", f"{name}_b"])
        found[name] = paired(
            judged[f"{name}_a"].to_numpy() > 0,
            judged[f"{name}_b"].to_numpy() > 0,
            factors=clusters.factors({column: judged[column].astype(str).tolist() for column in shared}),
        )
    return found


def read_items(beside: Path, cell: Cell) -> pd.DataFrame:
    """The items.csv of a cell, whole; FileNotFoundError where it is not there."""
    path = beside.with_name("items.csv")
    if not path.is_file():
        if cell.scores.get("H") is None:
            raise NoPairsError(f"compare: {beside.parent} has no single items: it is no benchmark of pairs.")
        raise FileNotFoundError(
            f"compare: needed {path} beside the cell, found none. Run the cell again with force=true."
        )
    try:
        table = pd.DataFrame(check_items(path, cell))
    except ValueError as error:
        raise ValueError(
            f"compare: {path} is damaged: {error}. Run the cell again with force=true."
        ) from error
    absent = [column for column in (*ITEM, *JUDGED) if column not in table.columns]
    if absent:
        raise NoPairsError(
            f"compare: {path} lacks {', '.join(absent)}: it is no benchmark of pairs. Choose one that is."
        )
    for name in JUDGED:
        try:
            table[name] = pd.to_numeric(table[name])  # an empty cell: the protocol does not judge the item
        except ValueError as error:
            raise ValueError(
                f"compare: {path} needs 0, 1 or nothing in {name}: {error}. Run the cell again with force=true."
            ) from error
    return table
