"""The embedded benchmarks: synthesised scenes, rendered once to FLAC and a CSV, then read like any other.

Order: two events in both orders, captions in six templates, of which four say before or after. Attribute:
two events whose states (loud and quiet, ...) are exchanged, five attributes in equal number. Every item uses
a pair of classes that training never sees together (`synth.scenes.held_out`); item i depends on (seed, i).
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import soundfile

from clapbench.benchmarks.compositional import CAPTIONS, FILES, Compositional, read_pairs
from clapbench.kinds import Count, Name, Output, Seed
from clapbench.schema import Case
from clapbench.sound.synth.events import ATTRIBUTES, SAMPLE_RATE
from clapbench.sound.synth.scenes import Scene, attribute_item, mix, order_item

RECIPE = 1  # raise it when the same (kind, seed, item) gives other sounds or captions

log = logging.getLogger(__name__)


class SyntheticBenchmark(Compositional):
    """``n`` held-out items of one kind, rendered below ``root`` at the first ``cases()``."""

    def __init__(
        self,
        *,
        name: Name,
        kind: Literal["order", "attribute"],
        n: Count,
        seed: Seed,
        root: Output,
        protocol: str = "official",
        allow_missing: bool = False,
    ) -> None:
        if kind not in ("order", "attribute"):
            raise ValueError(f"bench {name!r}: needed kind order or attribute, got {kind!r}. Set bench.kind.")
        if n <= 0 or (kind == "attribute" and n % len(ATTRIBUTES)):
            needed = "a positive number" if kind == "order" else f"a positive multiple of {len(ATTRIBUTES)}"
            raise ValueError(f"bench {name!r}: needed {needed} of items, got n={n}. Set bench.n.")
        if seed < 0:
            raise ValueError(f"bench {name!r}: needed a seed of 0 or more, got {seed}. Set bench.seed.")
        folder = Path(root) / f"{kind}-n{n}-seed{seed}-v{RECIPE}"
        super().__init__(name=name, root=folder, protocol=protocol, allow_missing=allow_missing)
        self.kind, self.n, self.seed = kind, n, seed

    def preparation(self) -> str | None:
        return None if self.is_whole() else f"render {self.n} items"

    def is_whole(self) -> bool:
        """Whether the rendered folder is there with all its files."""
        return (self.root / "items.csv").is_file() and len(list(self.root.glob("audio/*.flac"))) == 2 * self.n

    def read_cases(self) -> list[Case]:
        if not self.is_whole():
            self.render()
        return read_pairs(self.root / "items.csv", name=self.name)

    def render(self) -> None:
        """Write the folder beside its place, then rename it; who comes second keeps what the first wrote."""
        log.info("bench %r: rendering %d items to %s", self.name, self.n, self.root)
        self.root.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.root.parent, prefix=f".{self.root.name}.") as outer:
            folder = Path(outer) / "items"  # made by mkdir: others may read it, unlike a temporary folder
            (folder / "audio").mkdir(parents=True)
            rows = [self.write_item(folder, index) for index in range(self.n)]
            pd.DataFrame(rows).to_csv(
                folder / "items.csv", index=False, encoding="utf-8", lineterminator="\n"
            )
            if self.is_whole():
                return
            if self.root.is_dir():  # somebody took files out of it
                os.rename(self.root, Path(outer) / "damaged")
            try:
                os.rename(folder, self.root)
            except OSError:
                if not self.is_whole():
                    raise

    def write_item(self, folder: Path, index: int) -> dict[str, str]:
        """Render both clips of an item; its row of the CSV."""
        item = (order_item if self.kind == "order" else attribute_item)(self.seed, index)
        files = (f"audio/{index:05d}_pair.flac", f"audio/{index:05d}_reversed.flac")
        for file, scene in zip(files, (item.pair, item.reversed), strict=True):
            write_clip(folder / file, scene)
        captions = (item.pair_caption, item.reversed_caption)
        return {**dict(zip((*CAPTIONS, *FILES), (*captions, *files), strict=True)), **item.about}


def write_clip(path: Path, scene: Scene) -> None:
    """The scene as 16-bit FLAC at 16 kHz."""
    soundfile.write(path, np.round(mix(scene) * 32767).astype(np.int16), SAMPLE_RATE, format="FLAC")
