r"""Spectral entropy: raises or lowers the effective rank of a side.

$e = \sum_k p_k \log(p_k + 10^{-7})$ with $p = s / \sum_k s_k$ and $s$ the singular values of the unit rows, not
centred; between $-\log \min(n, d)$ and 0. A weight above 0 raises the rank, one below 0 lowers it.

Source: the exponential of $-e$ is RankMe (Garrido et al. 2023, eq. 1) of a batch; as a training term it is ours. A
batch of n rows has rank min(n, d) at most, so runs compare at one size of batch, and it is not the probe's number,
which is over all rows. The gradient of a singular value decomposition has poles at equal values and none is defined at
0: here the eigenvalues of the Gram matrix are taken, whose gradient has no poles, in float64, with rounding ($n$ times
the float64 epsilon) added to them.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from clapbench.encoders.base import unit
from clapbench.kinds import Sides, Signed
from clapbench.training.clouds import Clouds
from clapbench.training.regularizers.base import SideRegularizer

EPSILON = 1e-7


def spectral_entropy(z: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Minus the entropy of the singular values of the rows of ``z`` at unit length.

    >>> round(spectral_entropy(torch.eye(4)).item(), 4)
    -1.3863
    """
    u = unit(z.to("cpu" if z.device.type == "mps" else z.device, torch.float64))
    gram = u @ u.T if len(u) < u.shape[1] else u.T @ u
    energy = torch.linalg.eigvalsh(gram).clamp(min=0)
    s = torch.sqrt(energy + len(u) * torch.finfo(u.dtype).eps)
    p = s / s.sum()
    return (p * (p + EPSILON).log()).sum().to(z.dtype).to(z.device)


class SpectralEntropy(SideRegularizer):
    """Moves the effective rank of a side: up by a ``weight`` above 0, down by one below."""

    def __init__(self, *, weight: Signed, side: Sides) -> None:
        super().__init__(weight=weight, side=side)

    def side_term(self, clouds: Clouds, side: str) -> Float[Tensor, ""]:
        """Minus the entropy of the spectrum."""
        return spectral_entropy(clouds.side(side))
