"""A sweep's summary for the terminal: the tables that people read, and the words beside them."""

from __future__ import annotations

from pathlib import Path

from clapbench import grid
from clapbench.console import console, shown
from clapbench.report import levels, tables
from clapbench.report.wording import at_floor, notes, study, units, without_h
from clapbench.statistics.coefficients import MIN_PAIRS
from clapbench.study.summary import Summary


def show(summary: Summary) -> None:
    """Prints the tables, with n beside every coefficient, the diagnosis, and what failed."""
    sweep = summary.sweep
    grid.show(tables.cells(summary))
    for line in [*without_h(summary), *at_floor(summary)]:
        console.say(shown(line))
    if summary.n >= MIN_PAIRS:
        for sentence in summary.warnings:
            console.say(f"\n[bold yellow]{shown(sentence)}[/]")
        console.print()
        for sentence in study(summary):
            console.say(shown(sentence))
        for part in tables.correlations(summary):
            grid.show(part)
        for sentence in notes(summary):
            console.say(f"[dim]{shown(sentence)}[/]")
        for table in (levels.over_seeds(summary), levels.prediction(summary)):
            if table is not None:
                console.print()
                grid.show(table)
    else:
        console.say(
            f"[dim]no correlations: they need {MIN_PAIRS} {units(summary)}, there are "
            f"{len(summary.levels.recipes.cells)}.[/]"
        )
    if any(one.verdict not in ("reference", "no evidence") for one in summary.diagnoses):
        console.say("\n[bold]Where a low H may come from[/] [dim](docs/diagnosis.md)[/]")
        for one in summary.diagnoses:
            console.say(shown(f"{one.model} × {one.bench}: {one.words}"))
    for status, words in tables.unfinished(summary):
        console.say(f"[red]{status}[/] {shown(words)}")
    where(
        sweep.folder,
        f"report/index.html, summary.json and the tables beside it cover {shown(sweep.covers)}.",
    )


def where(folder: Path, words: str) -> None:
    """Where something lies; the folder is not broken over lines."""
    name = shown(folder)
    console.say(f"[dim]{name}: {words}[/]", whole=(str(folder),))
