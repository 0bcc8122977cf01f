"""How many cells it takes to see a correlation.

Sources for the variances of artanh r: Fisher 1921 (Pearson); Bonett and Wright 2000 (Spearman); Fieller, Hartley and
Pearson 1957 (Kendall).
"""

from __future__ import annotations

from math import atanh, ceil, factorial

from clapbench.statistics.bootstrap import EDGE
from clapbench.statistics.coefficients import MIN_PAIRS, Coefficient


def cells_needed(
    r: float, *, coefficient: Coefficient = "pearson", tests: int = 1, power: float = 0.8
) -> int | None:
    r"""How many independent cells would show an effect of ``r`` (two-sided 5 %, shared by ``tests``); None for r = 0.

    $n = o + f ((z_{1 - 0.025 / \text{tests}} + z_{\text{power}}) / \operatorname{artanh} |r|)^2$, rounded up. f and o
    are 1 and 3 for Pearson, $1 + r^2 / 2$ and 3 for Spearman, 0.437 and 4 for Kendall, and one cell more for the few
    values that it takes. At least as many as have a permutation p that small: 2 / n! must be within 5 % / tests.

    >>> cells_needed(0.3), cells_needed(0.5), cells_needed(0.94, coefficient="spearman", tests=8)
    (85, 30, 10)
    """
    if r == 0:
        return None
    factor, offset = {"pearson": (1.0, 3), "spearman": (1 + r * r / 2, 3), "kendall": (0.437, 5)}[coefficient]
    from scipy.special import ndtri  # the normal quantile, without the seconds that scipy.stats takes

    reach = ndtri(1 - 0.025 / tests) + ndtri(power)
    least = MIN_PAIRS
    while 2 / factorial(least) > 0.05 / tests:
        least += 1
    return max(least, ceil(offset + factor * (reach / atanh(min(abs(r), EDGE))) ** 2))


def power_line(name: str, r: float, *, n: int, coefficient: Coefficient = "spearman", tests: int = 1) -> str:
    """`cells_needed` in a sentence. A large effect found in few cells is likely the lucky end of a smaller one.

    >>> power_line("gap_l2", 0.3, n=6, coefficient="pearson").partition(", ")[2]
    '85 independent cells show it (80 %, two-sided 5 %); half of it takes 347.'
    """
    if r == 0:
        return f"{name}: the {coefficient.capitalize()} found is 0; no number of cells would show it."
    single, many, half = (
        cells_needed(effect, coefficient=coefficient, tests=k)
        for effect, k in ((r, 1), (r, tests), (r / 2, 1))
    )
    family = f", {many} when {tests} different probes are tried" if tests > 1 else ""
    return (
        f"{name}: if the true {coefficient.capitalize()} is the {r:+.2f} found in these {n} cells, "
        f"{single} independent cells show it (80 %, two-sided 5 %){family}; half of it takes {half}."
    )
