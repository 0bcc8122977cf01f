r"""Do raters agree? Krippendorff's alpha on an interval scale, and how reliable the mean of all raters is.

Krippendorff: with ratings $x_{ru}$ of unit u by $m_u \ge 2$ raters and N ratings in all,

$\alpha = 1 - D_o / D_e, \quad
D_o = \frac{1}{N} \sum_u \frac{1}{m_u - 1} \sum_{r \ne s} (x_{ru} - x_{su})^2, \quad
D_e = \frac{1}{N (N - 1)} \sum_{i \ne j} (x_i - x_j)^2$:

1 where raters agree, 0 where a unit says no more of a rating than any other unit does, below 0 where it says less.

`reliability` is of ratings by raters, trials and targets (systems): the ICC of targets by raters on means over trials
(`icc.two_way`), and alpha over units that are a trial and a target. Its intervals draw raters and trials (`crossed`); a
rater who is drawn twice is not compared with himself, or agreement would grow by the drawing. For that, with $C$ the
mean covariance over targets of two different raters and $W$ half their mean squared difference on a target,

$\mathrm{ICC}(2, 1) = C / (C + W), \qquad \mathrm{ICC}(2, k) = C / (C + W / k)$,

which is Shrout and Fleiss's formula where each is drawn once. Targets are not drawn: an interval is of these targets.

Sources: Krippendorff 2018, "Content Analysis", section 12.3, interval metric; Shrout and Fleiss 1979, table 4. Written
here, for the package `krippendorff` has another licence (GPL), and the draws need weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from clapbench.statistics.crossed import DRAWS, MIN_LEVELS, Draws, bounds, drawn
from clapbench.statistics.icc import two_way
from clapbench.statistics.proportions import Interval

CHUNK = 2**22  # numbers at a time


def krippendorff(x: Float64[np.ndarray, "raters units"]) -> float | None:
    """Alpha on an interval scale; NaN is a rating that was not made, None where there is no difference to explain.

    Units with fewer than two ratings are left out, as Krippendorff does.

    >>> round(krippendorff(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 4.0]])), 4)
    0.878
    """
    made = ~np.isnan(x)
    kept = made.sum(axis=0) >= 2
    x, made = x[:, kept], made[:, kept]
    n, m = int(made.sum()), made.sum(axis=0)
    if n < 2:
        return None
    deviations = np.where(made, x - x[made].mean(), 0.0)
    sums, squares = deviations.sum(axis=0), (deviations**2).sum(axis=0)
    observed = float(((m * squares - sums**2) / (m - 1)).sum()) / n
    expected = float(n * squares.sum() - sums.sum() ** 2) / (n * (n - 1))
    scale = float(np.abs(x[made]).max())
    return 1 - observed / expected if expected > 1e-24 * scale**2 else None


class Figure(NamedTuple):
    """A figure of agreement and its 95 % interval; None is undefined."""

    value: float | None
    ci95: Interval | None = None


class Reliability(NamedTuple):
    """How reliable ratings are; ``note`` says why a figure or its interval is lacking."""

    mean: Figure  # of the mean over all raters: ICC(2, k)
    single: Figure  # of one rater: ICC(2, 1)
    alpha: Figure  # Krippendorff's, of one rating
    raters: int
    trials: int
    targets: int
    note: str | None = None

    @property
    def ceiling(self) -> Figure:
        """The square root of ``mean``: how a perfect measure of these targets would correlate with raters' means."""
        value, ci95 = self.mean
        if value is None or value <= 0:
            return Figure(None)
        return Figure(
            value**0.5, None if ci95 is None else Interval(*(max(0.0, bound) ** 0.5 for bound in ci95))
        )


def reliability(
    x: Float64[np.ndarray, "raters trials targets"], *, draws: int = DRAWS, seed: int = 0
) -> Reliability:
    """How well raters agree on targets, with intervals over raters and trials.

    >>> rng = np.random.default_rng(0)
    >>> x = np.array([20.0, 50.0, 80.0]) + rng.normal(scale=5, size=(12, 4, 3))
    >>> found = reliability(x, draws=200)
    >>> round(found.mean.value, 2), found.single.ci95.low > 0.9
    (1.0, True)
    """
    n_raters, n_trials, n_targets = x.shape
    whole = two_way(x.mean(axis=1).T)
    alpha = krippendorff(x.reshape(n_raters, -1))
    note = whole.note
    if whole.icc2 is None or min(n_raters, n_trials) < MIN_LEVELS:
        note = note or f"no interval: it needs at least {MIN_LEVELS} raters and {MIN_LEVELS} trials"
        found: list[Interval | None] = [None, None, None]
    else:
        found = [bounds(values) for values in resampled(x, drawn(n_raters, n_trials, draws=draws, seed=seed))]
    return Reliability(
        mean=Figure(whole.icc2k, found[0]),
        single=Figure(whole.icc2, found[1]),
        alpha=Figure(alpha, found[2] if alpha is not None else None),
        raters=n_raters,
        trials=n_trials,
        targets=n_targets,
        note=note,
    )


def resampled(
    x: Float64[np.ndarray, "raters trials targets"], chosen: Draws
) -> tuple[Float64[np.ndarray, " draws"], Float64[np.ndarray, " draws"], Float64[np.ndarray, " draws"]]:
    """ICC(2, k), ICC(2, 1) and alpha in every draw; NaN where one rater alone was drawn, or no rating differs."""
    x = x - x.mean()
    size = 1 + len(chosen.trials) * x.size // CHUNK
    parts = [
        _resampled(x, Draws(listeners, trials))
        for listeners, trials in zip(
            np.array_split(chosen.listeners, size), np.array_split(chosen.trials, size), strict=True
        )
    ]
    mean, single, alpha = (np.concatenate(part) for part in zip(*parts, strict=True))
    return mean, single, alpha


def _resampled(
    x: Float64[np.ndarray, "raters trials targets"], chosen: Draws
) -> tuple[Float64[np.ndarray, " draws"], ...]:
    a, b = chosen
    k, n_trials, n = x.shape
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = k**2 - (a**2).sum(axis=1)  # of two different raters, by their weights
        y = np.einsum("bt,ltn->bln", b, x, optimize=True) / n_trials
        z = y - y.mean(axis=2, keepdims=True)
        both = np.einsum("bl,bln->bn", a, z)
        alone = np.einsum("bl,bln,bln->b", a**2, z, z, optimize=True)
        covariance = ((both**2).sum(axis=1) - alone) / (n - 1) / pairs
        sums, squares = np.einsum("bl,bln->bn", a, y), np.einsum("bl,bln,bln->bn", a, y, y, optimize=True)
        within = (k * squares - sums**2).mean(axis=1) / pairs
        single, mean = covariance / (covariance + within), covariance / (covariance + within / k)

        flat = x.reshape(k, -1)
        s1 = (a @ flat).reshape(-1, n_trials, n)
        s2 = (a @ flat**2).reshape(-1, n_trials, n)
        observed = np.einsum("bt,btn->b", b, k * s2 - s1**2) / pairs / (n_trials * n)
        total = float(k * n_trials * n)
        again = (a**2).sum(axis=1) * (b**2).sum(axis=1) * n  # of a rating with itself
        whole, square = np.einsum("bt,btn->b", b, s1), np.einsum("bt,btn->b", b, s2)
        alpha = 1 - observed / ((total * square - whole**2) / (total**2 - again))
    return tuple(np.where(np.isfinite(one), one, np.nan) for one in (mean, single, alpha))
