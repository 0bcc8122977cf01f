r"""Intrinsic dimension at a scale: how distances to the nearest neighbours grow, by maximum likelihood.

With $r_j$ the distance of a row to its j-th nearest other, in a cloud locally uniform in D dimensions:

- MLE, from the k nearest: $D^{-1} = \frac{1}{n (k - 1)} \sum_i \sum_{j<k} \ln (r_{i,k} / r_{i,j})$.
- Gride, from $\mu = r_k / r_{k/2}$: the D that solves
  $(n - 1) / D = \sum_i \ln \mu_i \, [\,k - 1 - (k/2 - 1) / (1 - \mu_i^{-D})\,]$.

Both above 0, without an upper bound. k is the scale: over k, a small dimension that grows is noise or near-duplicates
(a caption beside its swapped partner, at k = 2), a plateau is the cloud's own; both fall short in high dimensions.
Gride at k = 2 is Two-NN by maximum likelihood.

Sources: Levina and Bickel 2004, their $\hat m_k$, with the mean of the inverse of MacKay and Ghahramani 2005; Denti et
al. 2022 (Gride), whose likelihood's derivative has n where n - 1 stands here, which at k = 2 makes the estimate
unbiased. Repeated rows are removed before the search, so n counts distinct rows.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from clapbench.probes.base import Choices, SideProbe
from clapbench.probes.neighbours import distinct, nearest
from clapbench.rows import Rows, checked

HALVINGS = 200  # of the bracket around Gride's D; it ends when float64 does
LARGEST = 1e9  # a dimension that no cloud in float64 resolves


def mle_dimension(x: Rows, k: int = 20) -> Float64[Tensor, ""]:
    """Dimension of the distinct rows of ``x`` from their ``k`` nearest others, 2 or more.

    Raises ValueError for no more than ``k`` distinct rows, and for neighbours all at one distance.

    >>> line = torch.rand(2000, 1, generator=torch.Generator().manual_seed(0))
    >>> round(mle_dimension(line, k=20).item(), 1)
    1.0
    """
    if k < 2:
        raise ValueError(f"mle_dimension: k must be 2 or more, got {k}.")
    distance = _distances(x, k, who="mle_dimension")
    log_ratio = (distance[:, -1:] / distance[:, :-1]).log().mean()
    if log_ratio == 0:
        raise ValueError(f"mle_dimension: each row has its {k} nearest others at one distance: no dimension.")
    return 1 / log_ratio


def gride_dimension(x: Rows, k: int = 2) -> Float64[Tensor, ""]:
    """Dimension of the distinct rows of ``x`` at the scale of their ``k``-th nearest others, ``k`` even.

    Raises ValueError for no more than ``k`` distinct rows, and for neighbours all at one distance.

    >>> line = torch.rand(2000, 1, generator=torch.Generator().manual_seed(0))
    >>> round(gride_dimension(line, k=8).item(), 1)
    1.0
    """
    if k < 2 or k % 2:
        raise ValueError(f"gride_dimension: k must be even and 2 or more, got {k}.")
    distance = _distances(x, k, who="gride_dimension")
    log_mu = (distance[:, -1] / distance[:, k // 2 - 1]).log()
    n, inner = len(log_mu), k // 2 - 1
    if not log_mu.any():
        raise ValueError(
            f"gride_dimension: each row has neighbours {k // 2} and {k} at one distance: no dimension."
        )
    if inner == 0:
        return (n - 1) / log_mu.sum()
    if (log_mu == 0).any():
        raise ValueError(
            f"gride_dimension: {int((log_mu == 0).sum())} of {n} rows have neighbours {k // 2} and {k} at one "
            f"distance, which has no likelihood at k={k}. Take another k."
        )

    def excess(dimension: float) -> float:
        """Falls in D, and is 0 at the answer."""
        bent = inner * (log_mu / torch.expm1(-dimension * log_mu)).sum()
        return float((n - 1) / dimension - (k - 1) * log_mu.sum() - bent)

    low, high = 0.0, 1.0
    while excess(high) > 0:
        low, high = high, 2 * high
        if high > LARGEST:
            raise ValueError(f"gride_dimension: above {LARGEST:.0e}; the rows lie at equal distances.")
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return log_mu.new_tensor(high)


class MLEDimension(SideProbe):
    """MLE dimension of one side."""

    choices: ClassVar[Choices] = {"k": (5, 10, 20, 40)}

    def __init__(self, side: str | None = None, k: int = 20, **kwargs: Any) -> None:
        super().__init__(side, **kwargs)
        self.k = k

    def measure(self) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return mle_dimension(self.rows(self.side), k=self.k)


class Gride(SideProbe):
    """Gride dimension of one side at one scale."""

    choices: ClassVar[Choices] = {"k": (2, 4, 8, 16, 32)}

    def __init__(self, side: str | None = None, k: int = 2, **kwargs: Any) -> None:
        super().__init__(side, **kwargs)
        self.k = k

    def measure(self) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return gride_dimension(self.rows(self.side), k=self.k)


def _distances(x: Rows, k: int, *, who: str) -> Float64[Tensor, "m k"]:
    distance = nearest(distinct(checked(x, who=who)), k, who=who).distance
    if not (distance.isfinite() & (distance > 0)).all():
        raise ValueError(f"{who}: distances of distinct rows leave the range of float64. Rescale x.")
    return distance
