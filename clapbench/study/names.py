"""Whether the things that a study names are there, asked before a lock holds it and before anything is computed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from clapbench import config
from clapbench.study.correlations import POOLED
from clapbench.study.doses.design import plain_name
from clapbench.study.registration import BOTH_OBJECTIVES, EACH, Registered

# What a training's validation says, beside its probes.
SCORES = ("F", "G", "H", "pair_assignment", "mean_margin", "margin_d", "hub_captions", "hub_clips")


def check_shipped(found: Registered) -> None:
    """`config.ConfigError` where a study names what no folder of conf/ has."""
    probes = config.shipped_probes()
    check_sweep(found, probes=probes)
    check_trainings(found, probes=probes)


def check_sweep(
    found: Registered, *, probes: Collection[str], benches: Collection[str] | None = None
) -> None:
    """`config.ConfigError` where a sweep with these ``probes`` on these ``benches`` cannot test what was registered."""
    stated = found.study.correlations
    if stated is None:
        return
    _check(found, "probe", stated.probes, probes)
    if benches is not None:
        _check(found, "benchmark", [stated.bench], {*benches, POOLED})


def check_trainings(
    found: Registered, *, probes: Collection[str], benches: Collection[str] | None = None
) -> None:
    """The same of trainings whose validation has these ``probes`` on these ``benches``."""
    study = found.study
    slopes_and_contrasts: list[Any] = [*study.slopes, *study.contrasts]
    numbers = [one.number for one in slopes_and_contrasts]
    numbers += [name for one in study.within for name in (one.probe, one.score)]
    _check(found, "number", numbers, {*probes, *SCORES})
    terms = [term.strip() for one in study.slopes for term in one.dose.split("+")]
    _check(found, "regulariser", terms, config.choices("regularizer"))
    objectives = [one.objective for one in slopes_and_contrasts if one.objective != BOTH_OBJECTIVES]
    objectives += [one.against for one in study.contrasts]
    known = {plain_name(name): name for name in config.choices("objective")}
    _check(found, "objective", [known.get(plain_name(name), name) for name in objectives], known.values())
    if benches is not None:
        _check(
            found,
            "benchmark",
            [one.bench for one in [*slopes_and_contrasts, *study.within]],
            {*benches, EACH},
        )


def _check(found: Registered, kind: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise config.unknown(f"study {found.name}: {kind}", name, known)
