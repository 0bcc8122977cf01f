r"""SigLIP's loss: for each clip and each caption, whether they belong together.

$L = -\frac{1}{n} \sum_{ij} \log \sigma(z_{ij} (s \cos_{ij} + b))$ with $z_{ij} = 1$ on the diagonal and -1 elsewhere, a
learned scale s and a learned bias b; entries off the diagonal that mean the same are left out. At least 0. It compares
no caption with another, so it has no softmax and depends on the size of the batch only through the number of
negatives.

Source: Zhai et al. 2023 (SigLIP), section 3.2 and algorithm 1. Deviation: the mask of equal meanings.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clapbench.kinds import Positive, Signed
from clapbench.training.clouds import Clouds
from clapbench.training.objectives.base import Objective


def sigmoid_loss(logits: Float[Tensor, "n n"], same: Bool[Tensor, "n n"] | None = None) -> Float[Tensor, ""]:
    """Sum of all n x n decisions' losses, over n. ``logits`` hold the bias; ``same`` marks what is no negative.

    >>> sigmoid_loss(torch.zeros(2, 2)) == 2 * torch.tensor(2.0).log()
    tensor(True)
    """
    match = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    losses = nn.functional.softplus(torch.where(match, -logits, logits))  # -log sigmoid(z logit)
    if same is not None:
        losses = losses.masked_fill(same & ~match, 0.0)
    return losses.sum() / len(logits)


class Sigmoid(Objective):
    """A decision for each clip and caption, with a learned scale and a learned ``bias``.

    Both start where the paper has them, at scale 10 and bias -10, for released weights too: their scale was learned by
    a softmax, which takes no notice of a constant added to all cosines. At a scale of 100 and a bias of -10 each of the
    n^2 negatives with a cosine of 0.2 would cost 10. A ``temperature`` in the configuration is heeded.
    """

    fresh_temperature = 0.1

    def __init__(self, *, bias: Signed, temperature: Positive | None = None) -> None:
        super().__init__(temperature=temperature)
        self.bias = nn.Parameter(torch.tensor(float(bias)))

    def start(self, logit_scale: float | None) -> None:
        """Stays where it is: scale and bias belong together."""

    def loss(self, clouds: Clouds) -> Float[Tensor, ""]:
        """The decisions of a batch."""
        return sigmoid_loss(self.logits(clouds) + self.bias, clouds.same)
