r"""Modality gap: how far the two sides of an embedding space lie apart.

Between the centroids $\bar a$ and $\bar t$ of the rows as given, with $u$ and $v$ these at unit length:

- the distance $\lVert\bar a - \bar t\rVert$, 0 to 2 for unit rows;
- the cosine $u \cdot v$, -1 to 1;
- the angle $2\,\mathrm{atan2}(\lVert u - v\rVert, \lVert u + v\rVert)$ in degrees, 0 to 180, which
  stays exact where the arc cosine of a cosine near 1 does not.

Source: Liang et al. 2022 (Mind the gap), the embedding shift experiment: their gap is the difference of the centroids
of unit rows. Its length is the distance here; the cosine and the angle of the centroids are ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from clapbench.probes.base import StreamedProbe
from clapbench.probes.moments import moments
from clapbench.rows import Rows, both


class ModalityGap(NamedTuple):
    """The gap between two centroids, in three measures."""

    l2: Float64[Tensor, ""]
    cosine: Float64[Tensor, ""]
    angle_deg: Float64[Tensor, ""]  # degrees


def modality_gap(audio: Rows, text: Rows) -> ModalityGap:
    """Gap between the centroids of ``audio`` and ``text``, in float64; the sides need not be paired.

    Raises ValueError for a side without rows, a value that is not finite, and a centroid at the origin, which
    has no direction.

    >>> gap = modality_gap(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]]))
    >>> [round(value.item(), 6) for value in gap]
    [5.0, 0.0, 90.0]
    """
    sides = both(audio, text, who="modality_gap", matched=False)
    return _between(moments(sides.audio).mean, moments(sides.text).mean)


class GapProbe(StreamedProbe):
    """One measure of the modality gap: ``l2``, ``cosine`` or ``angle_deg``."""

    def __init__(self, field: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if field not in ModalityGap._fields:
            raise ValueError(
                f"GapProbe: field must be one of {', '.join(ModalityGap._fields)}, got {field!r}."
            )
        self.field = field

    @property
    def label(self) -> str:
        """The probe and its field, as errors name it."""
        return f"GapProbe({self.field})"

    def fold(self, folded: Float64[Tensor, "m e"], rows: Float64[Tensor, "n d"]) -> Float64[Tensor, "1 e"]:
        """One row with the count and the sum, all that a centroid needs."""
        total = folded[:, 0] @ folded
        total[0] += len(rows)
        total[1:] += rows.sum(dim=0)
        return (total / total[0].sqrt())[None]

    def measure(self) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return getattr(_between(self.moments("audio").mean, self.moments("text").mean), self.field)


def _between(a: Float64[Tensor, " d"], t: Float64[Tensor, " d"]) -> ModalityGap:
    """The gap between the centroids ``a`` of the clips and ``t`` of the captions."""
    for side, centroid in (("audio", a), ("text", t)):
        if not centroid.any():
            raise ValueError(f"modality_gap: the {side} centroid is the origin, so it has no direction.")
    u, v = a / a.norm(), t / t.norm()
    angle = 2 * torch.atan2((u - v).norm(), (u + v).norm())
    return ModalityGap(l2=(a - t).norm(), cosine=u @ v, angle_deg=torch.rad2deg(angle))
