r"""Two-NN intrinsic dimension: how many coordinates a cloud needs around each of its points.

With $r_1 \le r_2$ the distances of a row to its two nearest others and $\mu = r_2 / r_1$, a cloud that is
locally uniform in $D$ dimensions has $P(\mu > m) = m^{-D}$. The ratios are sorted, the i-th of N gets the
empirical $F_i = i / N$, the largest are discarded, and D is the slope of $y = -\log(1 - F)$ over
$x = \log \mu$ through the origin: $D = \sum_i x_i y_i / \sum_i x_i^2$. Above 0, without an upper bound.

Source: Facco et al. 2017 (Estimating the intrinsic dimension of datasets by a minimal neighborhood
information), the algorithm's five steps, with the top tenth discarded. Repeated rows have no ratio and are removed
before the search, so N counts distinct rows. Near-duplicates stay: captions that lie close to a swapped
partner pull D towards 1 or 2 whatever the rest of the cloud does. `TwoNNApart` leaves partners out of each other's
neighbours, and takes no two neighbours that are partners: their ratio near 1 would pull D up as far. Every row counts.

The search is exact and quick: products of single-precision rows in blocks propose neighbours, distances from
differences in double precision decide among them, and a row whose proposals single precision cannot tell from the
rest is searched again in double.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float64, Int
from torch import Tensor

from clapbench.probes.base import Choices, SideProbe
from clapbench.probes.nearest_two import nearest_two
from clapbench.probes.neighbours import nearest
from clapbench.probes.paired import PairedProbe, Pairs
from clapbench.rows import Rows, checked, places

PLOTTING_POSITIONS = ("i/N", "i/(N+1)")
MIN_DISTINCT = 4  # rows
MIN_RATIOS = 2  # left for the line after discarding


def two_nn_dimension(
    x: Rows,
    discard: float = 0.1,
    plotting: str = "i/N",
    partners: Rows | None = None,
) -> Float64[Tensor, ""]:
    """Two-NN dimension of the distinct rows of ``x``, in float64.

    ``discard`` is the share of the largest ratios left out, in [0, 1). The position ``plotting`` is F:
    ``i/N``, for which the last ratio (F = 1) is always left out, or ``i/(N+1)``. ``partners`` are pairs of rows of
    which neither is a neighbour of the other, and only the nearer one a neighbour of a third row.

    Raises ValueError for fewer than 4 distinct rows, a row that is not finite or all zeros (a failed
    embedding, which would become the nearest neighbour of many), rows at equal distances, which have
    no slope, and a row that has no two such neighbours.

    >>> x = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0))
    >>> round(two_nn_dimension(x).item(), 1)
    2.0
    """
    _refuse_settings(discard, plotting, who="two_nn_dimension")
    x = checked(x, who="two_nn_dimension")
    if not x.any(dim=1).all():
        first = int((~x.any(dim=1)).nonzero()[0])
        raise ValueError(f"two_nn_dimension: row {first} is all zeros. Look at what was embedded.")
    if partners is None:
        points = _distinct(x)
    else:
        points, place = x.unique(dim=0, return_inverse=True)
    n = len(points)
    if n < MIN_DISTINCT:
        raise ValueError(
            f"two_nn_dimension: needs at least {MIN_DISTINCT} distinct rows, got {n} ({len(x) - n} repeated)."
        )
    kept = int(n * (1 - discard))
    if plotting == "i/N":
        kept = min(kept, n - 1)
    if kept < MIN_RATIOS:
        raise ValueError(
            f"two_nn_dimension: needs at least {MIN_RATIOS} ratios, got {kept}: "
            f"discard={discard} of {n} distinct rows. Discard less or give more rows."
        )
    apart = None
    if partners is not None:
        apart = place[places(partners, who="two_nn_dimension (partners)", n=len(x)).to(x.device)]
    log_mu = _neighbour_ratios(points, partners=apart).sort().values[:kept].log()
    if not log_mu.any():
        raise ValueError("two_nn_dimension: each row has its two nearest others at one distance: no slope.")
    whole = n if plotting == "i/N" else n + 1
    f = torch.arange(1, kept + 1, dtype=x.dtype, device=x.device) / whole
    return -(log_mu @ torch.log1p(-f)) / (log_mu @ log_mu)


def count_duplicates(x: Rows) -> int:
    """How many rows of ``x`` repeat another exactly: those that ``two_nn_dimension`` leaves out.

    >>> count_duplicates(torch.tensor([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]))
    1
    """
    x = checked(x, who="count_duplicates")
    return len(x) - len(_distinct(x))


class TwoNN(SideProbe):
    """Two-NN dimension of one side."""

    choices: ClassVar[Choices] = {"discard": (0.0, 0.05, 0.1, 0.2), "plotting": PLOTTING_POSITIONS}
    duplicates: int | None = None  # rows left out of the last number, as they repeat another

    def __init__(
        self, side: str | None = None, discard: float = 0.1, plotting: str = "i/N", **kwargs: Any
    ) -> None:
        super().__init__(side, **kwargs)
        _refuse_settings(discard, plotting, who="TwoNN")
        self.discard = discard
        self.plotting = plotting

    def measure(self) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return self.dimension(partners=None)

    def dimension(self, *, partners: Int[Tensor, "p 2"] | None) -> Float64[Tensor, ""]:
        """The dimension with or without swapped ``partners`` apart; counts ``duplicates`` on the way."""
        rows = self.rows(self.side)
        self.duplicates = count_duplicates(rows)
        return two_nn_dimension(rows, discard=self.discard, plotting=self.plotting, partners=partners)


class TwoNNApart(PairedProbe, TwoNN):
    """Two-NN dimension of one side, swapped partners left out of each other's neighbours."""

    needs = "swapped partners"
    reads_matches: ClassVar[bool] = False  # who is whose partner, on one side

    def measure_pairs(self, pairs: Pairs) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        partners = pairs.swapped(self.side)
        if not len(partners):
            raise ValueError(f"undefined: needs {self.needs}, and there are none among these rows.")
        return self.dimension(partners=partners)


