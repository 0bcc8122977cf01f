r"""LiDAR: in how many directions items differ by more than the views of one item do.

The views of item i are its clip and its caption, their mean is $m_i$. With $B$ the covariance of the $m_i$, $W$ the
mean covariance of views about their $m_i$ plus $\delta I$, and $\lambda$ the eigenvalues of $W^{-1/2} B W^{-1/2}$,
it is the effective rank $\exp(-\sum_i p_i \ln p_i)$ of $p = \lambda / \sum_i \lambda_i$: 1 to min(n - 1, d).

Source: Thilak et al. 2024 (LiDAR); there views are augmentations of an image, and an epsilon is added to p,
which is left out here. $\delta$ is $10^{-4}$ of the mean eigenvalue of $W$ in place of $10^{-4}$, so that the scale of
the rows does not matter. With n (q - 1) < d, for q views, $W$ has directions of $\delta$ alone, which would decide
the number: refused. The number still grows with n; compare at equal n.
"""

from __future__ import annotations

from typing import Any

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
    means = views.mean(dim=1)
    within = (views - means[:, None]).reshape(-1, d)
    between = means - means.mean(dim=0)
    for what, spread in (("views of one item", within), ("items", between)):
        if spread.norm() <= n * torch.finfo(views.dtype).eps * views.norm():
            raise ValueError(f"lidar: undefined: the {what} do not differ.")
    scatter = within.T @ within / (n * (q - 1))
    scatter.diagonal().add_(delta * scatter.diagonal().mean())
    energy, directions = torch.linalg.eigh(scatter.cpu())
    if energy[0] <= 0:
        raise ValueError("lidar: undefined: views differ in fewer than d directions. Raise delta.")
    share = torch.linalg.svdvals(between.cpu() @ (directions / energy.sqrt())).square()
    return torch.special.entr(share / share.sum()).sum().exp()


class LiDAR(PairedProbe):
    """LiDAR of matched clips and captions, each in one pair."""

    def __init__(self, delta: float = 1e-4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.delta = delta

    def measure_pairs(self, pairs: Pairs) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        views = self.matched(pairs.one_to_one, least=2)
        return lidar(torch.stack(views, dim=1), delta=self.delta)
