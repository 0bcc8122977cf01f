"""The CSV of a listening study as a tool wrote it: who answered what, and in which line.

webMUSHRA appends every participant to one file: session_test_id, columns of the study's own (its questionnaire, which
may be called anything), session_uuid, trial_id and the answer. Older files have no session_uuid, and
paired_comparison.csv never has one: there the rows of a participant stand together, so a new one begins where the own
columns change or an answer comes again. pymushra writes semicolons and names such as responses_stimulus. Anything else
is a plain long table: a row for each answer, columns by their own names or common synonyms.

Source: service/write.php of webMUSHRA (commit 07130f2, 2025); pymushra 0.5, casting.py and service.py.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Hashable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from clapbench.benchmarks.tables import decoded, separator_of
from clapbench.console import brief
from clapbench.sheets import any_length, from_sheet

SHOWN = 3  # names in a message
SIMULATED = "simulated"  # how the listeners and the test of simulated ratings are called
TRAINING = "training"  # the trial in which listeners try the sliders; not a rating
LISTENER = (
    "listener",
    "session_uuid",
    "questionaire_uuid",
    "participant",
    "subject",
    "assessor",
    "rater",
    "user",
)
TRIAL = ("trial", "trial_id", "wm_id", "item", "page")


class Role(NamedTuple):
    """A column that is needed, under any of these names; one that is not ``needed`` may lack."""

    name: str
    synonyms: Sequence[str]
    needed: bool = True


class Kind(NamedTuple):
    """A kind of study: its columns, and how webMUSHRA and pymushra name them."""

    name: str  # the type of its pages there
    roles: Sequence[Role]
    web: Mapping[str, str]  # column -> role
    again: Sequence[str]  # roles that no participant has twice alike in a trial


class Answer(NamedTuple):
    """A row: whose, of which trial, its cells by role, and its line in the file."""

    listener: str
    trial: str
    cells: dict[str, str]
    line: int


class Answers(NamedTuple):
    """All rows of a file, and what had to be understood to read it."""

    who: str  # as errors begin
    rows: list[Answer]
    notes: list[str]
    simulated: bool
    is_web: bool  # by webMUSHRA or pymushra


class Line(NamedTuple):
    """Cells by column and their line."""

    cells: dict[str, str]
    line: int


def names(found: Sequence[object]) -> str:
    """The first few of many, for a message."""
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(map(brief, found[:SHOWN])) + more


def read(path: Path | str, *, kind: Kind, test: str | None = None) -> Answers:
    """The answers in a CSV. ``test`` chooses one of several test ids.

    Raises FileNotFoundError, and ValueError that names the file and the line.
    """
    who = f"listening study {brief(path)}"
    header, lines, notes = _lines(path, who=who)
    web = _web(header, kind)
    if web is None:
        rows = _long(header, lines, kind, who=who)
        _refuse_empty(rows, kind, who=who)
        return Answers(who, rows, notes, _is_simulated(rows), is_web=False)
    lines = _of_test(_of_kind(lines, kind), test, who=who)
    rows, told = _participants(header, lines, web, kind, who=who)
    _refuse_empty(rows, kind, who=who)
    kept = [row for row in rows if row.trial.casefold() != TRAINING]
    if len(kept) < len(rows):
        told.append(f"the trial {TRAINING!r} is left out")
    if not kept:
        raise ValueError(
            f"{who}: needed a row for each answer, got a header and 0 rows of pages of type {kind.name}."
        )
    ids = {row.cells.get("session_test_id", "") for row in lines}
    simulated = all(one.casefold().startswith(SIMULATED) for one in ids)
    return Answers(who, kept, notes + told, simulated=simulated, is_web=True)


def columns_of(path: Path | str) -> list[str]:
    """The columns of a CSV."""
    return _lines(path, who=f"listening study {brief(path)}")[0]


def _lines(path: Path | str, *, who: str) -> tuple[list[str], list[Line], list[str]]:
    """The header, the rows below it, and notes; empty rows and headers that come again are left out."""
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"{who}: no such file. Give the CSV that the study wrote, as results/NAME/mushra.csv."
        )
    text = decoded(Path(path).read_bytes(), who=who)
    if not text.strip():
        raise ValueError(f"{who}: needed a header and a row for each answer, got an empty file.")
    found = _records(text, separator_of(text) or ",", who=who)
    _, header = found[0]
    header = [name.strip() for name in header]
    rest = [(line, cells) for line, cells in found[1:] if [cell.strip() for cell in cells] != header]
    notes = []
    if again := len(found) - 1 - len(rest):
        notes.append(f"its header stands {again + 1} times, as in files that were joined")
    for line, cells in rest:
        if len(cells) != len(header):
            raise ValueError(
                f"{who} line {line}: needed {len(header)} cells, as the header has, got {len(cells)}. Did the "
                "questionnaire change between participants? Give each version a file with its own header."
            )
    if not rest:
        raise ValueError(f"{who}: needed a row for each answer, got a header and 0 rows.")
    places = {name: place for place, name in enumerate(header)}  # of two of a name the last: ours come first
    lines = [
        Line({name: cells[place].strip() for name, place in places.items()}, line) for line, cells in rest
    ]
    return header, lines, notes


def _records(text: str, separator: str, *, who: str) -> list[tuple[int, list[str]]]:
    """Each row that is not blank, with the line where it begins."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True)
    found, line = [], 1
    with any_length():
        try:
            for cells in reader:
                if any(map(str.strip, cells)):
                    found.append((line, cells))
                line = reader.line_num + 1
        except csv.Error as error:
            raise ValueError(
                f"{who} line {line}: is no CSV: {error}. Close the quote that opens in this line, and double the "
                "quotes inside of a cell."
            ) from error
    return found


