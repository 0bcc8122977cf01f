"""Corrections of p for several tests.

Sources: Holm 1979; Benjamini and Hochberg 1995.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's p: the chance of any false finding among those up to it. An undefined p stays so and is not counted.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    return _corrected(ps, lambda p: np.maximum.accumulate(p * np.arange(len(p), 0, -1)))


def benjamini_hochberg(ps: Sequence[float | None]) -> list[float | None]:
    """Benjamini and Hochberg's p: the share of false findings expected among those up to it.

    >>> benjamini_hochberg([0.01, None, 0.04, 0.03])
    [0.03, None, 0.04, 0.04]
    """
    return _corrected(
        ps, lambda p: np.minimum.accumulate((p * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
    )


def _corrected(ps: Sequence[float | None], rule: Callable[[np.ndarray], np.ndarray]) -> list[float | None]:
    """``rule`` on the defined p in ascending order, put back in place."""
    defined = [index for index, p in enumerate(ps) if p is not None]
    rising = sorted(defined, key=lambda index: ps[index] or 0.0)
    new = np.minimum(rule(np.array([ps[index] for index in rising], dtype=np.float64)), 1)
    result: list[float | None] = [None] * len(ps)
    for index, p in zip(rising, new, strict=True):
        result[index] = float(p)
    return result
