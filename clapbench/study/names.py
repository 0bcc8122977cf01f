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


def check(found: Registered) -> None:
    """`config.ConfigError` where a study names a probe, number, regulariser or objective that there is not."""
    study, probes = found.study, config.shipped_probes()
    _check(found, "probe", study.correlations.probes if study.correlations else (), probes)
    _check(found, "number", _numbers(found), {*probes, *SCORES})
    terms = [term.strip() for one in study.slopes for term in one.dose.split("+")]
    _check(found, "regulariser", terms, config.choices("regularizer"))
    objectives = [one.objective for one in study.slopes if one.objective != BOTH_OBJECTIVES]
    objectives += [name for one in study.contrasts for name in (one.objective, one.against)]
    known = {plain_name(name): name for name in config.choices("objective")}
    _check(found, "objective", [known.get(plain_name(name), name) for name in objectives], known.values())


def not_measured(found: Registered, *, probes: Collection[str], benches: Collection[str]) -> str | None:
    """What was registered that a sweep of these ``probes`` on these ``benches`` does not have, in a sentence."""
    stated = found.study.correlations
    if stated is None:
        return None
    lacking = [name for name in stated.probes if name not in probes]
    lacking += [stated.bench] if stated.bench not in (*benches, POOLED) else []
    if not lacking:
        return None
    return (
        f"Study {found.name} registers {', '.join(lacking)}, which this command does not have: no test of it."
    )


def check_trainings(found: Registered, *, probes: Collection[str], benches: Collection[str]) -> None:
    """`config.ConfigError` where the validation of trainings, which is never made again, lacks a registered number."""
    _check(found, "number", _numbers(found), {*probes, *SCORES})
    study = found.study
    tests: list[Any] = [*study.slopes, *study.contrasts, *study.within]
    _check(found, "benchmark", [one.bench for one in tests], {*benches, EACH})


def _numbers(found: Registered) -> list[str]:
    study = found.study
    numbers = [one.number for one in study.slopes] + [one.number for one in study.contrasts]
    return numbers + [name for one in study.within for name in (one.probe, one.score)]


def _check(found: Registered, kind: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise config.unknown(f"study {found.name}: {kind}", name, known)
