"""The figures of a study of doses: a score over the doses, the score over a probe, and what else moved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from clapbench.report.figures import COLOURS, MARKERS
from clapbench.study.doses.design import Design
from clapbench.study.doses.responses import Arm, arms, slopes, spread_between_seeds

LABELS = {
    "rankme_text": "RankMe of the captions",
    "rankme_audio": "RankMe of the clips",
    "gap_angle_deg": "modality angle, degrees",
    "twonn_text": "Two-NN of the captions",
    "twonn_audio": "Two-NN of the clips",
    "uniformity_text": "uniformity of the captions",
    "uniformity_audio": "uniformity of the clips",
    "swap_separation_text": "swap separation of the captions",
    "swap_separation_audio": "swap separation of the clips",
    "swap_alignment": "swap alignment",
    "residual_text_k1": "residual energy of the captions, k = 1",
    "residual_audio_k1": "residual energy of the clips, k = 1",
    "pair_assignment": "pair assignment",
}
MOVED = (
    *("H", "F", "G", "pair_assignment", "swap_alignment"),
    *("rankme_text", "rankme_audio", "gap_angle_deg", "uniformity_text", "uniformity_audio"),
    *("twonn_text", "twonn_audio", "residual_text_k1", "residual_audio_k1"),
    *("swap_separation_text", "swap_separation_audio"),
)


def label(number: str) -> str:
    """A number as an axis names it."""
    return LABELS.get(number, number)


def drawn(design: Design) -> dict[str, Figure]:
    """Every figure that these trainings have the numbers for, by the name of its file."""
    found = {}
    for name, number in (("doses_h", "H"), ("doses_rank", "rankme_text")):
        if design.treatments and number in design.numbers:
            found[name] = over_doses(design, number=number)
    if {"H", "rankme_text"} <= {*design.numbers}:
        found["h_over_rank"] = over_probe(design)
    if design.treatments and all(0.0 in design.doses(treatment) for treatment in design.treatments):
        found["moved"] = what_moved(design)
    return found


def over_doses(design: Design, *, number: str = "H") -> Figure:
    """A number over the doses of each treatment, a row per benchmark: mean and interval over seeds, and each seed."""
    treatments, benches = design.treatments, design.benches
    figure = Figure(
        figsize=(2.9 * len(treatments) + 0.4, 2.5 * len(benches) + 0.6), layout="constrained", dpi=150
    )
    grid = figure.subplots(len(benches), len(treatments), squeeze=False, sharey="row")
    found = arms(design, [number])
    for row, bench in zip(grid, benches, strict=True):
        for axes, treatment in zip(row, treatments, strict=True):
            _doses(axes, design, found, treatment=treatment, bench=bench, number=number)
        row[0].set_ylabel(f"{label(number)}, {bench}")
    for axes, treatment in zip(grid[-1], treatments, strict=True):
        axes.set_xlabel(f"dose of {treatment.replace('+', ' + ')}")
    _legend(figure, design)
    return figure


def _doses(
    axes: Axes, design: Design, found: Sequence[Arm], *, treatment: str, bench: str, number: str
) -> None:
    """One panel. Doses stand at equal distances: those that matter lie far apart."""
    doses = design.doses(treatment)
    for which, objective in enumerate(design.objectives):
        own = {
            arm.dose: arm.effect
            for arm in found
            if (arm.objective, arm.bench, arm.number) == (objective, bench, number)
            and arm.treatment in (treatment, "")
        }
        x = np.array([doses.index(dose) for dose in own], dtype=float)
        order = np.argsort(x)
        effects = [list(own.values())[index] for index in order]
        colour = COLOURS[which]
        axes.plot(x[order], [one.value for one in effects], "-", color=colour, lw=1.4)
        axes.fill_between(
            x[order],
            [one.value if one.low is None else one.low for one in effects],
            [one.value if one.high is None else one.high for one in effects],
            color=colour,
            alpha=0.18,
            lw=0,
        )
        for run in design.runs:
            if run.objective == objective and run.treatment in (treatment, ""):
                axes.plot(
                    doses.index(run.dose) + 0.06 * (which - 0.5),
                    run.numbers[bench, number],
                    MARKERS[which],
                    color=colour,
                    ms=2.6,
                    alpha=0.6,
                )
    axes.set_xticks(range(len(doses)), [f"{dose:g}" for dose in doses])
    axes.spines[["top", "right"]].set_visible(False)


def over_probe(design: Design, *, probe: str = "rankme_text", number: str = "H") -> Figure:
    """A score over a probe: a large point for each arm's mean, small ones for its seeds."""
    figure = Figure(figsize=(4.1 * len(design.benches) + 0.4, 4.0), layout="constrained", dpi=150)
    markers = {treatment: MARKERS[place] for place, treatment in enumerate(["", *design.treatments])}
    for axes, bench in zip(
        figure.subplots(1, len(design.benches), squeeze=False)[0], design.benches, strict=True
    ):
        means: dict[tuple[str, str, float], list[tuple[float, float]]] = {}
        for run in design.runs:
            point = run.numbers[bench, probe], run.numbers[bench, number]
            means.setdefault(run.arm, []).append(point)
            colour = COLOURS[design.objectives.index(run.objective)]
            axes.plot(*point, markers[run.treatment], color=colour, ms=2.6, alpha=0.35, mew=0)
        for (objective, treatment, _), points in means.items():
            colour = COLOURS[design.objectives.index(objective)]
            axes.plot(
                *np.mean(points, axis=0),
                markers[treatment],
                color=colour,
                ms=8 if not treatment else 6.5,
                mec="black" if not treatment else "white",
                mew=0.8,
            )
        axes.set_xlabel(f"{label(probe)}, {bench}")
        axes.set_ylabel(label(number))
        axes.spines[["top", "right"]].set_visible(False)
    treatments = [
        Line2D(
            [], [], color="#555555", marker=marker, ls="", label=name.replace("+", " + ") or "no regulariser"
        )
        for name, marker in markers.items()
    ]
    _legend(figure, design, more=treatments)
    return figure


