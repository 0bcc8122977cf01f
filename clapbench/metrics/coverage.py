r"""Precision, recall, density and coverage: do generated rows lie where the reference is, and all over it.

Each row has a ball that reaches to its k-th nearest neighbour in its own set, the boundary left out.

- precision: share of generated rows in the ball of any reference row, 0 to 1
- recall: share of reference rows in the ball of any generated row, 0 to 1
- density: mean number of reference balls that a generated row lies in, over k; from 0, about 1 at equal laws
- coverage: share of reference rows whose ball holds a generated row, 0 to 1

Density and coverage bear outliers, which inflate precision and recall. All depend on n, m and k: compare at equal ones.

Sources: Kynkaanniemi et al. 2019 (precision, recall); Naeem et al. 2020, eq. 3 and 5 (density, coverage).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from clapbench.metrics.sets import SetMetric, both
from clapbench.rows import Rows

BLOCK = 1000  # rows whose distances to a set are held at once
NEIGHBOURS = 5
ROUNDING = 1e-13  # of a squared distance, against squared lengths


class Coverage(NamedTuple):
    """The four, and what they were measured on."""

    precision: float
    recall: float
    density: float
    coverage: float
    k: int
    n_reference: int
    n_generated: int
    d: int


def prdc(reference: Rows, generated: Rows, *, k: int = NEIGHBOURS) -> Coverage:
    """Precision, recall, density and coverage of two sets of rows, n x d and m x d, in `BLOCK` x max(n, m) memory.

    Raises ValueError for under 2 rows, a value that is not finite, rows of unequal length, and a k that is not
    from 1 to less than n and m.

    >>> found = prdc([[0.0], [1.0], [2.0]], [[0.5], [9.0], [9.5]], k=1)
    >>> [round(value, 3) for value in found[:4]]
    [0.333, 1.0, 0.667, 0.667]
    """
    x, y = both(reference, generated, who="prdc")
    least = min(len(x), len(y))
    if not 1 <= k < least:
        raise ValueError(
            f"prdc: needed k from 1 to {least - 1}, less than the rows of either set ({len(x)} and {len(y)}), got {k}."
        )
    centre = x.mean(axis=0)  # far from 0, squares lose digits
    x, y = x - centre, y - centre
    ball_x, ball_y = _balls(x, k=k), _balls(y, k=k)
    inside = np.zeros(len(y), dtype=np.int64)
    recalled, covered = 0, 0
    for rows, square in _distances(x, y):
        near = square < ball_x[rows, None]
        inside += near.sum(axis=0)
        covered += int(near.any(axis=1).sum())
        recalled += int((square < ball_y).any(axis=1).sum())
    return Coverage(
        precision=float((inside > 0).mean()),
        recall=recalled / len(x),
        density=float(inside.mean()) / k,
        coverage=covered / len(x),
        k=k,
        n_reference=len(x),
        n_generated=len(y),
        d=x.shape[1],
    )


class Prdc(SetMetric):
    """`prdc` of all rows so far, which it holds; ``compute`` gives the four by name."""

    higher_is_better = True

    def __init__(self, k: int = NEIGHBOURS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.k = k

    def measure(self) -> Coverage:
        """The four, and what they were measured on."""
        return prdc(self.held("reference"), self.held("generated"), k=self.k)

    def compute(self) -> dict[str, Float64[Tensor, ""]]:  # type: ignore[override]
        """Precision, recall, density and coverage by their names."""
        found = self.measure()
        return {
            name: torch.tensor(getattr(found, name), dtype=torch.float64)
            for name in ("precision", "recall", "density", "coverage")
        }


def _balls(x: np.ndarray, *, k: int) -> Float64[np.ndarray, " n"]:
    """Squared distance of each row to its k-th nearest neighbour in the set, less what rounding could make of a tie."""
    found = np.empty(len(x))
    for rows, square in _distances(x, x):
        square[np.arange(len(square)), np.arange(rows.start, rows.stop)] = 0.0
        found[rows] = np.partition(square, k, axis=1)[:, k]  # the row itself is one of them
    return found - ROUNDING * (found + np.einsum("ij,ij->i", x, x))


def _distances(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, Float64[np.ndarray, "b m"]]]:
    """Squared distances of blocks of ``x`` to all of ``y``."""
    over_x, over_y = (np.einsum("ij,ij->i", rows, rows) for rows in (x, y))
    for start in range(0, len(x), BLOCK):
        rows = slice(start, min(start + BLOCK, len(x)))
        square = x[rows] @ y.T
        square *= -2
        square += over_x[rows, None]
        square += over_y
        yield rows, np.maximum(square, 0, out=square)
