"""Your own benchmark: any CSV in the CompA format with its folder of clips."""

from __future__ import annotations

from pathlib import Path

from clapbench.benchmarks.base import Benchmark, read_pairs
from clapbench.schema import Case


class PairsBenchmark(Benchmark):
    """Pairs of clips and captions from a CSV; clip paths are relative to ``root``."""

    def __init__(self, *, name: str, csv: str | Path, root: str | Path, protocol: str = "official") -> None:
        super().__init__(name=name, root=root, protocol=protocol)
        self.csv = Path(csv)

    def read_cases(self) -> list[Case]:
        return read_pairs(self.csv, name=self.name)
