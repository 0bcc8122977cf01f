"""Two models on the same items: ``clapbench compare A B``, or ``python -m clapbench.compare A B``.

For F, G and H: the difference of the shares, Tango's score interval, and the exact McNemar p on the items that only one
of the two gets right; where items share a template, an attribute or their events, both for clusters of items, too.
Reads the items.csv beside each cell, and nothing else of the run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from clapbench import grid
from clapbench.console import complain, console, shown
from clapbench.schema import Cell

if TYPE_CHECKING:
    from clapbench.statistics.proportions import Difference

DESCRIPTION = """Difference of two models' F, G and H on the same items of a benchmark, under one protocol: a minus b,
with Tango's 95 % score interval and the exact McNemar p; clustered: as if items of one template, attribute or pair of
events were drawn together. Two folders of models are compared on every benchmark
that both have, two sweeps on every model and benchmark that both have."""
EPILOG = """Exit code 0: all that both have was compared; 1: something could not be; 2: a mistake on this
command line."""


class Given(NamedTuple):
    """What a path on the command line holds: its cells by (model, bench), by bench, or one cell alone."""

    path: Path
    kind: str  # "sweep", "model" or "cell"
    cells: dict[tuple[str, ...], Path]


def given(path: Path) -> Given:
    """The cells of a cell.json or of a cell's, a model's or a sweep's folder; FileNotFoundError where there is none."""
    if path.is_file():
        return Given(path, "cell", {(): path})
    for kind, pattern in (("cell", "cell.json"), ("model", "*/cell.json"), ("sweep", "*/*/cell.json")):
        if found := sorted(path.glob(pattern)):
            return Given(path, kind, {one.relative_to(path).parts[:-1]: one for one in found})
    raise FileNotFoundError(
        f"compare: needed a cell.json, or the folder of a cell, a model or a sweep, found none at {path}."
    )


def shared(a: Given, b: Given) -> list[tuple[Path, Path]]:
    """The cells that both hold, pair by pair. ValueError where there is none, or the two are not alike."""
    if {a.kind, b.kind} == {"cell", "model"}:  # of the model, the benchmark of the cell
        one, other = (a, b) if a.kind == "cell" else (b, a)
        (path,) = one.cells.values()
        bench = (Cell.read(path).bench,)
        a, b = (Given(side.path, "model", side.cells if side is other else {bench: path}) for side in (a, b))
    if a.kind != b.kind:
        raise ValueError(
            f"compare: needed two of one kind, got a {a.kind} ({a.path}) and a {b.kind} ({b.path}). "
            f"Give two sweeps, two models of them, or two cells."
        )
    both = [name for name in a.cells if name in b.cells]
    if not both:
        has = [", ".join(" × ".join(name) for name in side.cells) for side in (a, b)]
        raise ValueError(
            f"compare: needed a benchmark that both have, got {has[0]} in {a.path} and {has[1]} in {b.path}."
        )
    return [(a.cells[name], b.cells[name]) for name in both]


def table_of(a: Path, b: Path, found: dict[str, Difference]) -> grid.Table:
    """The differences of two cells, with n, intervals and exact p."""
    first, second = Cell.read(a), Cell.read(b)
    names = (first.model, second.model) if first.model != second.model else (str(a.parent), str(b.parent))
    columns = [
        grid.Column("", name=True),
        grid.Column("a", keep=7),
        grid.Column("b", keep=7),
        grid.Column("a - b", keep=9),
        grid.Column("95 %", keep=8),
        grid.Column("only a", keep=5),
        grid.Column("only b", keep=5),
        grid.Column("McNemar p", keep=6),
    ]
    clustered = any(difference.ci95_clustered for difference in found.values())
    if clustered:
        columns += [grid.Column("95 % clustered", keep=4), grid.Column("largest p clustered", keep=3)]
    lines = []
    for name, difference in found.items():
        values = [cell.scores.get(name) for cell in (first, second)]
        row = [name, *("–" if value is None else f"{value:.3f}" for value in values)]
        row += [
            f"{difference.value:+.3f}",
            f"{difference.ci95.low:+.3f} to {difference.ci95.high:+.3f}",
            str(difference.a_only),
            str(difference.b_only),
            f"{difference.p:.3g}",
        ]
        if clustered:
            bounds, ps = difference.ci95_clustered, difference.p_clustered
            row.append(f"{bounds.low:+.3f} to {bounds.high:+.3f}" if bounds else "–")
            row.append(f"{max(ps.values()):.3g} ({max(ps, key=ps.__getitem__)})" if ps else "–")
        lines.append(grid.Line(row))
    about = f"on {first.bench} ({first.protocol}, n {first.n_items})"
    return grid.Table(columns, lines, title=f"a: {names[0]}, b: {names[1]}, {about}")


def main(arguments: Sequence[str]) -> int:
    """The command: two cells, models or sweeps in, tables out; the exit code."""
    parser = argparse.ArgumentParser(prog="clapbench compare", description=DESCRIPTION, epilog=EPILOG)
    what = "cell.json, a cell's folder, a model's (outputs/NAME/MODEL) or a sweep's (outputs/NAME)"
    parser.add_argument("a", type=Path, help=what)
    parser.add_argument("b", type=Path, help="the same of the other")
    typed = parser.parse_args(arguments)
    from clapbench.study import paired  # and pandas, not for --help

    try:
        pairs = shared(given(typed.a), given(typed.b))
    except (OSError, ValueError) as error:
        complain(f"error: {error}")
        return 1
    errors, done = 0, 0
    for a, b in pairs:
        try:
            table = table_of(a, b, paired.compare(a, b))
        except paired.NoPairsError as error:
            if len(pairs) == 1:
                complain(f"error: {error}")
            else:
                console.say(f"[dim]left out: {shown(error)}[/]", whole=(str(a.parent),))
            continue
        except (OSError, ValueError) as error:
            complain(f"error: {error}")
            errors += 1
            continue
        if done:
            console.print()
        grid.show(table)
        done += 1
    return 0 if done and not errors else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
