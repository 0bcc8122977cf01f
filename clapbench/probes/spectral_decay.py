r"""Decay of the spectrum: the exponent of a power law through the eigenvalues of the covariance, by their rank.

With the eigenvalues $\lambda_1 \ge \lambda_2 \ge \dots$ of the covariance of the rows (centred), the least-squares line
of $\ln \lambda_i$ over $\ln i$, ranks $a \le i \le b$, each of weight $w_i$, has the slope $-\alpha$:

| | ranks | weights | source |
|---|---|---|---|
| alpha-ReQ | 4 to 100 | $1/i$ | Agrawal et al. 2022, by their code |
| spectral decay | all | equal | none: the plain fit |

0 or more; 0 for equal eigenvalues. The slope means something only where a power law fits, and both grow or fall with n
for one and the same distribution: compare at equal n.

Source: Agrawal et al. 2022 (alpha-ReQ) define the exponent. Range and weights are those of their code
(github.com/kumarkrishna/fastssl: ``stringer_get_powerlaw`` with ``trange=np.arange(3, 100)``, which counts from 0), the
weights after Stringer et al. 2019, who fit ranks 11 to 500. With fewer eigenvalues than rank b that code stops with an
error, or takes a rounding error for an eigenvalue. Here eigenvalues that are 0 to rounding are left out, and the line
ends at the last one there is, for 3 or more. So with 100 rows, or 99 dimensions, or fewer, the range is shorter than
theirs, and the number no longer one with those of larger clouds.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from clapbench.probes.base import Choices, SideProbe, StreamedProbe
from clapbench.probes.moments import Moments, moments, rounding, shared_singular_values, spread
from clapbench.rows import Rows, checked

WEIGHTS = ("equal", "1/i")
MIN_RANKS = 3  # through two points any line fits


class Line(NamedTuple):
    """Which ranks the line is fitted to, and how they weigh; ``last`` None is the last there is."""

    first: int
    last: int | None
    weights: str


def alpha_req(x: Rows, first: int = 4, last: int | None = 100, weights: str = "1/i") -> Float64[Tensor, ""]:
    """Exponent of the eigenvalues' decay from rank ``first`` to ``last``, by default as its authors fit it.

    ``weights`` are ``1/i`` or ``equal``; ``last`` None, or beyond the last eigenvalue above 0, ends there.

    Raises ValueError for fewer than 3 eigenvalues above 0 in that range, and for a range or weights that are none.

    >>> round(alpha_req(torch.eye(9)).item(), 6)
    0.0
    """
    line = _line(first, last, weights, who="alpha_req")
    return _decay(moments(checked(x, who="alpha_req")), line, who="alpha_req")


def spectral_decay(
    x: Rows, first: int = 1, last: int | None = None, weights: str = "equal"
) -> Float64[Tensor, ""]:
    """As `alpha_req`, by default over all ranks, the many small eigenvalues of the tail weighing as the first do.

    >>> round(spectral_decay(torch.eye(9)).item(), 6)
    0.0
    """
    line = _line(first, last, weights, who="spectral_decay")
    return _decay(moments(checked(x, who="spectral_decay")), line, who="spectral_decay")


class SpectralDecay(SideProbe, StreamedProbe):
    """Exponent of one side's spectrum over all ranks alike."""

    who = "spectral_decay"

    def __init__(
        self,
        side: str | None = None,
        first: int = 1,
        last: int | None = None,
        weights: str = "equal",
        **kwargs: Any,
    ) -> None:
        super().__init__(side, **kwargs)
        self.line = _line(first, last, weights, who=type(self).__name__)

    def measure(self) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return _decay(self.moments(self.side), self.line, who=self.who)


class AlphaReQ(SpectralDecay):
    """Exponent of one side's spectrum as the authors of alpha-ReQ fit it."""

    who = "alpha_req"
    choices: ClassVar[Choices] = {
        "first": (1, 4, 11),
        "last": (50, 100, None),
        "weights": ("1/i", "equal"),
    }

    def __init__(
        self,
        side: str | None = None,
        first: int = 4,
        last: int | None = 100,
        weights: str = "1/i",
        **kwargs: Any,
    ) -> None:
        super().__init__(side, first=first, last=last, weights=weights, **kwargs)


def _decay(cloud: Moments, line: Line, *, who: str) -> Float64[Tensor, ""]:
    rows = spread(cloud, who=who)
    s = shared_singular_values(rows, who=who, every_one=True)[: cloud.n - 1]
    above = s[s > rounding(cloud) * s[0]]
    y = 2 * above[line.first - 1 : line.last].log()  # eigenvalues up to a factor, which is no slope
    if len(y) < MIN_RANKS:
        raise ValueError(
            f"{who}: needs at least {MIN_RANKS} eigenvalues above 0 from rank {line.first} on for a slope, got "
            f"{len(y)} (of {len(above)})."
        )
    rank = torch.arange(line.first, line.first + len(y), dtype=y.dtype)
    weight = torch.ones_like(rank) if line.weights == "equal" else 1 / rank
    weight, x = weight / weight.sum(), rank.log()
    x, y = x - weight @ x, y - weight @ y
    return -(weight * x * y).sum() / (weight * x * x).sum()


def _line(first: int, last: int | None, weights: str, *, who: str) -> Line:
    if first < 1 or (last is not None and last < first + MIN_RANKS - 1):
        raise ValueError(
            f"{who}: needs ranks from 1 or more, {MIN_RANKS} of them at least; got first={first}, last={last}."
        )
    if weights not in WEIGHTS:
        raise ValueError(f"{who}: weights must be 'equal' or '1/i', got {weights!r}.")
    return Line(first, last, weights)
