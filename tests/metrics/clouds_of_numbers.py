"""Clouds of rows made from a seed, of which tests/reference/generation/distribution_golden.json tells the distances."""

from __future__ import annotations

import numpy as np

Pair = tuple[np.ndarray, np.ndarray]


def pairs(shift: int = 0) -> dict[str, Pair]:
    """Reference and generated rows, float64, by name; another ``shift`` draws others of the same laws."""

    def normals(seed: int, *shapes: tuple[int, int]) -> list[np.ndarray]:
        generator = np.random.default_rng(seed + shift)
        return [generator.standard_normal(shape) for shape in shapes]

    spread = np.arange(1, 65) ** -0.5
    full = normals(11, (1200, 64), (900, 64))
    few = normals(12, (100, 128), (80, 128))
    centre, one, other = normals(13, (1, 512), (600, 512), (500, 512))
    flat = normals(14, (300, 32), (200, 32))
    (same,) = normals(15, (400, 16))
    thrice = normals(16, (60, 24), (150, 24))
    flat[1] *= 0.7
    for rows in flat:
        rows[:, 5] = 2.0
    return {
        "full": (full[0] * spread, full[1] * spread * 1.1 + 0.05),
        "rankdef": (few[0], few[1] + 0.1),
        "unit": (unit(centre + 1.5 * one), unit(centre + 0.1 + 1.7 * other)),
        "constant_column": (flat[0], flat[1]),
        "same": (same, same.copy()),
        "duplicates": (np.repeat(thrice[0], 3, axis=0), thrice[1] + 0.3),
    }


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