def _web(header: Sequence[str], kind: Kind) -> dict[str, str] | None:
    """Column -> role where webMUSHRA or pymushra wrote the file: their names are sure, whatever the study's own are."""
    found = {name: kind.web[name] for name in header if name in kind.web}
    roles = {role.name for role in kind.roles} - {"trial"}
    return found if roles <= set(found.values()) and "trial" in found.values() else None


def _of_kind(lines: Sequence[Line], kind: Kind) -> list[Line]:
    """Rows of pages of this type: pymushra has those of all in one file."""
    return [row for row in lines if row.cells.get("wm_type", kind.name) == kind.name]


def _of_test(lines: list[Line], test: str | None, *, who: str) -> list[Line]:
    """Rows of one test. Ids are compared as webMUSHRA names its folders, in small letters."""
    column = next(
        (name for name in ("session_test_id", "wm_testId") if lines and name in lines[0].cells), None
    )
    if column is None:
        return lines
    ids: dict[str, str] = {}
    for row in lines:
        if row.cells[column]:
            ids.setdefault(slug(row.cells[column]), row.cells[column])
    if test is not None:
        if slug(test) not in ids:
            raise ValueError(f"{who}: needed a test of the file, {names(list(ids.values()))}; got {test!r}.")
        return [row for row in lines if slug(row.cells[column]) == slug(test)]
    if len(ids) > 1:
        first = next(row for row in lines if row.cells[column] and slug(row.cells[column]) != next(iter(ids)))
        raise ValueError(
            f"{who} line {first.line}: needed one test, got {len(ids)}: {names(list(ids.values()))}. Choose one "
            f"with test={next(iter(ids.values()))!r} (--test)."
        )
    return lines


def slug(text: str) -> str:
    """A name as webMUSHRA makes a folder's name of it.

    >>> slug("My Study (1)")
    'my-study-1-'
    """
    return re.sub("--+", "-", re.sub(r"[^\w-]+", "-", text, flags=re.ASCII)).lower()


