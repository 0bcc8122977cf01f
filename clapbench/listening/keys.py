"""The key of a blind study: which system and clip stand behind each stimulus of each trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from clapbench import sheets
from clapbench.console import brief
from clapbench.listening.answers import Answer, names

COLUMNS = ("trial", "stimulus", "system", "clip")


class Meaning(NamedTuple):
    """What a blind name stands for."""

    system: str
    clip: str


class Key(NamedTuple):
    """What every stimulus of every trial stands for, by (trial, stimulus)."""

    path: Path
    meanings: Mapping[tuple[str, str], Meaning]

    @classmethod
    def read(cls, path: Path | str) -> Key:
        """The key.csv that `prepare` wrote. FileNotFoundError, ValueError for what is none."""
        who = f"key {brief(path)}"
        if not Path(path).is_file():
            raise FileNotFoundError(f"{who}: no such file. Give the key.csv of the study's folder.")
        try:
            rows = sheets.read(Path(path))
        except ValueError as error:
            raise ValueError(f"{who}: needed the key.csv of a study, but {error}.") from error
        if not rows or not set(COLUMNS) <= set(rows[0]):
            got = ", ".join(rows[0]) if rows else "0 rows"
            raise ValueError(f"{who}: needed the columns {', '.join(COLUMNS)}, got {got}.")
        found: dict[tuple[str, str], Meaning] = {}
        for line, row in enumerate(rows, start=2):
            place = (row["trial"], row["stimulus"])
            if place in found:
                raise ValueError(
                    f"{who} line {line}: needed each stimulus of a trial once, got {place[1]} of {place[0]} again."
                )
            found[place] = Meaning(row["system"], row["clip"])
        return cls(Path(path), found)

    def applied(self, rows: Sequence[Answer], *, roles: Sequence[str], who: str) -> list[Answer]:
        """Answers with systems in place of the blind names in ``roles``, and clips in place of trials."""
        found = []
        for row in rows:
            meant = {role: self._meaning(row, row.cells[role], who=who) for role in roles}
            cells = row.cells | {role: meaning.system for role, meaning in meant.items()}
            found.append(row._replace(trial=meant[roles[0]].clip, cells=cells))
        return found

    def _meaning(self, row: Answer, stimulus: str, *, who: str) -> Meaning:
        meaning = self.meanings.get((row.trial, stimulus))
        if meaning is None:
            known = [known for trial, known in self.meanings if trial == row.trial]
            has = f"has {names(known)}" if known else "lacks that trial"
            raise ValueError(
                f"{who} line {row.line}: needed what {stimulus} of trial {row.trial} stands for, and the key "
                f"{brief(self.path)} {has}. Give the key of this study."
            )
        return meaning
