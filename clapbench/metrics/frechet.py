r"""The Fréchet distance of two clouds taken for normal (FAD of audio embeddings); what it is without end; song by song.

$d^2 = \lVert \mu_r - \mu_g \rVert^2 + \operatorname{tr} \Sigma_r + \operatorname{tr} \Sigma_g
- 2 \operatorname{tr} (\Sigma_r \Sigma_g)^{1/2}$,

covariances over n - 1. The last trace is the sum of the singular values of $A B^\top / \sqrt{(n-1)(m-1)}$ for any $A$
and $B$ with $A^\top A$ and $B^\top B$ the scatter of the two clouds: the centred rows where they are fewer than
dimensions, else Cholesky's triangles. So no root of a product is taken, which need not be symmetric, and there is no
imaginary part.

The distance of finite samples is too large by about a constant over n; a bootstrap, whose samples repeat rows, nearly
doubles that. `frechet_infinity` follows the line over 1/n to its end; `frechet_interval` draws without replacement.

Sources: Dowson and Landau 1982 (the distance); Kilgour et al. 2019 (FAD); Chong and Forsyth 2020 (without end); Gui et
al. 2024 (FAD song by song); Chan et al. 1983 (merged moments).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torchmetrics import Metric

from clapbench.metrics.clouds import Given, Rows, cloud, clouds, same_dimension
from clapbench.probes.moments import singular_values
from clapbench.statistics.proportions import Interval
from clapbench.statistics.subsampling import of_draws

WHO = "Frechet distance"
POINTS = 15  # of the line over 1/n
STRAIGHT = 0.9  # R2 below which the line is said not to be one
PART = 0.5  # of the rows in a draw of the interval


class Gaussian(NamedTuple):
    """What the distance knows of a cloud: rows, their mean, and the sum of squares and products about it."""

    n: int
    mean: Float64[np.ndarray, " d"]
    scatter: Float64[np.ndarray, "d d"]

    def merged(self, other: Gaussian) -> Gaussian:
        """Of both clouds together."""
        n, shift = self.n + other.n, other.mean - self.mean
        return Gaussian(
            n=n,
            mean=self.mean + shift * (other.n / n),
            scatter=self.scatter + other.scatter + np.outer(shift, shift) * (self.n * other.n / n),
        )


def gaussian(rows: Given) -> Gaussian:
    """The moments of rows [n, d], n from 1."""
    found = cloud(rows, who=WHO, side="", least=1)
    mean = found.mean(axis=0)
    centred = found - mean
    return Gaussian(len(found), mean, centred.T @ centred)


class _Side(NamedTuple):
    """A cloud as the distance takes it: ``root`` has the cloud's scatter, root.T @ root."""

    n: int
    mean: Float64[np.ndarray, " d"]
    root: Float64[np.ndarray, "k d"]

    @property
    def trace(self) -> float:
        return float(np.einsum("kd,kd->", self.root, self.root)) / (self.n - 1)


def _side(rows: Rows) -> _Side:
    if len(rows) > rows.shape[1]:
        return _of_moments(gaussian(rows))
    mean = rows.mean(axis=0)
    return _Side(len(rows), mean, rows - mean)


def _of_moments(found: Gaussian) -> _Side:
    if found.n < 2:
        raise ValueError(f"{WHO}: needed at least 2 rows for a covariance, got {found.n}. Give more clips.")
    lower, fault = torch.linalg.cholesky_ex(torch.from_numpy(found.scatter))
    if not fault:
        return _Side(found.n, found.mean, lower.numpy().T)
    energy, axes = np.linalg.eigh(found.scatter)
    return _Side(found.n, found.mean, np.sqrt(np.clip(energy, 0, None))[:, None] * axes.T)


