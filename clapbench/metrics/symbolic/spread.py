r"""How far the pieces of a set lie from each other, how far from those of another set, and how alike the two are.

Distances are Euclidean, of a descriptor, between all pairs of pieces: within a set (each pair once) and across two.
Both samples become densities, Gaussian kernels of Scott's bandwidth $h = s N^{-1/5}$. On one grid for both,

$\mathrm{OA} = \int \min(p, q)$ (overlapped area, 0 to 1) and $\mathrm{KL} = \int p \ln (p / q)$ (nats, from 0)

compare p, within the reference, with q, across. Where all distances of one sample are equal there is no density: the
two are undefined, unless both samples are the same point, which has OA 1 and KL 0.

Source: Yang and Lerch 2020 (On the evaluation of generative models in music). Their code reads p and q on two
different grids for KL; here it is one, fine enough for both, and logarithms of densities keep KL finite. They count
each pair of a set twice, which makes their bandwidth .87 of ours. More than `MOST` distances go into as many bins of
equal width, each with a kernel at the mean of what is in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from clapbench.metrics.symbolic.undefined import Undefined

MOST = 500  # kernels of a density
PIECES = 2_000  # of a set that are compared pair by pair
REACH = 8  # bandwidths that the grid goes beyond the sample: all of a normal law but 1e-15
FINE = 32  # points of the grid a bandwidth: areas to 1e-5
POINTS = 8_192  # of the grid for one sample, at most
BLOCK = 512  # points whose densities are found at once
ROUNDING = 1e-9  # a spread below this share of the largest value is rounding

Distances = Float64[np.ndarray, " _"]  # of pairs


class Spread(NamedTuple):
    """Mean and standard deviation of ``n`` distances."""

    n: int
    mean: float
    sd: float


class Overlap(NamedTuple):
    """Overlapped area (0 to 1) and divergence (nats) of two samples of distances; `Undefined` where they are."""

    area: float
    kl: float


def within(x: Float64[np.ndarray, "n d"]) -> Distances:
    """Distances of all pairs of rows, each pair once. Of more than `PIECES` rows, as many evenly spaced ones."""
    from scipy.spatial.distance import pdist

    return pdist(_thinned(x))


def across(x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "m d"]) -> Distances:
    """Distances of all rows of one set from all of the other; thinned as in `within`."""
    from scipy.spatial.distance import cdist

    return cdist(_thinned(x), _thinned(y)).ravel()


def _thinned(x: np.ndarray) -> np.ndarray:
    return x if len(x) <= PIECES else x[np.linspace(0, len(x) - 1, PIECES).round().astype(int)]


def spread(distances: Distances, *, what: str) -> Spread:
    """Mean and standard deviation (of n - 1) of distances; ``what`` they are, in reasons."""
    n = len(distances)
    mean = float(distances.mean()) if n else Undefined(f"there is no pair {what}")
    sd = float(distances.std(ddof=1)) if n > 1 else Undefined(f"there are fewer than two pairs {what}")
    return Spread(n, mean, sd)


def overlap(p: Distances, q: Distances, *, scale: float = 0.0) -> Overlap:
    """How alike two samples of distances are: ``p`` within the reference, ``q`` across.

    ``scale`` is the largest of the values that they lie between: what differs by rounding of it alone is equal.

    >>> found = overlap(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0]))
    >>> round(found.area, 6), found.kl
    (1.0, 0.0)
    """
    for name, sample in (("within the reference", p), ("across the sets", q)):
        if len(sample) < 2:
            return _neither(f"there are fewer than two pairs {name}")
    least = ROUNDING * max(scale, float(p.max()), float(q.max()))
    if np.ptp(np.concatenate([p, q])) <= least:
        return Overlap(1.0, 0.0)
    for name, sample in (("within the reference", p), ("across the sets", q)):
        if np.ptp(sample) <= least:
            shown = 0 if sample[0] <= least else sample[0]
            return _neither(f"every distance {name} is {shown:.4g}, which has no density")
    one, other = _Density(p), _Density(q)
    grid = np.unique(np.concatenate([one.grid(), other.grid()]))
    log_p, log_q = one.log(grid), other.log(grid)
    area = _integral(np.exp(np.minimum(log_p, log_q)), grid)
    kl = _integral(np.exp(log_p) * (log_p - log_q), grid)
    return Overlap(min(1.0, area), max(0.0, kl))


def _integral(y: Float64[np.ndarray, " points"], x: Float64[np.ndarray, " points"]) -> float:
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum())


def _neither(reason: str) -> Overlap:
    return Overlap(Undefined(reason), Undefined(reason))


class _Density:
    """Gaussian kernels over a sample, which is not all one number."""

    def __init__(self, sample: Distances) -> None:
        self.bandwidth = float(sample.std(ddof=1)) * len(sample) ** -0.2
        centres, weights = np.sort(sample), np.ones(len(sample))
        if len(sample) > MOST:
            low, high = centres[0], centres[-1]
            place = np.minimum(((centres - low) / (high - low) * MOST).astype(np.int64), MOST - 1)
            weights = np.bincount(place).astype(np.float64)
            centres = np.bincount(place, weights=centres)[weights > 0] / weights[weights > 0]
            weights = weights[weights > 0]
        self.centres, self.weights = centres, weights

    def grid(self) -> Float64[np.ndarray, " points"]:
        low, high = self.centres[0] - REACH * self.bandwidth, self.centres[-1] + REACH * self.bandwidth
        return np.linspace(low, high, min(POINTS, int(FINE * (high - low) / self.bandwidth) + 2))

    def log(self, grid: Float64[np.ndarray, " points"]) -> Float64[np.ndarray, " points"]:
        """The logarithm of the density at each point: the nearest kernel's, and the sum of all as shares of that."""
        at = np.searchsorted(self.centres, grid).clip(1, len(self.centres) - 1)
        near = (
            np.minimum(np.abs(grid - self.centres[at - 1]), np.abs(grid - self.centres[at])) / self.bandwidth
        )
        sums = np.empty(len(grid))
        for block in (slice(start, start + BLOCK) for start in range(0, len(grid), BLOCK)):
            far = (grid[block, None] - self.centres) / self.bandwidth
            sums[block] = np.exp((near[block, None] ** 2 - far**2) / 2) @ self.weights
        return np.log(sums) - near**2 / 2 - np.log(self.weights.sum() * self.bandwidth * np.sqrt(2 * np.pi))
