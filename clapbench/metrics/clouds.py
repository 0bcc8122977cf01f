"""What every distance asks of its two clouds, and distances between rows block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float64

BLOCK = 1000  # rows of one side that are held against all of the other at once

Given = Any  # rows of NumPy or torch, [n, d], in any precision
Rows = Float64[np.ndarray, "_ d"]


def cloud(rows: Given, *, who: str, side: str, least: int = 2) -> Rows:
    """Rows of NumPy or torch as float64 [n, d]. ValueError for another shape, for too few, for what is not finite."""
    found = np.asarray(rows.detach().cpu() if hasattr(rows, "detach") else rows)
    if found.ndim != 2 or found.dtype.kind not in "fiu":
        raise ValueError(
            f"{who}: needed {side} rows of numbers, [n, d]; got {found.dtype} of shape {found.shape}."
        )
    if len(found) < least:
        raise ValueError(f"{who}: needed at least {least} {side} rows, got {len(found)}. Give more clips.")
    found = found.astype(np.float64)
    if not np.isfinite(found).all():
        bad = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
        raise ValueError(f"{who}: needed finite numbers, {side} row {bad} has others. Look at that clip.")
    return found


def clouds(reference: Given, generated: Given, *, who: str, least: int = 2) -> tuple[Rows, Rows]:
    """Both sides, of one dimension."""
    one = cloud(reference, who=who, side="reference", least=least)
    other = cloud(generated, who=who, side="generated", least=least)
    same_dimension(one.shape[1], other.shape[1], who=who)
    return one, other


def same_dimension(one: int, other: int, *, who: str) -> None:
    """ValueError where the sides have rows of different length."""
    if one != other:
        raise ValueError(
            f"{who}: needed rows of one dimension, got {one} (reference) and {other} (generated). Embed both with one "
            f"encoder."
        )


def blocks(n: int, *, size: int = BLOCK) -> Iterator[slice]:
    """Consecutive parts of n rows."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def squared_distances(x: Rows, y: Rows) -> Float64[np.ndarray, "n m"]:
    """Between each row of x and each of y, never below 0."""
    found = x @ y.T
    found *= -2
    found += np.einsum("nd,nd->n", x, x)[:, None]
    found += np.einsum("md,md->m", y, y)
    return np.maximum(found, 0, out=found)
