"""From the cells of a sweep to its summary on disk, on the terminal and in wandb.

Reads what the cells left on disk and nothing else, so it can be run at any time: ``python -m clapbench.report
outputs/NAME``. It covers the cells that sweep.json lists (those of the last sweep), or all there are where there is no
such file.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
from rich import box
from rich.markup import escape
from rich.table import Table

from clapbench import files, sheets
from clapbench.console import console
from clapbench.report import terminal
from clapbench.report.wording import number
from clapbench.results.sweep import read
from clapbench.results.table import frame
from clapbench.schema import null_undefined
from clapbench.study import published
from clapbench.study.summary import Summary, summarize

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
    files.write_text(folder / "summary.json", text)
    written = [
        folder / "summary.json",
        *(folder / f"{name}.csv" for name in (*summary.tables, "matched", "curve")),
    ]
    content = f"<!-- {files.key_of([LAYOUT, *(path.read_text(encoding='utf-8') for path in written)])} -->"
    page = folder / "report" / "index.html"
    if not page.is_file() or content not in page.read_text(encoding="utf-8"):
        from clapbench.report.page import write  # and matplotlib: seconds, spared where nothing has changed

        write(summary, folder / "report", content=content)
    return summary


def write_table(folder: Path, name: str, table: pd.DataFrame) -> None:
    files.write_text(folder / f"{name}.csv", sheets.text_of(table))


def show(summary: Summary) -> None:
    """Prints the summary, and where it lies."""
    terminal.show(summary)
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
