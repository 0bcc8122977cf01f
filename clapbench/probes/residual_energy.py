r"""Residual energy: the share of a cloud's energy that its first k directions leave out.

For singular values $s_1 \ge s_2 \ge \dots$ of $X \in \mathbb{R}^{n \times d}$ it is
$\sum_{i>k} s_i^2 / \sum_i s_i^2$, between 0 and $1 - k / \min(n, d)$. The rows are not centred unless asked for, so for
embeddings in a narrow cone k = 1 takes away the cone's axis.

Source: Eckart and Young 1936: the squared relative error of the best approximation of X of rank k. Taking it for a
probe is the study's own; there is no paper that defines it as one.
"""

from __future__ import annotations

from typing import Any, ClassVar

from jaxtyping import Float64
from torch import Tensor

from clapbench.probes.base import Choices, SideProbe, StreamedProbe
from clapbench.probes.moments import Moments, about_mean, moments, shared_singular_values, singular_values
from clapbench.rows import Rows, checked

SMALL = 1e-5  # a share below is rounding of the largest energies, as far as a Gram matrix knows


def residual_energy(x: Rows, k: int = 10, *, center: bool = False) -> Float64[Tensor, ""]:
    """Share of the energy of ``x`` outside its first ``k`` singular directions, a 0-d float64 tensor.

    ``x`` is n x d, in any of the forms of `Rows`; with ``center`` its rows less their mean.

    ``k`` is 0 or more. More than ``k`` rows are needed: fewer have no residual whatever they are. Where ``k``
    reaches d no direction is left, and the answer is 0.

    Raises ValueError for k < 0, n <= k, a value that is not finite, and rows that are all zero (with
    ``center``: equal); TypeError for what holds no rows.

    >>> import torch
    >>> round(residual_energy(torch.eye(4), k=1).item(), 6)
    0.75
    """
    _refuse_negative(k, who="residual_energy")
    cloud = moments(checked(x, who="residual_energy"))
    if center:
        cloud = about_mean(cloud, who="residual_energy")
    return _share_beyond(singular_values(cloud.rows, who="residual_energy"), cloud, k=k)


class ResidualEnergy(SideProbe, StreamedProbe):
    """Residual energy of one side outside its first ``k`` directions; with ``center`` of its rows less their mean."""

    choices: ClassVar[Choices] = {"k": (1, 2, 5, 10, 20), "center": (False, True)}

    def __init__(self, side: str | None = None, k: int = 10, *, center: bool = False, **kwargs: Any) -> None:
        super().__init__(side, **kwargs)
        _refuse_negative(k, who="ResidualEnergy")
        self.k = k
        self.center = center

    def measure(self) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        cloud = self.moments(self.side)
        if self.center:
            cloud = about_mean(cloud, who="residual_energy")
        return _share_beyond(shared_singular_values(cloud.rows, who="residual_energy"), cloud, k=self.k)


def _share_beyond(s: Float64[Tensor, " m"], cloud: Moments, *, k: int) -> Float64[Tensor, ""]:
    """``s`` are the singular values of ``cloud``, all computed again where the small ones alone count."""
    if cloud.n <= k:
        raise ValueError(f"residual_energy: k={k} needs at least {k + 1} rows, got {cloud.n}.")
    energy = s.square()
    if energy[k:].sum() < SMALL * energy.sum():
        energy = singular_values(cloud.rows, who="residual_energy", every_one=True).square()
    return energy[k:].sum() / energy.sum()


def _refuse_negative(k: int, *, who: str) -> None:
    if k < 0:
        raise ValueError(f"{who}: k must be 0 or more, got {k}.")
