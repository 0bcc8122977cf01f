"""What every benchmark is: cases of clips against captions, clips on disk, a fingerprint, a judgement of rows."""

from __future__ import annotations

import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from csv import Error as FormatError
from csv import reader
from itertools import count, zip_longest
from pathlib import Path, PurePosixPath, PureWindowsPath

from clapbench.schema import Case, Embeddings, Judgement

log = logging.getLogger(__name__)

TOLD = 3  # broken clips that an error names


class Benchmark(ABC):
    """Cases to score and the clips to encode for them.

    A subclass gives ``read_cases`` and ``judge``; ``root`` is the folder that clip ids are relative to, known once
    ``cases`` has been called. With ``allow_missing`` a case whose clips are not all on disk is left out and counted in
    ``dropped``, else it is an error; so is one with a clip that `leave_out` names.
    """

    protocols: tuple[str, ...] = ("official",)  # that ``protocol`` may choose from

    def __init__(self, *, name: str, root: str | Path, protocol: str, allow_missing: bool = False) -> None:
        if protocol not in self.protocols:
            raise ValueError(
                f"bench {name!r}: needed a protocol out of {', '.join(self.protocols)}; got {protocol!r}. "
                f"Set bench.protocol."
            )
        self.name = name
        self.root = Path(root)
        self.protocol = protocol
        self.allow_missing = allow_missing
        self.dropped = 0  # cases without clips, known after `cases`
        self.missing = 0  # clips that are not on disk, likewise
        self.broken: dict[str, str] = {}  # clips that cannot be read, with why
        self._read: list[Case] | None = None
        self._cases: list[Case] | None = None

    @abstractmethod
    def read_cases(self) -> list[Case]:
        """The cases, before anybody has looked whether their clips exist."""

    @abstractmethod
    def judge(self, embeddings: Embeddings) -> Judgement:
        """What rows of these clips and captions are worth. Pure: the same rows, the same judgement."""

    def preparation(self) -> str | None:
        """What has to be made before there are clips to read, in words; None when nothing has."""
        return None

    def downloads(self) -> tuple[str, ...]:
        """The sources (see `clapbench.sources.downloads`) of what this benchmark needs and does not make itself."""
        return ()

    def cases(self) -> list[Case]:
        """The cases in the benchmark's order. Raises ``FileNotFoundError`` when clips are missing."""
        if self._cases is None:
            self._cases = self.with_clips(self.all_cases())
        return list(self._cases)

    def all_cases(self) -> list[Case]:
        """What `read_cases` read, once."""
        if self._read is None:
            self._read = self.read_cases()
        return list(self._read)

    def leave_out(self, broken: Mapping[str, str]) -> None:
        """Takes out the cases with a clip that cannot be read, given with the reason.

        Raises ``ValueError`` that tells of all of them, unless ``allow_missing``.
        """
        told = f"{len(broken)} of {len(self.clips())} clips cannot be read: {self.reasons(broken)}"
        if not self.allow_missing:
            raise ValueError(
                f"bench {self.name!r}: {told}. Mend them, take their items out of the CSV, or set "
                f"bench.allow_missing=true to leave their items out."
            )
        self.broken, self._cases = dict(broken), None
        before = self.dropped
        self.cases()
        log.warning("bench %r: %s. %d items left out.", self.name, told, self.dropped - before)

    def reasons(self, broken: Mapping[str, str]) -> str:
        """The first clips that cannot be read, each with its row and why."""
        told = []
        for clip, reason in list(broken.items())[:TOLD]:
            row = self.where(clip).removeprefix(f"bench {self.name!r}").strip()
            who = f"{clip} ({row})" if row else clip
            told.append(f"{who}: {reason.removesuffix('.')}")
        return "; ".join([*told, *([f"and {len(broken) - TOLD} more"] if len(broken) > TOLD else [])])

    @property
    def n_items(self) -> int:
        return len(self.cases())

    def clips(self) -> tuple[str, ...]:
        """Distinct clip ids, as first seen."""
        return tuple(dict.fromkeys(clip for case in self.cases() for clip in case.clips))

    def captions(self) -> tuple[str, ...]:
        """Distinct captions, as first seen."""
        return tuple(dict.fromkeys(caption for case in self.cases() for caption in case.captions))

    def audio_path(self, clip_id: str) -> Path:
        return self.root / clip_id

    def where(self, clip_id: str) -> str:
        """Who names the clip, as errors about its file begin."""
        return f"bench {self.name!r}"

    def with_clips(self, cases: list[Case]) -> list[Case]:
        """The cases whose clips are all on disk and not `broken`; others are an error unless ``allow_missing``."""
        clips = dict.fromkeys(clip for case in cases for clip in case.clips)
        missing = [clip for clip in clips if not self.audio_path(clip).is_file()]
        gone = {*missing, *self.broken}
        if not gone:
            return cases
        whole = [case for case in cases if gone.isdisjoint(case.clips)]
        if missing and not (self.allow_missing and whole):
            raise FileNotFoundError(
                f"bench {self.name!r}: {len(missing)} of {len(clips)} clips are missing under {self.root} "
                f"(first: {missing[0]}). Set bench.root=PATH, bench.allow_missing=true to leave out their items, "
                f"or run bench=synth_order to try the pipeline without a download."
            )
        if not whole:
            raise ValueError(
                f"bench {self.name!r}: no item is left, {len(self.broken)} of {len(clips)} clips cannot be read: "
                f"{self.reasons(self.broken)}. Mend them, or set bench.root=PATH."
            )
        self.dropped, self.missing = len(cases) - len(whole), len(missing)
        if self.broken:
            return whole  # what is missing was said before
        log.warning(
            "bench %r: %d of %d items left out, their clips are missing (first: %s).",
            self.name,
            self.dropped,
            len(cases),
            missing[0],
        )
        return whole

    def fingerprint(self) -> str:
        """SHA-256 (hex) over each distinct clip's id and bytes, and every case's ids, captions and match."""
        digest = hashlib.sha256()
        for clip in self.clips():
            content = hashlib.sha256(self.audio_path(clip).read_bytes()).hexdigest()
            digest.update(json.dumps([clip, content]).encode())
        for case in self.cases():
            digest.update(json.dumps([case.clips, case.captions, case.match]).encode())
        return digest.hexdigest()


