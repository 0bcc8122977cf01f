"""The figures of a sweep's report: RankMe over N, and H against the probes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from clapbench.console import plain
from clapbench.report.wording import number, p_value
from clapbench.study.drawn import Measured
from clapbench.study.summary import Summary

# Okabe and Ito 2008: told apart by people who do not see red and green as two; past eight, colours come again dashed.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]
SIDES = {"rankme_text": "captions", "rankme_audio": "clips"}
AGAINST = {  # probe to the label of its axis
    "rankme_text": "RankMe of the captions",
    "rankme_audio": "RankMe of the clips",
    "twonn_text": "Two-NN dimension of the captions",
    "twonn_audio": "Two-NN dimension of the clips",
    "residual_text_k10": "residual energy of the captions, k = 10",
    "gap_angle_deg": "modality angle, degrees",
}
COLUMNS = 3


class Look:
    """A colour for each model and a marker for each benchmark, the same in every figure."""

    def __init__(self, summary: Summary) -> None:
        self.models = list(dict.fromkeys(cell.model for cell in summary.sweep.scored))
        self.benches = list(dict.fromkeys(cell.bench for cell in summary.sweep.scored))

    def colour(self, model: str) -> str:
        """The colour of a model."""
        return COLOURS[self.models.index(model) % len(COLOURS)]

    def line(self, model: str) -> Literal["-", "--"]:
        """The line of a model: solid, dashed once the colours come round again."""
        return "-" if self.models.index(model) < len(COLOURS) else "--"

    def marker(self, bench: str) -> str:
        """The marker of a benchmark."""
        return MARKERS[self.benches.index(bench) % len(MARKERS)]

    def legend(self, figure: Figure) -> None:
        """Models by their lines, then benchmarks by their markers, below the figure."""
        models = [
            Line2D([], [], color=self.colour(name), linestyle=self.line(name), lw=2.5, label=label(name))
            for name in self.models
        ]
        benches = [
            Line2D([], [], color="#555555", marker=self.marker(name), linestyle="", label=label(name))
            for name in self.benches
        ]
        handles = [*models, *benches]
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=min(len(handles), 5 if figure.get_figwidth() > 8 else 3),
            frameon=False,
            fontsize=8,
        )


def rank_over_rows(summary: Summary) -> Figure | None:
    """RankMe(N) of both sides with the interval over draws, a line for each cell; None where nothing was drawn."""
    sides = {probe: what for probe, what in SIDES.items() if any(row.probe == probe for row in summary.curve)}
    if not sides or summary.size is None:
        return None
    look = Look(summary)
    figure = Figure(figsize=(4.6 * len(sides), 3.9), layout="constrained", dpi=150)
    for axes, (probe, what) in zip(
        figure.subplots(1, len(sides), squeeze=False)[0], sides.items(), strict=True
    ):
        rows = [row for row in summary.curve if row.probe == probe and row.mean is not None]
        for model, bench in dict.fromkeys((row.model, row.bench) for row in rows):
            own = [row for row in rows if (row.model, row.bench) == (model, bench)]
            x, y = [_rows(row) for row in own], [row.mean or math.nan for row in own]
            axes.plot(
                x, y, look.line(model), color=look.colour(model), marker=look.marker(bench), ms=3.5, lw=1.2
            )
            band = [row for row in own if row.low is not None and row.high is not None]
            axes.fill_between(
                [_rows(row) for row in band],
                [row.low or 0.0 for row in band],
                [row.high or 0.0 for row in band],
                color=look.colour(model),
                alpha=0.15,
                lw=0,
            )
        n = summary.size.text if probe.endswith("text") else summary.size.audio
        axes.axvline(n, color="#999999", lw=0.8, ls=":")
        axes.set_xscale("log", base=2)
        ticks = sorted({_rows(row) for row in rows})
        axes.xaxis.set_major_locator(FixedLocator(_apart(ticks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
        axes.set_xlabel(f"{what} drawn (dotted: matched N, {n})")
        axes.set_ylabel(f"RankMe of the {what}")
        _bare(axes)
    look.legend(figure)
    return figure


def h_over_probes(summary: Summary) -> Figure | None:
    """H against each probe at matched N, a point for each cell; None below the cells that a correlation needs."""
    found = {row["probe"]: row for row in summary.correlations if row["kind"] == "probe"}
    shown = {
        name: label for name, label in AGAINST.items() if found.get(name, {}).get("spearman") is not None
    }
    if not shown:
        return None
    look = Look(summary)
    columns = min(len(shown), COLUMNS)
    lines = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(3.1 * columns, 2.85 * lines + 0.6), dpi=150)
    figure.set_layout_engine(
        "constrained", h_pad=0.12
    )  # inches, so that a title is not taken for the label above it
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axes, (name, label) in zip(grid.flat, shown.items(), strict=False):
        row = found[name]
        for cell in summary.sweep.scored:
            at = summary.at_matched(cell, name) if row["rows"] == "matched" else None
            value, h = at.mean if at else cell.probes.get(name), cell.scores["H"]
            if value is None or h is None:
                continue
            axes.plot(
                value,
                h,
                look.marker(cell.bench),
                color=look.colour(cell.model),
                mfc=look.colour(cell.model) if look.line(cell.model) == "-" else "white",
                ms=6,
                alpha=0.9,
            )
        axes.set_title(
            f"Spearman {number(row['spearman'], digits=2, sign=True)}, exact p {p_value(row['spearman_p_exact'])}",
            fontsize=8.5,
            loc="left",
        )
        axes.set_xlabel(label)
        axes.set_ylim(-0.04, 1.04)
        _bare(axes)
    for axes in grid[:, 0]:
        axes.set_ylabel("H")
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_axis_off()
    look.legend(figure)
    return figure


def label(name: str) -> str:
    """A name as it is: no formula, and nothing in it that cannot be drawn."""
    return plain(name).replace("$", r"\$")


def _rows(row: Measured) -> int:
    return row.n_text if row.probe.endswith("text") else row.n_audio


def _apart(ticks: Iterable[int]) -> list[int]:
    """Those of the ticks whose labels do not run into the one before."""
    kept: list[int] = []
    for tick in ticks:
        if not kept or tick >= 1.3 * kept[-1]:
            kept.append(tick)
    return kept


def _bare(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_fontsize(8.5)
    axes.yaxis.label.set_fontsize(8.5)
    axes.grid(axis="y", color="#e8e8e8", lw=0.6)
    axes.set_axisbelow(True)
