"""An objective is a loss over a batch's clouds, with the temperature that it learns."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from clapbench.kinds import Positive
from clapbench.training.clouds import Clouds

TEMPERATURE = (
    0.07  # where neither the configuration nor the weights know one (Wu et al. 2018; Radford et al. 2021)
)
HIGHEST_SCALE = 100.0  # Radford et al. 2021, section 2.5


class Objective(nn.Module, ABC):
    """A loss over clouds. One with ``reads_swapped`` gets the swapped captions encoded.

    ``temperature`` divides cosines at the start; None: that of the model's weights, else 0.07. Its logarithm is learned
    and held so that the scale 1 / temperature stays at most 100.
    """

    reads_swapped = False

    def __init__(self, *, temperature: Positive | None = None) -> None:
        super().__init__()
        self.temperature = temperature
        self.log_scale = nn.Parameter(torch.tensor(math.log(1.0 / (temperature or TEMPERATURE))))

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

    @abstractmethod
    def forward(self, clouds: Clouds) -> Float[Tensor, ""]:
        """The loss of a batch; differentiable."""