def what_moved(design: Design, *, numbers: Sequence[str] = MOVED) -> Figure:
    """The change of each number from no dose to the largest, in standard deviations between seeds of one arm."""
    shown = [number for number in numbers if number in design.numbers]
    panels = [(treatment, bench) for bench in design.benches for treatment in design.treatments]
    figure = Figure(
        figsize=(9.4, 0.27 * len(shown) * len(design.benches) + 1.5), layout="constrained", dpi=150
    )
    grid = figure.subplots(
        len(design.benches), len(design.treatments), squeeze=False, sharey=True, sharex="col"
    )
    for axes, (treatment, bench) in zip(grid.flat, panels, strict=True):
        top = max(design.doses(treatment))
        for which, objective in enumerate(design.objectives):
            for place, number in enumerate(shown):
                scale = spread_between_seeds(design, number=number, bench=bench)
                if not scale > 0:  # one seed, or a number that is the same in all
                    continue
                found = slopes(
                    design,
                    treatment,
                    number=number,
                    bench=bench,
                    objective=objective,
                    ends=(0.0, top),
                    sign="none",
                    margin=1.0,
                ).effect
                y = len(shown) - 1 - place + 0.22 * (0.5 - which)
                low, high = (found.value if end is None else end for end in (found.low, found.high))
                axes.plot([low / scale, high / scale], [y, y], "-", color=COLOURS[which], lw=1.2)
                axes.plot(found.value / scale, y, MARKERS[which], color=COLOURS[which], ms=3.6)
        axes.axvline(0, color="#777777", lw=0.7)
        axes.set_xscale("symlog", linthresh=3)
        axes.set_title(f"{treatment.replace('+', ' + ')}, 0 to {top:g}; {bench}", fontsize=8, loc="left")
        axes.set_yticks(range(len(shown)), [label(number) for number in reversed(shown)], fontsize=7)
        axes.tick_params(axis="x", labelsize=7)
        axes.xaxis.set_major_locator(FixedLocator([-30, -10, -3, 0, 3, 10, 30]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:+.0f}" if value else "0")
        axes.grid(axis="y", lw=0.3, color="#dddddd")
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("change, in SD between seeds of one arm", fontsize=7.5)
    _legend(figure, design)
    return figure


def _legend(figure: Figure, design: Design, *, more: Sequence[Line2D] = ()) -> None:
    objectives = [
        Line2D([], [], color=COLOURS[which], marker=MARKERS[which], lw=1.4, ms=4, label=name)
        for which, name in enumerate(design.objectives)
    ]
    handles = [*objectives, *more]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), 6),
        frameon=False,
        fontsize=8,
    )
