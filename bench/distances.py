"""Speed of the distances of clouds, measured: `python bench/distances.py`, on one thread with OMP_NUM_THREADS=1.

The Fréchet distance from moments against the root of a product by scipy; few rows against the same; the kernel distance
of 10,000 against 10,000 rows in float64 blocks against whole matrices in float32, as kadtk computes it; moments of 10^6
rows streamed. Two ways run in turns; a ratio is one of medians.
"""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from scipy.linalg import sqrtm

from clapbench.metrics.frechet import frechet_distance, frechet_of_moments, gaussian
from clapbench.metrics.kernel import kernel_distance

ROUNDS = 3


def in_turns(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of both, after one round to warm up."""
    found = []
    for _ in range(ROUNDS + 1):
        times = []
        for work in (ours, theirs):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        found.append(times)
    first, second = zip(*found[1:], strict=True)
    return statistics.median(first), statistics.median(second)


def by_root(x: np.ndarray, y: np.ndarray) -> float:
    """The distance as its formula stands, from covariances."""
    one, other = np.cov(x.T), np.cov(y.T)
    root = sqrtm(one @ other)
    return float(
        ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(one) + np.trace(other) - 2 * np.trace(root).real
    )


def whole_matrices(x: torch.Tensor, y: torch.Tensor, width: float) -> float:
    """100 MMD^2 of whole kernel matrices in float32."""
    n, m = len(x), len(y)
    kernels = [torch.exp(-(torch.cdist(a, b) ** 2) / (2 * width**2)) for a, b in ((x, x), (y, y), (x, y))]
    within = [(k.sum() - k.trace()) / size / (size - 1) for k, size in zip(kernels, (n, m), strict=False)]
    return float(100 * (within[0] + within[1] - 2 * kernels[2].mean()))


def main() -> None:
    """Prints the table."""
    table = Table("work", "ours, s", "theirs, s", "ratio", box=box.SIMPLE)
    rng = np.random.default_rng(0)

    def add(work: str, times: tuple[float, float]) -> None:
        table.add_row(work, f"{times[0]:.3f}", f"{times[1]:.3f}", f"{times[0] / times[1]:.3f}")

    for d in (512, 1024, 2048):
        x, y = rng.standard_normal((2, 2 * d + 200, d))
        one, other = gaussian(x), gaussian(y)
        left, right = one.scatter / (one.n - 1), other.scatter / (other.n - 1)
        add(
            f"Frechet from moments, D = {d}",
            in_turns(lambda a=one, b=other: frechet_of_moments(a, b), lambda a=left, b=right: sqrtm(a @ b)),
        )
    few = rng.standard_normal((2, 200, 1024))
    add("Frechet, 200 rows of D = 1024", in_turns(lambda: frechet_distance(*few), lambda: by_root(*few)))
    x, y = rng.standard_normal((2, 10_000, 512))
    small = [torch.from_numpy(rows).float() for rows in (x, y)]
    width = 32.0
    add(
        "kernel, 10,000 x 512, bandwidth given",
        in_turns(lambda: kernel_distance(x, y, bandwidth=width), lambda: whole_matrices(*small, width)),
    )
    start, total = time.perf_counter(), gaussian(rng.standard_normal((8192, 512)))
    for _ in range(122):
        total = total.merged(gaussian(rng.standard_normal((8192, 512))))
    seconds = time.perf_counter() - start
    Console(width=100).print(table)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"moments of {total.n:,} x 512 in parts, their drawing included: {seconds:.0f} s; peak of all {peak:.1f} GiB"
    )


if __name__ == "__main__":
    main()
