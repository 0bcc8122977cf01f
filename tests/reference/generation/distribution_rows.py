"""Pairs of sets of rows from a seed (numpy PCG64): full rank, few rows, unit rows, a constant column, copies."""

from __future__ import annotations

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]  # reference, generated


def sets(shift: int = 0) -> dict[str, Pair]:
    """Each by its name; those of the golden numbers have shift 0."""
    streams = (np.random.default_rng(seed + shift) for seed in range(11, 17))
    full, rankdef, unit, constant, same, twice = (stream.standard_normal for stream in streams)
    decay = np.arange(1, 65) ** -0.5
    made = {
        "full": (full((1200, 64)) * decay, full((900, 64)) * decay * 1.1 + 0.05),
        "rankdef": (rankdef((100, 128)), rankdef((80, 128)) + 0.1),
    }
    centre = unit((1, 512))
    made["unit"] = (
        _unit(centre + 1.5 * unit((600, 512))),
        _unit(centre + 0.1 + 1.7 * unit((500, 512))),
    )
    x, y = constant((300, 32)), constant((200, 32)) * 0.7
    x[:, 5] = y[:, 5] = 2.0
    made["constant_column"] = (x, y)
    x = same((400, 16))
    made["same"] = (x, x.copy())
    made["duplicates"] = (np.repeat(twice((60, 24)), 3, axis=0), twice((150, 24)) + 0.3)
    return made


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)
