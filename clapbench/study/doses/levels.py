r"""A probe with a score over trainings, level by level; and how much of a dose's effect may pass through the probe.

One coefficient over all trainings mixes four questions, which need not have one answer:

| level | over | asks |
|---|---|---|
| pooled | all trainings | what a benchmark of models would see |
| between | the means of arms | do arms with more of the probe have more of the score |
| within objective | trainings less the mean of their objective | the same, the objective being given |
| within arm | trainings less the mean of their arm | does a seed with more of the probe have more of the score |

p exchanges arms with all their seeds, within objectives but for "pooled" and "between" (10,000 seeded orders); within
arms it exchanges the seeds of an arm, and so do trainings within it. Pearson's coefficient, as centring asks for.

Mediation: with dose $x$, probe $m$ and score $y$ over the arms of a treatment, and the objective as a covariate, per
seed $m = i_1 + a x$ and $y = i_2 + c' x + b m$; $a b$ is the part of the effect that goes with the probe and $c'$ the
rest, each with seeds as blocks. It is the part *through* the probe only if nothing else that the dose moves bears on
both, which a dose that moves many probes does not give: read it as a bound on what the probe could explain.

Sources: Robinson 1950 for levels that disagree; Baron and Kenny 1986 for the decomposition; Imai et al. 2010 for its
assumption (sequential ignorability).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from clapbench.statistics.blocks import Effect, effect
from clapbench.study.doses.design import Design, Run, check_number
from clapbench.study.registration import Sign

Level = Literal["pooled", "between arms", "within objective", "within arm"]
LEVELS: tuple[Level, ...] = ("pooled", "between arms", "within objective", "within arm")
DRAWS = 10_000
EQUAL = 1e-10


class AtLevel(NamedTuple):
    """A probe with a score at one level; None where a side does not vary."""

    level: Level
    bench: str
    probe: str
    score: str
    n: int  # points
    pearson: float | None
    p: float | None
    without: str | None = None  # the treatment and dose whose leaving out changes the coefficient most
    pearson_without: float | None = None
    p_without: float | None = None


def at_levels(design: Design, *, probe: str, score: str, bench: str) -> list[AtLevel]:
    """`AtLevel` of each level, and of each what it is without the one dose that changes it most."""
    doses = dict.fromkeys((run.treatment, run.dose) for run in design.runs if run.treatment)
    rests = {
        f"{treatment} {dose:g}": replace(
            design, runs=tuple(run for run in design.runs if (run.treatment, run.dose) != (treatment, dose))
        )
        for treatment, dose in doses
    }
    found = []
    for level in LEVELS:
        whole = at_level(design, level, probe=probe, score=score, bench=bench)
        changes = {}
        for name, rest in rests.items():
            value = at_level(rest, level, probe=probe, score=score, bench=bench, draws=0).pearson
            if value is not None and whole.pearson is not None:
                changes[name] = abs(value - whole.pearson)
        if changes:
            name = max(changes, key=changes.__getitem__)
            left = at_level(rests[name], level, probe=probe, score=score, bench=bench)
            whole = whole._replace(without=name, pearson_without=left.pearson, p_without=left.p)
        found.append(whole)
    return found


def at_level(
    design: Design,
    level: Level,
    *,
    probe: str,
    score: str,
    bench: str,
    sign: Sign = "either",
    seed: int = 0,
    draws: int = DRAWS,
) -> AtLevel:
    """Pearson's coefficient of a probe with a score at a level, and its permutation p, None without ``draws``.

    ValueError for unknown names.
    """
    for number in (probe, score):
        check_number(design, number=number, bench=bench)
    runs = sorted(design.runs, key=lambda run: (run.arm, run.seed))
    arms = list(dict.fromkeys(run.arm for run in runs))
    table = np.array([[run.numbers[bench, probe], run.numbers[bench, score]] for run in runs])
    cube = table.reshape(len(arms), len(design.seeds), 2)  # arm, seed, side
    objective = np.array([design.objectives.index(arm[0]) for arm in arms])
    x, y = (_centred(cube[..., side], level, objective=objective) for side in (0, 1))
    found = _pearson(x, y[None])
    if found is None:
        return AtLevel(level, bench, probe, score, x.size, None, None)
    observed = float(found[0])
    if draws == 0:
        return AtLevel(level, bench, probe, score, x.size, observed, None)
    groups = objective if level == "within objective" else np.zeros_like(objective)
    rng = np.random.default_rng(seed)
    drawn = _pearson(x, _reordered(y, level, groups=groups, rng=rng, draws=draws))
    assert drawn is not None
    sides = {"positive": drawn, "negative": -drawn}.get(sign, np.abs(drawn))
    own = {"positive": observed, "negative": -observed}.get(sign, abs(observed))
    p = (1 + int((sides >= own - EQUAL).sum())) / (draws + 1)
    return AtLevel(level, bench, probe, score, x.size, observed, p)


def _centred(
    values: Float[np.ndarray, "arms seeds"], level: Level, *, objective: Int[np.ndarray, " arms"]
) -> Float[np.ndarray, "arms _"]:
    """What is correlated at a level."""
    if level == "between arms":
        return values.mean(axis=1, keepdims=True)
    if level == "within arm":
        return values - values.mean(axis=1, keepdims=True)
    if level == "within objective":
        means = np.array([values[objective == one].mean() for one in objective])
        return values - means[:, None]
    return values


def _reordered(
    y: Float[np.ndarray, "arms _"],
    level: Level,
    *,
    groups: Int[np.ndarray, " arms"],
    rng: np.random.Generator,
    draws: int,
) -> Float[np.ndarray, "draws arms _"]:
    """Arms in other orders within their groups, each with its seeds; within arms the seeds of each."""
    if level == "within arm":
        return rng.permuted(np.repeat(y[None], draws, axis=0), axis=2)
    together = np.argsort(groups, kind="stable")  # the places of one group after the other
    shuffled = np.argsort(rng.random((draws, len(y))) + groups[together], axis=1)
    orders = np.empty_like(shuffled)
    orders[:, together] = together[shuffled]
    return y[orders]


def _pearson(
    x: Float[np.ndarray, "arms _"], y: Float[np.ndarray, "m arms _"]
) -> Float[np.ndarray, " m"] | None:
    """The coefficient of x with each y; None where one of them does not vary."""
    a = (x - x.mean()).ravel()
    b = (y - y.mean(axis=(1, 2), keepdims=True)).reshape(len(y), -1)
    scale = np.linalg.norm(a) * np.linalg.norm(b, axis=1)
    if not (scale > EQUAL).all():
        return None
    return np.asarray(b @ a / scale)


class Mediation(NamedTuple):
    """The effect of a dose on a score, per unit of dose: all of it, what goes with the probe, the rest."""

    treatment: str
    bench: str
    probe: str
    score: str
    total: Effect
    indirect: Effect
    direct: Effect


def mediation(design: Design, treatment: str, *, probe: str, score: str, bench: str) -> Mediation | None:
    """`Mediation` over the arms of a treatment; None where a seed has too few arms, or dose and probe are one."""
    for number in (probe, score):
        check_number(design, number=number, bench=bench)
    found = []
    for seed in design.seeds:
        own = [run for run in design.runs if run.seed == seed and run.treatment in (treatment, "")]
        split = _split(own, design=design, probe=(bench, probe), score=(bench, score))
        if split is None:
            return None
        found.append(split)
    total, indirect, direct = np.array(found).T
    return Mediation(treatment, bench, probe, score, effect(total), effect(indirect), effect(direct))


def _split(
    runs: list[Run], *, design: Design, probe: tuple[str, str], score: tuple[str, str]
) -> tuple[float, float, float] | None:
    """Total, indirect and direct effect over one seed's trainings: least squares, an intercept for each objective."""
    x, m, y = np.array([[run.dose, run.numbers[probe], run.numbers[score]] for run in runs]).T
    present = [name for name in design.objectives if any(run.objective == name for run in runs)]
    intercepts = np.array([[float(run.objective == name) for name in present] for run in runs])
    if len(runs) < intercepts.shape[1] + 3:
        return None
    scale = max(float(np.abs(m).max()), EQUAL)  # so that the rank is told at any unit of the probe
    both = np.column_stack([x, m / scale, intercepts])
    if np.linalg.matrix_rank(both) < both.shape[1]:
        return None
    alone = np.column_stack([x, intercepts])
    total = float(np.linalg.lstsq(alone, y, rcond=None)[0][0])
    direct = float(np.linalg.lstsq(both, y, rcond=None)[0][0])
    return total, total - direct, direct
