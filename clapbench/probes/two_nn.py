r"""Two-NN intrinsic dimension: how many coordinates a cloud needs around each of its points.

With $r_1 \le r_2$ the distances of a row to its two nearest others and $\mu = r_2 / r_1$, a cloud that is
locally uniform in $D$ dimensions has $P(\mu > m) = m^{-D}$. The ratios are sorted, the i-th of N gets the
empirical $F_i = i / N$, the largest are discarded, and D is the slope of $y = -\log(1 - F)$ over
$x = \log \mu$ through the origin: $D = \sum_i x_i y_i / \sum_i x_i^2$. Above 0, without an upper bound.

Source: Facco et al. 2017 (Estimating the intrinsic dimension of datasets by a minimal neighborhood
information), the Two-NN algorithm, with the top tenth discarded. Repeated rows have no ratio and are removed
before the search, so N counts distinct rows. Near-duplicates stay: captions that lie close to a swapped
partner pull D towards 1 or 2 whatever the rest of the cloud does.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from clapbench.probes.base import SideProbe, checked

PLOTTING_POSITIONS = ("i/N", "i/(N+1)")
MIN_DISTINCT = 4  # rows
MIN_RATIOS = 2  # left for the line after discarding
BLOCK = 2**23  # distances held at once: 64 MiB


def two_nn_dimension(
    x: Float[Tensor, "n d"], discard: float = 0.1, plotting_position: str = "i/N"
) -> Float64[Tensor, ""]:
    """Two-NN dimension of the distinct rows of ``x``, in float64.

    ``discard`` is the share of the largest ratios left out, in [0, 1). The ``plotting_position`` is F:
    ``i/N``, for which the last ratio (F = 1) is always left out, or ``i/(N+1)``.

    Raises ValueError for fewer than 4 distinct rows, a row that is not finite or all zeros (a failed
    embedding, which would become the nearest neighbour of many), and rows at equal distances, which have
    no slope.

    >>> x = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0))
    >>> round(two_nn_dimension(x).item(), 1)
    2.0
    """
    _refuse_settings(discard, plotting_position, who="two_nn_dimension")
    x = checked(x, who="two_nn_dimension")
    if not x.any(dim=1).all():
        first = int((~x.any(dim=1)).nonzero()[0])
        raise ValueError(f"two_nn_dimension: row {first} is all zeros. Look at what was embedded.")
    points = _distinct(x)
    n = len(points)
    if n < MIN_DISTINCT:
        raise ValueError(
            f"two_nn_dimension: needs at least {MIN_DISTINCT} distinct rows, got {n} ({len(x) - n} repeated)."
        )
    kept = int(n * (1 - discard))
    if plotting_position == "i/N":
        kept = min(kept, n - 1)
    if kept < MIN_RATIOS:
        raise ValueError(
            f"two_nn_dimension: needs at least {MIN_RATIOS} ratios, got {kept}: "
            f"discard={discard} of {n} distinct rows. Discard less or give more rows."
        )
    log_mu = _neighbour_ratios(points).sort().values[:kept].log()
    if not log_mu.any():
        raise ValueError("two_nn_dimension: each row has its two nearest others at one distance: no slope.")
    whole = n if plotting_position == "i/N" else n + 1
    f = torch.arange(1, kept + 1, dtype=x.dtype, device=x.device) / whole
    return -(log_mu @ torch.log1p(-f)) / (log_mu @ log_mu)


def count_duplicates(x: Float[Tensor, "n d"]) -> int:
    """How many rows of ``x`` repeat another exactly: those that ``two_nn_dimension`` leaves out.

    >>> count_duplicates(torch.tensor([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]))
    1
    """
    return len(x) - len(_distinct(checked(x, who="count_duplicates")))


class TwoNN(SideProbe):
    """Two-NN dimension of one side."""

    def __init__(
        self, side: str, discard: float = 0.1, plotting_position: str = "i/N", **kwargs: Any
    ) -> None:
        super().__init__(side, **kwargs)
        _refuse_settings(discard, plotting_position, who="TwoNN")
        self.discard = discard
        self.plotting_position = plotting_position

    def measure(self) -> Float64[Tensor, ""]:
        return two_nn_dimension(
            self.rows(self.side), discard=self.discard, plotting_position=self.plotting_position
        )


def _distinct(x: Float64[Tensor, "n d"]) -> Float64[Tensor, "m d"]:
    return torch.unique(x + 0.0, dim=0)  # + 0.0 makes -0.0 equal to 0.0


def _neighbour_ratios(x: Float64[Tensor, "n d"]) -> Float64[Tensor, " n"]:
    """r2 / r1 of each row. Distances from differences: the expanded square loses near neighbours."""
    ratios = []
    for rows in torch.arange(len(x), device=x.device).split(max(1, BLOCK // len(x))):
        distance = torch.cdist(x[rows], x, compute_mode="donot_use_mm_for_euclid_dist")
        distance[torch.arange(len(rows), device=x.device), rows] = torch.inf
        r1, r2 = distance.topk(2, largest=False).values.unbind(dim=1)
        ratios.append(r2 / r1)
    mu = torch.cat(ratios)
    if not mu.isfinite().all():
        raise ValueError(
            "two_nn_dimension: distances of distinct rows leave the range of float64. Rescale x."
        )
    return mu


def _refuse_settings(discard: float, plotting_position: str, *, who: str) -> None:
    if not 0 <= discard < 1:
        raise ValueError(f"{who}: discard must be in [0, 1), got {discard}.")
    if plotting_position not in PLOTTING_POSITIONS:
        raise ValueError(f"{who}: plotting_position must be 'i/N' or 'i/(N+1)', got {plotting_position!r}.")
