"""A trainings.csv of a design that never was trained, with effects that are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from clapbench import sheets

ARMS: list[dict[str, float]] = [
    {},
    *({"spectral_entropy": dose} for dose in (-0.3, -0.1, 0.1, 1.0)),
    *({"centroid": dose} for dose in (0.3, 1.0, 3.0)),
    *({"variance": dose, "covariance": 0.04 * dose} for dose in (0.3, 1.0, 3.0)),
]
OBJECTIVES = {"InfoNce": 0.4, "SwappedChoice": 0.5}


def rows(*, seeds: int = 5, noise: float = 0.01) -> list[dict[str, Any]]:
    """H falls by .5 per unit of spectral entropy below 0 and stays above it; rank follows the dose throughout."""
    rng = np.random.default_rng(0)
    found: list[dict[str, Any]] = []
    for objective, base in OBJECTIVES.items():
        for weights in ARMS:
            entropy = weights.get("spectral_entropy", 0.0)
            for seed in range(seeds):
                row: dict[str, Any] = {
                    "name": f"{objective}-{weights}-{seed}",
                    "objective": objective,
                    **{f"weight.{name}": weight for name, weight in weights.items()},
                    "seed": seed,
                    "created": "2026-11-28T12:00:00+00:00",
                }
                for bench in ("order", "attribute"):
                    draw = noise * rng.standard_normal(4)
                    row[f"{bench}/H"] = base + 0.5 * min(entropy, 0) + draw[0]
                    row[f"{bench}/rankme_text"] = (
                        40 + 40 * entropy + 3 * weights.get("variance", 0) + 100 * draw[1]
                    )
                    row[f"{bench}/gap_angle_deg"] = 30 - 5 * weights.get("centroid", 0) + 10 * draw[2]
                found.append(row)
    return found


def write(folder: Path, found: list[dict[str, Any]]) -> Path:
    """The table into a folder; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trainings.csv"
    columns = list(dict.fromkeys(name for row in found for name in row))
    path.write_text(sheets.text_of(columns, found), encoding="utf-8")
    return path
