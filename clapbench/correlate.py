r"""Correlation of a probe with a score over the cells of a sweep: arrays in, numbers out.

Spearman's rank correlation and Pearson's linear correlation, both between -1 and 1, each with a two-sided p.
The p of Spearman is asymptotic (Student's t), that of Pearson supposes normal data; with the handful of cells
of a sweep both are a rough guide.

Source: Spearman 1904, Pearson 1895; scipy.stats.spearmanr and pearsonr.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

MIN_PAIRS = 4  # cells
ROUNDING = 1e-12  # a spread below this share of the largest value is rounding, not variation


class Correlation(NamedTuple):
    """Coefficients over ``n`` cells, None where they are undefined; ``note`` then says why."""

    n: int
    spearman: float | None
    spearman_p: float | None  # asymptotic, two-sided
    pearson: float | None
    pearson_p: float | None  # for normal data, two-sided
    note: str | None = None


def correlate(
    values: Float[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    *,
    value_name: str = "the value",
    score_name: str = "the score",
) -> Correlation:
    """Correlation of ``values`` with ``scores``, cell by cell; a cell where either is NaN is left out.

    The names are for messages. Where one of the two is the same in all cells (to rounding) no correlation is
    defined: the coefficients are None.

    Raises ValueError for fewer than 4 cells with both, and for an infinite number.

    >>> result = correlate(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0]))
    >>> result.n, round(result.spearman, 6), round(result.pearson, 6)
    (4, 0.8, 0.8)
    """
    both = ~(np.isnan(values) | np.isnan(scores))
    x, y = values[both].astype(np.float64), scores[both].astype(np.float64)
    n = len(x)
    if n < MIN_PAIRS:
        raise ValueError(
            f"correlate: needs at least {MIN_PAIRS} cells with both {value_name} and {score_name}; got {n}. "
            f"Add models or benchmarks to the sweep."
        )
    for name, side in ((value_name, x), (score_name, y)):
        if np.isinf(side).any():
            raise ValueError(
                f"correlate: needs finite numbers; {name} is infinite in {np.isinf(side).sum()} of {n}."
            )
    constant = [name for name, side in ((value_name, x), (score_name, y)) if _is_constant(side)]
    if constant:
        note = "; ".join(f"{name} is the same in all {n} cells" for name in constant)
        return Correlation(n=n, spearman=None, spearman_p=None, pearson=None, pearson_p=None, note=note)
    rank, linear = stats.spearmanr(x, y), stats.pearsonr(x, y)
    return Correlation(
        n=n,
        spearman=float(rank.statistic),
        spearman_p=float(rank.pvalue),
        pearson=float(linear.statistic),
        pearson_p=float(linear.pvalue),
    )


def _is_constant(x: Float[np.ndarray, " n"]) -> bool:
    return bool(np.ptp(x) <= ROUNDING * np.abs(x).max())
