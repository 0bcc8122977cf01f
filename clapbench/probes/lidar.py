r"""LiDAR: in how many directions items differ by more than the views of one item do.

The views of item i are its clip and its caption, their mean is $m_i$. With $B$ the covariance of the $m_i$, $W$ that of
views about their $m_i$, made invertible, and $\lambda$ the eigenvalues of $W^{-1/2} B W^{-1/2}$, it is the effective
rank $\exp(-\sum_i p_i \ln p_i)$ of $p = \lambda / \sum_i \lambda_i$: 1 to min(n - 1, d).

- `lidar` adds $\delta I$ to $W$. With n (q - 1) < d, for q views, $W$ has directions of $\delta$ alone, which would
  decide the number: refused.
- `shrunk_lidar` takes $(1 - \gamma) W + \gamma \mu I$ with $\mu$ the mean eigenvalue of $W$, which is invertible for
  any n. With $S_i$ the unbiased covariance of the views of item i, $W$ is their mean, and $\gamma$ is the share that
  brings it nearest to what it estimates, $\min(1, b / c)$ with $b = \frac{1}{n^2} \sum_i \lVert S_i - W\rVert^2$ and
  $c = \lVert W - \mu I\rVert^2$ (Frobenius).

Sources: Thilak et al. 2024 (LiDAR), section 3, eqs. 1 to 4; there views are augmentations of an image, and an epsilon
is added to p, which is left out here; $\delta$ is $10^{-4}$ of the mean eigenvalue of $W$ in place of $10^{-4}$, so
that the scale of the rows does not matter. Ledoit and Wolf 2004 (A well-conditioned estimator), for $\gamma$, which is
theirs for q = 2; putting it into LiDAR is ours. Both numbers grow with n; compare at equal n.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from clapbench.probes.paired import PairedProbe, Pairs
from clapbench.rows import Rows, checked


def lidar(views: Rows, delta: float = 1e-4) -> Float64[Tensor, ""]:
    """LiDAR of ``views``, n items in q views of d dimensions each (`torch.stack([audio, text], dim=1)`).

    Raises ValueError for fewer than 2 items or views, n (q - 1) < d, values that are not finite, views that do not
    differ and items that do not.

    >>> item = torch.eye(4).repeat(8, 1)[:, None]
    >>> noise = torch.randn(32, 2, 4, generator=torch.Generator().manual_seed(0))
    >>> round(lidar(item + 1e-3 * noise).item(), 1)
    2.9
    """
    views = checked(views, who="lidar", axes="n q d", rows="views")
    n, q, d = views.shape
    if delta < 0:
        raise ValueError(f"lidar: delta must be 0 or more, got {delta}.")
    if n < 2 or q < 2 or n * (q - 1) < d:
        raise ValueError(
            f"lidar: undefined: needs at least 2 items and 2 views, and n (q - 1) >= d; got n={n}, q={q}, d={d}. "
            f"Give more items."
        )
    spread = _spread(views, who="lidar")
    scatter = _covariance(spread.within)
    scatter.diagonal().add_(delta * scatter.diagonal().mean())
    return _effective_rank(spread.between, scatter, who="lidar")


def shrunk_lidar(views: Rows) -> Float64[Tensor, ""]:
    """LiDAR of ``views`` with the covariance of views shrunk, for fewer items than dimensions as well.

    Raises ValueError for fewer than 2 items or views, values that are not finite, views that do not differ and items
    that do not.

    >>> views = torch.randn(8, 2, 20, generator=torch.Generator().manual_seed(0))
    >>> 1 < shrunk_lidar(views).item() < 7
    True
    """
    views = checked(views, who="shrunk_lidar", axes="n q d", rows="views")
    if len(views) < 2 or views.shape[1] < 2:
        raise ValueError(
            f"shrunk_lidar: undefined: needs at least 2 items and 2 views, got n={len(views)}, q={views.shape[1]}."
        )
    spread = _spread(views, who="shrunk_lidar")
    scatter = _covariance(spread.within)
    level = scatter.diagonal().mean()
    # |S_i|^2 of d x d from the q x q products of the item's views.
    products = spread.within @ spread.within.transpose(1, 2) / (views.shape[1] - 1)
    noise = (products.square().sum() / len(views) - scatter.square().sum()) / len(views)
    signal = scatter.square().sum() - len(scatter) * level.square()
    share = float((noise / signal).clamp(0, 1)) if signal > 0 else 1.0
    scatter *= 1 - share
    scatter.diagonal().add_(share * level)
    return _effective_rank(spread.between, scatter, who="shrunk_lidar")


class LiDAR(PairedProbe):
    """LiDAR of matched clips and captions, each in one pair."""

    def __init__(self, delta: float = 1e-4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.delta = delta

    def measure_pairs(self, pairs: Pairs) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        views = self.matched(pairs.one_to_one, least=2)
        return lidar(torch.stack(views, dim=1), delta=self.delta)


class ShrunkLiDAR(PairedProbe):
    """LiDAR of matched clips and captions with shrinkage: for fewer pairs than dimensions as well."""

    def measure_pairs(self, pairs: Pairs) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return shrunk_lidar(torch.stack(self.matched(pairs.one_to_one, least=2), dim=1))


class Spread(NamedTuple):
    """Views about the mean of their item, and these means about theirs."""

    within: Float64[Tensor, "n q d"]
    between: Float64[Tensor, "n d"]


def _spread(views: Float64[Tensor, "n q d"], *, who: str) -> Spread:
    means = views.mean(dim=1)
    spread = Spread(within=views - means[:, None], between=means - means.mean(dim=0))
    for what, rows in (("views of one item", spread.within), ("items", spread.between)):
        if rows.norm() <= len(views) * torch.finfo(views.dtype).eps * views.norm():
            raise ValueError(f"{who}: undefined: the {what} do not differ.")
    return spread


def _covariance(within: Float64[Tensor, "n q d"]) -> Float64[Tensor, "d d"]:
    n, q, d = within.shape
    rows = within.reshape(-1, d)
    return rows.T @ rows / (n * (q - 1))


def _effective_rank(
    between: Float64[Tensor, "n d"], scatter: Float64[Tensor, "d d"], *, who: str
) -> Float64[Tensor, ""]:
    energy, directions = torch.linalg.eigh(scatter.cpu())
    if energy[0] <= 0:
        raise ValueError(f"{who}: undefined: views differ in fewer than d directions. Raise delta.")
    share = torch.linalg.svdvals(between.cpu() @ (directions / energy.sqrt())).square()
    return torch.special.entr(share / share.sum()).sum().exp()