def _distance(one: _Side, other: _Side) -> float:
    shift = one.mean - other.mean
    product = one.root @ other.root.T
    cross = 0.0
    if product.any():
        scale = ((one.n - 1) * (other.n - 1)) ** 0.5
        cross = float(singular_values(torch.from_numpy(product), who=WHO).sum()) / scale
    return max(0.0, float(shift @ shift) + one.trace + other.trace - 2 * cross)


def frechet_distance(
    reference: Given,
    generated: Given,
) -> float:
    """The squared Fréchet distance of two clouds of rows, 0 or more, in the square of their unit.

    Exact also where rows are fewer than dimensions, though it then says little: see `notes`. ValueError for fewer than
    2 rows of a side, for rows that are not finite, and for unlike dimensions.

    >>> rows = np.random.default_rng(0).standard_normal((50, 4))
    >>> round(frechet_distance(rows, rows), 12), round(frechet_distance(rows, rows + 1.0), 12)
    (0.0, 4.0)
    """
    one, other = clouds(reference, generated, who=WHO)
    return _distance(_side(one), _side(other))


def frechet_of_moments(reference: Gaussian, generated: Gaussian) -> float:
    """`frechet_distance` of clouds that were streamed; to some 1e-7 of it where rows are fewer than dimensions."""
    same_dimension(len(reference.mean), len(generated.mean), who=WHO)
    return _distance(_of_moments(reference), _of_moments(generated))


def notes(*, n_reference: int, n_generated: int, d: int) -> tuple[str, ...]:
    """What a reader of a distance over these many rows has to know, in sentences."""
    few = min(n_reference, n_generated)
    if few > d:
        return ()
    return (
        f"{few} rows of {d} dimensions have a covariance that is not of full rank: compare distances at one number of "
        f"rows alone, or extrapolated.",
    )


class Infinity(NamedTuple):
    """The line through distances of ever more of the generated rows: ``value`` is where 1/n is 0."""

    value: float  # may lie below 0, as an unbiased estimate may
    slope: float
    r2: float
    n: tuple[int, ...]
    distances: tuple[float, ...]
    seed: int
    notes: tuple[str, ...]


def frechet_infinity(
    reference: Given,
    generated: Given,
    *,
    points: int = POINTS,
    least: int | None = None,
    seed: int = 0,
) -> Infinity:
    """What the distance would be with generated rows without end; the reference stays as it is.

    Prefixes of one seeded order of the generated rows, without replacement, from ``least`` (a fifth of them unless
    given) to all, evenly spaced in 1/n (a convention of ours). ValueError where there are too few rows.
    """
    one, other = clouds(reference, generated, who=WHO, least=10)
    first = len(other) // 5 if least is None else least
    if not 2 <= first < len(other) or points < 3:
        raise ValueError(
            f"{WHO} without end: needed 3 points or more, from at least 2 rows to {len(other)}; got {points} points "
            f"from {first}."
        )
    order = np.random.default_rng(seed).permutation(len(other))
    n = np.round(1 / np.linspace(1 / first, 1 / len(other), points)).astype(int)
    whole = _side(one)
    found = np.array([_distance(whole, _side(other[order[:size]])) for size in n])
    slope, value = np.polyfit(1 / n, found, 1)
    rest = found - (value + slope / n)
    total = float(((found - found.mean()) ** 2).sum())
    r2 = 1 - float((rest**2).sum()) / total if total > 0 else float("nan")
    told = (
        ()
        if r2 >= STRAIGHT
        else (f"The distance is no line over 1/n (R2 {r2:.2f}): its end is not to be trusted.",)
    )
    return Infinity(float(value), float(slope), r2, tuple(n.tolist()), tuple(found.tolist()), seed, told)


