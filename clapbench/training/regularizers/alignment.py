r"""Alignment: pulls matching rows together, whatever their negatives.

$a = \frac{1}{n} \sum_i \lVert u_i - v_i \rVert^2$ over matching unit rows, between 0 and 4.

Source: Wang and Isola 2020, section 4.1, with their exponent 2. Alone it is least on a collapsed cloud.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from clapbench.encoders.base import unit
from clapbench.training.clouds import Clouds
from clapbench.training.regularizers.base import Regularizer


def alignment(audio: Float[Tensor, "n d"], text: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Mean squared distance of row i of ``audio`` from row i of ``text``, both at unit length.

    >>> import torch
    >>> alignment(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
    tensor(2.)
    """
    return (unit(audio) - unit(text)).square().sum(dim=1).mean()


class Alignment(Regularizer):
    """Pulls each clip and its caption together."""

    def term(self, clouds: Clouds) -> Float[Tensor, ""]:
        """The mean squared distance of the pairs."""
        return alignment(clouds.audio, clouds.text)
