r"""Centroid cosine: pulls the mean directions of the two sides together, and so narrows the modality gap.

$g = 1 - \cos(\bar a, \bar t)$ with $\bar a, \bar t$ the means of either side's unit rows, between 0 and 2.

Source: the gap between the centroids is Liang et al. 2022 ("Mind the Gap"), section 4.2; as a training
term it is ours.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from clapbench.encoders.base import unit
from clapbench.training.clouds import Clouds
from clapbench.training.regularizers.base import Regularizer


def centroid_distance(audio: Float[Tensor, "n d"], text: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """One minus the cosine between the centroids of the unit rows.

    >>> import torch
    >>> centroid_distance(torch.eye(2), -torch.eye(2))
    tensor(2.)
    """
    a, t = (unit(side).mean(dim=0) for side in (audio, text))
    return 1.0 - nn.functional.cosine_similarity(a, t, dim=0)


class Centroid(Regularizer):
    """Pulls the centroids of the sides together."""

    def term(self, clouds: Clouds) -> Float[Tensor, ""]:
        """The distance of the centroids."""
        return centroid_distance(clouds.audio, clouds.text)
