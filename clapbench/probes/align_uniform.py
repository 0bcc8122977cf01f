r"""Alignment and uniformity: how near matched rows lie, and how evenly a side fills the sphere.

With unit rows $u$, $v$:

- alignment is the mean over matched pairs of $\lVert u_i - v_i\rVert^2$, 0 to 4;
- uniformity is $\ln$ of the mean over all $i < j$ of one side of $\exp(-t \lVert u_i - u_j\rVert^2)$, $-4t$ to 0:
  lower is more even, 0 is a single point. At t = 2 about -4 for an even cloud in many dimensions.

Source: Wang and Isola 2020, section 4.1, with their exponents 2 and t = 2. Rows are brought to unit length. A clip with
several captions counts in every pair of it.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from clapbench.probes.base import Choices, SideProbe
from clapbench.probes.paired import PairedProbe, Pairs
from clapbench.rows import Rows, both, checked

BLOCK = 2**22  # cosines held at once: 32 MiB


def alignment(audio: Rows, text: Rows) -> Float64[Tensor, ""]:
    """Mean squared distance of row i of ``audio`` from row i of ``text``, both at unit length.

    Raises ValueError for sides of different sizes, and for a row of zeros, which has no direction.

    >>> alignment(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]])).item()
    2.0
    """
    u, v = (_unit(side, who="alignment") for side in both(audio, text, who="alignment"))
    return (u - v).square().sum(dim=1).mean()


def uniformity(x: Rows, t: float = 2.0) -> Float64[Tensor, ""]:
    """Logarithm of the mean Gaussian potential between two rows of ``x`` at unit length, ``t`` above 0.

    Raises ValueError for fewer than 2 rows, for a row of zeros, and for another ``t``.

    >>> uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])).item()
    -8.0
    """
    _refuse_exponent(t, who="uniformity")
    x = checked(x, who="uniformity")
    if len(x) < 2:
        raise ValueError(f"uniformity: needs at least 2 rows, got {len(x)}.")
    u = _unit(x, who="uniformity")
    n, total = len(u), u.new_zeros(())
    for start in range(0, n, max(1, BLOCK // n)):
        rows = u[start : start + max(1, BLOCK // n)]
        potential = (2 * t * (rows @ u[start:].T - 1)).clamp(max=0).exp()  # -t |u - v|^2 = 2 t (u.v - 1)
        total = total + potential.triu(diagonal=1).sum()
    return (total / (n * (n - 1) / 2)).log()


class Alignment(PairedProbe):
    """Mean squared distance of matched clips and captions."""

    def measure_pairs(self, pairs: Pairs) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return alignment(*self.matched(pairs.matches, least=1))


class Uniformity(SideProbe):
    """Uniformity of one side."""

    choices: ClassVar[Choices] = {"t": (0.5, 1.0, 2.0, 4.0)}

    def __init__(self, side: str | None = None, t: float = 2.0, **kwargs: Any) -> None:
        super().__init__(side, **kwargs)
        _refuse_exponent(t, who="Uniformity")
        self.t = t

    def measure(self) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return uniformity(self.rows(self.side), t=self.t)


def _refuse_exponent(t: float, *, who: str) -> None:
    if not 0 < t < math.inf:
        raise ValueError(f"{who}: t must be above 0, got {t}.")


def _unit(x: Float64[Tensor, "n d"], *, who: str) -> Float64[Tensor, "n d"]:
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    if not length.all():
        raise ValueError(
            f"{who}: row {int((length[:, 0] == 0).nonzero()[0])} is all zeros: it has no direction."
        )
    return x / length
