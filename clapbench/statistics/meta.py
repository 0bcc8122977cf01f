r"""Random-effects meta-analysis: effects $y_i$ of known variance $v_i$, as of k benchmarks, and where the next may lie.

$y_i = \mu + u_i + e_i$ with $u_i \sim N(0, \tau^2)$, $e_i \sim N(0, v_i)$, weights $w_i = 1 / (v_i + \tau^2)$ and
$\hat\mu = \sum w_i y_i / \sum w_i$. $\tau^2$ by restricted maximum likelihood: the fixed point, at least 0, of

$$\tau^2 = \frac{\sum w_i^2 \, [(y_i - \hat\mu)^2 - v_i]}{\sum w_i^2} + \frac{1}{\sum w_i}.$$

The interval of $\mu$ is Hartung and Knapp's, $\hat\mu \pm t_{k-1} \, s$ with
$s^2 = q / \sum w_i$, $q = \sum w_i (y_i - \hat\mu)^2 / (k - 1)$; q counts as 1 where it is less, else a few effects
that happen to agree would give an interval of no width. The prediction interval, for the true effect of one more
benchmark, is $\hat\mu \pm t_{k-1} \sqrt{\tau^2 + s^2}$.

Correlations enter as Fisher's $z = \operatorname{artanh} r$ with variance $1 / (n - 3)$ for Pearson's (Fisher 1921) and
$(1 + r^2 / 2) / (n - 3)$ for Spearman's (Bonett and Wright 2000).

Sources: Viechtbauer 2005 for REML; Hartung and Knapp 2001 for the interval; Roever, Knapp and Friede 2015 for q of at
least 1; Higgins, Thompson and Spiegelhalter 2009 for prediction, with k - 1 degrees of freedom as IntHout et al. 2016.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from clapbench.statistics.coefficients import Coefficient


class Pooled(NamedTuple):
    """What k effects say together, on their own scale."""

    k: int
    value: float
    se: float
    low: float
    high: float
    predicted_low: float
    predicted_high: float
    tau2: float
    q: float  # Cochran's, of the effects about their fixed mean
    i2: float  # share of the spread that is not sampling, 0 to 1


def pooled(
    effects: Float[np.ndarray, " k"],
    variances: Float[np.ndarray, " k"],
    *,
    tau2: float | None = None,
    least_q: float = 1.0,
) -> Pooled:
    """A random-effects meta-analysis of at least two effects; ``tau2`` is by restricted likelihood unless given.

    ``least_q`` 0 is Hartung and Knapp's own interval.

    >>> found = pooled(np.array([0.5, 0.6, 0.1]), np.array([0.01, 0.01, 0.01]))
    >>> round(found.value, 3), round(found.tau2, 3), [round(bound, 2) for bound in (found.low, found.high)]
    (0.4, 0.06, [-0.26, 1.06])
    """
    from scipy.stats import t

    k = len(effects)
    if k < 2 or not (np.isfinite(effects).all() and (variances > 0).all()):
        raise ValueError(
            f"pooled: needed two or more finite effects with variances above 0, got {effects.tolist()} with "
            f"{variances.tolist()}. Leave out what is undefined."
        )
    tau2 = restricted_tau2(effects, variances) if tau2 is None else tau2
    weights = 1 / (variances + tau2)
    value = float((weights * effects).sum() / weights.sum())
    q = float((weights * (effects - value) ** 2).sum()) / (k - 1)
    se = sqrt(max(q, least_q) / weights.sum())
    reach, spread = float(t.ppf(0.975, k - 1)), sqrt(tau2 + se**2)
    fixed = 1 / variances
    cochran = float((fixed * (effects - (fixed * effects).sum() / fixed.sum()) ** 2).sum())
    return Pooled(
        k=k,
        value=value,
        se=se,
        low=value - reach * se,
        high=value + reach * se,
        predicted_low=value - reach * spread,
        predicted_high=value + reach * spread,
        tau2=tau2,
        q=cochran,
        i2=max(0.0, 1 - (k - 1) / cochran) if cochran > 0 else 0.0,
    )


def restricted_tau2(effects: Float[np.ndarray, " k"], variances: Float[np.ndarray, " k"]) -> float:
    """The variance between effects by restricted maximum likelihood."""
    tau2, scale = float(np.var(effects, ddof=1)), float(variances.mean())
    for _ in range(1000):
        weights = 1 / (variances + tau2)
        total, squares = weights.sum(), (weights**2).sum()
        deviations = effects - (weights * effects).sum() / total
        new = max(0.0, float((weights**2 * (deviations**2 - variances)).sum() / squares + 1 / total))
        if abs(new - tau2) <= 1e-12 * (scale + new):
            return new
        tau2 = new
    return tau2


def fisher_variance(r: float, n: int, *, coefficient: Coefficient) -> float:
    """The variance of artanh r over n > 3 pairs.

    >>> fisher_variance(0.6, 13, coefficient="pearson"), fisher_variance(0.6, 13, coefficient="spearman")
    (0.1, 0.118)
    """
    if n <= 3 or coefficient == "kendall":
        raise ValueError(
            f"fisher_variance: needed Pearson's or Spearman's r of more than 3 pairs, got {coefficient} of {n}."
        )
    return (1 + r**2 / 2 if coefficient == "spearman" else 1.0) / (n - 3)
