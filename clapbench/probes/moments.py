"""Second moments of a cloud, its Gram matrix and singular values, in float64 and without losing the small ones."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

SIDES = ("audio", "text")


CHUNK = 8192  # rows folded at once
SHARED = 2**22  # values of a cloud that is kept with its singular values: 32 MiB
MAX_CONDITION = 1e7  # of a Gram matrix that stands for its rows: more loses what is below 1e-9
MAX_LOSS = 1e-10  # share of the sum of singular values that a Gram matrix may lose
SQUARES = (1e-200, 1e200)  # outside, a Gram matrix leaves the range of float64


class Moments(NamedTuple):
    r"""Weighted rows that stand for a cloud $X$: few rows $W$, weights $w$, with its count, sum and second moment.

    $n = w \cdot w$, $\sum_i x_i = w^\top W$ and $X^\top X = W^\top W$, so $W$ has the singular values of $X$. The
    rows of the cloud itself have weight 1; clouds add up by stacking.
    """

    n: int
    weights: Float64[Tensor, " m"]
    rows: Float64[Tensor, "m d"]

    @property
    def mean(self) -> Float64[Tensor, " d"]:
        """The centroid of the cloud."""
        return self.weights @ self.rows / self.n

    @property
    def centred(self) -> Float64[Tensor, "m d"]:
        """Rows with the second moment of the cloud about its mean."""
        return self.rows - torch.outer(self.weights, self.mean)


def moments(x: Float64[Tensor, "n d"]) -> Moments:
    """The cloud itself, every row of weight 1."""
    return Moments(n=len(x), weights=x.new_ones(len(x)), rows=x)


def spread(cloud: Moments, *, who: str) -> Float64[Tensor, "m d"]:
    """Rows with the covariance of the cloud, up to a factor; ValueError where all are equal."""
    if cloud.n < 2:
        raise ValueError(f"{who}: needs at least 2 rows for a covariance, got {cloud.n}.")
    scale = cloud.rows.abs().max()  # so that squares stay in the range of float64
    centred = cloud.centred / scale
    if not scale or centred.norm() <= rounding(cloud) * (cloud.rows / scale).norm():
        raise ValueError(f"{who}: all {cloud.n} rows are equal, so they have no covariance.")
    return centred


def rounding(cloud: Moments) -> float:
    """What singular values lose, against the largest."""
    return max(cloud.n, cloud.rows.shape[1]) * torch.finfo(torch.float64).eps


def about_mean(cloud: Moments, *, who: str) -> Moments:
    """The cloud moved so that its mean is 0; ValueError where all rows are equal, which leaves rounding alone."""
    spread(cloud, who=who)
    return cloud._replace(rows=cloud.centred)


def singular_values(x: Float64[Tensor, "n d"], *, who: str, every_one: bool = False) -> Float64[Tensor, " m"]:
    """All min(n, d) singular values of ``x``, the largest first, on the CPU.

    From the smaller Gram matrix, several times faster than from ``x``, where that loses no more than 1e-10 of their
    sum; then the smallest ones may be wrong. Otherwise, and where ``every_one`` must be right, from ``x`` itself.
    """
    if not x.any():
        raise ValueError(f"{who}: all {len(x)} rows are zero. Look at what was embedded.")
    if not every_one:
        square = gram(x.T if len(x) < x.shape[1] else x).cpu()
        if SQUARES[0] < square.trace() < SQUARES[1]:
            energy = torch.from_numpy(np.linalg.eigvalsh(square.numpy())).flip(0)
            s = energy.clamp(min=0).sqrt()
            loss = torch.finfo(s.dtype).eps * energy[0] * s.reciprocal().sum()
            if loss <= MAX_LOSS * s.sum():
                return s
    x = x.cpu()
    return torch.linalg.svdvals(by_rotations(x) if len(x) > CHUNK else x)


_spectra: deque[tuple[Tensor, bool, Tensor]] = deque(maxlen=2 * len(SIDES))


def shared_singular_values(
    x: Float64[Tensor, "n d"], *, who: str, every_one: bool = False
) -> Float64[Tensor, " m"]:
    """`singular_values`, computed once for the probes that ask for those of the same rows in turn.

    For rows that nobody changes afterwards, as a probe's own.
    """
    for rows, whole, s in _spectra:
        if whole == every_one and rows.shape == x.shape and rows.device == x.device and rows.equal(x):
            return s
    s = singular_values(x, who=who, every_one=every_one)
    if x.numel() <= SHARED:
        _spectra.append((x, every_one, s))
    return s


def triangle(folded: Float64[Tensor, "m e"], rows: Float64[Tensor, "n d"]) -> Float64[Tensor, "k e"]:
    """At most d + 1 rows with the Gram matrix of ``folded`` and, each behind its weight 1, ``rows``; upper triangular.

    By Cholesky's root of the Gram matrix of its columns at unit length, if that is well conditioned: then every
    singular value keeps nine digits. Else by rotations (QR), which are three times slower and do not square.
    """
    if len(folded) + len(rows) > folded.shape[1]:
        square = gram(folded)
        square[1:, 1:] += gram(rows)
        total = rows.sum(dim=0)
        square[0, 1:] += total
        square[1:, 0] += total
        square[0, 0] += len(rows)
        length = square.diagonal().sqrt()
        unit = square / length.outer(length)
        root, fault = torch.linalg.cholesky_ex(unit, upper=True)
        if not fault:
            one = torch.eye(len(root), dtype=root.dtype, device=root.device)
            inverse = torch.linalg.solve_triangular(root, one, upper=True)
            if unit.norm() * inverse.square().sum() <= MAX_CONDITION:
                return root * length
    return by_rotations(stacked(folded, rows))


def gram(x: Float64[Tensor, "n d"]) -> Float64[Tensor, "d d"]:
    """``x.T @ x``, of which numpy computes one half."""
    return matrix_product(x.T, x)


def matrix_product(a: Float[Tensor, "n d"], b: Float[Tensor, "d m"]) -> Float[Tensor, "n m"]:
    """``a @ b``; on the CPU by numpy, which takes half the time where torch's library does not know the processor."""
    if a.device.type != "cpu":
        return a @ b
    return torch.from_numpy(a.numpy() @ b.numpy())


def by_rotations(x: Float64[Tensor, "n d"]) -> Float64[Tensor, "m d"]:
    """The triangular factor R of ``x`` (QR), chunk by chunk: few rows with the same Gram matrix."""
    r = x[:0]
    for piece in x.split(CHUNK):
        r = torch.linalg.qr(torch.cat([r, piece]), mode="r").R
    return r


def stacked(folded: Float64[Tensor, "m e"], rows: Float64[Tensor, "n d"]) -> Float64[Tensor, "m+n e"]:
    """``rows``, each behind its weight 1, under those ``folded`` before."""
    stacked = rows.new_ones(len(folded) + len(rows), rows.shape[1] + 1)
    stacked[: len(folded)] = folded
    stacked[len(folded) :, 1:] = rows
    return stacked
