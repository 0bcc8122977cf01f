"""Speed and size of the probes, measured: Two-NN and RankMe of large clouds against other libraries, the paper's set.

Each is timed in turns with its rivals on one thread, in processor seconds, so that what else the machine does counts
little, and threads that wait for each other nothing; peak memory is that of a fresh process that does nothing else.
Libraries that are not clapbench's own run by the interpreter CLAPBENCH_RIVALS_PYTHON, or by this one; what is not
installed there is said.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

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
NUMPY = "numpy svd"  # which is installed here, and newer than that of the others
HERE = Path(__file__).parent

Cloud = np.ndarray
Way = Callable[[Cloud], float]


def cloud(n: int, d: int, seed: int = 0) -> Cloud:
    """Normal rows whose spread falls as the root of the coordinate's number."""
    return np.random.default_rng(seed).standard_normal((n, d)) * np.arange(1, d + 1) ** -0.5


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


MEASURED: dict[str, tuple[tuple[int, int], dict[str, Way], dict[str, float]]] = {
    # probe: rows, our ways, and the share of each rival's seconds that ours should stay below
    "Two-NN": (
        TWO_NN,
        {"at once": our_two_nn},
        {"scikit-learn brute": 0.5, "scikit-dimension": 0.2, "dadapy": float("nan")},
    ),
    "RankMe": (RANKME, {"at once": our_rank, "streamed": streamed_rank}, {NUMPY: 0.3}),
}


class Run(NamedTuple):
    seconds: float  # of the processor, all threads
    value: float


def ours(way: Way, x: Cloud) -> Run:
    start = time.process_time()
    value = way(x)
    return Run(time.process_time() - start, value)


def theirs(rival: str, path: Path) -> Run | None:
    """In a process of its own; None where the library is not there."""
    elsewhere = None if rival == NUMPY else os.environ.get("CLAPBENCH_RIVALS_PYTHON")
    line = [elsewhere or sys.executable, str(HERE / "rivals.py"), rival, str(path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if "ModuleNotFoundError" in done.stderr:
        return None
    if done.returncode:
        raise RuntimeError(f"{rival}: {done.stderr}")
    took, value = map(float, done.stdout.split()[-2:])
    return Run(took, value)


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


def main() -> None:
    """`measure` in a process whose libraries start with one thread each, as do those that it starts."""
    one = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
    )
    subprocess.run([sys.executable, __file__, "--measure"], env=os.environ | one, check=True)


def measure(rounds: int = ROUNDS) -> None:
    """Prints the table."""
    table = Table(
        title=f"Processor seconds, medians of {rounds} in turns, {torch.get_num_threads()} thread",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for head in ("probe", "rows", "clapbench", "peak", "against", "its", "ratio", "wanted", "off by"):
        table.add_column(head, justify="left" if head in ("probe", "against") else "right")
    absent: list[str] = []
    for probe, ((n, d), ways, rivals) in MEASURED.items():
        x = cloud(n, d)
        taken: dict[str, list[Run]] = {name: [] for name in (*ways, *rivals)}
        with TemporaryDirectory() as folder:
            path = Path(folder, "cloud.npy")
            np.save(path, x)
            for _ in range(rounds):
                for name, way in ways.items():
                    taken[name].append(ours(way, x))
                for rival in rivals:
                    if rival not in absent and (run := theirs(rival, path)):
                        taken[rival].append(run)
                    elif rival not in absent:
                        absent.append(rival)
        median = {
            name: statistics.median(run.seconds for run in runs) for name, runs in taken.items() if runs
        }
        for name in ways:
            most = peak(f"{probe}/{name}", n, d)
            own = [f"{probe}, {name}", f"{n:,} x {d}", f"{median[name]:.2f} s", f"{most:.2f} GB"]
            for rival, bound in rivals.items():
                if rival in absent:
                    continue
                ratio, wanted = median[name] / median[rival], f"{bound:.1f}" if bound == bound else "-"
                off = abs(taken[name][0].value / taken[rival][0].value - 1)
                table.add_row(*own, rival, f"{median[rival]:.2f} s", f"{ratio:.2f}", wanted, f"{off:.0e}")
                own = ["", "", "", ""]
    console = Console(width=110)
    console.print(table)
    if absent:
        console.print(
            f"Not measured, as it is not installed here: {', '.join(absent)}. Name an interpreter that has "
            f"scikit-learn, scikit-dimension and dadapy (numpy below 2) in CLAPBENCH_RIVALS_PYTHON."
        )
    paper_seconds()  # to warm up
    took = statistics.median(paper_seconds() for _ in range(rounds))
    names = ", ".join(f"800 x {d}" for _, d in CELLS)
    console.print(
        f"13 probes of the paper, six cells ({names}, twice): {took:.2f} s of the processor (wanted: under 2)"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        probe, _, name = given.peak[0].partition("/")
        MEASURED[probe][1][name](cloud(int(given.peak[1]), int(given.peak[2])))
        print(peak_here())
    elif given.measure:
        measure()
    else:
        main()
