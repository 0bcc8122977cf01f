"""The similarities of a benchmark's items: what every protocol of `pairs` looks at, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from clapbench.schema import Case, Embeddings
from clapbench.scoring.similarity import similarities


class Items(NamedTuple):
    """Similarities of a benchmark's items, each block [clip, caption]; what every protocol needs, and no more.

    ``rival_clip`` is the highest similarity of caption p to a clip outside the item that does not match it, -inf where
    there is none, and ``n_rival_clips`` how many there are; ``rival_caption`` likewise for clip p and for clip r.
    """

    pair: Float64[Tensor, "n 2 2"]
    rival_clip: Float64[Tensor, " n"]
    n_rival_clips: Int[Tensor, " n"]
    rival_caption: Float64[Tensor, "n 2"]
    n_rival_captions: Int[Tensor, "n 2"]
    triplet: Float64[Tensor, "m 3 3"]

    @property
    def swapped(self) -> Items:
        """The items with the two clips exchanged: what the same model gets if the labels are wrong."""
        return self._replace(
            pair=self.pair.flip(1),
            rival_caption=self.rival_caption.flip(1),
            n_rival_captions=self.n_rival_captions.flip(1),
            triplet=self.triplet[:, [1, 0, 2]],
        )


def read_items(embeddings: Embeddings, cases: Sequence[Case]) -> Items:
    """The similarities of ``cases``, of which each has a pair, its partner and perhaps a third pair, in this order."""
    clip_row = {clip: row for row, clip in enumerate(embeddings.audio_id)}
    caption_row = {caption: row for row, caption in enumerate(embeddings.text_id)}
    every = similarities(torch.from_numpy(embeddings.audio), torch.from_numpy(embeddings.text))
    clips = [[clip_row[clip] for clip in case.clips] for case in cases]
    captions = [[caption_row[caption] for caption in case.captions] for case in cases]

    matching = torch.zeros_like(every, dtype=torch.bool)
    for case, rows, columns in zip(cases, clips, captions, strict=True):
        matching[torch.tensor(rows)[:, None], torch.tensor(columns)] |= case.match_matrix

    pair_clips = torch.tensor([rows[:2] for rows in clips])
    pair_captions = torch.tensor([columns[:2] for columns in captions])
    place = torch.arange(len(cases))

    # Caption p against clips, then both clips of the item against captions; the item's own are no rivals here.
    outside_clips = ~matching.T[pair_captions[:, 0]]
    outside_clips[place[:, None], pair_clips] = False
    to_clips = every.T[pair_captions[:, 0]].masked_fill(~outside_clips, -torch.inf)
    outside_captions = ~matching[pair_clips]
    outside_captions[place[:, None, None], torch.arange(2)[:, None], pair_captions[:, None]] = False
    to_captions = every[pair_clips].masked_fill(~outside_captions, -torch.inf)

    triplets = [row for row, case in enumerate(cases) if len(case.clips) == 3]
    blocks = [every[torch.tensor(clips[row])[:, None], torch.tensor(captions[row])] for row in triplets]
    return Items(
        pair=every[pair_clips[:, :, None], pair_captions[:, None, :]],
        rival_clip=to_clips.amax(dim=1),
        n_rival_clips=outside_clips.sum(dim=1),
        rival_caption=to_captions.amax(dim=2),
        n_rival_captions=outside_captions.sum(dim=2),
        triplet=torch.stack(blocks) if blocks else every.new_zeros(0, 3, 3),
    )


def items_alone(blocks: Float64[Tensor, "n k k"]) -> Items:
    """Items of two or three pairs from their own similarities, without rivals: what all protocols but ``pool`` need."""
    n, none = len(blocks), blocks.new_full((len(blocks), 2), -torch.inf)
    return Items(
        pair=blocks[:, :2, :2],
        rival_clip=none[:, 0],
        n_rival_clips=torch.zeros(n, dtype=torch.long),
        rival_caption=none,
        n_rival_captions=torch.zeros(n, 2, dtype=torch.long),
        triplet=blocks if blocks.shape[1] == 3 else blocks.new_zeros(0, 3, 3),
    )
