"""Speed, measured: `make bench`. Two ways of doing one thing run in turns; a ratio is one of medians of CPU-bound runs.

The probes stand against numpy and scipy, encoding against laion-clap (see encode).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import encode
import numpy as np
import probes
import torch
from rich import box
from rich.console import Console
from rich.table import Table
from scipy.spatial import cKDTree

from clapbench.encoders.mini import MiniClap
from clapbench.probes.rankme import effective_rank
from clapbench.probes.two_nn import two_nn_dimension

ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of both, after one round to warm up."""
    rounds = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS + 1)][1:]
    return statistics.median(a for a, _ in rounds), statistics.median(b for _, b in rounds)


def numpy_rank(x: np.ndarray) -> float:
    s = np.linalg.svd(x, compute_uv=False)
    p = s / s.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def tree_two_nn(x: np.ndarray) -> float:
    distance = cKDTree(x).query(x, k=3)[0]
    mu = np.sort(distance[:, 2] / distance[:, 1])
    kept = int(0.9 * len(mu))
    a, b = np.log(mu[:kept]), -np.log(1 - np.arange(1, kept + 1) / len(mu))
    return float(a @ b / (a @ a))


def main() -> None:
    rng = np.random.default_rng(0)
    cloud = rng.standard_normal((800, 512)) * np.arange(1, 513) ** -0.5
    rows = torch.from_numpy(cloud)
    np.testing.assert_allclose(float(effective_rank(rows)), numpy_rank(cloud), rtol=1e-9)
    np.testing.assert_allclose(float(two_nn_dimension(rows)), tree_two_nn(cloud), rtol=1e-9)

    table = Table(title=f"800 x 512 rows, medians of {ROUNDS} runs in turns", box=box.SIMPLE_HEAD)
    for head in ("probe", "clapbench s", "against", "its s", "ratio"):
        table.add_column(head, justify="left" if head in ("probe", "against") else "right")
    for name, ours, against, theirs in (
        ("RankMe", lambda: effective_rank(rows), "numpy svd", lambda: numpy_rank(cloud)),
        ("Two-NN", lambda: two_nn_dimension(rows), "scipy cKDTree", lambda: tree_two_nn(cloud)),
    ):
        a, b = in_turns(ours, theirs)
        table.add_row(name, f"{a:.3f}", against, f"{b:.3f}", f"{a / b:.2f}")
    console = Console()
    console.print(table)

    encoder = MiniClap(name="mini", pretrained=False).eval()
    clips = [torch.randn(16_000 * 4) * 0.1 for _ in range(64)]
    with torch.inference_mode():
        a, b = in_turns(lambda: encoder.embed_audio(clips), lambda: encoder.embed_text(["rain falling"] * 64))
    console.print(
        f"mini on {torch.get_num_threads()} threads: {64 / a:.0f} clips/s (4 s each), {64 / b:.0f} captions/s"
    )
    probes.main()
    encode.main()


if __name__ == "__main__":
    main()
