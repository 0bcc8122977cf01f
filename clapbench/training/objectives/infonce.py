r"""InfoNCE in both directions, with false negatives left out.

$L = -\frac{1}{2n} \sum_i \left[ \log \frac{e^{s_{ii}}}{\sum_{j \in N_i} e^{s_{ij}}}
   + \log \frac{e^{s_{ii}}}{\sum_{j \in N_i} e^{s_{ji}}} \right]$ with $s$ the cosine similarities times a learned scale
and $N_i$ the pair i and all that have another clip and mean something else. At least 0; log n where nothing can be told
apart.

Source: Elizalde et al. 2023 (CLAP), eq. 3; Oord et al. 2018 (InfoNCE), eq. 4. Deviation: the mask of equal meanings,
and of a clip that the batch holds with several captions.
"""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

from clapbench.training.clouds import Clouds
from clapbench.training.objectives.base import Objective, match_loss, negatives_only


def infonce(logits: Float[Tensor, "n n"], same: Bool[Tensor, "n n"] | None = None) -> Float[Tensor, ""]:
    """InfoNCE over both directions of ``logits`` (rows clips, columns captions, the diagonal matches).

    ``same`` marks entries that are no negatives; the diagonal counts in any case. A pair without negatives costs 0.

    >>> import torch
    >>> infonce(torch.zeros(2, 2))
    tensor(0.6931)
    """
    logits = negatives_only(logits, same)
    return (match_loss(logits) + match_loss(logits.T)) / 2


class InfoNce(Objective):
    """Each clip finds its caption among those of the batch, and each caption its clip."""

    def loss(self, clouds: Clouds) -> Float[Tensor, ""]:
        """The mean of both directions."""
        return infonce(self.logits(clouds), clouds.same)
