r"""How far the pieces of a set lie from each other, how far from those of another set, and how alike the two are.

Distances are Euclidean, of a descriptor, between all pairs of pieces: within a set (each pair once) and across two.
Both samples become densities, Gaussian kernels of Scott's bandwidth $h = s N^{-1/5}$. On one grid for both,

$\mathrm{OA} = \int \min(p, q)$ (overlapped area, 0 to 1) and $\mathrm{KL} = \int p \ln (p / q)$ (nats, from 0)

compare p, within the reference, with q, across. Where all distances of one sample are equal there is no density: the
two are undefined, unless both samples are the same point, which has OA 1 and KL 0.

Source: Yang and Lerch 2020 (On the evaluation of generative models in music). Their code reads p and q on two
different grids for KL; here it is one, fine enough for both, and logarithms of densities keep KL finite. They count
each pair of a set twice, which makes their bandwidth .87 of ours. A sample of more than `MOST` distances goes into the
density as that many of its quantiles.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from clapbench.metrics.symbolic.undefined import Undefined

MOST = 1_000  # distances that a density is made of
PIECES = 2_000  # of a set that are compared pair by pair
REACH = 8  # bandwidths that the grid goes beyond the sample: all of a normal law but 1e-15
FINE = 4  # points of the grid a bandwidth
POINTS = 4_096  # of the grid for one sample, at most
BLOCK = 512  # points whose densities are found at once
ROUNDING = 1e-9  # a spread below this share of the largest value is rounding

Distances = Float64[np.ndarray, " pairs"]


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
        middles = (np.arange(MOST) + 0.5) / MOST
        self.centres = np.sort(sample) if len(sample) <= MOST else np.quantile(sample, middles)

    def grid(self) -> Float64[np.ndarray, " points"]:
        low, high = self.centres[0] - REACH * self.bandwidth, self.centres[-1] + REACH * self.bandwidth
        return np.linspace(low, high, min(POINTS, int(FINE * (high - low) / self.bandwidth) + 2))

    def log(self, grid: Float64[np.ndarray, " points"]) -> Float64[np.ndarray, " points"]:
        """The logarithm of the density at each point."""
        from scipy.special import logsumexp

        blocks = [grid[at : at + BLOCK] for at in range(0, len(grid), BLOCK)]
        sums = [
            logsumexp(-0.5 * ((own[:, None] - self.centres) / self.bandwidth) ** 2, axis=1) for own in blocks
        ]
        return np.concatenate(sums) - np.log(len(self.centres) * self.bandwidth * np.sqrt(2 * np.pi))