def read_table(csv: Path, *, name: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV with at least these columns, cells as text; a repeated column gets ``.1``, as in pandas.

    Byte-order marks, any line ends and empty lines are read; a row that is too short ends in empty cells. Raises
    ``FileNotFoundError``, and ``ValueError`` that names the benchmark, the file and, where there is one, the row.
    """
    if not csv.is_file():
        raise FileNotFoundError(f"bench {name!r}: needed a CSV, found no file {csv}. Set bench.csv=PATH.")
    try:
        with csv.open(encoding="utf-8-sig", newline="") as file:
            header, *lines = [line for line in reader(file, strict=True) if line] or [[]]
        if not header:
            raise FormatError("it is empty")
    except (UnicodeDecodeError, FormatError) as error:
        raise ValueError(f"bench {name!r}: {csv} is not a CSV in UTF-8: {error}. Mend the file.") from error
    names = column_names(header)
    absent = [column for column in columns if column not in names]
    if absent:
        raise ValueError(
            f"bench {name!r}: {csv} needs the columns {', '.join(columns)}; it lacks {', '.join(absent)} and has "
            f"{', '.join(names)}. Rename its columns."
        )
    if not lines:
        raise ValueError(f"bench {name!r}: {csv} has a header but 0 rows. Add one row per item.")
    for number, line in enumerate(lines, start=1):
        if len(line) > len(names):
            raise ValueError(
                f"bench {name!r}: {csv} row {number} has more fields than its header: {len(line)}, not {len(names)}. "
                f"Quote captions with commas."
            )
    return [dict(zip_longest(names, line, fillvalue="")) for line in lines]


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


def clip_id(path: str, *, who: str) -> str:
    """The path of a clip in POSIX form, refused unless it is relative and stays below the root."""
    parts = PurePosixPath(path.strip().replace("\\", "/"))
    if not parts.name or ".." in parts.parts or parts.is_absolute() or PureWindowsPath(path.strip()).drive:
        raise ValueError(
            f"{who}: needed a clip's path relative to bench.root and below it, got {path!r}. Correct it."
        )
    return str(parts)
