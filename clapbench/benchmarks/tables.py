"""Anybody's CSV and the clips that it names: rows with their place in the file, and files by the names given there.

A CSV is read strictly as UTF-8 with commas; what else it may be is said, with its line, and never guessed. A clip's
name is tried as it is written (Clotho's files begin with spaces as their names in its CSV do), then without the spaces
around it, then in any Unicode form that looks the same.
"""

from __future__ import annotations

import csv as csv_format
import logging
import os
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from io import StringIO
from itertools import count, zip_longest
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple
from unicodedata import normalize

from clapbench.console import brief
from clapbench.sheets import any_length

log = logging.getLogger(__name__)

LINE_END = re.compile(r"\r\n|\r|\n")
FIELD = re.compile(r'(?:"[^"]*(?:""[^"]*)*"|[^",\r\n][^,\r\n]*)?(?:,|\r\n|\r|\n|\Z)')  # and what ends it
SEPARATORS = (";", "\t", "|", "^", "~", "；", "，")  # that stand for commas elsewhere
OTHERS = {  # how files begin that are no text
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "a gzip archive",
    b"PAR1": "a Parquet table",
}
SAVE = "Save it as UTF-8 (in a spreadsheet: CSV UTF-8)."
SHOWN = 3  # missing clips that are named


class Speaker(NamedTuple):
    """Who speaks in an error about a CSV, as ``bench 'order'``, and the group of the keys that mend it."""

    who: str
    group: str = "bench"

    @classmethod
    def bench(cls, name: str) -> Speaker:
        """The benchmark of a name."""
        return cls(f"bench {name!r}")

    def of(self, csv: Path, place: str = "") -> str:
        """With the file, and the place in it."""
        return f"{self.who}: {brief(csv)}{' ' if place else ''}{place}"


class Row(dict[str, str]):
    """A row's cells by column; ``place`` is its number, and its line where rows are no lines."""

    place: str = ""


def read_table(csv: Path, *, speaker: Speaker, columns: Sequence[str]) -> list[Row]:
    """The rows of a CSV with at least these columns, cells as text; a repeated column gets ``.1``, as in pandas.

    Byte-order marks, any line ends, empty rows and cells of any length are read; a row that is too short ends in empty
    cells. Raises ``FileNotFoundError``, and ``ValueError`` that names the speaker, the file and the row or line.
    """
    who = speaker.of(csv)
    if not os.path.isfile(csv):
        raise FileNotFoundError(
            f"{speaker.who}: needed a CSV, found no file {brief(csv)}. Set {speaker.group}.csv=PATH."
        )
    text = decoded(csv.read_bytes(), who=who)
    other = separator_of(text)
    if other is not None:
        raise ValueError(
            f"{who} is not a CSV in UTF-8 with commas: its separator looks like {other!r}, the first line is "
            f"{first_line(text)[:200]!r}. Save it with commas between the cells."
        )
    filled = [(line, cells) for line, cells in records(text, who=who) if any(map(str.strip, cells))]
    if not filled:
        raise ValueError(f"{who} is not a CSV in UTF-8: it is empty. Mend the file.")
    (_, header), *lines = filled
    names = column_names(header)
    if not set(columns) <= set(names):
        absent = [column for column in columns if column not in names]
        raise lacks_columns(who, needed=", ".join(columns), names=names, known=columns, absent=absent)
    if not lines:
        raise ValueError(f"{who} has a header but 0 rows. Add one row per item.")
    rows = []
    for number, (line, cells) in enumerate(lines, start=1):
        row = Row(zip_longest(names, cells[: len(names)], fillvalue=""))
        row.place = f"row {number}" if line == number + 1 else f"row {number} (line {line})"
        if any(map(str.strip, cells[len(names) :])):
            raise ValueError(
                f"{who} {row.place} has more fields than its header: {len(cells)}, not {len(names)}. "
                f"Quote captions with commas, the quote next to the comma before it."
            )
        if any(looks_like_rows(cell, columns=len(names)) for cell in cells):
            log.warning(
                "%s %s: a cell holds whole lines of the file. Does a quote not close?", who, row.place
            )
        rows.append(row)
    return rows


def looks_like_rows(cell: str, *, columns: int) -> bool:
    """Whether a cell of several lines may be rows that a lost quote has swallowed.

    >>> looks_like_rows("a dog\\nb.wav,a cat,rain", columns=3), looks_like_rows("a dog,\\nand rain", columns=3)
    (True, False)
    """
    _, *others = LINE_END.split(cell)
    return any(line.count(",") >= columns - 1 > 0 for line in others)


