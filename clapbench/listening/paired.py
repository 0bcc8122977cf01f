r"""Paired preferences: read, and the strengths of Bradley and Terry's model that they give each stimulus.

.5 is added to every pair in both directions, so that a stimulus which won always has a strength too (`statistics.
preferences`). Intervals draw listeners, never answers.

webMUSHRA's paired_comparison.csv says whether the stimulus that a page calls its reference was chosen: "correct" is a
preference for it, "incorrect" one for the other, "undecided" is half for each, and "unknown" is no answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from clapbench.listening import answers
from clapbench.listening.answers import TRIAL, Answer, Kind, Role, names
from clapbench.listening.keys import Key
from clapbench.statistics import crossed
from clapbench.statistics.preferences import PRIOR, bradley_terry
from clapbench.statistics.proportions import Interval

DRAWN_CLOSE = 1e-6  # of strengths in a draw, whose quantiles are taken
WEB = {"correct": 1.0, "incorrect": 0.0, "undecided": 0.5}  # wins of the first
FIRST, SECOND = ("a", "first", "left"), ("b", "second", "right")
EVEN = ("tie", "equal", "undecided", "even", "none")
KIND = Kind(
    name="paired_comparison",
    roles=(
        Role("trial", TRIAL, needed=False),
        Role("first", ("first", "a", "stimulus_a", "system_a", "left", "choice_reference")),
        Role("second", ("second", "b", "stimulus_b", "system_b", "right", "choice_non_reference")),
        Role("choice", ("choice", "preferred", "winner", "preference", "answer", "choice_answer")),
    ),
    web={
        "trial_id": "trial",
        "choice_reference": "first",
        "choice_non_reference": "second",
        "choice_answer": "choice",
        "wm_id": "trial",
        "responses_reference": "first",
        "responses_nonReference": "second",
        "responses_answer": "choice",
    },
    again=("first", "second"),
)


@dataclass(frozen=True)
class Paired:
    """Preferences of a study: how often each listener preferred a stimulus (row) to another (column), ties half."""

    wins: Float64[np.ndarray, "listeners stimuli stimuli"]
    listeners: tuple[str, ...]
    stimuli: tuple[str, ...]
    notes: tuple[str, ...] = ()
    simulated: bool = False
    draws: int = crossed.DRAWS
    seed: int = 0

    @cached_property
    def strength(self) -> dict[str, float]:
        """Log strength of each stimulus, mean 0: a difference of 1 is odds of e : 1."""
        return dict(
            zip(self.stimuli, bradley_terry(self.wins.sum(axis=0), prior=PRIOR).tolist(), strict=True)
        )

    @cached_property
    def interval(self) -> dict[str, Interval | None]:
        """The 95 % interval of each strength over listeners; None where there is one alone."""
        if self.resampled is None:
            return dict.fromkeys(self.stimuli)
        return {name: crossed.bounds(self.resampled[:, place]) for place, name in enumerate(self.stimuli)}

    @cached_property
    def resampled(self) -> Float64[np.ndarray, "draws stimuli"] | None:
        """The strengths in each draw of listeners."""
        n = len(self.listeners)
        if n < crossed.MIN_LEVELS:
            return None
        times = np.random.default_rng(self.seed).multinomial(n, np.full(n, 1 / n), size=self.draws)
        wins = np.tensordot(times.astype(np.float64), self.wins, axes=1)
        return bradley_terry(wins, prior=PRIOR, close=DRAWN_CLOSE)

    @cached_property
    def share(self) -> dict[str, float]:
        """The share of its comparisons that each stimulus won, ties half."""
        wins = self.wins.sum(axis=0)
        shares = wins.sum(axis=1) / (wins + wins.T).sum(axis=1)
        return dict(zip(self.stimuli, shares.tolist(), strict=True))

    @property
    def answers(self) -> int:
        """How many preferences were given."""
        return round(float(self.wins.sum()))


def read_paired(
    path: Path | str,
    *,
    key: Path | str | None = None,
    test: str | None = None,
    draws: int = crossed.DRAWS,
    seed: int = 0,
) -> Paired:
    """The preferences in webMUSHRA's paired_comparison.csv, or a CSV with the columns listener, a, b and winner.

    ``winner`` is the name of one of the two, or a, b or tie; a column trial may be there. ``key`` is the key.csv of
    `prepare`, ``test`` chooses one of several test ids. Not every listener has to hear every pair.

    Raises FileNotFoundError; ValueError, with file and line, for what is no such table, an answer that is none, a pair
    of a trial that is there twice, and where the pairs do not link all stimuli.
    """
    found = answers.read(path, kind=KIND, test=test)
    rows = Key.read(key).applied(found.rows, roles=("first", "second"), who=found.who) if key else found.rows
    told = list(found.notes)
    if simulated := found.simulated:
        told.insert(0, "the listeners are simulated: they say nothing of how anything sounds")
    if found.is_web and (silent := sum(row.cells["choice"] == "unknown" for row in rows)):
        told.append(f"{silent} of {len(rows)} answers are 'unknown' and left out")
        rows = [row for row in rows if row.cells["choice"] != "unknown"]
    if not rows:
        raise ValueError(f"{found.who}: needed an answer, got {len(found.rows)} that are 'unknown'.")
    listeners = sorted({row.listener for row in rows})
    stimuli = sorted({row.cells[role] for row in rows for role in ("first", "second")})
    wins = np.zeros((len(listeners), len(stimuli), len(stimuli)))
    known: dict[tuple[str, ...], int] = {}
    for row in rows:
        first, second = row.cells["first"], row.cells["second"]
        if first == second:
            raise ValueError(f"{found.who} line {row.line}: needed two different stimuli, got {first} twice.")
        if row.trial:
            place = (row.listener, row.trial, *sorted((first, second)))
            if place in known:
                raise ValueError(
                    f"{found.who} line {row.line}: needed one answer of listener {row.listener} to {first} and "
                    f"{second} in trial {row.trial}, got another in line {known[place]}. Take one out."
                )
            known[place] = row.line
        won = _wins_of_first(row, is_web=found.is_web, who=found.who)
        i, a, b = listeners.index(row.listener), stimuli.index(first), stimuli.index(second)
        wins[i, a, b] += won
        wins[i, b, a] += 1 - won
    _refuse_islands(wins.sum(axis=0), stimuli, who=found.who)
    return Paired(
        wins=wins,
        listeners=tuple(listeners),
        stimuli=tuple(stimuli),
        notes=tuple(told),
        simulated=simulated,
        draws=draws,
        seed=seed,
    )


def is_paired(path: Path | str) -> bool:
    """Whether a CSV holds preferences, by its columns; FileNotFoundError where there is none."""
    held = {answers.bare(name) for name in answers.columns_of(path)}
    choice = {
        answers.bare(one) for role in KIND.roles if role.name in ("choice", "second") for one in role.synonyms
    }
    return bool(held & {"choiceanswer", "responsesanswer"}) or len(held & choice) >= 2


def _wins_of_first(row: Answer, *, is_web: bool, who: str) -> float:
    given, first, second = row.cells["choice"], row.cells["first"], row.cells["second"]
    small = given.casefold()
    if is_web:
        if small in WEB:
            return WEB[small]
        needed = ", ".join((*WEB, "unknown"))
        raise ValueError(f"{who} line {row.line}: needed {needed}, got {given!r}.")
    if given in (first, second):
        return float(given == first)
    for wins, words in ((1.0, FIRST), (0.0, SECOND), (0.5, EVEN)):
        if small in words:
            return wins
    raise ValueError(
        f"{who} line {row.line}: needed {first}, {second} or tie as the preferred one, got {given!r}."
    )


def _refuse_islands(wins: Float64[np.ndarray, "s s"], stimuli: Sequence[str], *, who: str) -> None:
    """Stimuli that no chain of comparisons links cannot be put on one scale."""
    linked, waiting = {0}, [0]
    met = (wins + wins.T) > 0
    while waiting:
        for other in np.flatnonzero(met[waiting.pop()]).tolist():
            if other not in linked:
                linked.add(other)
                waiting.append(other)
    if len(linked) < len(stimuli):
        one, rest = (
            [stimuli[i] for i in sorted(linked)],
            [s for i, s in enumerate(stimuli) if i not in linked],
        )
        raise ValueError(
            f"{who}: needed pairs that link all stimuli, got none between {names(one)} and {names(rest)}. Read the two "
            "parts as studies of their own, or compare some of them."
        )
