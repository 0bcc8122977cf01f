"""What a sweep's study registered, beside what its cells say: parts and signs of the correlations, and the findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from clapbench.results.sweep import Sweep
from clapbench.schema import Size
from clapbench.study.correlations import HEADLINE, NOTHING_STATED, POOLED, Entry, Stated
from clapbench.study.registration import Registered, of_record

REGISTERED, EXPLORATORY = "registered", "exploratory"


class Foretold(NamedTuple):
    """A study and whether it holds for a sweep; ``words`` say which came first, or why it does not hold."""

    registered: Registered
    holds: bool
    words: str
    table: tuple[str, str] = HEADLINE  # score and benchmark of the registered correlations

    def stated(self, probes: Iterable[str]) -> Stated:
        """What the correlations of ``probes`` are told of it: nothing where all is exploratory."""
        stated = self.registered.study.correlations
        if not self.holds or stated is None:
            return NOTHING_STATED
        return Stated(
            parts={name: REGISTERED if name in stated.probes else EXPLORATORY for name in probes},
            signs={name: sign for name, sign in stated.probes.items() if sign != "either"},
            table=self.table,
        )


class Finding(NamedTuple):
    """A registered correlation: what was foretold, what came, and its p, corrected over the registered ones."""

    probe: str
    sign: str
    coefficient: str
    score: str
    bench: str
    n: int
    n_models: int
    value: float | None
    low: float | None
    high: float | None
    p: float | None
    p_min: float | None
    holds: bool | None  # at the study's level; None where there is no p
    note: str | None


def foretold(sweep: Sweep, *, size: Size | None) -> Foretold | None:
    """The study of a sweep; None where it has none. ValueError where its record is damaged."""
    if sweep.study is None:
        return None
    try:
        found = of_record(sweep.study)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"sweep {sweep.folder}: the study in its sweep.json is damaged. Type the sweep's command again."
        ) from error
    known = [cell.known_since for cell in sweep.scored]
    words, holds = found.words(known, what="cells"), found.came_first(known)
    if holds and (why := _departure(sweep, found, size=size)):
        return Foretold(found, False, f"{words} But {why}: all of it is exploratory.")
    stated = found.study.correlations
    if stated is None:
        return Foretold(found, holds, words)
    alone = {cell.bench for cell in sweep.scored} == {
        stated.bench
    }  # of one benchmark, the pooled table is its own
    return Foretold(found, holds, words, (stated.score, POOLED if alone else stated.bench))


def _departure(sweep: Sweep, found: Registered, *, size: Size | None) -> str | None:
    """In what the sweep is not what was registered."""
    stated = found.study.correlations
    if stated is None:
        return "it registers no correlations over cells"
    if stated.protocol != sweep.protocol:
        return f"it is of the protocol {stated.protocol}, and these cells are of {sweep.protocol}"
    if stated.n is not None and size is not None and {stated.n} != set(size):
        return f"it is of {stated.n} rows of each side, and matched N is {size.audio} and {size.text}"
    return None


def findings(study: Foretold | None, entries: Sequence[Entry]) -> list[Finding]:
    """Every registered correlation; none where the study does not hold."""
    if study is None or not study.holds or study.registered.study.correlations is None:
        return []
    stated = study.registered.study.correlations
    own: Mapping[str, Entry] = {
        one.row.name: one
        for one in reversed(entries)  # at matched N comes first
        if (one.score, one.bench, one.row.coefficient) == (*study.table, stated.coefficient)
        and one.row.kind == "probe"
    }
    everywhere = {one.row.name for one in entries}
    found = []
    for probe, sign in stated.probes.items():
        entry = own.get(probe)
        row = entry.row if entry else None
        note = row.note if row else None
        if entry is None:
            lacking = f"there is no correlation with {stated.score} on {stated.bench}"
            note = lacking if probe in everywhere else "no cell has this probe"
        elif stated.n is not None and entry.rows != "matched":
            note = f"it was registered at {stated.n} rows of each side, and this is over all rows"
        tested = row is not None and (stated.n is None or (entry is not None and entry.rows == "matched"))
        p = row.p_maxt if row and tested else None
        found.append(
            Finding(
                probe=probe,
                sign=sign,
                coefficient=stated.coefficient,
                score=stated.score,
                bench=stated.bench,
                n=row.n if row else 0,
                n_models=row.n_models if row else 0,
                value=row.value if row else None,
                low=row.ci95_low if row else None,
                high=row.ci95_high if row else None,
                p=p,
                p_min=row.p_maxt_min if row else None,
                holds=None if p is None else p <= study.registered.study.level,
                note=note,
            )
        )
    return found
