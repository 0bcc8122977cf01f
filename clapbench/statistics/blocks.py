r"""What a treatment does, told by blocks that each saw all of it: seeds that are the same in every arm of a design.

Each block gives one number $d_b$ (a slope, a difference), and the $n$ of them are the sample. The interval of their
mean $\bar d$ is $\bar d \pm t_{n - 1, .975}\, s / \sqrt n$; p is Student's, and beside it that of sign flips: under no
effect every $d_b$ is as likely to be $-d_b$, so that with 5 blocks no two-sided p is below 2 / 32. No effect is shown
where the 90 % interval lies within a margin (two one-sided tests).

Sources: Student 1908; Fisher 1935, section 21, for the flips; Schuirmann 1987 for the two one-sided tests.
"""

from __future__ import annotations

from itertools import product
from math import sqrt
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

Sign = Literal["positive", "negative", "either", "none"]
MOST_FLIPPED = 14  # blocks of which all sign flips are tried
EQUAL = 1e-12


class Effect(NamedTuple):
    """The mean over blocks with its 95 % interval; p of the ``sign`` that is claimed, None for fewer than 2 blocks."""

    value: float
    low: float | None
    high: float | None
    p: float | None  # by Student's t, of equivalence where the claim is none
    p_flips: float | None  # by sign flips
    blocks: int
    same_sign: int  # blocks with the sign of the mean


def effect(
    of_blocks: Float[np.ndarray, " n"], *, sign: Sign = "either", margin: float | None = None
) -> Effect:
    """The mean of one number per block and what it is worth. ValueError for no blocks, or values that are not finite.

    >>> found = effect(np.array([1.0, 2.0, 3.0]))
    >>> round(found.value, 2), round(found.low, 2), round(found.high, 2), round(found.p, 3), found.p_flips
    (2.0, -0.48, 4.48, 0.074, 0.25)
    """
    n = len(of_blocks)
    if not n or not np.isfinite(of_blocks).all():
        raise ValueError(
            f"effect: needs a finite number for each of at least 1 block, got {of_blocks.tolist()}."
        )
    if (sign == "none") != (margin is not None):
        raise ValueError("effect: the claim of no effect goes with a margin, and a margin with it.")
    mean = float(of_blocks.mean())
    same = int((np.sign(of_blocks) == np.sign(mean)).sum())
    if n < 2:
        return Effect(mean, None, None, None, None, n, same)
    from scipy import stats

    error = float(of_blocks.std(ddof=1)) / sqrt(n)
    half = float(stats.t.ppf(0.975, n - 1)) * error
    return Effect(
        value=mean,
        low=mean - half,
        high=mean + half,
        p=_p(mean, error, n=n, sign=sign, margin=margin),
        p_flips=None if sign == "none" else flips_p(of_blocks, sign=sign),
        blocks=n,
        same_sign=same,
    )


def _p(mean: float, error: float, *, n: int, sign: Sign, margin: float | None) -> float:
    """Student's p of the claim; of no effect the larger of its two one-sided ones."""
    from scipy import stats

    def above(bound: float) -> float:
        """That the true mean is no larger than ``bound``."""
        if error == 0:
            return 0.5 if abs(mean - bound) <= EQUAL else float(mean < bound)
        return float(stats.t.sf((mean - bound) / error, n - 1))

    if margin is not None:
        return max(above(-margin), 1 - above(margin))
    one_sided = above(0.0)
    return {"positive": one_sided, "negative": 1 - one_sided}.get(
        sign, min(1.0, 2 * min(one_sided, 1 - one_sided))
    )


def flips_p(of_blocks: Float[np.ndarray, " n"], *, sign: Sign = "either") -> float:
    """The share of all sign flips whose mean is as far out; 10,000 seeded ones where there are more than 2^14.

    >>> flips_p(np.ones(5)), flips_p(np.ones(5), sign="positive")
    (0.0625, 0.03125)
    """
    n = len(of_blocks)
    if n <= MOST_FLIPPED:
        signs = np.array(list(product((1.0, -1.0), repeat=n)))
    else:
        drawn = np.random.default_rng(0).choice([1.0, -1.0], size=(10_000, n))
        signs = np.concatenate([np.ones((1, n)), drawn])
    means = signs @ of_blocks / n
    if sign == "either":
        means = np.abs(means)
    elif sign == "negative":
        means = -means
    return float((means >= means[0] - EQUAL).mean())


def slope(doses: Float[np.ndarray, " k"], values: Float[np.ndarray, " k"]) -> float:
    """The slope of the least-squares line of ``values`` over ``doses``. ValueError for a single dose.

    >>> slope(np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0]))
    2.0
    """
    centred = doses - doses.mean()
    spread = float(centred @ centred)
    if spread == 0:
        raise ValueError(f"slope: needs at least 2 different doses, got {sorted(set(doses.tolist()))}.")
    return float(centred @ values) / spread
