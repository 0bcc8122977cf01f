"""Retrieval sets: captions and their clips from a CSV in the format of Clotho, of AudioCaps, or of your own."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import torch

from clapbench.benchmarks.base import Benchmark
from clapbench.benchmarks.tables import Row, first_names, lacks_columns, read_table, refuse_twins
from clapbench.console import brief
from clapbench.kinds import File, Folder, Name
from clapbench.schema import Case, Embeddings, Judgement
from clapbench.scoring.retrieval import items, retrieved
from clapbench.scoring.similarity import NEAR_TIE, margins_of, similarities_of

log = logging.getLogger(__name__)

# Clotho's caption_1 to caption_5; .1 where a name stands twice
CAPTION = re.compile(r"caption(_?\d+)?(\.\d+)?")
FILES = ("file_name", "file", "audio", "filename")  # columns that hold a clip's path
AUDIOCAPS = ("youtube_id", "start_time")  # or these, which name a segment of a video
AUDIOCAPS_FILES = (
    "{youtube_id}.wav",
    "Y{youtube_id}.wav",
    "{youtube_id}_{start_time}.wav",
)  # as people name them


class Retrieval(Benchmark):
    """Clips and their captions from a CSV in the format of Clotho, of AudioCaps, or with a file and a caption per row.

    Rows of one clip collect its captions. ``file`` makes a clip's path below ``root`` from the columns of its row, as
    ``"{youtube_id}.wav"``; None takes the column of paths, or for AudioCaps the pattern that most files follow.
    An item is a clip: those are counted, and left out one by one with ``allow_missing``.
    """

    def __init__(
        self,
        *,
        name: Name,
        csv: File,
        root: Folder,
        file: str | None = None,
        allow_missing: bool = False,
    ) -> None:
        root = Path(root).expanduser()
        super().__init__(name=name, root=root, protocol="official", allow_missing=allow_missing)
        self.csv = Path(csv).expanduser()
        self.file = file
        self.first_row: dict[str, str] = {}  # of each clip, known after `cases`

    @property
    def n_items(self) -> int:
        """How many clips are retrieved."""
        return len(self.clips())

    def where(self, clip_id: str) -> str:
        """The row of the CSV that first names a clip, as errors put it."""
        return f"bench {self.name!r} {self.first_row.get(clip_id, 'row ?')}"

    def read_cases(self) -> list[Case]:
        """A case per clip with its captions; `with_clips` makes them one."""
        rows = read_table(self.csv, name=self.name, columns=())
        columns = self.caption_columns(list(rows[0]))
        paths = self.paths(rows)
        captions: dict[str, dict[str, None]] = {}
        before: dict[tuple[str, ...], Row] = {}
        segments: dict[str, tuple[str, ...]] = {}
        repeated = 0
        self.first_row = {}
        for row, path in zip(rows, paths, strict=True):
            who = f"bench {self.name!r}: {brief(self.csv)} {row.place}"
            clip, told = self.files.id_of(path, who=who), [row[column] for column in columns]
            empty = [column for column, caption in zip(columns, told, strict=True) if not caption.strip()]
            if empty:
                raise ValueError(
                    f"{who}: needed a caption, {empty[0]} is empty. Fill it, or take the row out."
                )
            earlier = before.setdefault((row.get("audiocap_id", ""), clip, *told), row)
            if earlier is not row:
                raise ValueError(
                    f"{who} repeats {earlier.place} ({brief(clip)}: {brief(repr(told[0]))}). Take one out."
                )
            segment = tuple(row[column] for column in AUDIOCAPS if column in row)
            if segments.setdefault(clip, segment) != segment:
                raise ValueError(
                    f"{who}: needed one file per segment, got {brief(clip)} for {segments[clip]} and {segment}. "
                    f"Set bench.file to a pattern that tells them apart, as '{AUDIOCAPS_FILES[-1]}'."
                )
            self.first_row.setdefault(clip, row.place)
            own = captions.setdefault(clip, {})
            repeated += len(told) - len(set(told) - set(own))
            own.update(dict.fromkeys(told))
        if repeated:
            log.warning(
                "bench %r: %d captions of %s stand more than once for one clip, and count once.",
                self.name,
                repeated,
                brief(self.csv),
            )
        return [
            Case(clips=(clip,), captions=tuple(own), match=((True,) * len(own),))
            for clip, own in captions.items()
        ]

    def caption_columns(self, names: Sequence[str]) -> list[str]:
        """The columns that hold captions. ``ValueError`` where the CSV has none of the formats."""
        found = [name for name in names if CAPTION.fullmatch(name)]
        if found and (self.file is not None or set(FILES) & set(names) or set(AUDIOCAPS) <= set(names)):
            return found
        raise lacks_columns(
            f"bench {self.name!r}: {brief(self.csv)}",
            needed=f"file_name, caption_1 ... (Clotho), or {', '.join(AUDIOCAPS)}, caption (AudioCaps), or one of "
            f"{', '.join(FILES)} and caption",
            names=names,
            known=(*FILES, *AUDIOCAPS, "caption", *(f"caption_{number}" for number in range(10))),
        )

    def paths(self, rows: Sequence[Row]) -> list[str]:
        """Each row's clip; where patterns compete, by that which most rows have a file for, the first of equals."""
        column = next((column for column in FILES if column in rows[0]), None)
        if self.file is not None:
            patterns: tuple[str, ...] = (self.file,)
        else:
            patterns = AUDIOCAPS_FILES if column is None else (f"{{{column}}}",)
            used = AUDIOCAPS if column is None else (column,)
            refuse_twins(rows, used, who=f"bench {self.name!r}: {brief(self.csv)}")
        try:
            named = {pattern: [self.files.named(pattern, row) for row in rows] for pattern in patterns}
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            raise ValueError(
                f"bench {self.name!r}: bench.file needs a pattern of the columns of {brief(self.csv)}, "
                f"{brief(', '.join(rows[0]))}; got {self.file!r} ({error!r}). Correct it."
            ) from error
        here = {pattern: sum(map(self.files.has, paths)) for pattern, paths in named.items()}
        if len(patterns) > 1 and not any(here.values()):
            raise FileNotFoundError(
                f"bench {self.name!r}: none of {len(rows)} rows has a file under {brief(self.root)} that is called "
                f"{' or '.join(patterns)} (first: {first_names(named[patterns[0]][:1])}). "
                f"Set bench.root=PATH, or bench.file to the pattern of your files."
            )
        return named[max(patterns, key=here.__getitem__)]

    def with_clips(self, cases: list[Case]) -> list[Case]:
        """One case of the clips on disk and their captions."""
        case = joined(super().with_clips(cases))
        if len(case.clips) < 2:
            raise ValueError(
                f"bench {self.name!r}: needed at least 2 clips to choose from, got {len(case.clips)} "
                f"({self.dropped} left out). Add rows to {brief(self.csv)}, or the missing clips to {brief(self.root)}."
            )
        return [case]

    def judge(self, embeddings: Embeddings) -> Judgement:
        """Recalls, mAP and median ranks in both directions."""
        (case,) = self.cases()
        s, match = similarities_of(embeddings, case), case.match_matrix
        margins = torch.cat([margins_of(s.T, match.T), margins_of(s, match)])
        return Judgement(
            scores=dict.fromkeys(("F", "G", "H")),
            extra={**retrieved("t2a", s.T, match.T), **retrieved("a2t", s, match)},
            items=tuple(items(s, case)),
            ties=int((margins == 0).sum()),
            near_ties=int((margins.abs() <= NEAR_TIE).sum()),
        )


def joined(cases: Sequence[Case]) -> Case:
    """One case of all clips and all distinct captions; a caption matches every clip it stands for."""
    captions = tuple(dict.fromkeys(caption for case in cases for caption in case.captions))
    own = [set(case.captions) for case in cases]
    return Case(
        clips=tuple(clip for case in cases for clip in case.clips),
        captions=captions,
        match=tuple(tuple(caption in those for caption in captions) for those in own),
    )
