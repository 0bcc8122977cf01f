"""What every benchmark is: cases of clip ids against captions, clips on disk, and a fingerprint of both.

Benchmarks in the CompA file format share one reader: a CSV with the columns ``pair_caption``,
``reversed_pair_caption``, ``pair_file`` and ``reversed_pair_file``, paths relative to a folder. Each row is a
case of two clips and two captions that match along the diagonal; further columns go to ``Case.about``.

Source of the format: Ghosh et al. 2024 (CompA: Addressing the Gap in Compositional Reasoning in
Audio-Language Models), CompA-order and CompA-attribute.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd

from clapbench.schema import Case

CAPTIONS = ("pair_caption", "reversed_pair_caption")
FILES = ("pair_file", "reversed_pair_file")
PROTOCOLS = ("official",)
DIAGONAL = ((True, False), (False, True))


class Benchmark(ABC):
    """Cases to score and the clips to encode for them.

    A subclass gives ``read_cases``; ``root`` is the folder that clip ids are relative to.
    """

    def __init__(self, *, name: str, root: str | Path, protocol: str) -> None:
        if protocol not in PROTOCOLS:
            raise ValueError(
                f"bench {name!r}: needed a protocol out of {', '.join(PROTOCOLS)}; got {protocol!r}. "
                f"Set bench.protocol."
            )
        self.name = name
        self.root = Path(root)
        self.protocol = protocol
        self._cases: list[Case] | None = None

    @abstractmethod
    def read_cases(self) -> list[Case]:
        """The cases, before anybody has looked whether their clips exist."""

    def preparation(self) -> str | None:
        """What has to be made before there are clips to read, in words; None when nothing has."""
        return None

    def downloads(self) -> tuple[str, ...]:
        """The sources (see `clapbench.downloads`) of what this benchmark needs and does not make itself."""
        return ()

    def cases(self) -> list[Case]:
        """The cases in the benchmark's order. Raises ``FileNotFoundError`` when clips are missing."""
        if self._cases is None:
            cases = self.read_cases()
            self.check_clips(cases)
            self._cases = cases
        return list(self._cases)

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

    def check_clips(self, cases: list[Case]) -> None:
        """Refuse cases whose clips are not all on disk."""
        clips = dict.fromkeys(clip for case in cases for clip in case.clips)
        missing = [clip for clip in clips if not self.audio_path(clip).is_file()]
        if missing:
            raise FileNotFoundError(
                f"bench {self.name!r}: {len(missing)} of {len(clips)} clips are missing under {self.root} "
                f"(first: {missing[0]}). Set bench.root=PATH, or run bench=synth_order to try the pipeline "
                f"without a download."
            )

    def fingerprint(self) -> str:
        """SHA-256 (hex) over each distinct clip's id and bytes, and every case's ids, captions and match."""
        digest = hashlib.sha256()
        for clip in self.clips():
            content = hashlib.sha256(self.audio_path(clip).read_bytes()).hexdigest()
            digest.update(json.dumps([clip, content]).encode())
        for case in self.cases():
            digest.update(json.dumps([case.clips, case.captions, case.match]).encode())
        return digest.hexdigest()


def read_pairs(csv: Path, *, name: str) -> list[Case]:
    """The cases of a CSV in the CompA format. ``ValueError`` names the benchmark, the file and the row."""
    if not csv.is_file():
        raise FileNotFoundError(f"bench {name!r}: needed a CSV, found no file {csv}. Set bench.csv=PATH.")
    try:
        table = pd.read_csv(csv, dtype=str, keep_default_na=False, encoding="utf-8-sig").fillna("")
    except ValueError as error:  # malformed, empty, or not UTF-8
        raise ValueError(f"bench {name!r}: {csv} is not a CSV in UTF-8: {error}. Mend the file.") from error
    absent = [column for column in (*CAPTIONS, *FILES) if column not in table.columns]
    if absent:
        raise ValueError(
            f"bench {name!r}: {csv} needs the columns {', '.join((*CAPTIONS, *FILES))}; it lacks "
            f"{', '.join(absent)} and has {', '.join(map(str, table.columns))}. Rename its columns."
        )
    if len(table) == 0:
        raise ValueError(f"bench {name!r}: {csv} has a header but 0 rows. Add one row per item.")
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError(
            f"bench {name!r}: the rows of {csv} have more fields than its header. Quote captions with commas."
        )
    rows = table.to_dict(orient="records")
    return [
        pair_case(
            {str(column): str(value) for column, value in row.items()},
            who=f"bench {name!r}: {csv} row {number}",
        )
        for number, row in enumerate(rows, start=1)
    ]


def pair_case(row: dict[str, str], *, who: str) -> Case:
    """One row of the CompA format as a case: clips (p, r), captions (p, r), match the identity."""
    for column in CAPTIONS:
        if not row[column].strip():
            raise ValueError(f"{who}: needed a caption, {column} is empty. Fill it, or take the row out.")
    captions = (row[CAPTIONS[0]], row[CAPTIONS[1]])
    clips = (clip_id(row[FILES[0]], who=who), clip_id(row[FILES[1]], who=who))
    for what, (pair, swapped) in (("captions", captions), ("clips", clips)):
        if pair == swapped:
            raise ValueError(f"{who}: needed two different {what}, got {pair!r} twice. Take the row out.")
    about = {column: value for column, value in row.items() if column not in (*CAPTIONS, *FILES)}
    return Case(clips=clips, captions=captions, match=DIAGONAL, about=about)


def clip_id(path: str, *, who: str) -> str:
    """The path of a clip in POSIX form, refused unless it is relative and stays below the root."""
    parts = PurePosixPath(path.strip().replace("\\", "/"))
    if not parts.name or ".." in parts.parts or parts.is_absolute() or PureWindowsPath(path.strip()).drive:
        raise ValueError(
            f"{who}: needed a clip's path relative to bench.root and below it, got {path!r}. Correct it."
        )
    return str(parts)
