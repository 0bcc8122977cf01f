"""The tests that a study registered, on its trainings: what was claimed, what came, corrected over all findings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from clapbench.statistics.corrections import holm
from clapbench.study.doses.design import Design, benches_named, treatment_named
from clapbench.study.doses.levels import at_level
from clapbench.study.doses.responses import Response, contrast, slopes
from clapbench.study.registration import Contrast, Slope, Study, Within

WORDS = {"positive": "rises", "negative": "falls", "either": "changes", "none": "stays"}


class Claim(NamedTuple):
    """One registered test on one benchmark. ``p_holm`` is over the findings; a check has none."""

    claim: str
    bench: str
    kind: str  # slope, change, contrast, within
    check: bool
    value: float | None
    low: float | None
    high: float | None
    p: float | None
    p_flips: float | None
    p_holm: float | None
    holds: bool | None  # at the study's level; None where it could not be tested
    blocks: int | None


def judge(study: Study, design: Design) -> list[Claim]:
    """Every registered slope, contrast and correlation on every benchmark that it is on."""
    found = [one for part in (_slopes, _contrasts, _within) for one in part(study, design)]
    findings = [one for one in found if not one.check]
    corrected = dict(zip(map(id, findings), holm([one.p for one in findings]), strict=True))
    judged = []
    for one in found:
        p = one.p if one.check else corrected[id(one)]
        judged.append(
            one._replace(p_holm=None if one.check else p, holds=None if p is None else p <= study.level)
        )
    return judged


def _slopes(study: Study, design: Design) -> Iterator[Claim]:
    for given in study.slopes:
        for bench in benches_named(design, given.bench):
            response = slopes(
                design,
                treatment_named(design, given.dose),
                number=given.number,
                bench=bench,
                objective=given.objective,
                ends=given.doses,
                sign=given.sign,
                margin=given.margin,
            )
            yield _of_response(response, claim=words_of_slope(given), check=given.check)


def words_of_slope(given: Slope) -> str:
    """``H rises with spectral_entropy, -0.3 to 0``."""
    ends = f", {given.doses[0]:g} to {given.doses[1]:g}" if given.doses else ""
    within = f" within {given.margin:g}" if given.margin is not None else ""
    by = "" if given.objective == "both" else f" by {given.objective}"
    return f"{given.number} {WORDS[given.sign]}{within} with {given.dose}{ends}{by}"


def _contrasts(study: Study, design: Design) -> Iterator[Claim]:
    for given in study.contrasts:
        for bench in benches_named(design, given.bench):
            response = contrast(
                design,
                given.objective,
                against=given.against,
                number=given.number,
                bench=bench,
                sign=given.sign,
            )
            yield _of_response(response, claim=words_of_contrast(given), check=given.check)


def words_of_contrast(given: Contrast) -> str:
    """``H rises from infonce to swapped_choice``."""
    return f"{given.number} {WORDS[given.sign]} from {given.against} to {given.objective}"


def _of_response(response: Response, *, claim: str, check: bool) -> Claim:
    effect = response.effect
    return Claim(
        claim=claim,
        bench=response.bench,
        kind=response.kind,
        check=check,
        value=effect.value,
        low=effect.low,
        high=effect.high,
        p=effect.p,
        p_flips=effect.p_flips,
        p_holm=None,
        holds=None,
        blocks=effect.blocks,
    )


def _within(study: Study, design: Design) -> Iterator[Claim]:
    for given in study.within:
        for bench in benches_named(design, given.bench):
            found = at_level(
                design, "within objective", probe=given.probe, score=given.score, bench=bench, sign=given.sign
            )
            yield Claim(
                claim=words_of_within(given),
                bench=bench,
                kind="within",
                check=False,
                value=found.pearson,
                low=None,
                high=None,
                p=found.p,
                p_flips=None,
                p_holm=None,
                holds=None,
                blocks=None,
            )


def words_of_within(given: Within) -> str:
    """``rankme_text goes with H within objectives``."""
    way = {"positive": ", the more the more", "negative": ", the more the less"}.get(given.sign, "")
    return f"{given.probe} goes with {given.score} within objectives{way}"
