"""Speed and size of the probes, measured: Two-NN and RankMe of large clouds against other libraries, the paper's set.

Each is timed in turns with its rivals, in processor seconds, so that what else the machine does counts little; peak
memory is that of a fresh process that does nothing else. A rival that is not installed is named with its command.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from rich import box
from rich.console import Console
from rich.table import Table
from torchmetrics import MetricCollection

from clapbench import config
from clapbench.probes.rankme import RankMe, effective_rank
from clapbench.probes.two_nn import two_nn_dimension

ROUNDS = 3
TWO_NN = (50_000, 512)
RANKME = (100_000, 512)
CELLS = (("LAION", 512), ("MGA", 1024), ("M2D", 768))  # widths; two benchmarks of 800 rows each
PACKAGES = {"sklearn": "scikit-learn", "skdim": "scikit-dimension", "dadapy": "dadapy"}

Cloud = np.ndarray
Way = Callable[[Cloud], float]


def cloud(n: int, d: int, seed: int = 0) -> Cloud:
    """Normal rows whose spread falls as the root of the coordinate's number."""
    return np.random.default_rng(seed).standard_normal((n, d)) * np.arange(1, d + 1) ** -0.5


def slope(mu: np.ndarray) -> float:
    mu = np.sort(mu)
    kept = int(0.9 * len(mu))
    x, y = np.log(mu[:kept]), -np.log1p(-np.arange(1, kept + 1) / len(mu))
    return float(x @ y / (x @ x))


def sklearn_two_nn(x: Cloud) -> float:
    """Brute force; the distances of what it found again from differences."""
    from sklearn.neighbors import NearestNeighbors

    near = NearestNeighbors(n_neighbors=3, algorithm="brute").fit(x).kneighbors(x, return_distance=False)
    r = np.stack([np.linalg.norm(x - x[near[:, k]], axis=1) for k in (1, 2)])
    r.sort(axis=0)
    return slope(r[1] / r[0])


def skdim_two_nn(x: Cloud) -> float:
    import skdim

    return float(skdim.id.TwoNN(discard_fraction=0.1).fit(x).dimension_)


def dadapy_two_nn(x: Cloud) -> float:
    import dadapy

    return float(dadapy.Data(x, verbose=False).compute_id_2NN(algorithm="base")[0])


def numpy_rank(x: Cloud) -> float:
    p = np.linalg.svd(x, compute_uv=False)
    p /= p.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def our_rank(x: Cloud) -> float:
    return effective_rank(torch.from_numpy(x)).item()


def streamed_rank(x: Cloud) -> float:
    """In batches of 1,000 rows."""
    probe, index = RankMe(side="text"), torch.arange(len(x))
    for rows, where in zip(torch.from_numpy(x).split(1000), index.split(1000), strict=True):
        probe.update(audio=rows[:0], text=rows, audio_index=where[:0], text_index=where)
    return probe.compute().item()


def our_two_nn(x: Cloud) -> float:
    return two_nn_dimension(torch.from_numpy(x)).item()


MEASURED: dict[str, tuple[tuple[int, int], dict[str, Way], dict[str, tuple[str | None, Way, float]]]] = {
    "Two-NN": (
        TWO_NN,
        {"at once": our_two_nn},
        {
            "scikit-learn brute force": ("sklearn", sklearn_two_nn, 0.5),
            "scikit-dimension": ("skdim", skdim_two_nn, 0.2),
            "dadapy": ("dadapy", dadapy_two_nn, float("nan")),
        },
    ),
    "RankMe": (
        RANKME,
        {"at once": our_rank, "streamed": streamed_rank},
        {"numpy svd": (None, numpy_rank, 0.3)},
    ),
}


def seconds(way: Way, x: Cloud) -> tuple[float, float]:
    """Processor seconds of all threads, and the value."""
    start = time.process_time()
    value = way(x)
    return time.process_time() - start, value


def installed(package: str | None) -> bool:
    if package is None:
        return True
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


def peak(way: str, n: int, d: int) -> float:
    """Gigabytes resident at most in a process of its own, the cloud and the libraries among them."""
    line = [sys.executable, str(Path(__file__)), "--peak", way, str(n), str(d)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def peak_here() -> float:
    """Of this process; not from getrusage where it can be helped, which counts the parent's memory too (Linux)."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def paper_seconds() -> float:
    """Processor seconds of the paper's probes over six cells of the study's size."""
    total = 0.0
    for number, (_, d) in enumerate(CELLS * 2):
        audio, text = (torch.from_numpy(cloud(800, d, seed=2 * number + side)).float() for side in (0, 1))
        index = torch.arange(800)
        nodes = config.probe_configs("paper")
        start = time.process_time()
        probes = MetricCollection(
            {name: instantiate(node) for name, node in nodes.items()}, compute_groups=False
        )
        probes.update(audio=audio, text=text, audio_index=index, text_index=index)
        probes.compute()
        total += time.process_time() - start
    return total


def main(factor: int = 1, rounds: int = ROUNDS) -> None:
    """Prints the table; ``factor`` divides the number of rows, for a quick look."""
    console = Console()
    table = Table(
        title=f"Processor seconds, medians of {rounds} in turns, {torch.get_num_threads()} threads",
        box=box.SIMPLE_HEAD,
    )
    for head in ("probe", "rows", "clapbench s", "peak GB", "against", "its s", "ratio", "wanted", "off by"):
        table.add_column(head, justify="left" if head in ("probe", "against") else "right")
    absent: set[str] = set()
    for probe, ((n, d), ways, rivals) in MEASURED.items():
        n //= factor
        x = cloud(n, d)
        absent |= {
            PACKAGES[package] for package, _, _ in rivals.values() if package and not installed(package)
        }
        present = {name: rival for name, rival in rivals.items() if installed(rival[0])}
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in (*ways, *present)}
        for _ in range(rounds):
            for name, way in (*ways.items(), *((name, rival[1]) for name, rival in present.items())):
                taken[name].append(seconds(way, x))
        median = {name: statistics.median(s for s, _ in runs) for name, runs in taken.items()}
        for name in ways:
            own = [
                f"{probe}, {name}",
                f"{n:,} x {d}",
                f"{median[name]:.2f}",
                f"{peak(f'{probe}/{name}', n, d):.2f}",
            ]
            for rival, (_, _, bound) in present.items():
                ours, theirs = taken[name][0][1], taken[rival][0][1]
                ratio, wanted = (
                    f"{median[name] / median[rival]:.2f}",
                    f"{bound:.1f}" if bound == bound else "-",
                )
                off = f"{abs(ours / theirs - 1):.0e}"
                table.add_row(*own, rival, f"{median[rival]:.2f}", ratio, wanted, off)
            if not present:
                table.add_row(*own, "-", "-", "-", "-", "-")
    console.print(table)
    if absent:
        console.print(f"not installed, so not measured: pip install {' '.join(sorted(absent))}")
    paper_seconds()  # to warm up
    took = statistics.median(paper_seconds() for _ in range(rounds))
    names = ", ".join(f"800 x {d}" for _, d in CELLS)
    console.print(
        f"13 probes of the paper, six cells ({names}, twice): {took:.2f} s of CPU in all (wanted: under 2)"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factor", type=int, default=1, help="divides the number of rows")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        probe, _, name = given.peak[0].partition("/")
        MEASURED[probe][1][name](cloud(int(given.peak[1]), int(given.peak[2])))
        print(peak_here())
    else:
        main(factor=given.factor, rounds=given.rounds)
