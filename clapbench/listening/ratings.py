"""MUSHRA ratings from a CSV: webMUSHRA's, pymushra's or a plain table, every rating there and there once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from clapbench.listening import answers
from clapbench.listening.answers import TRIAL, Kind, Role
from clapbench.listening.keys import Key
from clapbench.listening.mushra import HIGHEST, LOW, LOWEST, MID, REFERENCE, Mushra, judged
from clapbench.statistics import crossed

SYNONYMS = {
    REFERENCE: ("reference", "hiddenreference", "ref", "hiddenref"),
    LOW: ("anchor35", "lowanchor", "anchorlow", "lp35", "lp3500", "anchor35khz"),
    MID: (
        "anchor70",
        "midanchor",
        "anchormid",
        "anchor7",
        "lp70",
        "lp7000",
        "lp7",
        "anchor7khz",
        "anchor70khz",
    ),
}
KIND = Kind(
    name="mushra",
    roles=(
        Role("trial", TRIAL),
        Role("stimulus", ("stimulus", "rating_stimulus", "responses_stimulus", "condition", "system")),
        Role("score", ("score", "rating_score", "responses_score", "rating")),
    ),
    web={
        "trial_id": "trial",
        "rating_stimulus": "stimulus",
        "rating_score": "score",
        "wm_id": "trial",
        "responses_stimulus": "stimulus",
        "responses_score": "score",
    },
    again=("stimulus",),
)


def read_mushra(
    path: Path | str,
    *,
    reference: str | None = None,
    mid_anchor: str | None = None,
    low_anchor: str | None = None,
    key: Path | str | None = None,
    test: str | None = None,
    post_screening: bool = True,
    draws: int = crossed.DRAWS,
    seed: int = 0,
) -> Mushra:
    """The ratings in webMUSHRA's mushra.csv, pymushra's, or a CSV with the columns listener, trial, stimulus and score.

    ``reference`` and the anchors are found by webMUSHRA's names and their like; else they are to be named. ``key`` is
    the key.csv of `prepare`: it says which system a blind name stands for. ``test`` chooses one of several test ids.
    Without ``post_screening`` all listeners are kept.

    Raises FileNotFoundError; ValueError, with file and line, for what is no such table, scores outside of 0 to 100,
    a rating that is there twice or lacks, no hidden reference, and where post-screening leaves nobody.
    """
    found = answers.read(path, kind=KIND, test=test)
    rows = Key.read(key).applied(found.rows, roles=("stimulus",), who=found.who) if key else found.rows
    ratings, axes = _table(rows, who=found.who)
    hidden = _named(axes[2], reference, REFERENCE, option="reference", who=found.who)
    if hidden is None:
        raise ValueError(
            f"{found.who} line {rows[0].line}: needed a hidden reference among the stimuli, got {', '.join(axes[2])}. "
            "Name the one that is it: reference=NAME (--reference NAME). Without one it is no MUSHRA study."
        )
    made = judged(
        ratings,
        listeners=axes[0],
        trials=axes[1],
        stimuli=axes[2],
        reference=hidden,
        low=_named(axes[2], low_anchor, LOW, option="low_anchor", who=found.who),
        mid=_named(axes[2], mid_anchor, MID, option="mid_anchor", who=found.who),
        post_screening=post_screening,
        notes=found.notes,
        simulated=found.simulated,
        draws=draws,
        seed=seed,
    )
    if not made.kept:
        low = (
            f" The largest score is {ratings.max():g}: the scale goes to 100." if ratings.max() <= 10 else ""
        )
        first = f"{made.listeners[0]}: {made.rejected[made.listeners[0]]}"
        raise ValueError(
            f"{found.who}: needed a listener whom post-screening keeps, got {len(made.listeners)} that it rejects "
            f"({first}).{low} Is {made.reference!r} the hidden reference? post_screening=False (--all) reads them all."
        )
    return made


def _table(
    rows: Sequence[answers.Answer], *, who: str
) -> tuple[Float64[np.ndarray, "listeners trials stimuli"], list[list[str]]]:
    """Scores by listener, trial and stimulus, with the names along each; ValueError for one that is twice, or lacks."""
    known: dict[tuple[str, str, str], tuple[float, int]] = {}
    for row in rows:
        place = (row.listener, row.trial, row.cells["stimulus"])
        if place in known:
            raise ValueError(
                f"{who} line {row.line}: needed one score of {_place(*place)}, got another in line {known[place][1]}. "
                "Take one out."
            )
        known[place] = (_score(row, who=who), row.line)
    axes = [sorted({place[axis] for place in known}) for axis in range(3)]
    ratings = np.full([len(axis) for axis in axes], np.nan)
    at = [{name: place for place, name in enumerate(axis)} for axis in axes]
    for (listener, trial, stimulus), (score, _) in known.items():
        ratings[at[0][listener], at[1][trial], at[2][stimulus]] = score
    gaps = np.argwhere(np.isnan(ratings))
    if len(gaps):
        listener, trial, stimulus = (axes[axis][place] for axis, place in enumerate(gaps[0]))
        lines = [line for (one, *_), (_, line) in known.items() if one == listener]
        nobody = bool(np.isnan(ratings[:, gaps[0][1], gaps[0][2]]).all())
        mend = "If the study is blind, give its key (--key); else leave that stimulus or trial out"
        remedy = mend if nobody else "Take this listener out"
        raise ValueError(
            f"{who} line {lines[0]}: needed a score of each stimulus in each trial from each listener, got none of "
            f"{_place(listener, trial, stimulus)}{' (nor from anybody)' if nobody else ''}; {len(gaps)} of "
            f"{ratings.size} lack. {remedy}."
        )
    return ratings, axes


def _place(listener: str, trial: str, stimulus: str) -> str:
    return f"listener {listener}, trial {trial}, stimulus {stimulus}"


def _score(row: answers.Answer, *, who: str) -> float:
    given = row.cells["score"]
    try:
        score = float(given)
    except ValueError:
        score = float("nan")
    if not LOWEST <= score <= HIGHEST:
        raise ValueError(
            f"{who} line {row.line}: needed a score from {LOWEST} to {HIGHEST}, got {given!r} of "
            f"{_place(row.listener, row.trial, row.cells['stimulus'])}."
        )
    return score


def _named(stimuli: Sequence[str], given: str | None, role: str, *, option: str, who: str) -> str | None:
    """Which stimulus is the reference or an anchor: the one named, else the one that is called so."""
    if given is not None:
        if given not in stimuli:
            raise ValueError(
                f"{who}: needed {option}= one of the stimuli, {', '.join(stimuli)}; got {given!r}."
            )
        return given
    found = [one for one in stimuli if answers.bare(one) in SYNONYMS[role]]
    if len(found) > 1:
        raise ValueError(
            f"{who}: needed one {role}, got {' and '.join(found)}. Choose one with {option}=NAME."
        )
    return found[0] if found else None
