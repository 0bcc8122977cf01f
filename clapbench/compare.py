"""Two models on the same items: ``python -m clapbench.compare A/cell.json B/cell.json``.

For F, G and H: the difference of the shares, a bootstrap interval over items, and the exact McNemar p on the items that
only one of the two gets right. Reads the items.csv beside each cell, and nothing else of the run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from clapbench.console import console, plain
from clapbench.schema import Cell
from clapbench.statistics.proportions import Difference
from clapbench.study.paired import compare

USAGE = """usage: python -m clapbench.compare A/cell.json B/cell.json

Difference of two models' F, G and H on the same items of one benchmark, under one protocol: a minus b, with a 95 %
bootstrap interval over items and the exact McNemar p."""


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
