"""Two models on the same items: ``python -m clapbench.compare A/cell.json B/cell.json``.

For F, G and H: the difference of the shares, a bootstrap interval over items, and the exact McNemar p on the items that
only one of the two gets right. Reads the items.csv beside each cell, and nothing else of the run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from clapbench import sheets
from clapbench.console import console, plain
from clapbench.schema import Cell
from clapbench.significance import Difference, paired

USAGE = """usage: python -m clapbench.compare A/cell.json B/cell.json

Difference of two models' F, G and H on the same items of one benchmark, under one protocol: a minus b, with a 95 %
bootstrap interval over items and the exact McNemar p."""
ITEM = ["item", "caption_p", "caption_r", "clip_p", "clip_r"]  # what makes two rows the same item
JUDGED = ["F", "G", "H"]


def compare(a: Path, b: Path) -> dict[str, Difference]:
    """F, G and H of cell ``a`` minus those of cell ``b``, over the items that both protocols judge.

    Raises ``ValueError`` unless both cover the same items under one protocol.
    """
    cells = [Cell.read(path) for path in (a, b)]
    tables = [read_items(path) for path in (a, b)]
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
    one, other = (table[[*ITEM, *JUDGED]] for table in tables)
    both = one.merge(other, on=ITEM, suffixes=("_a", "_b"), validate="one_to_one")
    found = {}
    for name in JUDGED:
        judged = both[[f"{name}_a", f"{name}_b"]].dropna()
        found[name] = paired(judged[f"{name}_a"].to_numpy() > 0, judged[f"{name}_b"].to_numpy() > 0)
    return found


def read_items(cell: Path) -> pd.DataFrame:
    path = cell.with_name("items.csv")
    if not path.is_file():
        raise FileNotFoundError(
            f"compare: needed {path} beside the cell, found none. Run the cell again with force=true."
        )
    table = pd.DataFrame(sheets.read(path))
    absent = [column for column in (*ITEM, *JUDGED) if column not in table.columns]
    if absent:
        raise ValueError(
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


def show(a: Path, b: Path, found: dict[str, Difference]) -> None:
    first, second = Cell.read(a), Cell.read(b)
    table = Table(
        title=escape(
            plain(
                f"a: {first.model}, b: {second.model}, on {first.bench} ({first.protocol}, n {first.n_items})"
            )
        ),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
    )
    for head in ("", "a", "b", "a - b", "95 %", "only a", "only b", "McNemar p"):
        table.add_column(head, justify="right" if head else "left")
    for name, difference in found.items():
        table.add_row(
            name,
            *(f"{cell.scores[name]:.3f}" for cell in (first, second)),
            f"{difference.value:+.3f}",
            f"{difference.ci95.low:+.3f} to {difference.ci95.high:+.3f}",
            str(difference.a_only),
            str(difference.b_only),
            f"{difference.p:.3g}",
        )
    console.print(table)


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 2 or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    a, b = map(Path, arguments)
    try:
        show(a, b, compare(a, b))
    except (FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
