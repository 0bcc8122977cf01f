r"""What noise in a score takes from its correlation: reliability over cells, and the coefficient without the noise.

A score that is a share of n items is off by chance, with variance $s^2 = H (1 - H) / (n - 1)$, and a coefficient is the
smaller for it. Over the cells its reliability is $1 - \overline{s^2} / \operatorname{var} H$, at most 1, and

$r_\infty = r / \sqrt{\text{reliability}}$

is what r would be with as many items as one likes. It is undefined where the reliability is not above 0: the cells
differ by no more than their noise. It is an estimate too, and with few cells may lie outside -1 to 1; an interval and a
p are those of r. The probe counts as free of noise.

Source: Spearman 1904, "The proof and measurement of association between two things". Deviation: for Spearman's
coefficient the formula is an approximation; for Kendall's there is none.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def share_variance(share: float, n: int) -> float | None:
    """The sampling variance of a share of ``n`` items, without bias; None below 2.

    >>> share_variance(0.5, 101)
    0.0025
    """
    return share * (1 - share) / (n - 1) if n > 1 else None


def reliability(scores: Float[np.ndarray, " n"], variance: Float[np.ndarray, " n"]) -> float | None:
    """1 less the share of noise in the variance of ``scores``; below 0 where the noise is larger, None without it.

    >>> round(reliability(np.array([0.1, 0.3, 0.5]), np.full(3, 0.01)), 6)
    0.75
    """
    total = float(np.var(scores, ddof=1)) if len(scores) > 1 else 0.0
    noise = float(np.mean(variance))
    return None if total == 0 or np.isnan(noise) else 1 - noise / total
