"""An objective is a loss over a batch's clouds, with the temperature that it learns."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from clapbench.encoders.base import unit
from clapbench.kinds import Positive
from clapbench.training.clouds import Clouds, full_precision

# Where neither the configuration nor the weights know one (Wu et al. 2018; Radford et al. 2021).
TEMPERATURE = 0.07
HIGHEST_SCALE = 100.0  # Radford et al. 2021, section 2.5


class Objective(nn.Module, ABC):
    """A loss over clouds. One with ``reads_swapped`` gets the swapped captions encoded.

    ``temperature`` divides cosines at the start; None: that of the model's weights, else 0.07. Its logarithm is learned
    and held so that the scale 1 / temperature stays at most 100.
    """

    reads_swapped = False
    fresh_temperature = TEMPERATURE  # where nothing else gives one

    def __init__(self, *, temperature: Positive | None = None) -> None:
        super().__init__()
        self.temperature = temperature
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature or self.fresh_temperature)))

    def start(self, logit_scale: float | None) -> None:
        """Begins at the scale of a model's weights, unless the configuration has a temperature."""
        if self.temperature is None and logit_scale is not None:
            with torch.no_grad():
                self.log_scale.fill_(math.log(logit_scale))

    def hold(self) -> None:
        """Brings the scale back into its range, after each optimizer step."""
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(HIGHEST_SCALE))

    @property
    def scale(self) -> Float[Tensor, ""]:
        """The factor on cosines."""
        return self.log_scale.exp()

    def forward(self, clouds: Clouds) -> Float[Tensor, ""]:
        """The loss of a batch, in float32 or wider; differentiable."""
        with full_precision(clouds) as wide:
            return self.loss(wide)

    @abstractmethod
    def loss(self, clouds: Clouds) -> Float[Tensor, ""]:
        """The loss of a batch of clouds in full precision."""

    def logits(self, clouds: Clouds, *, swapped: bool = False) -> Float[Tensor, "n k"]:
        """Scaled cosines of clips (rows) and captions, behind which the swapped ones stand if they are wanted."""
        captions = torch.cat([clouds.text, clouds.swapped]) if swapped else clouds.text
        return self.scale * unit(clouds.audio) @ unit(captions).T


def match_loss(logits: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of rows that should choose the column of their own number. What is -inf is no candidate.

    >>> match_loss(torch.zeros(2, 4))
    tensor(1.3863)
    """
    return nn.functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def negatives_only(logits: Float[Tensor, "n n"], same: Bool[Tensor, "n n"] | None) -> Float[Tensor, "n n"]:
    """Logits in which what means the same as the match, and is not the match itself, is -inf."""
    if same is None:
        return logits
    match = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    return logits.masked_fill(same & ~match, -torch.inf)
