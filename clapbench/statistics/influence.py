r"""How much of a coefficient hangs on single models: the range when one is left out, and what is left without some.

An outlier is a model whose absence moves $z = \operatorname{artanh} r$ by more than $2 / \sqrt m$ of its jackknife
standard error, that is, which makes up more than about 4 / m of the variance where its share is 1 / m. A control is a
model that cannot do the task; probes may tell it from the others and say nothing of those that can.

Source: Belsley, Kuh and Welsch 1980, DFBETAS and their bound; Tukey 1958 for the jackknife. Deviation: the coefficient
is a correlation on Fisher's scale, the unit a model with all its cells.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from clapbench.statistics.bootstrap import EDGE
from clapbench.statistics.coefficients import MIN_PAIRS, Coefficient, members, weighted


class Influence(NamedTuple):
    """Coefficients without some models; None is undefined, and ``note`` says why where none can be had."""

    without_one_low: float | None = None  # range when one model is left out
    without_one_high: float | None = None
    most_influential: str | None = None  # the model whose absence changes the coefficient most
    without_most_influential: float | None = None
    outliers: tuple[str, ...] = ()
    without_outliers: float | None = None  # without all of them; None where there are none
    controls: tuple[str, ...] = ()
    without_controls: float | None = None
    note: str | None = None


def without_models(
    values: Float[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    models: Sequence[str],
    *,
    controls: Collection[str] = (),
    coefficient: Coefficient = "spearman",
) -> Influence:
    """What the coefficient is without each model, without the outliers among them, and without ``controls``.

    >>> x, y = np.array([1.0, 2, 3, 4, 9]), np.array([1.0, 3, 2, 4, 0])
    >>> found = without_models(x, y, "abcde", controls="a")
    >>> found.without_one_high, found.most_influential, found.outliers, round(found.without_controls, 3)
    (0.8, 'e', ('e',), -0.4)
    """
    names, member = list(dict.fromkeys(models)), members(models)
    there = tuple(name for name in names if name in controls)
    found = Influence(controls=there)
    if there:
        found = found._replace(without_controls=_without(values, scores, models, there, coefficient))
    weights = 1 - member
    if weights.sum(axis=1).min() < MIN_PAIRS:
        return found._replace(note=f"no range without one model: fewer than {MIN_PAIRS} cells would be left")
    one, *rest = weighted(values, scores, np.vstack([np.ones(len(values)), weights]), coefficient)
    without = np.array(rest)
    if np.isnan(without).any():
        return found._replace(note="no range without one model: without one of them a side is constant")
    moved = np.abs(np.arctanh(np.clip(without, -EDGE, EDGE)) - np.arctanh(np.clip(one, -EDGE, EDGE)))
    m = len(names)
    error = sqrt((m - 1) / m * (moved**2).sum())
    outliers = tuple(name for name, by in zip(names, moved, strict=True) if by > 2 / sqrt(m) * error)
    most = int(np.argmax(np.abs(without - one)))
    return found._replace(
        without_one_low=float(without.min()),
        without_one_high=float(without.max()),
        most_influential=names[most],
        without_most_influential=float(without[most]),
        outliers=outliers,
        without_outliers=_without(values, scores, models, outliers, coefficient) if outliers else None,
    )


def _without(
    values: Float[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    models: Sequence[str],
    left_out: Collection[str],
    coefficient: Coefficient,
) -> float | None:
    """The coefficient over the cells of the other models; None below 4 cells, or where a side is then constant."""
    kept = np.array([name not in left_out for name in models], dtype=np.float64)
    if kept.sum() < MIN_PAIRS:
        return None
    found = float(weighted(values, scores, kept[None], coefficient)[0])
    return None if np.isnan(found) else found
