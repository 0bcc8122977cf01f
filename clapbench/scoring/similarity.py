"""Cosines of clips and captions, and the margins by which matches win."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from clapbench.schema import Case, Embeddings

NEAR_TIE = 1e-6  # margin in cosine


def similarities(audio: Float[Tensor, "c d"], text: Float[Tensor, "t d"]) -> Float64[Tensor, "c t"]:
    """Cosines of every clip with every caption, from unit rows, in float64 on the CPU.

    Products summed row by row and no matrix product, whose order of summation depends on a row's place: equal
    rows give bitwise equal cosines wherever they stand, so that a tie is a tie.

    >>> similarities(torch.eye(2), torch.eye(2)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    clips, captions = audio.cpu().double(), text.cpu().double()
    product = torch.empty_like(
        clips
    )  # one for all: fresh memory for each caption would take most of the time
    return torch.stack([torch.mul(clips, caption, out=product).sum(dim=1) for caption in captions], dim=1)


def similarities_of(embeddings: Embeddings, case: Case) -> Float64[Tensor, "k l"]:
    """Cosines in the order of the case."""
    clip_row = {clip: row for row, clip in enumerate(embeddings.audio_id)}
    caption_row = {caption: row for row, caption in enumerate(embeddings.text_id)}
    return similarities(
        torch.from_numpy(embeddings.audio)[[clip_row[clip] for clip in case.clips]],
        torch.from_numpy(embeddings.text)[[caption_row[caption] for caption in case.captions]],
    )


def margins_of(s: Float64[Tensor, "q n"], match: Bool[Tensor, "q n"]) -> Float64[Tensor, " q"]:
    """By how much each query's nearest match is nearer than its nearest wrong candidate; inf where none is wrong."""
    return s.masked_fill(~match, -torch.inf).amax(dim=1) - s.masked_fill(match, -torch.inf).amax(dim=1)
