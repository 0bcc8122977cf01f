r"""NegCLIP: InfoNCE in which a clip also has to find its caption among the swapped captions of the whole batch.

$L = -\frac{1}{2n} \sum_i \left[ \log \frac{e^{s_{ii}}}{\sum_{j \in N_i} e^{s_{ij}} + \sum_{k \in W_i} e^{s'_{ik}}}
   + \log \frac{e^{s_{ii}}}{\sum_{j \in N_i} e^{s_{ji}}} \right]$ with $s$ as in InfoNCE, $s'_{ik}$ the scaled cosine of
clip i and swapped caption k, and $W_i$ the swapped captions that are not true of clip i. At least 0.

A swapped caption has no clip, so captions choose among the n clips alone. Every swapped caption is a negative of every
clip: with many in a batch most of them are easy ones, of other scenes.

Source: Yuksekgonul et al. 2023 (NegCLIP), section 4, and the authors' code. Deviation: masks of equal meanings; a
swapped caption that is another pair's true caption is no negative of that pair's clip.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from clapbench.training.clouds import Clouds
from clapbench.training.objectives.base import Objective, match_loss, negatives_only


def negclip(
    logits: Float[Tensor, "n n_and_m"],
    same: Bool[Tensor, "n n"] | None = None,
    swapped_same: Bool[Tensor, "n m"] | None = None,
) -> Float[Tensor, ""]:
    """InfoNCE whose clips choose among n true and m swapped captions, the columns of ``logits`` in this order.

    ``same`` and ``swapped_same`` mark entries that are no negatives. With m = 0 it is InfoNCE.

    >>> negclip(torch.zeros(2, 4)).item() == (torch.tensor(4.0).log() + torch.tensor(2.0).log()).item() / 2
    True
    """
    true, swapped = logits[:, : len(logits)], logits[:, len(logits) :]
    true = negatives_only(true, same)
    if swapped_same is not None:
        swapped = swapped.masked_fill(swapped_same, -torch.inf)
    return (match_loss(torch.cat([true, swapped], dim=1)) + match_loss(true.T)) / 2


class NegClip(Objective):
    """InfoNCE with every swapped caption of the batch as a further negative of every clip."""

    reads_swapped = True

    def loss(self, clouds: Clouds) -> Float[Tensor, ""]:
        """The mean of both directions."""
        return negclip(self.logits(clouds, swapped=True), clouds.same, clouds.swapped_same)
