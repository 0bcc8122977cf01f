"""What each yaml needs to be tried offline: the one place to touch when a yaml is added.

Every file of conf/model, conf/bench, conf/probe, conf/regularizer, conf/trainer, conf/logger and conf/experiment has
an entry here: the overrides that make it small and local. Values are functions of a temporary folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

Overrides = Callable[[Path], list[str]]


def nothing(folder: Path) -> list[str]:
    return []


def few_items(folder: Path) -> list[str]:
    return ["bench.n=10"]


def pairs_folder(folder: Path) -> list[str]:
    """Three items in the CompA format, as noise bursts."""
    rng = np.random.default_rng(0)
    rows = ["pair_caption,reversed_pair_caption,pair_file,reversed_pair_file"]
    for item in range(3):
        files = [f"{item}_{way}.wav" for way in ("pair", "reversed")]
        for file in files:
            soundfile.write(folder / file, 0.1 * rng.standard_normal(8000), 8000)
        rows.append(f"Dog {item} before cat,Cat before dog {item},{','.join(files)}")
    (folder / "items.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return [f"bench.csv={folder / 'items.csv'}", f"bench.root={folder}"]


FIXTURES: dict[str, dict[str, Overrides]] = {
    "model": dict.fromkeys(
        ["mini", "mini_vicreg", "mini_negatives", "mini_scene", "mini_centroid", "mini_bag"], nothing
    ),
    "bench": {"synth_order": few_items, "synth_attribute": few_items, "pairs": pairs_folder},
    "probe": dict.fromkeys(
        [
            "rankme_audio",
            "rankme_text",
            "twonn_audio",
            "twonn_text",
            *(f"residual_{side}_k{k}" for side in ("audio", "text") for k in (1, 5, 10)),
            "gap_l2",
            "gap_cosine",
            "gap_angle_deg",
        ],
        nothing,
    ),
    "probe_set": dict.fromkeys(["paper", "all"], nothing),
    "regularizer": dict.fromkeys(["variance", "covariance", "swapped_captions", "centroid"], nothing),
    "trainer": dict.fromkeys(["auto", "cpu", "gpu"], nothing),
    "logger": {"none": nothing, "csv": nothing, "wandb": lambda folder: ["logger.mode=offline"]},
    "experiment": dict.fromkeys(
        ["demo", "mini", "mini_vicreg", "mini_negatives", "mini_scene", "mini_centroid", "mini_bag"], nothing
    ),
}


def overrides(group: str, name: str, folder: Path) -> list[str]:
    """The overrides for conf/GROUP/NAME.yaml, its own choice included."""
    try:
        return [f"{group}={name}", *FIXTURES[group][name](folder)]
    except KeyError:
        raise AssertionError(
            f"conf/{group}/{name}.yaml has no entry in tests/fixtures.py. Add {name!r} to FIXTURES[{group!r}] with a "
            f"function of a temporary folder that makes what the yaml needs to run offline (a generated checkpoint, "
            f"a tiny folder) and returns the overrides that point to it, or `nothing` if it needs none."
        ) from None
