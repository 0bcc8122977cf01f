"""From the cells of a sweep to its summary on disk, on the terminal and in wandb.

Reads what the cells left on disk and nothing else, so it can be run at any time: ``python -m clapbench.report
outputs/NAME``. It covers the cells that sweep.json lists (those of the last sweep), or all there are where there is no
such file. What has not changed is neither computed nor written again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from clapbench import files, grid
from clapbench.console import console, shown
from clapbench.report import seal, tables, terminal
from clapbench.results.rows import table_of
from clapbench.results.sweep import read
from clapbench.schema import null_undefined
from clapbench.study import drawn, matched, memory
from clapbench.study.summary import Summary, summarize

KNOWN = Path("report", "correlations.json")  # in a sweep's folder: see `memory`


def build(folder: Path, *, n: int | None = None, draws: int | None = None, every: bool = False) -> Summary:
    """Writes the tables and summary.json into the sweep's folder, and the page and its figures into report/.

    ``n`` and ``draws`` take the place of the sweep's own ``matched.n`` and ``matched.draws``; ``every`` covers all
    cells of the folder, not those of the last command alone.
    """
    sweep = read(folder, every=every)
    given = {name: value for name, value in (("n", n), ("draws", draws)) if value is not None}
    sweep = replace(sweep, matching=sweep.matching._replace(**given))
    files.write_changed(folder / "cells.csv", table_of(sweep.cells).csv)  # first, whatever comes of the rest
    measured = matched.measure(sweep)
    if measured.memory:
        files.write_changed(folder / "draws.csv", drawn.memory_of(measured.memory).csv)
    summary = summarize(sweep, measured=measured, known=folder / KNOWN)
    if summary.key:
        files.write_changed(folder / KNOWN, memory.text_of(summary.key, summary.entries))
    texts = {f"{name}.csv": rows.csv for name, rows in summary.rows.items()}
    texts["summary.json"] = json.dumps(null_undefined(summary.record), indent=1, allow_nan=False) + "\n"
    for name, text in texts.items():
        files.write_changed(folder / name, text)
    content = seal.content_of(summary, texts=texts)
    if not seal.holds(folder / "report", content=content):
        from clapbench.report.page import write  # and matplotlib: seconds, spared where nothing has changed

        write(summary, folder / "report", content=content)
    return summary


def show(summary: Summary) -> None:
    """Prints the summary, and where it lies."""
    terminal.show(summary)


def show_published(folder: Path) -> None:
    """Writes the published study's table 4, recomputed, into ``folder``, and prints it with its audit."""
    from clapbench.study import published

    rows = published.write(folder)
    grid.show(tables.published(rows, source=published.SOURCE))
    for sentence in published.audit():
        console.say(shown(sentence))
    terminal.where(folder, "correlations.csv, audit.txt.")
