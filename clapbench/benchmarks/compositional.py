"""Benchmarks of items: two clips and two captions that share every word; perhaps a third pair.

The CompA file format: a CSV with the columns ``pair_caption``, ``reversed_pair_caption``, ``pair_file`` and
``reversed_pair_file``, perhaps ``triplet_caption`` and ``triplet_file`` with ``-`` where an item has no third pair.
Where the file columns stand twice, the first hold ids of videos and the second the files. Further columns go to
``Case.about``.

Source of the format: Ghosh et al. 2024 (CompA: Addressing the Gap in Compositional Reasoning in Audio-Language Models).
"""

from __future__ import annotations

import logging
from pathlib import Path

from clapbench.benchmarks.base import Benchmark, clip_id, read_table
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
        return pairs.judge(embeddings, self.cases(), protocol=self.protocol)

    def where(self, clip_id: str) -> str:
        """With the first row of the CSV that names the clip."""
        rows = (row for row, case in enumerate(self.all_cases(), start=1) if clip_id in case.clips)
        return f"bench {self.name!r} row {next(rows, '?')}"


def read_pairs(csv: Path, *, name: str) -> list[Case]:
    """The cases of a CSV in the CompA format. ``ValueError`` names the benchmark, the file and the row.

    A row that repeats another is told: as released, both count.
    """
    rows = read_table(csv, name=name, columns=(*CAPTIONS, *FILES))
    cases = [
        pair_case(row, who=f"bench {name!r}: {csv} row {number}") for number, row in enumerate(rows, start=1)
    ]
    first: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}
    for number, case in enumerate(cases, start=1):
        before = first.setdefault((case.clips, case.captions), number)
        if before != number:
            log.warning(
                "bench %r: %s row %d repeats row %d (%r); both count.",
                name,
                csv,
                number,
                before,
                case.captions[0],
            )
    return cases


def pair_case(row: dict[str, str], *, who: str) -> Case:
    """One row of the CompA format as a case: clips and captions p, r and perhaps a third; match the identity."""
    files, ids = FILES, {}
    if all(column in row for column in LOCAL_FILES):
        files, ids = LOCAL_FILES, dict(zip(FILES, VIDEOS, strict=True))
    caption_columns, clip_columns = list(CAPTIONS), list(files)
    if any(row.get(column, "").strip() not in NONE for column in THIRD):
        caption_columns.append(THIRD[0])
        clip_columns.append(THIRD[1])
    captions = [row.get(column, "") for column in caption_columns]
    for column, caption in zip(caption_columns, captions, strict=True):
        if caption.strip() in NONE:
            raise ValueError(
                f"{who}: needed a caption, {column} is {caption.strip() or 'empty'}. Fill it, or take the row out."
            )
    clips = []
    for column in clip_columns:
        path = row.get(column, "")
        if path.strip() in NONE:
            raise ValueError(
                f"{who}: needed a clip's path, {column} is {path.strip() or 'empty'}. Fill it, or take the row out."
            )
        clips.append(clip_id(path, who=who))
    for what, given in (("captions", captions), ("clips", clips)):
        twice = next((one for place, one in enumerate(given) if one in given[:place]), None)
        if twice is not None:
            number = "two" if len(given) == 2 else "three"
            raise ValueError(
                f"{who}: needed {number} different {what}, got {twice!r} twice. Take the row out."
            )
    taken = {*CAPTIONS, *files, *THIRD}
    return Case(
        clips=tuple(clips),
        captions=tuple(captions),
        match=tuple(tuple(i == j for j in range(len(clips))) for i in range(len(clips))),
        about={ids.get(column, column): value for column, value in row.items() if column not in taken},
    )