def decoded(content: bytes, *, who: str) -> str:
    """The text of a CSV. ``ValueError`` says what it is encoded in, and in which line that shows."""

    def refusal(what: str, *, before: bytes = b"", remedy: str = SAVE) -> ValueError:
        line = 1 + len(re.findall(rb"\r\n|\r|\n", before))
        return ValueError(f"{who} is not a CSV in UTF-8: line {line} {what}. {remedy}")

    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refusal("begins with the mark of UTF-16")
    what = next((what for head, what in OTHERS.items() if content.startswith(head)), None)
    if what is not None:
        raise refusal(f"begins as {what} does")
    nul = content.find(b"\0")
    if nul >= 0 and 3 * content[:1000].count(0) > len(content[:1000]):
        raise refusal("holds NUL bytes as UTF-16 does", before=content[:nul])
    if nul >= 0:
        raise refusal("holds a NUL byte", before=content[:nul], remedy="Take it out.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The decoder counts from behind a byte-order mark: its own object goes with its numbers.
        before, byte = error.object[: error.start], error.object[error.start]
        raise refusal(
            f"holds the byte 0x{byte:02x}, as Latin-1 or Windows-1252 have", before=before
        ) from error


def records(text: str, *, who: str) -> Iterator[tuple[int, list[str]]]:
    """Each record of a CSV with the line where it begins. ``ValueError`` names the line of a quote gone wrong."""
    lines = csv_format.reader(StringIO(text, newline=""), strict=True)
    with any_length():
        while True:
            line = lines.line_num + 1
            try:
                yield line, next(lines)
            except StopIteration:
                return
            except csv_format.Error as error:
                opened = line + misquoted(text, line=line)
                raise ValueError(
                    f"{who} is not a CSV in UTF-8: {error}: the quote that opens a cell in line {opened} does not "
                    f"close at the cell's end (read to line {lines.line_num}). Close it before the comma, and double "
                    f"the quotes inside of the cell."
                ) from error


def misquoted(text: str, *, line: int) -> int:
    """How many lines below the record that begins in ``line`` its first cell begins whose quotes do not match."""
    ends = [0, *(end.end() for end in LINE_END.finditer(text))]
    place = start = ends[line - 1]
    while (cell := FIELD.match(text, place)) and cell.end() > place:
        place = cell.end()
    return len(LINE_END.findall(text, start, place))


def first_line(text: str) -> str:
    """The first line of a text that is not blank."""
    return next(filter(str.strip, LINE_END.split(text)), "")


def separator_of(text: str) -> str | None:
    """What separates the cells of the first line where that is no comma.

    >>> separator_of("file;caption\\na.wav;A dog, barking")
    ';'
    """
    header = re.sub('"[^"]*"', "", first_line(text))
    found = max(SEPARATORS, key=header.count)
    return found if "," not in header and found in header else None


def lacks_columns(
    who: str, *, needed: str, names: Sequence[str], known: Sequence[str], absent: Sequence[str] = ()
) -> ValueError:
    """The error of a CSV without the columns ``needed``; ``known`` are those that its own might be meant to be."""
    lacks = f"it lacks {', '.join(absent)} and has" if absent else "it has"
    meant = {name: nearest(name, known) for name in names if name not in known}
    told = [f"{brief(name)} to {near}" for name, near in meant.items() if near and near not in names]
    joined = next((sign for sign in SEPARATORS if any(sign in name for name in names)), None)
    perhaps = f" The separator looks like {joined!r}: save it with commas." if joined else ""
    if len(names) == 1 and not told:
        perhaps = " It has one column: does another sign than a comma separate its cells?"
    return ValueError(
        f"{who} needs the columns {needed}; {lacks} {brief(', '.join(names))}. "
        f"Rename its columns{', perhaps ' if told else ''}{', '.join(told)}.{perhaps}"
    )


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Which of the ``known`` columns a name is meant to be, by its letters and digits.

    >>> nearest("Caption 1", ["caption_1", "caption_2"])
    'caption_1'
    """
    bare = {re.sub(r"[\W_]", "", column.lower()): column for column in reversed(known)}
    near = get_close_matches(re.sub(r"[\W_]", "", name.lower()), bare, n=1, cutoff=0.85)
    return bare[near[0]] if near else None


def column_names(header: Sequence[str]) -> list[str]:
    """The columns of a CSV's first line, different from each other.

    >>> column_names(["file", " caption", "file", ""])
    ['file', 'caption', 'file.1', 'Unnamed: 3']
    """
    names: list[str] = []
    for place, given in enumerate(header):
        name = given.strip() or f"Unnamed: {place}"
        again = (f"{name}.{number}" for number in count(1))
        names.append(name if name not in names else next(other for other in again if other not in names))
    return names


def refuse_twins(rows: Sequence[Row], columns: Sequence[str], *, who: str) -> None:
    """``ValueError`` where one of ``columns`` stands twice in a CSV and the two differ: which one is meant?"""
    for column in columns:
        twin = f"{column}.1"
        for row in rows if column in rows[0] and twin in rows[0] else ():
            if row[column] != row[twin]:
                raise ValueError(
                    f"{who} {row.place}: needed one column {column}, got two that differ: {row[column]!r} and "
                    f"{row[twin]!r}. Take one out, or rename it."
                )


def clip_id(path: str, *, who: str, key: str = "bench.root") -> str:
    """A clip's path in POSIX form, without spaces around it; refused unless relative and below the root (``key``)."""
    parts = PurePosixPath(path.strip().replace("\\", "/"))
    if not parts.name or ".." in parts.parts or parts.is_absolute() or PureWindowsPath(path.strip()).drive:
        raise ValueError(
            f"{who}: needed a clip's path relative to {key} and below it, got {path!r}. Correct it."
        )
    return str(parts)


def spellings(path: str) -> list[str]:
    """The paths that a name in a CSV may stand for, the most literal first.

    >>> spellings(" a\\\\b.wav")
    [' a\\\\b.wav', ' a/b.wav', 'a\\\\b.wav', 'a/b.wav']
    """
    literal = [path, path.replace("\\", "/"), path.strip(), path.strip().replace("\\", "/")]
    return list(dict.fromkeys(str(PurePosixPath(one)) for one in literal))


class Clips:
    """The clips below a folder, by the names that a CSV gives them.

    A clip's id is the spelling that led to its file, as the CSV has it: a POSIX path, on any machine. Names of one file
    have one id, that of the first. What is not there has the id of its name without spaces around it. ``key`` is the
    configuration's name for the folder.
    """

    def __init__(self, root: Path, *, key: str = "bench.root") -> None:
        self.root, self.key = root, key
        self._files: dict[str, Path] = {}
        self._ids: dict[Path, str] = {}
        self._entries: dict[Path, dict[str, str]] = {}  # folder -> composed name -> name

    def id_of(self, path: str, *, who: str) -> str:
        """The id of the clip that a row names: the first spelling that a file has, else the path as it is written."""
        clip = clip_id(path, who=who, key=self.key)
        for spelling, file in self._candidates(path):
            if file is not None and os.path.isfile(file):
                clip = self._ids.setdefault(file, spelling)
                self._files[clip] = file
                break
        return clip

    def file(self, clip: str) -> Path:
        """Where the clip of an id lies."""
        return self._files.get(clip, self.root / clip)

    def has(self, path: str) -> bool:
        """Whether a name of a CSV has a file. A name too long for the file system, or of a folder, has none."""
        return any(file is not None and os.path.isfile(file) for _, file in self._candidates(path))

    def named(self, pattern: str, row: Row) -> str:
        """The name that ``pattern`` makes of a row's cells: as they are, or without spaces where only that is here."""
        written = pattern.format_map(row)
        if self.has(written):
            return written
        bare = pattern.format_map({column: cell.strip() for column, cell in row.items()})
        return bare if bare != written and self.has(bare) else written

    def paths(
        self, rows: Sequence[Row], patterns: Sequence[str], *, csv: Path, speaker: Speaker
    ) -> list[str]:
        """The name of each row's clip by the pattern that most rows have a file for, the first of equals.

        ``ValueError`` for a pattern that the columns do not fill.
        """
        named: dict[str, list[str]] = {}
        for pattern in patterns:
            try:
                named[pattern] = [self.named(pattern, row) for row in rows]
            except (KeyError, ValueError, IndexError, AttributeError) as error:
                raise ValueError(
                    f"{speaker.who}: {speaker.group}.file needs a pattern of the columns of {brief(csv)}, "
                    f"{brief(', '.join(rows[0]))}; got {pattern!r} ({error!r}). Correct it."
                ) from error
        here = {pattern: sum(map(self.has, paths)) for pattern, paths in named.items()}
        return named[max(patterns, key=here.__getitem__)]

    def _candidates(self, path: str) -> Iterator[tuple[str, Path | None]]:
        for spelling in spellings(path):
            yield spelling, self.root / spelling
        if not path.isascii():
            for spelling in spellings(path):
                yield spelling, self._alike(spelling)

    def _alike(self, path: str) -> Path | None:
        """The file whose path looks the same: composed and decomposed letters are one."""
        found = self.root
        for part in PurePosixPath(path).parts:
            if found not in self._entries:
                self._entries[found] = {composed(name): name for name in listed(found)}
            name = self._entries[found].get(composed(part))
            if name is None:
                return None
            found = found / name
        return found


def listed(folder: Path) -> list[str]:
    """The names in a folder, last first; none where it cannot be read."""
    try:
        return sorted(os.listdir(folder), reverse=True)
    except (OSError, ValueError):  # ValueError: a NUL in its name
        return []


def composed(name: str) -> str:
    """The one form of all names that look like this one."""
    return normalize("NFC", name)


def first_names(clips: Sequence[str]) -> str:
    """The first of these clips, for a message; in quotes where spaces at an end would not be seen."""
    names = [brief(clip) if clip == clip.strip() else repr(clip) for clip in clips[:SHOWN]]
    return ", ".join([*names, *(["..."] if len(clips) > SHOWN else [])])
