r"""Kernel distances of two clouds: the squared maximum mean discrepancy, without bias.

$\mathrm{MMD}^2 = \frac{1}{n(n-1)} \sum_{i \ne j} k(x_i, x_j) + \frac{1}{m(m-1)} \sum_{i \ne j} k(y_i, y_j) -
\frac{2}{nm} \sum_{i,j} k(x_i, y_j)$.

Without bias it may lie below 0, for clouds that are no further apart than two samples of one: the sign is kept. No
cloud is taken for normal, and the number does not grow for fewer rows.

The bandwidth of KAD is the median distance of the reference alone, so that all systems are measured with one kernel.
Everything is summed in squares of `clouds.BLOCK` rows; the median's distances are a block against all others.

Sources: Gretton et al. 2012, eq. 3 (the estimate); Chung et al. 2025 (KAD, times 100); Binkowski et al. 2018 (KID).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float64

from clapbench.metrics.clouds import Given, Rows, blocks, cloud, clouds, squared_distances
from clapbench.statistics.proportions import Interval
from clapbench.statistics.subsampling import of_draws

WHO = "kernel distance"
SCALE = 100.0  # KAD is told in hundredths
BINS = 2**16  # of the search for a median
KEPT = 2**22  # distances that are sorted at once

Kernel = Callable[[Rows, Rows], Float64[np.ndarray, "n m"]]


def kernel_distance(
    reference: Given,
    generated: Given,
    *,
    bandwidth: float | None = None,
) -> float:
    """KAD: 100 MMD^2 with k(x, y) = exp(-|x - y|^2 / (2 b^2)), b the `median_distance` of the reference unless given.

    ValueError for fewer than 2 rows, unlike dimensions, and a bandwidth that is not above 0.

    >>> rows = np.random.default_rng(0).standard_normal((60, 3))
    >>> near, far = (kernel_distance(rows[:30], rows[30:] + shift) for shift in (0, 2))
    >>> abs(near) < 2 < 20 < far
    True
    """
    one, other = clouds(reference, generated, who=WHO)
    return SCALE * mmd2(one, other, gaussian_kernel(_width(one, bandwidth)))


def kernel_interval(
    reference: Given,
    generated: Given,
    *,
    bandwidth: float | None = None,
    draws: int = 20,
    seed: int = 0,
) -> Interval:
    """A 95 % interval of `kernel_distance`, from draws of half of the rows of each side without replacement.

    As `frechet.frechet_interval`; all at one bandwidth. The distance has no bias, so it is that of the systems.
    """
    one, other = clouds(reference, generated, who=WHO, least=4)
    kernel, rng = gaussian_kernel(_width(one, bandwidth)), np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        x, y = (rows[rng.permutation(len(rows))[: len(rows) // 2]] for rows in (one, other))
        found.append(SCALE * mmd2(x, y, kernel))
    return of_draws(np.array(found), part=0.5, whole=SCALE * mmd2(one, other, kernel)).ci95


def gaussian_kernel(bandwidth: float) -> Kernel:
    """k(x, y) = exp(-|x - y|^2 / (2 b^2)) of rows against rows."""

    def kernel(x: Rows, y: Rows) -> Float64[np.ndarray, "n m"]:
        a, b = x / bandwidth, y / bandwidth
        found = a @ b.T
        found -= np.einsum("nd,nd->n", a, a)[:, None] / 2
        found -= np.einsum("md,md->m", b, b) / 2
        return torch.from_numpy(found).clamp_(max=0).exp_().numpy()  # torch's exp is the quicker one

    return kernel


def _width(reference: Rows, given: float | None) -> float:
    width = median_distance(reference) if given is None else float(given)
    if not 0 < width < np.inf:
        raise ValueError(
            f"{WHO}: needed a bandwidth above 0, got {width:g}. Where half of the reference's rows are equal, give one."
        )
    return width


def kid(
    reference: Given,
    generated: Given,
) -> float:
    """KID: MMD^2 with k(x, y) = (x.y / d + 1)^3, over all rows; each sum over its own number of pairs."""
    one, other = clouds(reference, generated, who=WHO)
    return mmd2(one, other, lambda x, y: (x @ y.T / x.shape[1] + 1) ** 3)


def mmd2(x: Rows, y: Rows, kernel: Kernel) -> float:
    """The unbiased estimate of the squared discrepancy."""
    across = sum(float(kernel(x[one], y[other]).sum()) for one in blocks(len(x)) for other in blocks(len(y)))
    return _within(x, kernel) + _within(y, kernel) - 2 * across / (len(x) * len(y))


def _within(x: Rows, kernel: Kernel) -> float:
    """The mean over pairs of different rows; each block against those behind it counts twice."""
    total = 0.0
    for part in blocks(len(x)):
        own = kernel(x[part], x[part])
        total += float(own.sum() - np.trace(own))
        for place in blocks(len(x) - part.stop):
            total += 2 * float(kernel(x[part], x[part.stop :][place]).sum())
    return total / (len(x) * (len(x) - 1))


def median_distance(rows: Given) -> float:
    """The median Euclidean distance of pairs of different rows; of an even number of pairs, the mean of the middle two.

    Exact in bounded memory: pairs are counted in `BINS` parts of a span that holds the middle, until those in it are
    few enough to be sorted.

    >>> median_distance(np.array([[0.0], [1.0], [3.0]])), median_distance(np.array([[0.0], [1.0], [3.0], [7.0]]))
    (2.0, 3.5)
    """
    x = cloud(rows, who=WHO, side="reference")
    pairs = len(x) * (len(x) - 1) // 2
    middle = sorted({(pairs - 1) // 2, pairs // 2})
    low, high, below, inside = 0.0, max(float(part.max()) for part in _pairs(x)), 0, pairs  # of squares
    while inside > KEPT and low < high:
        counts = np.zeros(BINS, dtype=np.int64)
        for part in _pairs(x):
            counts += np.bincount(_bin(part[(part >= low) & (part <= high)], low, high), minlength=BINS)
        upto = below + np.cumsum(counts)
        first, last = (int(np.searchsorted(upto, rank, side="right")) for rank in (middle[0], middle[-1]))
        below, inside = int(upto[first] - counts[first]), int(counts[first : last + 1].sum())
        span = _span(x, low, high, first, last)
        if span == (low, high):
            break
        low, high = span
    if low == high:
        return float(np.sqrt(low))
    held = np.sort(np.concatenate([part[(part >= low) & (part <= high)] for part in _pairs(x)]))
    return float(np.mean(np.sqrt(held[[rank - below for rank in middle]])))


def _bin(values: Float64[np.ndarray, " k"], low: float, high: float) -> np.ndarray:
    return np.minimum(((values - low) * (BINS / (high - low))).astype(np.int64), BINS - 1)


def _span(x: Rows, low: float, high: float, first: int, last: int) -> tuple[float, float]:
    """The smallest and the largest value that falls into these bins, so that the next round holds just them."""
    ends = [np.inf, -np.inf]
    for part in _pairs(x):
        kept = part[(part >= low) & (part <= high)]
        places = _bin(kept, low, high)
        own = kept[(places >= first) & (places <= last)]
        if len(own):
            ends = [min(ends[0], float(own.min())), max(ends[1], float(own.max()))]
    return ends[0], ends[1]


def _pairs(x: Rows) -> Iterator[Float64[np.ndarray, " k"]]:
    """Squared distances of all pairs of different rows, each once, in parts."""
    for part in blocks(len(x)):
        found = squared_distances(x[part], x[part.start :])
        yield found[np.arange(found.shape[1]) > np.arange(len(found))[:, None]]
