r"""What n items can show of two models: the exact power of McNemar's test.

The test looks at the D items that one of the two alone gets right. D is binomial (n, $p_a + p_b$), of shares $p_a$ and
$p_b$ that the one or the other alone gets right; of D the first wins a binomial number with $p_a / (p_a + p_b)$. Power
is the chance of an outcome with p <= alpha, summed over both. It rises as models agree more: a difference of .06 has
twice the power where 8 % of the items tell them apart as where 20 % do.

Sources: McNemar 1947; Duffy 1984 (Asymptotic and exact power for the McNemar test).
"""

from __future__ import annotations

import numpy as np

from clapbench.statistics.proportions import LEVEL, sign_ps


def mcnemar_power(n: int, *, difference: float, differ: float, alpha: float = LEVEL) -> float:
    """The chance that the exact McNemar test finds two models apart on ``n`` items.

    ``difference`` is that of their true shares, ``differ`` the share of items that only one of the two gets right, at
    least as large as the difference.

    >>> round(mcnemar_power(197, difference=0.06, differ=0.08), 2)
    0.84
    """
    if not abs(difference) <= differ <= 1 or differ == 0:
        raise ValueError(
            f"mcnemar_power: needed a share of items that only one gets right, above 0, from the difference "
            f"{abs(difference):g} to 1, got differ={differ:g}. Two models differ at least on as many items."
        )
    from scipy.stats import binom

    share = (differ + abs(difference)) / (2 * differ)  # of the items that differ, those of the better one
    power = 0.0
    for m, weight in enumerate(binom.pmf(np.arange(n + 1), n, differ)):
        if weight > 1e-12:
            wins = np.arange(m + 1)
            power += weight * binom.pmf(wins, m, share)[sign_ps(wins, m - wins) <= alpha].sum()
    return float(power)
