r"""Swapped captions as hard negatives: a clip must prefer its caption to the same words in the wrong places.

$h = \frac{1}{m} \sum_i \log(1 + e^{\,s(a_i, t'_i) - s(a_i, t_i)})$ with $t'_i$ the swapped caption of pair i
and s the cosine similarity times the learned scale. At least 0; log 2 where the two captions cannot be told
apart.

Source: Yuksekgonul et al. 2023 (NegCLIP), section 4. Deviation: a two-way choice instead of extra columns in
the softmax, so that the term has a weight of its own.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from clapbench.training.regularizers.base import Clouds, Regularizer


def swapped_caption_loss(
    audio: Float[Tensor, "m d"],
    text: Float[Tensor, "m d"],
    swapped: Float[Tensor, "m d"],
    scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Mean two-way choice loss of m pairs; 0 for m = 0. Rows need no unit length."""
    margin = nn.functional.cosine_similarity(audio, text) - nn.functional.cosine_similarity(audio, swapped)
    return nn.functional.softplus(-scale * margin).sum() / max(len(margin), 1)


class SwappedCaptions(Regularizer):
    """Swapped captions as hard negatives."""

    reads_swapped = True

    def term(self, clouds: Clouds) -> Float[Tensor, ""]:
        """The loss over the clips whose captions have a swapped partner."""
        chosen = clouds.swapped_of
        return swapped_caption_loss(clouds.audio[chosen], clouds.text[chosen], clouds.swapped, clouds.scale)
