r"""InfoNCE, and a choice for each clip between its caption and the same words in the wrong places.

$L = L_\mathrm{InfoNCE} + w \frac{1}{m} \sum_k \log(1 + e^{\,s(a_i, t'_k) - s(a_i, t_i)})$ with $t'_k$ a swapped
caption, $i$ its pair and s the cosine similarity times the learned scale. The choice is at least 0; log 2 where the
two captions cannot be told apart.

Source: Yuksekgonul et al. 2023 (NegCLIP), section 4. Deviation: a two-way choice with a weight of its own instead of
extra columns in the softmax.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from clapbench.kinds import Positive, Weight
from clapbench.training.clouds import Clouds
from clapbench.training.objectives.base import Objective
from clapbench.training.objectives.infonce import infonce


def two_way_choice(
    audio: Float[Tensor, "m d"],
    text: Float[Tensor, "m d"],
    swapped: Float[Tensor, "m d"],
    scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Mean loss of m choices between a caption and its swapped one; 0 for m = 0. Rows need no unit length.

    >>> import torch
    >>> two_way_choice(torch.eye(2), torch.eye(2), torch.eye(2), torch.tensor(10.0))
    tensor(0.6931)
    """
    margin = nn.functional.cosine_similarity(audio, text) - nn.functional.cosine_similarity(audio, swapped)
    return nn.functional.softplus(-scale * margin).sum() / max(len(margin), 1)


class SwappedChoice(Objective):
    """InfoNCE plus ``weight`` times the choice between a caption and its swapped one."""

    reads_swapped = True

    def __init__(self, *, weight: Weight, temperature: Positive | None = None) -> None:
        super().__init__(temperature=temperature)
        self.weight = weight

    def loss(self, clouds: Clouds) -> Float[Tensor, ""]:
        """Both together. A swapped caption that means the same as its caption is no choice."""
        differs = clouds.caption[clouds.swapped_of] != clouds.swapped_caption
        pairs = clouds.swapped_of[differs]
        choice = two_way_choice(clouds.audio[pairs], clouds.text[pairs], clouds.swapped[differs], self.scale)
        return infonce(self.logits(clouds), clouds.same) + self.weight * choice
