r"""A logistic mixed model: $\operatorname{logit} P(y = 1) = x \beta + \sum_k u_{k, g_k}$, $u_k \sim N(0, \sigma_k^2)$.

Fixed effects $\beta$, and one random intercept per level of each grouping k: recipes, seeds within them, templates.
$\beta$, u and $\sigma$ are the posterior means that variational Bayes gives under weak priors, N(0, 2^2) on $\beta$ and
N(0, 1) on $\log \sigma$ (statsmodels' `BinomialBayesMixedGLM`).

Variational Bayes takes fixed and random effects for independent of one another. For a predictor that differs only
between groups they are not, and its standard deviations are then those of a study in which the same groups would come
again, many times too small. So the covariance is that of the curvature at the fit, of $\beta$ and u together:

$$\operatorname{Cov}(\beta, u) = (A^\top W A + D)^{-1}, \quad A = [X \; Z], \quad W = p (1 - p),$$

D the precisions of the priors, $\sigma_k^{-2}$ those of the random effects. Its block for $\beta$ is the covariance of
generalised least squares of a mixed model. It takes $\sigma$ as known; use Student's t with the degrees of freedom of
the groups that the predictor differs between.

Sources: statsmodels (Seabold and Perktold 2010); Breslow and Clayton 1993, sec. 2, for the curvature; Bolker et al.
2009 for the degrees of freedom.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

PRIOR_SD, PRIOR_LOG_SD = 2.0, 1.0  # of fixed effects, and of the logarithm of a standard deviation


class Fitted(NamedTuple):
    """Fixed effects with their standard errors, and the standard deviation of each grouping, in logits."""

    coefficients: Float[np.ndarray, " f"]
    errors: Float[np.ndarray, " f"]
    sds: dict[str, float]
    converged: bool


def fit(
    success: Bool[np.ndarray, " n"], fixed: Float[np.ndarray, "n f"], groups: Mapping[str, Sequence[str]]
) -> Fitted:
    """The model of ``success`` by ``fixed`` columns (with a column of ones) and the ``groups`` that each row is of.

    Raises ImportError, with what to install, where statsmodels is not there.
    """
    from scipy.sparse import csr_array

    model_class = _statsmodels()
    parts = [_indicators(list(labels)) for labels in groups.values()]
    ident = np.repeat(np.arange(len(parts)), [part.shape[1] for part in parts])
    random = np.hstack(parts)
    model = model_class(
        success.astype(np.float64),
        fixed,
        exog_vc=csr_array(random),
        ident=ident,
        fe_p=PRIOR_SD,
        vcp_p=PRIOR_LOG_SD,
    )
    start = np.concatenate([np.zeros(fixed.shape[1]), np.full(len(parts), -1.0), np.zeros(len(ident))])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = model.fit_vb(mean=start, sd=np.full(len(start), 0.5))
    sds = np.exp(found.vcp_mean)
    together = np.hstack([fixed, random])
    precisions = np.concatenate([np.full(fixed.shape[1], PRIOR_SD**-2), sds[ident] ** -2])
    logits = together @ np.concatenate([found.fe_mean, found.vc_mean])
    weights = 1 / (2 + 2 * np.cosh(logits))  # p (1 - p)
    covariance = np.linalg.inv((together.T * weights) @ together + np.diag(precisions))
    return Fitted(
        coefficients=np.asarray(found.fe_mean),
        errors=np.sqrt(np.diag(covariance)[: fixed.shape[1]]),
        sds=dict(zip(groups, map(float, sds), strict=True)),
        converged=not any("converge" in str(one.message) for one in told),
    )


def _statsmodels() -> type:
    try:
        from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM
    except ImportError as error:
        raise ImportError(
            f"the mixed model needs statsmodels, which cannot be imported ({error}). "
            f"Type: pip install 'clapbench[mixed]'"
        ) from error
    found: type = BinomialBayesMixedGLM
    return found


def _indicators(labels: Sequence[str]) -> Float[np.ndarray, "n g"]:
    """A column for each label, 1 in its rows."""
    names = np.array(labels)
    return (names[:, None] == np.array(list(dict.fromkeys(labels)))).astype(np.float64)
