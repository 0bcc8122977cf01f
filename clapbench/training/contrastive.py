r"""The symmetric contrastive loss of CLAP, with false negatives left out.

$L = -\frac{1}{2n} \sum_i \left[ \log \frac{e^{s_{ii}}}{\sum_{j \in N_i} e^{s_{ij}}}
   + \log \frac{e^{s_{ii}}}{\sum_{j \in N_i} e^{s_{ji}}} \right]$ with $s$ the cosine similarities times
a learned scale and $N_i$ the pair i and all that mean something else. At least 0.

Source: Elizalde et al. 2023 (CLAP), eq. 3; Oord et al. 2018 (InfoNCE). Deviation: the mask of equal meanings.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def contrastive_loss(
    logits: Float[Tensor, "n n"], meaning: Int[Tensor, " n"] | None = None
) -> Float[Tensor, ""]:
    """InfoNCE over both directions of ``logits`` (rows clips, columns captions, the diagonal matches).

    ``meaning`` gives equal numbers to pairs that describe the same; they are no negatives of each other.

    >>> contrastive_loss(torch.zeros(2, 2))
    tensor(0.6931)
    """
    n = len(logits)
    if meaning is not None:
        same = (meaning.unsqueeze(0) == meaning.unsqueeze(1)) & ~torch.eye(
            n, dtype=torch.bool, device=logits.device
        )
        logits = logits.masked_fill(same, float("-inf"))
    target = torch.arange(n, device=logits.device)
    return 0.5 * (nn.functional.cross_entropy(logits, target) + nn.functional.cross_entropy(logits.T, target))
