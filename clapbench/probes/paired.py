"""Which rows belong together: matched clips and captions, swapped partners, and the probes that need to know.

Probes are built from yaml, which knows no benchmark. `bind` tells those that are a `PairedProbe` what the cases of a
benchmark say of the rows; unbound, such a probe is undefined.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float64, Int
from torch import Tensor
from torchmetrics import Metric

from clapbench.probes.base import BY_ORDER, Probe
from clapbench.schema import Case, Embeddings


@dataclass(frozen=True)
class Pairs:
    """What belongs together, by positions of clips and captions; every row of a table is different but for `items`."""

    matches: Int[Tensor, "m 2"]  # a clip, a caption that describes it
    swapped_clips: Int[Tensor, "p 2"]  # the two clips of an item
    swapped_captions: Int[Tensor, "q 2"]  # the two captions of an item
    items: Int[Tensor, "n 4"]  # clip p, clip r, caption p, caption r

    def among(self, *, audio: Int[Tensor, " a"], text: Int[Tensor, " t"]) -> Pairs:
        """What of this lies among these positions, ascending on each side, by the place in them."""
        return Pairs(
            matches=_places(self.matches, among=[audio, text]),
            swapped_clips=_places(self.swapped_clips, among=[audio, audio]),
            swapped_captions=_places(self.swapped_captions, among=[text, text]),
            items=_places(self.items, among=[audio, audio, text, text]),
        )

    def swapped(self, side: str) -> Int[Tensor, "p 2"]:
        """The swapped partners of ``audio`` or ``text``."""
        return self.swapped_clips if side == "audio" else self.swapped_captions

    @property
    def one_to_one(self) -> Int[Tensor, "m 2"]:
        """The matches in their order, without those whose clip or caption came before."""
        clips: set[int] = set()
        captions: set[int] = set()
        chosen = []
        for row, (clip, caption) in enumerate(self.matches.tolist()):
            if clip not in clips and caption not in captions:
                chosen.append(row)
                clips.add(clip)
                captions.add(caption)
        return self.matches[torch.tensor(chosen, dtype=torch.long)]


def pairs_of(cases: Sequence[Case], *, audio_id: Sequence[str], text_id: Sequence[str]) -> Pairs:
    """What ``cases`` say of the rows with these ids.

    An item is a case of two or three pairs, each clip with a caption of its own; its first two are swapped partners.

    >>> case = Case(clips=("a", "b"), captions=("B", "A"), match=((True, False), (False, True)))
    >>> pairs_of([case], audio_id=["a", "b"], text_id=["A", "B"]).matches.tolist()
    [[0, 1], [1, 0]]
    """
    clip_at = {clip: position for position, clip in enumerate(audio_id)}
    caption_at = {caption: position for position, caption in enumerate(text_id)}
    matches: dict[tuple[int, ...], None] = {}  # in the order of the cases
    items: list[tuple[int, ...]] = []
    for case in cases:
        clips = [clip_at[clip] for clip in case.clips]
        captions = [caption_at[caption] for caption in case.captions]
        found = case.match_matrix.nonzero().tolist()
        matches |= dict.fromkeys((clips[row], captions[column]) for row, column in found)
        if (
            len(clips) in (2, 3)
            and len(clips) == len(captions)
            and found == [[i, i] for i in range(len(clips))]
        ):
            items.append((*clips[:2], *captions[:2]))
    return Pairs(
        matches=_table(matches, columns=2),
        swapped_clips=_table(dict.fromkeys(tuple(sorted(item[:2])) for item in items), columns=2),
        swapped_captions=_table(dict.fromkeys(tuple(sorted(item[2:])) for item in items), columns=2),
        items=_table(items, columns=4),
    )


def in_order(n: int) -> Pairs:
    """``n`` clips, each with the caption at its own place, and no swapped partners."""
    place = torch.arange(n)
    none = place.new_empty(0, 2)
    return Pairs(
        matches=torch.stack([place, place], dim=1),
        swapped_clips=none,
        swapped_captions=none,
        items=place.new_empty(0, 4),
    )


def bind(probes: Iterable[Metric], *, cases: Sequence[Case], embeddings: Embeddings) -> None:
    """Tells every `PairedProbe` among ``probes`` which rows of ``embeddings`` belong together."""
    waiting = [probe for probe in probes if isinstance(probe, PairedProbe)]
    if waiting:
        pairs = pairs_of(cases, audio_id=embeddings.audio_id, text_id=embeddings.text_id)
        for probe in waiting:
            probe.pairs = pairs


class MatchedRows(NamedTuple):
    """The two sides, row by row."""

    audio: Float64[Tensor, "m d"]
    text: Float64[Tensor, "m d"]


class PairedProbe(Probe):
    """A probe that needs to know which rows belong together, from `bind`.

    Without it, rows that come without positions match in their order: ``update(audio, text)`` is a set of pairs, row by
    row. Swapped partners are not known then, so probes that need them refuse.

    Rows of pairs may come in different batches, so they are held. What is bound outlives ``reset``. Pairs of which a
    row has not come are left out. Most read which clip matches which caption; one that reads the swapped partners of
    its side alone says ``reads_matches = False``.
    """

    reads_matches: ClassVar[bool] = True
    pairs: Pairs | None = None
    needs: ClassVar[str] = "matched clips and captions"

    @abstractmethod
    def measure_pairs(self, pairs: Pairs) -> Float64[Tensor, ""]:
        """The number, of ``self.rows(side)``; ``pairs`` are places in these."""

    def measure(self) -> Float64[Tensor, ""]:
        """`measure_pairs` with what is bound, or with rows matched in their order."""
        for side in self.reads:
            self.rows(side)  # refuses a side with too few
        audio, text = self._positions_of("audio"), self._positions_of("text")
        if self.pairs is None and len(audio) and int(audio[0]) >= BY_ORDER and audio.equal(text):
            return self.measure_pairs(in_order(len(audio)))
        if self.pairs is None:
            raise ValueError(
                f"undefined: no pairs. It needs {self.needs}; call clapbench.probes.paired.bind "
                f"with the benchmark's cases before compute, or update(audio, text) with as many of each, row by row."
            )
        return self.measure_pairs(self.pairs.among(audio=audio, text=text))

    def matched(self, matches: Int[Tensor, "m 2"], *, least: int) -> MatchedRows:
        """The rows of these matches; ValueError for fewer than ``least``."""
        if len(matches) < least:
            raise ValueError(f"undefined: needs at least {least} {self.needs}, got {len(matches)}.")
        return MatchedRows(audio=self.rows("audio")[matches[:, 0]], text=self.rows("text")[matches[:, 1]])

    def _positions_of(self, side: str) -> Int[Tensor, " n"]:
        """Those that `rows` is ordered by."""
        held = getattr(self, f"{side}_index")
        if side not in self.reads or not len(held):
            return torch.arange(0)
        index = [held] if isinstance(held, Tensor) else held
        return torch.cat([piece.cpu() for piece in index]).unique()


def _places(table: Int[Tensor, "m c"], *, among: Sequence[Int[Tensor, _]]) -> Int[Tensor, "k c"]:
    """The rows of ``table`` that lie among the positions of every column, by their places there."""
    if any(not len(positions) for positions in among):
        return table[:0]
    places = torch.stack(
        [
            torch.searchsorted(positions, column.contiguous()).clamp(max=len(positions) - 1)
            for positions, column in zip(among, table.unbind(dim=1), strict=True)
        ],
        dim=1,
    )
    found = torch.stack(
        [positions[column] for positions, column in zip(among, places.unbind(dim=1), strict=True)]
    )
    return places[(table == found.T).all(dim=1)]


def _table(rows: Iterable[tuple[int, ...]], *, columns: int) -> Int[Tensor, "m {columns}"]:
    return torch.tensor(list(rows), dtype=torch.long).reshape(-1, columns)
