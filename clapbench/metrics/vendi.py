r"""Vendi score: how many different rows a set is worth.

$\exp(-\sum_i \lambda_i \ln \lambda_i)$ with $\lambda$ the eigenvalues of $K / n$, $K$ the cosines of all pairs of rows:
1 where all rows have one direction, n where all are orthogonal; at most min(n, d). Without a reference.

Source: Friedman and Dieng 2023, eq. 1. $K / n$ and the d x d second moment of unit rows have the same eigenvalues above
0; the smaller one is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor
from torchmetrics import Metric

from clapbench.metrics.sets import Measured, one_space, rows, unit
from clapbench.rows import Rows

LEAST = 1e-14  # eigenvalues below are rounding


def vendi_score(x: Rows) -> Measured:
    """Vendi score of rows, n x d, 1 to min(n, d): a float that carries n and d.

    Raises ValueError for under 2 rows, a value that is not finite, and a row of zeros, which has no cosine.

    >>> round(vendi_score([[1.0, 0.0], [0.0, 2.0]]), 9)
    2.0
    """
    directions = unit(rows(x, who="vendi_score"), who="vendi_score")
    n, d = directions.shape
    return _score(directions @ directions.T if n < d else directions.T @ directions, n=n, d=d)


class VendiScore(Metric):
    """`vendi_score` in memory that does not grow with n: batches, and processes, add up.

    >>> metric = VendiScore()
    >>> metric.update([[1.0, 0.0]])
    >>> metric.update([[0.0, 2.0]])
    >>> round(metric.compute().item(), 9)
    2.0
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False

    squares: list[Tensor]
    n: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("squares", default=[], dist_reduce_fx="cat")
        self.add_state("n", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, x: Rows) -> None:
        """Add rows. ValueError for rows that are not finite, zero, or of another length."""
        directions = unit(rows(x, who="VendiScore", least=1), who="VendiScore")
        square = directions.T @ directions
        if len(self.squares):
            before = self.total()
            one_space(len(before), len(square), who="VendiScore")
            square += before
        self.squares = [torch.from_numpy(square)[None]]
        self.n += len(directions)

    def forward(self, *args: Any, **kwargs: Any) -> Float64[Tensor, ""]:
        """`update`, and the score of this batch alone."""
        value = super().forward(*args, **kwargs)  # which keeps a matrix of every batch
        self.squares = [torch.from_numpy(self.total())[None]]
        return value

    def total(self) -> Float64[np.ndarray, "d d"]:
        """The second moment of the unit rows so far, times n."""
        pieces = self.squares if isinstance(self.squares, Tensor) else torch.cat(self.squares)
        return pieces.cpu().numpy().sum(axis=0)

    def measure(self) -> Measured:
        """The score with n and d."""
        n = int(self.n)
        if n < 2:
            raise ValueError(f"VendiScore: needed at least 2 rows, got {n}. Give more clips.")
        total = self.total()
        return _score(total, n=n, d=len(total))

    def compute(self) -> Float64[Tensor, ""]:
        """The score of all rows so far, on every process; ValueError for fewer than 2."""
        return torch.tensor(float(self.measure()), dtype=torch.float64)


def _score(square: np.ndarray, *, n: int, d: int) -> Measured:
    share = np.linalg.eigvalsh(square / n)
    share = share[share > LEAST]
    return Measured(float(np.exp(-(share * np.log(share)).sum())), n_generated=n, d=d)
