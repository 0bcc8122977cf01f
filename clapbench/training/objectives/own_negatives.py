r"""InfoNCE in which a clip also has to tell its caption from its own swapped captions, and from no other pair's.

$L = -\frac{1}{2n} \sum_i \left[ \log \frac{e^{s_{ii}}}{\sum_{j \in N_i} e^{s_{ij}} + \sum_{k \in K_i} e^{s'_{ik}}}
   + \log \frac{e^{s_{ii}}}{\sum_{j \in N_i} e^{s_{ji}}} \right]$ with $s$, $s'$ as in NegCLIP and $K_i$ the swapped
captions of pair i, none or more. At least 0.

Source: Ghosh et al. 2024 (CompA), composition-aware hard negatives, and the authors' code of stage 2. Deviation: what
is no candidate is -inf. The published code multiplies its logits by -100000 instead, which makes a negative logit the
largest of its row; the two agree only where all logits are positive.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from clapbench.training.clouds import Clouds
from clapbench.training.objectives.base import Objective
from clapbench.training.objectives.negclip import negclip


def own_negatives(
    logits: Float[Tensor, "n n_and_m"],
    swapped_of: Int[Tensor, " m"],
    same: Bool[Tensor, "n n"] | None = None,
    swapped_same: Bool[Tensor, "n m"] | None = None,
) -> Float[Tensor, ""]:
    """InfoNCE whose clips choose among the n true captions and the swapped ones of their own pair.

    Columns of ``logits`` are n true captions, then m swapped ones, of the pairs ``swapped_of``. ``same`` and
    ``swapped_same`` mark entries that are no negatives.

    >>> logits = torch.zeros(2, 3)
    >>> own_negatives(logits, torch.tensor([1])) == (torch.tensor([2.0, 3.0, 2.0, 2.0]).log().sum() / 4)
    tensor(True)
    """
    hidden = swapped_of != torch.arange(len(logits), device=logits.device).unsqueeze(1)
    return negclip(logits, same, hidden if swapped_same is None else hidden | swapped_same)


class OwnNegatives(Objective):
    """InfoNCE with a pair's own swapped captions as further negatives of its clip."""

    reads_swapped = True

    def loss(self, clouds: Clouds) -> Float[Tensor, ""]:
        """The mean of both directions."""
        logits = self.logits(clouds, swapped=True)
        return own_negatives(logits, clouds.swapped_of, clouds.same, clouds.swapped_same)
