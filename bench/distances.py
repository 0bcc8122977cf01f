"""Speed of distances of sets, measured: `python bench/distances.py [ROUNDS]`, on one thread where OMP_NUM_THREADS=1.

Fréchet distance from moments against scipy's square root of a matrix; KAD against the same in float32 on whole
matrices, by torch; moments of a million rows that come in batches. Two ways run in turns; medians of seconds of the
processor.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from functools import reduce

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from scipy.linalg import sqrtm

from clapbench.metrics.frechet import Moments, frechet_from_moments, merged, moments
from clapbench.metrics.kernel import kernel_distance

ROUNDS = 3
WIDTHS = (512, 1024, 2048)
ROWS, WIDTH = 10_000, 512  # of KAD
BATCH, BATCHES = 10_000, 100


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def in_turns(rounds: int, ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of both."""
    taken = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return statistics.median(a for a, _ in taken), statistics.median(b for _, b in taken)


def by_root(a: Moments, b: Moments) -> float:
    """The formula as it is usually computed."""
    one, other = a.scatter / (a.n - 1), b.scatter / (b.n - 1)
    apart = a.mean - b.mean
    return float(apart @ apart + np.trace(one) + np.trace(other) - 2 * np.trace(sqrtm(one @ other)).real)


def whole_median(x: torch.Tensor) -> float:
    return float(torch.pdist(x).median())


def whole_matrices(x: torch.Tensor, y: torch.Tensor, bandwidth: float) -> float:
    """Unbiased MMD^2 in the precision of the rows, all pairs at once, both ways round."""

    def kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        square = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
        return torch.exp(-square / (2 * bandwidth**2))

    within = 0.0
    for own in (x, y):
        k = kernel(own, own)
        k -= torch.diag(torch.diagonal(k))
        within += float(k.sum()) / (len(own) * (len(own) - 1))
    return 100 * (within - 2 * float(kernel(x, y).mean()))


def main() -> None:
    """Prints the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    rng = np.random.default_rng(0)

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # MiB

    console = Console(width=110)
    before = peak()
    buffer = np.empty((BATCH, WIDTH))

    def batches() -> Moments:
        return reduce(merged, (moments(rng.standard_normal(out=buffer)) for _ in range(BATCHES)))

    whole = seconds(batches)
    drawing = seconds(lambda: [rng.standard_normal(out=buffer) for _ in range(BATCHES)])
    streamed = f"moments of {BATCH * BATCHES:,} x {WIDTH} rows in batches: {whole - drawing:.1f} s without drawing them"
    console.print(f"{streamed}, {peak() - before:.0f} MiB above {before:.0f}")

    table = Table(title=f"medians of {rounds} runs in turns, s of the processor", box=box.SIMPLE_HEAD)
    for head in ("what", "clapbench", "against", "its s", "ratio"):
        table.add_column(head, justify="left" if head in ("what", "against") else "right")

    def add(what: str, against: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
        a, b = in_turns(rounds, ours, theirs)
        table.add_row(what, f"{a:.3f}", against, f"{b:.3f}", f"{a / b:.2f}")

    for d in WIDTHS:
        for kind, n in (("full rank", 2 * d), ("3/4 rank", 3 * d // 4)):
            a, b = (moments(rng.standard_normal((n, d)) * scale) for scale in (1.0, 1.2))
            add(
                f"Fréchet, D = {d}, {kind}",
                "scipy sqrtm",
                lambda a=a, b=b: frechet_from_moments(a, b),
                lambda a=a, b=b: by_root(a, b),
            )
    x, y = rng.standard_normal((ROWS, WIDTH)), rng.standard_normal((ROWS, WIDTH)) + 0.05
    one, other = (torch.from_numpy(own).float() for own in (x, y))
    given = kernel_distance(x[:1000], y[:1000]).bandwidth
    assert given is not None
    before = peak()
    kernel_distance(x, y)
    ours = peak() - before
    size = f"KAD, {ROWS:,} x {WIDTH}"
    add(
        f"{size}, bandwidth given",
        "float32, whole",
        lambda: kernel_distance(x, y, bandwidth=given),
        lambda: whole_matrices(one, other, given),
    )
    add(
        size,
        "float32, whole",
        lambda: kernel_distance(x, y),
        lambda: whole_matrices(one, other, whole_median(one)),
    )
    console.print(table)
    console.print(f"KAD took {ours:.0f} MiB beside its rows, {peak() - before:.0f} MiB with whole matrices")


if __name__ == "__main__":
    main()