def _distinct(x: Float64[Tensor, "n d"]) -> Float64[Tensor, "m d"]:
    """One of each row. Only rows that share their first value are compared."""
    _, which, count = x[:, 0].unique(return_inverse=True, return_counts=True)
    shared = count[which] > 1
    return torch.cat([x[~shared], x[shared].unique(dim=0)]) if shared.any() else x


def _neighbour_ratios(
    x: Float64[Tensor, "n d"], partners: Int[Tensor, "p 2"] | None = None
) -> Float64[Tensor, " n"]:
    """r2 / r1 of each row."""
    two = nearest_two(x) if partners is None else _nearest_two_apart(x, partners)
    mu = two[:, 1] / two[:, 0]
    if not mu.isfinite().all():
        raise ValueError(
            "two_nn_dimension: distances of distinct rows leave the range of float64. Rescale x."
        )
    return mu


def _nearest_two_apart(x: Float64[Tensor, "n d"], partners: Int[Tensor, "p 2"]) -> Float64[Tensor, "n 2"]:
    """Distances of each row to the nearest that is no partner of it, and to the next that is one of neither."""
    n = len(x)
    known = (
        (torch.cat([partners, partners.flip(1)]) * torch.tensor([n, 1], device=x.device)).sum(dim=1).unique()
    )
    most = int((known // n).bincount().max()) if len(known) else 0
    place, distance = nearest(x, min(2 + 2 * most, n - 1), who="two_nn_dimension")
    rows = torch.arange(n, device=x.device)[:, None]
    allowed = ~torch.isin(rows * n + place, known)
    first = allowed.int().argmax(dim=1, keepdim=True)  # the nearest come first
    second = allowed & ~torch.isin(place.gather(1, first) * n + place, known)
    second.scatter_(1, first, value=False)
    alone = ~second.any(dim=1)
    if alone.any():
        raise ValueError(
            f"two_nn_dimension: needs two neighbours of each row that are no partners of it or each other; "
            f"{int(alone.sum())} of {n} distinct rows have fewer. Give more rows."
        )
    return distance.gather(1, torch.cat([first, second.int().argmax(dim=1, keepdim=True)], dim=1))


def _refuse_settings(discard: float, plotting: str, *, who: str) -> None:
    if not 0 <= discard < 1:
        raise ValueError(f"{who}: discard must be in [0, 1), got {discard}.")
    if plotting not in PLOTTING_POSITIONS:
        raise ValueError(f"{who}: plotting must be 'i/N' or 'i/(N+1)', got {plotting!r}.")
