r"""Relative modality gap: the distance of matched rows, in units of the distances within the sides.

With $\delta(u, v) = (1 - \cos(u, v)) / 2$, n matched pairs, $m = \frac{1}{n} \sum_i \delta(a_i, t_i)$ and w the mean of
$\delta$ over two different rows of one side, averaged over the sides, $m / (m + w)$: 0 to 1, 0 where matched rows are
equal, 1/2 where a clip is as far from its caption as from another clip. Unlike the gap of the centroids it does not
grow with the cloud.

Source: Schrodi et al. 2024 (Two effects, one trigger), the definition of their RMG. The scale of $\delta$ cancels.
"""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from clapbench.probes.paired import PairedProbe, Pairs
from clapbench.rows import Rows, both


def relative_modality_gap(audio: Rows, text: Rows) -> Float64[Tensor, ""]:
    """Relative gap between row i of ``audio`` and row i of ``text``.

    Raises ValueError for fewer than 2 rows, a row of zeros, and rows that all point one way.

    >>> relative_modality_gap(torch.eye(3), torch.eye(3)).item()
    0.0
    >>> relative_modality_gap(torch.eye(4)[:2], torch.eye(4)[2:]).item()
    0.5
    """
    sides = both(audio, text, who="relative_modality_gap")
    n = len(sides.audio)
    if n < 2:
        raise ValueError(f"relative_modality_gap: needs at least 2 matched rows, got {n}.")
    a, t = (_unit(rows, side=side) for side, rows in sides._asdict().items())
    matched = (a - t).square().sum(dim=1).mean()  # of unit rows: 4 delta
    within = sum(2 * n / (n - 1) * (x - x.mean(dim=0)).square().sum(dim=1).mean() for x in (a, t)) / 2
    if matched + within == 0:
        raise ValueError(f"relative_modality_gap: all {n} rows of both sides point one way.")
    return matched / (matched + within)


class RelativeGap(PairedProbe):
    """Relative modality gap over matched clips and captions, each in one pair."""

    def measure_pairs(self, pairs: Pairs) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return relative_modality_gap(*self.matched(pairs.one_to_one, least=2))


def _unit(x: Float64[Tensor, "n d"], *, side: str) -> Float64[Tensor, "n d"]:
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    if not length.all():
        first = int((length[:, 0] == 0).nonzero()[0])
        raise ValueError(f"relative_modality_gap: {side} row {first} is all zeros: it has no direction.")
    return x / length
