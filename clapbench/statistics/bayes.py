r"""Bayes factor of a correlation: how much likelier the data are if there is some correlation than if there is none.

For $n$ units with coefficient $r$ and, under the alternative, every $\rho$ from -1 to 1 as likely as any other
(Jeffreys's default, a stretched beta prior of width 1)

$\mathrm{BF}_{10} = \frac{\sqrt\pi}{2} \frac{\Gamma(\frac{n + 1}{2})}{\Gamma(\frac{n + 2}{2})}
{}_2F_1(\tfrac{n - 1}{2}, \tfrac{n - 1}{2}; \tfrac{n + 2}{2}; r^2)$

from 0 to infinity: above 3 it speaks for a correlation, below 1/3 against one, between them it says little.

Source: Ly, Verhagen and Wagenmakers 2016, eq. 25 with kappa = 1 ("Jeffreys exact"); Jeffreys 1961 for the bounds.
Deviation: Spearman's coefficient enters as Pearson's of the ranks, where van Doorn et al. 2020 sample a latent normal.
"""

from __future__ import annotations

from math import exp, log, pi


def bayes_factor(r: float, n: int) -> float | None:
    """BF10 of a coefficient ``r`` over ``n`` independent units; None below 3 units, or for an r of 1 or -1.

    >>> round(bayes_factor(0.3, 20), 4), round(bayes_factor(-0.6, 12), 4)
    (0.5997, 2.3977)
    """
    if n < 3 or abs(r) >= 1:
        return None
    from scipy.special import gammaln, hyp2f1

    # Euler's transformation: (1 - r^2)^((4 - n) / 2) takes out what overflows.
    steep = log(hyp2f1(1.5, 1.5, (n + 2) / 2, r * r)) + (4 - n) / 2 * log(1 - r * r)
    whole = log(pi) / 2 - log(2) + gammaln((n + 1) / 2) - gammaln((n + 2) / 2) + steep
    return exp(whole) if whole < 700 else None
