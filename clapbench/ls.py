"""What is there: ``clapbench ls`` lists the sweeps of outputs, ``clapbench ls outputs/NAME`` the cells of one.

Reads cell.json and sweep.json alone, so it answers at once.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from clapbench import grid
from clapbench.console import complain, console, shown
from clapbench.results import sweep as sweeps
from clapbench.schema import Cell

SHORT = 60  # letters of a reason
UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
EPILOG = """Exit code 0: listed; 1: no such folder, or nothing in it; 2: a mistake on this command line."""


def main(arguments: Sequence[str]) -> int:
    """The command: a folder of sweeps, or of one, in; its cells on the terminal out; the exit code."""
    parser = argparse.ArgumentParser(
        prog="clapbench ls",
        description="Lists the sweeps of a folder with how many of their cells are there, or the cells of one sweep.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path("outputs"), help="outputs (default) or outputs/NAME"
    )
    folder = parser.parse_args(arguments).folder
    try:
        if not folder.is_dir():
            raise FileNotFoundError(
                f"ls {folder}: no such folder. Give one that evaluate.py wrote, as outputs."
            )
        names = _cells_of(folder)
        if names or (folder / "sweep.json").is_file():
            _show(_sweep(folder, names), where=folder)
            return 0
        found = [one for one in sorted(folder.iterdir()) if one.is_dir() and _cells_of(one)]
        if not found:
            raise FileNotFoundError(
                f"ls {folder}: holds no sweep and no cell. Run evaluate.py first, or give another folder."
            )
        _show(_sweeps(found), where=folder)
    except OSError as error:
        complain(f"error: {error}")
        return 1
    return 0


def _show(table: grid.Table, *, where: Path) -> None:
    grid.show(table)
    console.say(f"[dim]{shown(where)}[/]", whole=(str(where),))


def _cells_of(folder: Path) -> list[tuple[str, str]]:
    """Every cell of a sweep's folder: those that sweep.json lists, and those beside them."""
    try:
        listed = sweeps.listed(folder / "sweep.json")[0] if (folder / "sweep.json").is_file() else []
    except ValueError:
        listed = []  # `report` says what is wrong with it
    return list(dict.fromkeys([*listed, *sweeps.cells_in(folder)]))


def _read(folder: Path, names: Sequence[tuple[str, str]]) -> Iterator[Cell]:
    """Cells by name, of status "absent" where there is no file."""
    for model, bench in names:
        if (folder / model / bench / "cell.json").is_file():
            yield sweeps.cell_in(folder, (model, bench))
        else:
            yield Cell(status="absent", model=model, bench=bench)


def _sweeps(folders: Sequence[Path]) -> grid.Table:
    """A row for each sweep."""
    kinds = ("ok", "failed", "damaged", "absent")
    columns = [
        grid.Column("sweep", name=True),
        *(grid.Column(kind, keep=9 if kind == "ok" else 7) for kind in kinds),
        grid.Column("best H", keep=6),
        grid.Column("of", keep=4),
        grid.Column("age", keep=8),
    ]
    lines = []
    for folder in folders:
        names = _cells_of(folder)
        cells = list(_read(folder, names))
        counts = [sum(cell.status == kind for cell in cells) for kind in kinds]
        scored = [(h, cell) for cell in cells if (h := cell.scores.get("H")) is not None]
        best, who = max(scored, key=lambda pair: pair[0], default=(None, None))
        ages = [age for cell in cells if (age := _age(cell, folder)) is not None]
        lines.append(
            grid.Line(
                [
                    folder.name,
                    *(str(count) for count in counts),
                    _share(best),
                    f"{who.model} × {who.bench}" if who else "–",
                    _ago(min(ages, default=None)),
                ],
                style="" if counts[0] == len(cells) else "yellow",
            )
        )
    return grid.Table(columns, lines)


def _sweep(folder: Path, names: Sequence[tuple[str, str]]) -> grid.Table:
    """A row for each cell, and under the table why one has no result."""
    columns = [
        grid.Column("model", name=True),
        grid.Column("bench", name=True),
        grid.Column("status", keep=9),
        grid.Column("n", keep=5),
        grid.Column("H", keep=8),
        grid.Column("age", keep=6),
        grid.Column("embeddings", keep=3),
    ]
    lines, reasons = [], []
    try:
        cache = sweeps.listed(folder / "sweep.json")[1]
    except (OSError, ValueError):
        cache = folder.parent / "cache"
    for cell in _read(folder, names):
        row = [cell.model, cell.bench, cell.status, "–" if cell.n_items is None else str(cell.n_items)]
        row += [_share(cell.scores.get("H")), _ago(_age(cell, folder))]
        row.append(_size(cache / cell.embeddings["path"]) if cell.embeddings.get("path") else "–")
        lines.append(grid.Line(row, style="" if cell.status == "ok" else "red"))
        if cell.error:
            reasons.append(f"{cell.status} {cell.model} × {cell.bench}: {_short(cell.error)}")
    return grid.Table(columns, lines, caption=reasons)


def _short(reason: str) -> str:
    """The first line of an error, without the path that stands before it, cut at a word."""
    line = (reason.splitlines() or [""])[0]
    for start in (": needed a cell.json of schema 1, got ", ": needed "):
        line = line.partition(start)[2] or line if start in line else line
    if len(line) <= SHORT:
        return line
    return line[:SHORT].rsplit(" ", 1)[0] + " …"


def _share(h: float | None) -> str:
    return "–" if h is None else f"{h:.3f}"


def _age(cell: Cell, folder: Path) -> float | None:
    """Seconds since the cell was computed; of one that does not say, since its file was written."""
    try:
        if cell.created:
            return max(0.0, time.time() - datetime.fromisoformat(cell.created).timestamp())
        path = folder / cell.model / cell.bench / "cell.json"
        return max(0.0, time.time() - path.stat().st_mtime)
    except (OSError, OverflowError):
        return None


def _ago(seconds: float | int | None) -> str:
    """In the largest unit that it has.

    >>> _ago(12), _ago(7200.0), _ago(None)
    ('12 s', '2 h', '–')
    """
    if seconds is None:
        return "–"
    name, unit = next((pair for pair in UNITS if seconds >= pair[1]), UNITS[-1])
    return f"{seconds / unit:.0f} {name}"


def _size(path: Path) -> str:
    try:
        count = path.stat().st_size
    except OSError:
        return "gone"
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
