r"""What a coefficient would be with other models: a bootstrap interval, and the range when one is left out.

Models are the sample, so each is drawn, or left out, with all its cells.

Source: Efron 1979 for the bootstrap. Deviation: percentile and BCa intervals of 95 % cover 92 % (Pearson, 24 models);
`interval` is what covers 95 %, as measured in docs/correlations.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from clapbench.statistics.coefficients import MIN_PAIRS, Coefficient, members, weighted

DRAWS = 10_000  # resamples of models
MIN_MODELS = 5  # for an interval
EDGE = 1 - 1e-6  # artanh is cut off here: a resample of few models can lie on a line
CHUNK = 2**22  # numbers at a time


class Band(NamedTuple):
    """A 95 % interval, or None twice and why there is none."""

    low: float | None
    high: float | None
    note: str | None = None


def interval(
    values: Float[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    models: Sequence[str],
    *,
    coefficient: Coefficient = "spearman",
    draws: int = DRAWS,
    seed: int = 0,
) -> Band:
    r"""The 95 % bootstrap interval over models, each drawn with all its cells.

    Pearson and Spearman: $\tanh(\operatorname{artanh} r \pm q \sqrt{m / (m - 1)}\, s)$, with $s$ the standard
    deviation of $\operatorname{artanh} r$ over resamples of the $m$ models, and $q$ the 97.5 % quantile of Student's t
    for Pearson, 1.96 for Spearman. Kendall: the 2.5 and 97.5 % quantiles of the resamples. Each is what covers 95 %
    when measured (docs/correlations.md). Resamples where a side is constant are left out.

    >>> x = np.arange(12.0)
    >>> interval(x, x**2, "aabbccddeeff", coefficient="pearson", draws=500).low > 0.8
    True
    >>> interval(x, x**2, "aaabbbcccddd").note
    'no interval: it needs at least 5 models, there are 4'
    """
    drawn_from, (one, *_) = members(models), weighted(values, scores, np.ones((1, len(values))), coefficient)
    m = len(drawn_from)
    if m < MIN_MODELS:
        return Band(None, None, f"no interval: it needs at least {MIN_MODELS} models, there are {m}")
    if np.isnan(one):
        return Band(None, None, "no interval: the coefficient is undefined")
    if abs(one) > EDGE:
        return Band(None, None, "no interval: all models lie on one line, so resampling shows no spread")
    counts = np.random.default_rng(seed).multinomial(m, np.full(m, 1 / m), size=draws).astype(np.float64)
    chunks = np.array_split(counts, 1 + draws * len(values) // CHUNK)
    found = np.concatenate([weighted(values, scores, chunk @ drawn_from, coefficient) for chunk in chunks])
    found = found[~np.isnan(found)]
    if coefficient == "kendall":
        low, high = np.quantile(found, [0.025, 0.975])
        return Band(float(low), float(high))
    from scipy import stats  # seconds, spared where results are only read; so in this folder

    spread = np.arctanh(np.clip(found, -EDGE, EDGE)).std(ddof=1)
    quantile = stats.t.ppf(0.975, m - 1) if coefficient == "pearson" else stats.norm.ppf(0.975)
    half = quantile * sqrt(m / (m - 1)) * spread
    low, high = np.tanh(np.arctanh(one) + np.array([-half, half]))
    return Band(float(low), float(high))


def without_one_model(
    values: Float[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    models: Sequence[str],
    *,
    coefficient: Coefficient = "spearman",
) -> Band:
    """The least and the largest coefficient when one model is left out with all its cells.

    >>> without_one_model(np.array([1.0, 2, 3, 4, 9]), np.array([1.0, 2, 3, 4, 0]), "abcde").high
    1.0
    """
    weights = 1 - members(models)
    if weights.sum(axis=1).min() < MIN_PAIRS:
        return Band(None, None, f"no range without one model: fewer than {MIN_PAIRS} cells would be left")
    found = weighted(values, scores, weights, coefficient)
    if np.isnan(found).any():
        return Band(None, None, "no range without one model: without one of them a side is constant")
    return Band(float(found.min()), float(found.max()))
