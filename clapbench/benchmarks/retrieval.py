"""Retrieval sets: captions and their clips from a CSV in the format of Clotho, of AudioCaps, or of your own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float64
from torch import Tensor

from clapbench.benchmarks.base import Benchmark
from clapbench.benchmarks.captioned import read_captioned
from clapbench.benchmarks.tables import Row, Speaker
from clapbench.console import brief
from clapbench.files import key_of
from clapbench.kinds import File, Folder, Name
from clapbench.schema import Case, Embeddings, Judgement
from clapbench.scoring.retrieval import items, preferred, retrieved
from clapbench.scoring.similarity import NEAR_TIE, margins_of, similarities_of
from clapbench.swapping import swap

log = logging.getLogger(__name__)


class Retrieval(Benchmark):
    """Clips and their captions from a CSV in the format of Clotho, of AudioCaps, or with a file and a caption per row.

    Rows of one clip collect its captions. ``file`` makes a clip's path below ``root`` from the columns of its row, as
    ``"{youtube_id}.wav"``; None takes the column of paths, or for AudioCaps the pattern that most files follow.
    An item is a clip: those are counted, and left out one by one with ``allow_missing``. With ``swapped`` each caption
    that has two things to exchange also stands against its swapped form, for its own clips: a choice between two. The
    swapped captions are encoded, and seen by probes, but nobody retrieves them.
    """

    def __init__(
        self,
        *,
        name: Name,
        csv: File,
        root: Folder,
        file: str | None = None,
        swapped: Literal["none", "rules"] = "none",
        allow_missing: bool = False,
    ) -> None:
        root = Path(root).expanduser()
        super().__init__(name=name, root=root, protocol="official", allow_missing=allow_missing)
        self.csv = Path(csv).expanduser()
        self.file, self.swapped = file, swapped
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
        speaker = Speaker.bench(self.name)
        captions: dict[str, dict[str, None]] = {}
        before: dict[tuple[str, ...], Row] = {}
        repeated = 0
        self.first_row = {}
        for row, clip, told in read_captioned(self.csv, clips=self.files, speaker=speaker, file=self.file):
            earlier = before.setdefault((row.get("audiocap_id", ""), clip, *told), row)
            if earlier is not row:
                raise ValueError(
                    f"{speaker.of(self.csv, row.place)} repeats {earlier.place} "
                    f"({brief(clip)}: {brief(repr(told[0]))}). Take one out."
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

    def with_clips(self, cases: list[Case]) -> list[Case]:
        """One case of the clips on disk and their captions."""
        case = joined(super().with_clips(cases))
        if len(case.clips) < 2:
            raise ValueError(
                f"bench {self.name!r}: needed at least 2 clips to choose from, got {len(case.clips)} "
                f"({self.dropped} left out). Add rows to {brief(self.csv)}, or the missing clips to {brief(self.root)}."
            )
        return [case]

    def swaps(self) -> dict[str, str]:
        """The swapped form of each caption that has one; none unless they were asked for."""
        if self.swapped == "none":
            return {}
        forms = {caption: swap(caption) for caption in super().captions()}
        return {caption: form for caption, form in forms.items() if form is not None}

    def captions(self) -> tuple[str, ...]:
        """Distinct captions, as first seen, then the swapped ones."""
        return tuple(dict.fromkeys([*super().captions(), *self.swaps().values()]))

    def fingerprint(self) -> str:
        """That of every benchmark; with swapped captions another."""
        if self.swapped == "none":
            return super().fingerprint()
        return key_of([super().fingerprint(), self.swaps()])

    def judge(self, embeddings: Embeddings) -> Judgement:
        """Recalls, mAP and median ranks in both directions; the choice between captions and their swapped forms."""
        (case,) = self.cases()
        s, match = similarities_of(embeddings, case), case.match_matrix
        margins = torch.cat([margins_of(s.T, match.T), margins_of(s, match)])
        return Judgement(
            scores=dict.fromkeys(("F", "G", "H")),
            extra={
                **retrieved("t2a", s.T, match.T),
                **retrieved("a2t", s, match),
                **(self.chosen(embeddings, case, s) if self.swapped != "none" else {}),
            },
            items=tuple(items(s, case)),
            ties=int((margins == 0).sum()),
            near_ties=int((margins.abs() <= NEAR_TIE).sum()),
        )

    def chosen(self, embeddings: Embeddings, case: Case, s: Float64[Tensor, "k l"]) -> dict[str, Any]:
        """How often a caption wins against its swapped form, unless that is one of the clip's captions too."""
        swaps = self.swaps()
        place = {caption: column for column, caption in enumerate(case.captions)}
        of = torch.tensor([place[caption] for caption in swaps], dtype=torch.long)
        wrong = s[:, of]
        if swaps:
            none = ((False,) * len(swaps),) * len(case.clips)
            wrong = similarities_of(embeddings, Case(case.clips, tuple(swaps.values()), none))
        asked = case.match_matrix[:, of]
        for column, form in enumerate(swaps.values()):
            if form in place:
                asked[:, column] &= ~case.match_matrix[:, place[form]]
        return preferred(s[:, of], wrong, asked=asked)


def joined(cases: Sequence[Case]) -> Case:
    """One case of all clips and all distinct captions; a caption matches every clip it stands for."""
    captions = tuple(dict.fromkeys(caption for case in cases for caption in case.captions))
    own = [set(case.captions) for case in cases]
    return Case(
        clips=tuple(clip for case in cases for clip in case.clips),
        captions=captions,
        match=tuple(tuple(caption in those for caption in captions) for those in own),
    )
