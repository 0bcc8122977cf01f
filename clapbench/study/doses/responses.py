"""What each number does over the doses of a treatment, and from one objective to another, with seeds as blocks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from clapbench.statistics.blocks import Effect, Sign, effect, slope
from clapbench.study.doses.design import Design, Run, check_number, check_objective
from clapbench.study.registration import BOTH_OBJECTIVES


class Response(NamedTuple):
    """What a number does over the doses of a treatment, or from one objective to another."""

    kind: str  # "slope", "change" between the ends of the doses, or "contrast" of objectives
    treatment: str
    objective: str  # one, BOTH_OBJECTIVES, or of a contrast "a - b"
    bench: str
    number: str
    low_dose: float | None
    high_dose: float | None
    effect: Effect


def slopes(
    design: Design,
    treatment: str,
    *,
    number: str,
    bench: str,
    objective: str = BOTH_OBJECTIVES,
    ends: tuple[float, float] | None = None,
    sign: Sign = "either",
    margin: float | None = None,
) -> Response:
    """The slope of a number on the dose over the seeds; with a ``margin``, the change between the ends of the doses.

    Of both objectives: the mean of their two slopes of a seed. ValueError where a number, a dose or an objective is
    not there.
    """
    chosen = check_objective(design, objective)
    doses = [dose for dose in design.doses(treatment) if ends is None or ends[0] <= dose <= ends[1]]
    lacking = [dose for dose in ends or () if dose not in doses]
    if treatment not in design.treatments or len(doses) < 2 or lacking:
        raise ValueError(
            f"study: needed two doses of {treatment!r}{f' from {ends[0]:g} to {ends[1]:g}' if ends else ''}, "
            f"got {doses}. Its treatments: {', '.join(design.treatments) or 'none'}."
        )
    check_number(design, number=number, bench=bench)
    of_seeds = []
    for seed in design.seeds:
        one = []
        for name in chosen:
            x, y = design.series(treatment, objective=name, seed=seed, bench=bench, number=number)
            inside = np.isin(x, doses)
            one.append(slope(x[inside], y[inside]) if margin is None else float(y[inside][-1] - y[inside][0]))
        of_seeds.append(float(np.mean(one)))
    return Response(
        kind="slope" if margin is None else "change",
        treatment=treatment,
        objective=objective,
        bench=bench,
        number=number,
        low_dose=doses[0],
        high_dose=doses[-1],
        effect=effect(np.array(of_seeds), sign=sign, margin=margin),
    )


def contrast(
    design: Design, objective: str, *, against: str, number: str, bench: str, sign: Sign = "either"
) -> Response:
    """One objective less another, neither with a regulariser, over the seeds."""
    (one,), (other,) = check_objective(design, objective), check_objective(design, against)
    check_number(design, number=number, bench=bench)
    plain = {
        (run.objective, run.seed): run.numbers[bench, number] for run in design.runs if not run.treatment
    }
    if not all((name, seed) in plain for name in (one, other) for seed in design.seeds):
        raise ValueError(f"study: needed trainings of {objective} and {against} without a regulariser.")
    differences = [plain[one, seed] - plain[other, seed] for seed in design.seeds]
    return Response(
        "contrast",
        "",
        f"{one} - {other}",
        bench,
        number,
        None,
        None,
        effect(np.array(differences), sign=sign),
    )


def responses(design: Design) -> list[Response]:
    """The slope of every number on the dose of every treatment, for each objective and both, on each benchmark."""
    return [
        slopes(design, treatment, number=number, bench=bench, objective=objective)
        for treatment in design.treatments
        for bench in design.benches
        for number in design.numbers
        for objective in (*design.objectives, BOTH_OBJECTIVES)
    ]


class Arm(NamedTuple):
    """The trainings of one arm on one benchmark: mean and 95 % interval over seeds of a number."""

    objective: str
    treatment: str
    dose: float
    bench: str
    number: str
    effect: Effect


def arms(design: Design, numbers: Iterable[str]) -> list[Arm]:
    """Every arm's numbers over its seeds."""
    groups: dict[tuple[str, str, float], list[Run]] = {}
    for run in design.runs:
        groups.setdefault(run.arm, []).append(run)
    return [
        Arm(*arm, bench, number, effect(np.array([run.numbers[bench, number] for run in members])))
        for bench in design.benches
        for number in numbers
        for arm, members in sorted(groups.items())
    ]


def spread_between_seeds(design: Design, *, number: str, bench: str) -> float:
    """Standard deviation of a number over seeds within arms: what a change is large or small against."""
    groups: dict[tuple[str, str, float], list[float]] = {}
    for run in design.runs:
        groups.setdefault(run.arm, []).append(run.numbers[bench, number])
    deviations = [value - float(np.mean(own)) for own in groups.values() for value in own]
    freedom = len(deviations) - len(groups)
    return math.sqrt(sum(one**2 for one in deviations) / freedom) if freedom > 0 else math.nan
