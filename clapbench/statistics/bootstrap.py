r"""What a coefficient would be with other models: a bootstrap interval, and the effects that it leaves no room for.

Models are the sample, so each is drawn with all its cells.

Source: Efron 1979 for the bootstrap; Schuirmann 1987 for two one-sided tests of equivalence, that is a 90 % interval.
Deviation: percentile and BCa intervals of 95 % cover 92 % (Pearson, 24 models); `interval` is what covers 95 % on
normal data. What it covers with heavy tails is measured in docs/correlations.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from clapbench.statistics.coefficients import Coefficient, members, weighted

DRAWS = 10_000  # resamples of models
MIN_MODELS = 5  # for an interval
EDGE = 1 - 1e-6  # artanh is cut off here: a resample of few models can lie on a line
CHUNK = 2**22  # numbers at a time


class Band(NamedTuple):
    """A 95 % interval, or None and why there is none.

    ``bound`` is the smallest size of an effect that the data exclude, either sign (two one-sided tests at 5 %): the far
    end of the 90 % interval.
    """

    low: float | None
    high: float | None
    note: str | None = None
    bound: float | None = None


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

    Pearson and Spearman: $\tanh(\operatorname{artanh} r \pm q s)$. Here $s$ is the standard deviation of
    $\operatorname{artanh} r$ over resamples of the $m$ models, times $\sqrt{m / (m - 1)}$; for Pearson the jackknife's
    where that is larger, as it is with heavy tails. $q$ is the 97.5 % quantile of Student's t for Pearson, 1.96 for
    Spearman. Kendall: the 2.5 and 97.5 % quantiles of the resamples. Resamples where a side is constant are left out.

    >>> x = np.arange(12.0)
    >>> interval(x, x**2, "aabbccddeeff", coefficient="pearson", draws=500).low > 0.7
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
        low, high, *inner = map(float, np.quantile(found, [0.025, 0.975, 0.05, 0.95]))
        return Band(low, high, bound=max(map(abs, inner)))
    from scipy import special  # spared where results are only read; so in this folder

    spread = sqrt(m / (m - 1)) * _fisher(found).std(ddof=1)
    if coefficient == "pearson":
        without = _fisher(weighted(values, scores, 1 - drawn_from, coefficient))
        spread = max(spread, sqrt((m - 1) / m * ((without - without.mean()) ** 2).sum()))  # NaN is not larger
    wide, narrow = (
        special.stdtrit(m - 1, share) if coefficient == "pearson" else special.ndtri(share)
        for share in (0.975, 0.95)
    )
    low, high, *inner = np.tanh(np.arctanh(one) + spread * np.array([-wide, wide, -narrow, narrow])).tolist()
    return Band(low, high, bound=max(map(abs, inner)))


def _fisher(r: Float[np.ndarray, " b"]) -> Float[np.ndarray, " b"]:
    return np.arctanh(np.clip(r, -EDGE, EDGE))
