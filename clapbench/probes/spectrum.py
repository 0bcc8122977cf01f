r"""The shape of a cloud's spectrum: four numbers of how evenly its directions are used.

With the singular values $s$ of $X \in \mathbb{R}^{n \times d}$, rows as given, and the eigenvalues $\lambda$ of the
covariance of its rows (centred), the largest first:

| | formula | range | source |
|---|---|---|---|
| stable rank | $\sum_i s_i^2 / s_1^2$ | 1 to min(n, d) | Rudelson and Vershynin 2007, "numerical rank" |
| participation ratio | $(\sum_i \lambda_i)^2 / \sum_i \lambda_i^2$ | 1 to min(n - 1, d) | Gao et al. 2017 |
| NESum | $\sum_i \lambda_i / \lambda_1$ | 1 to min(n - 1, d) | He and Ozay 2022 |
| IsoScore* | $(\mathrm{PR} - 1) / (d - 1)$ | 0 to 1 | Rudman and Eickhoff 2024, without shrinkage |

All but the last grow with n for one and the same distribution: compare at equal n. In a narrow cone the stable rank is
near 1 whatever the spread about the axis. The decay of the spectrum is `spectral_decay`.
IsoScore* is published as a distance of the eigenvalues, scaled to the length of $(1, \dots, 1)$, from $(1, \dots, 1)$;
inserted, everything but the participation ratio PR cancels. So at one d the two rank clouds alike. Its shrinkage is
for small batches; here the cloud is whole.
"""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from clapbench.probes.base import SideProbe, StreamedProbe
from clapbench.probes.moments import Moments, gram, moments, spread
from clapbench.rows import Rows, checked


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
