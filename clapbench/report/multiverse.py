"""The command ``clapbench study multiverse FOLDER``: each probe of a sweep over its free choices.

Writes multiverse.csv and multiverse_ranges.csv into the sweep's folder and the figure into its report/, as PNG and SVG.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clapbench import files
from clapbench.console import complain, tell
from clapbench.report.figures import COLOURS, label, save
from clapbench.report.wording import number
from clapbench.study.multiverse import DRAWS, Multiverse, Range, run

ROW = 0.27  # inches
HALF = {"matched": -0.14, "half": 0.14}  # of a row, above and below its line


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    found = argparse.ArgumentParser(
        prog="clapbench study multiverse",
        description="Measures each probe of a sweep over its free choices, from the cached embeddings, and correlates "
        "each with H: multiverse.csv, multiverse_ranges.csv, report/multiverse.png and .svg in the sweep's folder.",
    )
    found.add_argument("folder", help="a sweep's folder, as outputs/NAME")
    found.add_argument(
        "--probes", default="", help="names or sets, as all (default: the probes of the cells)"
    )
    found.add_argument(
        "--draws", type=int, default=DRAWS, help=f"draws of items in cells with more rows (default: {DRAWS})"
    )
    return found


def main(arguments: Sequence[str]) -> int:
    """The command; the exit code."""
    given = parser().parse_args(arguments)
    if given.draws < 1:
        parser().error(f"needed at least 1 draw, got {given.draws}")
    folder = Path(given.folder)
    try:
        found = run(folder, probes=[name for name in given.probes.split(",") if name], n_draws=given.draws)
        written = write(found, folder)
    except (OSError, ValueError) as error:
        complain(f"error: {error}")
        return 1
    for line in lines(found):
        tell(line)
    tell(f"written: {', '.join(map(str, written))}")
    return 0


def write(found: Multiverse, folder: Path) -> list[Path]:
    """The tables and the figure; where they are."""
    written = []
    for name, rows in found.tables.items():
        files.write_changed(folder / f"{name}.csv", rows.csv)
        written.append(folder / f"{name}.csv")
    return [*written, *save(figure(found), folder / "report", name="multiverse")]


def lines(found: Multiverse) -> list[str]:
    """A line for each family, for the terminal."""
    width = max(len(row.probe) for row in found.ranges) + 2
    return [
        f"{row.probe + ('†' if row.reads_matches else ''):<{width}} {number(row.default, digits=2, sign=True):>6}  "
        f"{number(row.low, digits=2, sign=True):>6} to {number(row.high, digits=2, sign=True):>6}  {stability(row)}"
        for row in ordered(found)
    ]


def ordered(found: Multiverse) -> list[Range]:
    """The largest default first; those without one last."""
    return sorted(found.ranges, key=lambda row: -abs(row.default) if row.default is not None else 1)


def stability(row: Range) -> str:
    """How many of a family's choices have the sign of its default."""
    if row.same_sign is None:
        return f"undefined at its default ({row.defined} of {row.choices} defined)"
    return f"sign kept in {round(row.same_sign * row.defined)} of {row.defined}" + (
        f" ({row.choices - row.defined} undefined)" if row.defined < row.choices else ""
    )


def figure(found: Multiverse) -> Figure:
    """A specification curve lying down: a row for each family, a point for each choice, the default marked."""
    rows = ordered(found)
    drawn = Figure(figsize=(8.2, ROW * len(rows) + 1.5), layout="constrained", dpi=150)
    axes = drawn.subplots()
    axes.axvline(0, color="#999999", lw=0.8)
    for place, row in enumerate(rows):
        kept = row.same_sign == 1
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [place] * 2, color="#bbbbbb", lw=1.2, zorder=1)
        for one in found.choices:
            if one.probe != row.probe or one.value is None:
                continue
            colour = COLOURS[0] if kept else COLOURS[1]
            axes.plot(
                one.value,
                place + HALF[one.n_rows],
                "o" if one.n_rows == "matched" else "s",
                ms=3.2,
                alpha=0.7,
                color=colour,
                mfc=colour if one.n_rows == "matched" else "white",
                mew=0.8,
                zorder=2,
            )
        if row.default is not None:
            axes.plot(row.default, place, "D", color="black", ms=5, zorder=3)
        axes.annotate(
            stability(row), (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=7.5
        )
    axes.set_yticks(range(len(rows)), [label(row.probe) + ("†" if row.reads_matches else "") for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-1.04, 1.04)
    axes.set_xlabel(f"Spearman's coefficient with H, {found.cells} cells of {found.models} models")
    axes.xaxis.label.set_fontsize(8.5)
    axes.tick_params(labelsize=8)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color="#eeeeee", lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    _legend(drawn, found)
    return drawn


def _legend(drawn: Figure, found: Multiverse) -> None:
    n = f"{found.size.audio} clips, {found.size.text} captions"
    marks: list[tuple[str, dict[str, object]]] = [
        ("the probe's default", {"marker": "D", "color": "black", "ms": 5}),
        (f"a choice at matched N ({n})", {"marker": "o", "color": "#555555", "ms": 4}),
        ("a choice at half of it", {"marker": "s", "color": "#555555", "mfc": "white", "ms": 4}),
        ("sign the same everywhere", {"marker": "o", "color": COLOURS[0], "ms": 4}),
        ("sign depends on the choice", {"marker": "o", "color": COLOURS[1], "ms": 4}),
    ]
    if any(row.reads_matches for row in found.ranges):
        marks.append(("† reads the matches: no evidence", {"marker": "", "color": "white"}))
    handles = [Line2D([], [], linestyle="", label=words, **style) for words, style in marks]  # type: ignore[arg-type]
    drawn.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=7.5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
