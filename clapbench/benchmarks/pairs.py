"""Your own benchmark: any CSV in the CompA format with its folder of clips."""

from __future__ import annotations

from pathlib import Path

from clapbench.benchmarks.compositional import Compositional, read_pairs
from clapbench.kinds import File, Folder, Name
from clapbench.schema import Case


class PairsBenchmark(Compositional):
    """Pairs of clips and captions from a CSV; clip paths are relative to ``root``."""

    def __init__(
        self,
        *,
        name: Name,
        csv: File,
        root: Folder,
        protocol: str = "official",
        allow_missing: bool = False,
    ) -> None:
        super().__init__(
            name=name, root=Path(root).expanduser(), protocol=protocol, allow_missing=allow_missing
        )
        self.csv = Path(csv).expanduser()

    def read_cases(self) -> list[Case]:
        return read_pairs(self.csv, name=self.name, clips=self.files)
