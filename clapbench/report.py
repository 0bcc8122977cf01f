"""From the cells of a sweep to its summary on disk, on the terminal and in wandb.

Reads what the cells left on disk and nothing else, so it can be run at any time: ``python -m clapbench.report
outputs/NAME``. It covers the cells that sweep.json lists (those of the last sweep), or all there are where there is no
such file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from clapbench import cache, printed, published
from clapbench.cells import frame, read
from clapbench.console import console
from clapbench.printed import number
from clapbench.schema import null_undefined
from clapbench.summary import Summary, summarize

LAYOUT = 1  # of the page: raise it when page.py or figures.py draw something else


def build(folder: Path, *, n: int | None = None, draws: int | None = None, every: bool = False) -> Summary:
    """Writes the tables and summary.json into the sweep's folder, and the page and its figures into report/.

    ``n`` and ``draws`` take the place of the sweep's own ``matched.n`` and ``matched.draws``; ``every`` covers all
    cells of the folder, not those of the last command alone.
    """
    sweep = read(folder, every=every)
    given = {name: value for name, value in (("n", n), ("draws", draws)) if value is not None}
    write_table(folder, "cells", frame(sweep.cells))  # first, whatever comes of the rest
    summary = summarize(replace(sweep, matching=sweep.matching._replace(**given)))
    for name, table in summary.tables.items():
        write_table(folder, name, table)
    text = json.dumps(null_undefined(summary.record), indent=1, allow_nan=False) + "\n"
    cache.write_text(folder / "summary.json", text)
    written = [
        folder / "summary.json",
        *(folder / f"{name}.csv" for name in (*summary.tables, "matched", "curve")),
    ]
    content = f"<!-- {cache.key_of([LAYOUT, *(path.read_text(encoding='utf-8') for path in written)])} -->"
    page = folder / "report" / "index.html"
    if not page.is_file() or content not in page.read_text(encoding="utf-8"):
        from clapbench.page import write  # and matplotlib: seconds, spared where nothing has changed

        write(summary, folder / "report", content=content)
    return summary


def write_table(folder: Path, name: str, table: pd.DataFrame) -> None:
    cache.write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))


def show(summary: Summary) -> None:
    """Prints the summary, and where it lies."""
    printed.show(summary)
    folder = summary.sweep.folder
    console.print(
        f"[dim]{escape(str(folder))}: report/index.html, summary.json and the tables beside it cover "
        f"{escape(summary.sweep.covers)}.[/]",
        soft_wrap=True,
    )


def show_published(folder: Path) -> None:
    """Writes the published study's table 4, recomputed, into ``folder``, and prints it with its audit."""
    table = Table(
        title=f"{published.SOURCE}: table 4, recomputed from tables 2 and 3",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("probe", no_wrap=True)
    for name in ("Spearman", "printed", "p", "exact p", "Holm", "Pearson", "printed", "p", "agrees"):
        table.add_column(name, justify="right")
    for row in published.write(folder):
        rank = number(row.spearman, digits=2, sign=True), number(row.printed_spearman, digits=2, sign=True)
        linear = number(row.pearson, digits=2, sign=True), number(row.printed_pearson, digits=2, sign=True)
        p = [number(p, digits=3) for p in (row.spearman_p, row.spearman_p_exact, row.spearman_p_holm)]
        table.add_row(
            row.probe,
            *rank,
            *p,
            *linear,
            number(row.pearson_p, digits=3),
            "yes" if row.agrees else "[red]no[/]",
        )
    console.print(table)
    for sentence in published.audit():
        console.print(sentence, highlight=False)
    console.print(f"[dim]{folder}: correlations.csv, audit.txt.[/]")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m clapbench.report",
        description="Rebuilds and prints the summary of a sweep: outputs/NAME. With `published`, recomputes the "
        "published study's table 4 into outputs/published.",
    )
    parser.add_argument("folder", help="a sweep's folder, or the word published")
    parser.add_argument(
        "--n", type=int, help="rows of each side at matched N (default: the fewest among the cells)"
    )
    parser.add_argument(
        "--draws", type=int, help="draws of items at matched N (default: those of the sweep, 40)"
    )
    parser.add_argument(
        "--all", action="store_true", help="every cell of the folder, not the last command's alone"
    )
    given = parser.parse_args(arguments)
    if (given.n is not None and given.n < 4) or (given.draws is not None and given.draws < 2):
        parser.error(f"needed at least 4 rows and 2 draws, got n={given.n}, draws={given.draws}")
    if given.folder == "published":
        show_published(Path("outputs", "published"))
        return 0
    try:
        show(build(Path(given.folder), n=given.n, draws=given.draws, every=given.all))
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