def _participants(
    header: Sequence[str], lines: Sequence[Line], web: Mapping[str, str], kind: Kind, *, who: str
) -> tuple[list[Answer], list[str]]:
    """Rows with their listener: by id, else by the study's own columns and where an answer comes again."""
    ids = next((name for name in ("session_uuid", "questionaire_uuid") if name in header), None)
    own = [name for name in _before_answers(header, web) if name not in ("session_test_id", ids)]
    started: list[list[Line]] = []
    seen: set[Hashable] = set()
    before: tuple[str, ...] | None = None
    listeners: dict[int, str] = {}
    for row in lines:
        if ids and row.cells[ids]:
            listeners[row.line] = row.cells[ids]
            before = None
            continue
        answers = tuple(row.cells[name] for name, role in web.items() if role in ("trial", *kind.again))
        given = tuple(row.cells[name] for name in own)
        if given != before or answers in seen:
            started.append([])
            seen, before = set(), given
        seen.add(answers)
        started[-1].append(row)
    _refuse_sent_twice(started, who=who)
    for rows in started:
        name = f"lines {rows[0].line} to {rows[-1].line}" if len(rows) > 1 else f"line {rows[0].line}"
        listeners |= {row.line: name for row in rows}
    found = []
    for row in lines:
        cells = {role: row.cells[name] for name, role in web.items()}
        found.append(Answer(listeners[row.line], cells.pop("trial"), cells, row.line))
    if not started:
        return found, []
    by = f" ({names(own)})" if own else ""
    what = f"no session id in {sum(map(len, started))} rows" if ids else "no column session_uuid"
    return found, [
        f"{what}: {len(started)} listeners are told apart by the study's own columns{by} and by where an answer "
        "comes again, and named by their lines"
    ]


def _before_answers(header: Sequence[str], web: Mapping[str, str]) -> list[str]:
    """The columns before the trial's: those of the study itself; of pymushra those that begin with questionaire_."""
    if "wm_id" in web:
        return [name for name in header if name.startswith("questionaire_")]
    first = next(place for place, name in enumerate(header) if web.get(name) == "trial")
    return list(header[:first])


def _refuse_sent_twice(started: Sequence[Sequence[Line]], *, who: str) -> None:
    """Two participants without an id whose rows are the same to the last cell are one that was sent twice."""
    known: dict[Hashable, int] = {}
    for rows in started:
        content = tuple(tuple(row.cells.values()) for row in rows)
        if content in known:
            raise ValueError(
                f"{who} line {rows[0].line}: needed different listeners, got lines {rows[0].line} to {rows[-1].line} "
                f"the same as those from line {known[content]}: a session that was sent twice. Take one out."
            )
        known[content] = rows[0].line


def bare(name: str) -> str:
    """The letters and digits of a name, small.

    >>> bare("Hidden reference"), bare("anchor_70")
    ('hiddenreference', 'anchor70')
    """
    return re.sub(r"[\W_]", "", name.casefold())


def _long(header: Sequence[str], lines: Sequence[Line], kind: Kind, *, who: str) -> list[Answer]:
    """Rows of a plain table, its columns by their names or synonyms."""
    chosen: dict[str, str] = {}
    for role in (Role("listener", LISTENER), *kind.roles):
        known = {bare(one) for one in role.synonyms}
        meant = [name for name in header if bare(name) in known]
        exact = [name for name in meant if name == role.name]
        if len(exact or meant) > 1:
            raise ValueError(
                f"{who} line 1: needed one column for the {role.name}, got {' and '.join(meant)}. Rename the one "
                "that is meant, or take the other out."
            )
        if meant:
            chosen[role.name] = (exact or meant)[0]
    needed = ["listener", *(role.name for role in kind.roles if role.needed)]
    if absent := [name for name in needed if name not in chosen]:
        web = ", ".join(name for name in kind.web if not name.startswith(("wm_", "responses_")))
        raise ValueError(
            f"{who} line 1: needed the columns {', '.join(needed)}, or webMUSHRA's ({web}); got "
            f"{brief(', '.join(header))}. It lacks: {', '.join(absent)}."
        )
    found = []
    for row in lines:
        cells = {role: from_sheet(row.cells[name]) for role, name in chosen.items()}
        found.append(Answer(cells.pop("listener"), cells.pop("trial", ""), cells, row.line))
    return found


def _refuse_empty(rows: Sequence[Answer], kind: Kind, *, who: str) -> None:
    needed = [role.name for role in kind.roles if role.needed]
    for row in rows:
        held = {"listener": row.listener, "trial": row.trial, **row.cells}
        if absent := [role for role in ("listener", *needed) if not held.get(role)]:
            raise ValueError(f"{who} line {row.line}: needed a {absent[0]}, got an empty cell.")


def _is_simulated(rows: Sequence[Answer]) -> bool:
    """Whether every listener of a long table is called simulated."""
    return all(row.listener.casefold().startswith(SIMULATED) for row in rows)
