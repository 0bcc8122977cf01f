r"""The shape of a cloud's spectrum: five numbers of how evenly its directions are used.

With the singular values $s$ of $X \in \mathbb{R}^{n \times d}$, rows as given, and the eigenvalues $\lambda$ of the
covariance of its rows (centred), the largest first:

| | formula | range | source |
|---|---|---|---|
| stable rank | $\sum_i s_i^2 / s_1^2$ | 1 to min(n, d) | Rudelson and Vershynin 2007, "numerical rank" |
| participation ratio | $(\sum_i \lambda_i)^2 / \sum_i \lambda_i^2$ | 1 to min(n - 1, d) | Gao et al. 2017 |
| NESum | $\sum_i \lambda_i / \lambda_1$ | 1 to min(n - 1, d) | He and Ozay 2022 |
| alpha-ReQ | $-$ slope of $\ln \lambda_i$ over $\ln i$ | 0 or more | Agrawal et al. 2022 |
| IsoScore* | $(\mathrm{PR} - 1) / (d - 1)$ | 0 to 1 | Rudman and Eickhoff 2024, without shrinkage |

All but the last grow with n for one and the same distribution: compare at equal n. In a narrow cone the stable rank is
near 1 whatever the spread about the axis. Alpha-ReQ has every eigenvalue above rounding weigh the same, the small ones
of the tail as well, or by 1/i (Stringer et al. 2019); the slope means something only where a power law fits.
IsoScore* is published as a distance of the eigenvalues, scaled to the length of $(1, \dots, 1)$, from $(1, \dots, 1)$;
inserted, everything but the participation ratio PR cancels. So at one d the two rank clouds alike. Its shrinkage is
for small batches; here the cloud is whole.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from clapbench.probes.base import SideProbe, StreamedProbe
from clapbench.probes.moments import Moments, gram, moments, rounding, singular_values, spread
from clapbench.rows import Rows, checked

WEIGHTS = ("equal", "1/i")


def stable_rank(x: Rows) -> Float64[Tensor, ""]:
    """Energy of the rows of ``x`` over the energy of their first direction, uncentred.

    >>> round(stable_rank(torch.diag(torch.tensor([2.0, 1.0]))).item(), 6)
    1.25
    """
    return _stable_rank(moments(checked(x, who="stable_rank")))


def participation_ratio(x: Rows) -> Float64[Tensor, ""]:
    """How many directions of equal variance would spread the variance of the rows as evenly.

    >>> round(participation_ratio(torch.eye(4)).item(), 6)
    3.0
    """
    return _participation_ratio(moments(checked(x, who="participation_ratio")))


def nesum(x: Rows) -> Float64[Tensor, ""]:
    """Variance of the rows of ``x`` over the variance along their first direction.

    >>> round(nesum(torch.eye(4)).item(), 6)
    3.0
    """
    return _nesum(moments(checked(x, who="nesum")))


def alpha_req(x: Rows, weights: str = "equal") -> Float64[Tensor, ""]:
    """Exponent of the power law that the covariance's eigenvalues decay by, least squares with ``weights``.

    Raises ValueError for fewer than 3 eigenvalues, through which any line fits.

    >>> round(alpha_req(torch.eye(9)).item(), 6)
    0.0
    """
    _refuse_weights(weights, who="alpha_req")
    return _alpha_req(moments(checked(x, who="alpha_req")), weights=weights)


def iso_score_star(x: Rows) -> Float64[Tensor, ""]:
    """How close the covariance of the rows of ``x`` is to a multiple of the identity.

    >>> round(iso_score_star(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])).item(), 6)
    1.0
    """
    return _iso_score_star(moments(checked(x, who="iso_score_star")))


class StableRank(SideProbe, StreamedProbe):
    """Stable rank of one side."""

    def measure(self) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return _stable_rank(self.moments(self.side))


class ParticipationRatio(SideProbe, StreamedProbe):
    """Participation ratio of one side."""

    def measure(self) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return _participation_ratio(self.moments(self.side))


class NESum(SideProbe, StreamedProbe):
    """Sum of one side's eigenvalues over the largest."""

    def measure(self) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return _nesum(self.moments(self.side))


class AlphaReQ(SideProbe, StreamedProbe):
    """Exponent of one side's spectrum."""

    def __init__(self, side: str | None = None, weights: str = "equal", **kwargs: Any) -> None:
        super().__init__(side, **kwargs)
        _refuse_weights(weights, who="AlphaReQ")
        self.weights = weights

    def measure(self) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return _alpha_req(self.moments(self.side), weights=self.weights)


class IsoScoreStar(SideProbe, StreamedProbe):
    """IsoScore* of one side."""

    def measure(self) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return _iso_score_star(self.moments(self.side))


def _stable_rank(cloud: Moments) -> Float64[Tensor, ""]:
    if not cloud.rows.any():
        raise ValueError(f"stable_rank: all {cloud.n} rows are zero. Look at what was embedded.")
    return _trace_over_largest(cloud.rows)


def _participation_ratio(cloud: Moments, *, who: str = "participation_ratio") -> Float64[Tensor, ""]:
    square = _smaller_gram(spread(cloud, who=who))
    return square.trace().square() / square.square().sum()


def _nesum(cloud: Moments) -> Float64[Tensor, ""]:
    return _trace_over_largest(spread(cloud, who="nesum"))


def _alpha_req(cloud: Moments, *, weights: str) -> Float64[Tensor, ""]:
    s = singular_values(spread(cloud, who="alpha_req"), who="alpha_req", every_one=True)[: cloud.n - 1]
    y = 2 * s[s > rounding(cloud) * s[0]].log()  # eigenvalues up to a factor, which is no slope
    if len(y) < 3:
        raise ValueError(f"alpha_req: needs at least 3 eigenvalues above 0 for a slope, got {len(y)}.")
    rank = torch.arange(1, len(y) + 1, dtype=y.dtype)
    weight = torch.ones_like(rank) if weights == "equal" else 1 / rank
    weight, x = weight / weight.sum(), rank.log()
    x, y = x - weight @ x, y - weight @ y
    return -(weight * x * y).sum() / (weight * x * x).sum()


def _iso_score_star(cloud: Moments) -> Float64[Tensor, ""]:
    d = cloud.rows.shape[1]
    if d < 2:
        raise ValueError(f"iso_score_star: needs at least 2 dimensions, got {d}.")
    return (_participation_ratio(cloud, who="iso_score_star") - 1) / (d - 1)


def _trace_over_largest(x: Float64[Tensor, "m d"]) -> Float64[Tensor, ""]:
    square = _smaller_gram(x)
    return square.trace() / torch.linalg.eigvalsh(square)[-1]


def _smaller_gram(x: Float64[Tensor, "m d"]) -> Float64[Tensor, "r r"]:
    """Of the rows or the columns, on the CPU, up to a factor."""
    x = x / x.abs().max()
    return gram(x.T if len(x) < x.shape[1] else x).cpu()


def _refuse_weights(weights: str, *, who: str) -> None:
    if weights not in WEIGHTS:
        raise ValueError(f"{who}: weights must be 'equal' or '1/i', got {weights!r}.")
