r"""Whether generated clips look like the reference's, and whether they cover it: precision, recall, density, coverage.

A row's ball reaches to its k-th nearest neighbour within its own cloud. *Precision*: share of generated rows inside any
ball of the reference. *Recall*: share of reference rows inside any ball of what was generated. *Density*: balls of the
reference around a generated row, over k, on average; above 1 where it crowds in dense places. *Coverage*: share of
reference rows with a generated row in their ball. Inside is strict.

Sources: Kynkäänniemi et al. 2019 (precision and recall); Naeem et al. 2020 (density and coverage).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from clapbench.metrics.clouds import Given, Rows, blocks, clouds, squared_distances

WHO = "precision and recall"


class Coverage(NamedTuple):
    """The four shares, and what they rest on."""

    precision: float
    recall: float
    density: float
    coverage: float
    k: int
    n_reference: int
    n_generated: int
    d: int


def prdc(
    reference: Given,
    generated: Given,
    *,
    k: int = 5,
) -> Coverage:
    """Precision, recall, density and coverage with balls to the ``k``-th neighbour, block by block.

    ValueError where a side has k rows or fewer.

    >>> rows = np.random.default_rng(0).standard_normal((40, 2))
    >>> prdc(rows, rows).coverage, prdc(rows, rows + 100.0).precision
    (1.0, 0.0)
    """
    if k < 1:
        raise ValueError(f"{WHO}: needed k of 1 or more, got {k}.")
    one, other = clouds(reference, generated, who=WHO, least=k + 1)
    reach, reach_generated = _radii(one, k), _radii(other, k)
    balls = np.zeros(len(other), dtype=np.int64)  # of the reference, around each generated row
    recalled = np.zeros(len(one), dtype=bool)
    covered = np.zeros(len(one), dtype=bool)
    for part in blocks(len(one)):
        distance = np.sqrt(squared_distances(one[part], other))
        inside = distance < reach[part, None]
        balls += inside.sum(axis=0)
        covered[part] = inside.any(axis=1)
        recalled[part] = (distance < reach_generated).any(axis=1)
    return Coverage(
        precision=float((balls > 0).mean()),
        recall=float(recalled.mean()),
        density=float(balls.mean()) / k,
        coverage=float(covered.mean()),
        k=k,
        n_reference=len(one),
        n_generated=len(other),
        d=one.shape[1],
    )


def _radii(x: Rows, k: int) -> Float64[np.ndarray, " n"]:
    """The distance of each row to its k-th nearest other."""
    found = np.empty(len(x))
    for part in blocks(len(x)):
        squares = squared_distances(x[part], x)
        squares[np.arange(len(squares)), np.arange(part.start, part.stop)] = -1.0  # itself comes first
        found[part] = np.partition(squares, k, axis=1)[:, k]
    return np.sqrt(found)
