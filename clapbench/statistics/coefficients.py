r"""Spearman's, Pearson's and Kendall's (tau-b) coefficient of two columns of numbers, each between -1 and 1.

With an asymptotic p, two-sided: Student's t (Spearman; Pearson, where it supposes normal data), the normal law
(Kendall). Also of weighted cells, for resampling, and given the benchmark that a cell belongs to.

Sources: Spearman 1904, Pearson 1895, Kendall 1945.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float

Coefficient = Literal["spearman", "pearson", "kendall"]
COEFFICIENTS: tuple[Coefficient, ...] = get_args(Coefficient)

MIN_PAIRS = 4  # cells
FEW = 10  # cells; below this a coefficient says little
ROUNDING = 1e-12  # a spread below this share of the largest value is rounding, not variation


class Correlation(NamedTuple):
    """Coefficients over ``n`` cells, None where they are undefined; ``note`` then says why."""

    n: int
    spearman: float | None
    spearman_p: float | None  # asymptotic, two-sided
    pearson: float | None
    pearson_p: float | None  # for normal data, two-sided
    kendall: float | None = None  # tau-b
    kendall_p: float | None = None  # asymptotic, two-sided
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
    >>> result.n, round(result.spearman, 6), round(result.pearson, 6), round(result.kendall, 6)
    (4, 0.8, 0.8, 0.666667)
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
    from scipy import stats

    rank, linear = stats.spearmanr(x, y), stats.pearsonr(x, y)
    order = stats.kendalltau(x, y, method="asymptotic")
    return Correlation(
        n=n,
        spearman=float(rank.statistic),
        spearman_p=float(rank.pvalue),
        pearson=float(linear.statistic),
        pearson_p=float(linear.pvalue),
        kendall=float(order.statistic),
        kendall_p=float(order.pvalue),
    )


def _is_constant(x: Float[np.ndarray, " n"]) -> bool:
    return bool(np.ptp(x) <= ROUNDING * np.abs(x).max())


def few(n: int) -> str | None:
    """The sentence to print above coefficients over ``n`` cells when they are below 10.

    >>> few(6)
    'ONLY 6 CELLS: one cell more or less can turn these coefficients round. Take none of them as established.'
    """
    warning = "one cell more or less can turn these coefficients round. Take none of them as established."
    return f"ONLY {n} CELLS: {warning}" if n < FEW else None


# Leaving out is a weight of 0, drawing twice a weight of 2.
def weighted(
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, "b n"],
    coefficient: Coefficient,
) -> Float[np.ndarray, " b"]:
    """The coefficient when cell i stands ``weights[., i]`` times in the sample; NaN where a side is then constant.

    >>> x, y = np.array([1.0, 2.0, 3.0, 9.0]), np.array([1.0, 3.0, 2.0, 4.0])
    >>> [round(float(weighted(x, y, np.ones((1, 4)), name)[0]), 6) for name in COEFFICIENTS]
    [0.8, 0.826184, 0.666667]
    """
    if coefficient == "kendall":
        a, b = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
        both, alone, other = (((weights @ pairs) * weights).sum(axis=1) for pairs in (a * b, a * a, b * b))
        return _ratio(both, np.sqrt(alone * other), undefined=(alone == 0) | (other == 0))
    a, b = (_spread(side, weights, coefficient) for side in (x, y))
    both, alone, other = ((weights * product).sum(axis=1) for product in (a * b, a * a, b * b))
    total = weights.sum(axis=1)
    least = [(ROUNDING * np.abs(side).max(axis=1)) ** 2 * total for side in (a, b)]
    return _ratio(both, np.sqrt(alone * other), undefined=(alone <= least[0]) | (other <= least[1]))


def _spread(
    x: Float[np.ndarray, " n"], weights: Float[np.ndarray, "b n"], coefficient: Coefficient
) -> Float[np.ndarray, "b n"]:
    """Values, or their midranks in each sample, from their mean in it."""
    if coefficient == "spearman":
        rows = weights @ ((x[:, None] < x) + 0.5 * (x[:, None] == x))
    else:
        rows = np.broadcast_to(x, weights.shape)
    return rows - (weights * rows).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)


def _ratio(
    a: Float[np.ndarray, " b"], b: Float[np.ndarray, " b"], *, undefined: np.ndarray
) -> Float[np.ndarray, " b"]:
    return np.where(undefined, np.nan, np.clip(a / np.where(undefined, 1, b), -1, 1))


def members(models: Sequence[str]) -> Float[np.ndarray, "m n"]:
    """A row per model, 1 at its cells."""
    names = np.array(list(models))
    return np.array([names == name for name in dict.fromkeys(models)], dtype=np.float64)


def partial(
    values: Float[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    benches: Sequence[str],
    *,
    coefficient: Coefficient = "spearman",
) -> float | None:
    """The coefficient given the benchmark: of values or ranks less their benchmark's mean; None where nothing is left.

    Kendall's is tau-b over the pairs of cells that share a benchmark. The exact p of it is the one `within` benchmarks.

    >>> x, y = np.array([1.0, 2, 3, 11, 12, 13]), np.array([3.0, 2, 1, 13, 12, 11])
    >>> round(partial(x, y, "xxxyyy"), 6), round(float(weighted(x, y, np.ones((1, 6)), "spearman")[0]), 6)
    (-1.0, 0.542857)
    """
    member = members(benches)
    if coefficient == "kendall":
        together = member.T @ member
        a, b = (np.sign(side[:, None] - side) * together for side in (values, scores))
        scale = [0.0, 0.0]
    else:
        from scipy import stats

        a, b = (stats.rankdata(side) if coefficient == "spearman" else side for side in (values, scores))
        scale = [ROUNDING * np.abs(side).max() for side in (a, b)]
        a, b = (side - ((member @ side) / member.sum(axis=1)) @ member for side in (a, b))
    if np.abs(a).max() <= scale[0] or np.abs(b).max() <= scale[1]:
        return None
    return float(np.clip((a * b).sum() / sqrt((a * a).sum() * (b * b).sum()), -1, 1))