def frechet_interval(
    reference: Given,
    generated: Given,
    *,
    draws: int = 20,
    seed: int = 0,
) -> Interval:
    """A 95 % interval of the distance at these numbers of rows, both sides being samples.

    From ``draws`` of half of the rows of each side without replacement (the delete-d jackknife of
    `statistics.subsampling`): of what fresh samples of as many rows have on average, which is more than the distance of
    the systems. Nothing is repeated, as a bootstrap would, to which a row drawn twice is a smaller cloud.
    """
    one, other = clouds(reference, generated, who=WHO, least=4)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        parts = [_side(rows[rng.permutation(len(rows))[: round(PART * len(rows))]]) for rows in (one, other)]
        found.append(_distance(*parts))
    low, high = of_draws(np.array(found), part=PART, whole=_distance(_side(one), _side(other))).ci95
    return Interval(max(0.0, low), high)


class PerSong(NamedTuple):
    """Each clip's own distance: NaN for one of fewer than 2 chunks; ``outliers`` are places, the worst first."""

    distances: Float64[np.ndarray, " clips"]
    outliers: tuple[int, ...]
    undefined: tuple[int, ...]


def per_song_frechet(reference: Given, clips: Sequence[Any]) -> PerSong:
    """The distance of each clip's chunks, rows [k, d], from the reference: it ranks single clips.

    Outliers lie more than 1.5 interquartile ranges above the third quartile (Tukey 1977).
    """
    whole = _side(cloud(reference, who=WHO, side="reference"))
    found = np.full(len(clips), np.nan)
    for place, chunks in enumerate(clips):
        rows = cloud(chunks, who=WHO, side=f"clip {place}'s", least=1)
        same_dimension(whole.root.shape[1], rows.shape[1], who=WHO)
        if len(rows) > 1:
            found[place] = _distance(whole, _side(rows))
    known = found[~np.isnan(found)]
    far: list[int] = []
    if len(known):
        first, third = np.quantile(known, [0.25, 0.75])
        far = np.flatnonzero(found > third + 1.5 * (third - first)).tolist()
    return PerSong(
        distances=found,
        outliers=tuple(sorted(far, key=lambda place: -found[place])),
        undefined=tuple(np.flatnonzero(np.isnan(found)).tolist()),
    )


class FrechetDistance(Metric):
    """`frechet_distance` of rows that come batch by batch, on one process or several.

    ``update(rows, reference=True)`` for the reference, False for what was generated. It keeps sums, float64 [dim] and
    [dim, dim]: made for rows of about unit length, whose squares lose nothing in a sum.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = False

    def __init__(self, *, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        for side in ("reference", "generated"):
            self.add_state(f"{side}_n", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
            self.add_state(f"{side}_sum", torch.zeros(dim, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(f"{side}_square", torch.zeros(dim, dim, dtype=torch.float64), dist_reduce_fx="sum")
        self.set_dtype(torch.float64)

    def update(self, rows: Float[Tensor, "n d"], *, reference: bool) -> None:
        """Adds rows to one side."""
        side = "reference" if reference else "generated"
        found = torch.from_numpy(cloud(rows, who=WHO, side=side, least=1)).to(self.device)
        same_dimension(self.dim, found.shape[1], who=WHO)
        setattr(self, f"{side}_n", getattr(self, f"{side}_n") + len(found))
        setattr(self, f"{side}_sum", getattr(self, f"{side}_sum") + found.sum(dim=0))
        setattr(self, f"{side}_square", getattr(self, f"{side}_square") + found.T @ found)

    def compute(self) -> Float64[Tensor, ""]:
        """The distance of all rows so far; ValueError where a side has fewer than 2."""
        sides = [self._gaussian(side) for side in ("reference", "generated")]
        return torch.tensor(frechet_of_moments(*sides), dtype=torch.float64)

    def _gaussian(self, side: str) -> Gaussian:
        n, total, square = (getattr(self, f"{side}_{what}").cpu().numpy() for what in ("n", "sum", "square"))
        if n < 2:
            raise ValueError(f"{WHO}: needed at least 2 {side} rows, got {int(n)}. Update with more clips.")
        return Gaussian(int(n), total / n, square - np.outer(total, total) / n)
