"""Benchmarks of items: two clips and two captions that share every word; perhaps a third pair.

The CompA file format: a CSV with the columns ``pair_caption``, ``reversed_pair_caption``, ``pair_file`` and
``reversed_pair_file``, perhaps ``triplet_caption`` and ``triplet_file`` with ``-`` where an item has no third pair.
Where the file columns stand twice, the first hold ids of videos and the second the files. Further columns go to
``Case.about``.

Source of the format: Ghosh et al. 2024 (CompA: Addressing the Gap in Compositional Reasoning in Audio-Language Models).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from clapbench.benchmarks.base import Benchmark
from clapbench.benchmarks.tables import Clips, Speaker, clip_id, read_table, refuse_twins
from clapbench.console import brief
from clapbench.schema import Case, Embeddings, Judgement
from clapbench.scoring import pairs

log = logging.getLogger(__name__)

CAPTIONS = ("pair_caption", "reversed_pair_caption")
FILES = ("pair_file", "reversed_pair_file")
LOCAL_FILES = ("pair_file.1", "reversed_pair_file.1")  # the files where these columns stand twice
VIDEOS = ("pair_video", "reversed_pair_video")  # how the first of them go to ``Case.about``
THIRD = ("triplet_caption", "triplet_file")
NONE = ("", "-")  # what stands where an item has no third pair


class Compositional(Benchmark):
    """A benchmark of items, judged under every protocol; ``protocol`` chooses which fills a cell's scores."""

    protocols = pairs.PROTOCOLS

    def judge(self, embeddings: Embeddings) -> Judgement:
        """F, G and H under every protocol."""
        return pairs.judge(embeddings, self.cases(), protocol=self.protocol)

    def where(self, clip_id: str) -> str:
        """With the first row of the CSV that names the clip."""
        rows = (row for row, case in enumerate(self.all_cases(), start=1) if clip_id in case.clips)
        return f"bench {self.name!r} row {next(rows, '?')}"


class Columns(NamedTuple):
    """Which columns of a row hold its captions and their clips, and what those are called that hold ids of videos."""

    captions: tuple[str, ...]
    clips: tuple[str, ...]
    videos: dict[str, str]


def columns_of(row: dict[str, str]) -> Columns:
    """Which columns of a row hold its clips and its captions."""
    twice = all(column in row for column in LOCAL_FILES)
    third = any(row.get(column, "").strip() not in NONE for column in THIRD)
    return Columns(
        captions=(*CAPTIONS, *(THIRD[:1] if third else ())),
        clips=(*(LOCAL_FILES if twice else FILES), *(THIRD[1:] if third else ())),
        videos=dict(zip(FILES, VIDEOS, strict=True)) if twice else {},
    )


def read_pairs(csv: Path, *, name: str, clips: Clips | None = None) -> list[Case]:
    """The cases of a CSV in the CompA format. ``ValueError`` names the benchmark, the file and the row.

    ``clips`` finds the files that its names stand for; without, names are ids. A row that repeats another is told: as
    released, both count. So are columns that items.csv will have under another name.
    """
    rows = read_table(csv, speaker=Speaker.bench(name), columns=(*CAPTIONS, *FILES))
    who = f"bench {name!r}: {brief(csv)}"
    refuse_twins(rows, (*CAPTIONS, *THIRD, *(FILES if not columns_of(rows[0]).videos else ())), who=who)
    cases = [pair_case(row, who=f"{who} {row.place}", clips=clips) for row in rows]
    first: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}
    for number, case in enumerate(cases, start=1):
        before = first.setdefault((case.clips, case.captions), number)
        if before != number:
            log.warning(
                "%s %s repeats row %d (%r); both count.",
                who,
                rows[number - 1].place,
                before,
                case.captions[0],
            )
    say_renamed(list(cases[0].about), who=who)
    return cases


def say_renamed(columns: Sequence[str], *, who: str) -> None:
    """Says once which columns of the user's stand under another name in items.csv."""
    renamed = {column: name for column, name in pairs.beside_computed(columns).items() if name != column}
    if renamed:
        log.warning(
            "%s has the columns %s, as items.csv has of its own; there its are called %s.",
            who,
            ", ".join(renamed),
            ", ".join(renamed.values()),
        )


def pair_case(row: dict[str, str], *, who: str, clips: Clips | None = None) -> Case:
    """One row of the CompA format as a case: clips and captions p, r and perhaps a third; match the identity."""
    columns = columns_of(row)
    for what, chosen in (("caption", columns.captions), ("clip's path", columns.clips)):
        for column in chosen:
            given = row.get(column, "").strip()
            if given in NONE:
                raise ValueError(
                    f"{who}: needed a {what}, {column} is {given or 'empty'}. Fill it, or take the row out."
                )
    captions = [row[column] for column in columns.captions]
    found = clips.id_of if clips is not None else clip_id
    ids = [found(row[column], who=who) for column in columns.clips]
    for what, several in (("captions", captions), ("clips", ids)):
        twice = next((one for place, one in enumerate(several) if one in several[:place]), None)
        if twice is not None:
            number = "two" if len(several) == 2 else "three"
            raise ValueError(
                f"{who}: needed {number} different {what}, got {twice!r} twice. Take the row out."
            )
    taken = {*CAPTIONS, *columns.clips, *FILES, *THIRD} - columns.videos.keys()
    about = {column: value for column, value in row.items() if column not in taken}
    return Case(
        clips=tuple(ids),
        captions=tuple(captions),
        match=tuple(tuple(i == j for j in range(len(ids))) for i in range(len(ids))),
        about={video_column(column, columns, row): value for column, value in about.items()},
    )


def video_column(column: str, columns: Columns, row: dict[str, str]) -> str:
    """What a column goes to the tables as: one of ids of videos by a name of its own, where that is free."""
    name = columns.videos.get(column, column)
    return name if name not in row else column
