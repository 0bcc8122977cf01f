r"""Mutual kNN: whether matched clips and captions have the same neighbours on their own sides.

With $A_i$ and $T_i$ the pairs of the k nearest other clips of clip i and captions of caption i,
$\frac{1}{n k} \sum_i \lvert A_i \cap T_i\rvert$, between 0 and 1; $k / (n - 1)$ by chance.

Where rows tie for the last places of the k (swapped captions that a bag of words makes equal), it is the mean over
drawing the places by lot, on each side for itself: with $a_{ij}$ and $t_{ij}$ the chance that j is among the k nearest
of i, $\frac{1}{n k} \sum_{ij} a_{ij} t_{ij}$. So the order of the rows does not matter, and chance remains what it is.

Source: Huh et al. 2024 (The Platonic representation hypothesis), appendix A, k = 10; ties there go by position.
Neighbours are by the distance of unit rows, which orders as their cosine does. Chance depends on n: compare at equal n.
Swapped partners that both sides keep close count, as any other neighbours.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float64
from scipy.sparse import csr_array
from torch import Tensor

from clapbench.probes.base import Choices
from clapbench.probes.neighbours import nearest
from clapbench.probes.paired import PairedProbe, Pairs
from clapbench.rows import Rows, both

TIE = 1e-12  # distance of unit rows in float64 that is rounding


def mutual_knn(audio: Rows, text: Rows, k: int = 10) -> Float64[Tensor, ""]:
    """Share of the ``k`` nearest rows that row i of ``audio`` and row i of ``text`` have in common.

    Raises ValueError for no more than ``k`` rows, and for rows that are all equal, which have no nearest.

    >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    >>> mutual_knn(x, -3 * x, k=5).item()
    1.0
    """
    chances = []
    for side, x in both(audio, text, who="mutual_knn", one_space=False)._asdict().items():
        who = f"mutual_knn ({side})"
        if (x == x[0]).all():
            raise ValueError(f"{who}: all {len(x)} rows are equal, so none is nearest.")
        unit = x / torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
        chances.append(_chances(unit, k, who=who))
    shared = (chances[0] * chances[1]).sum()
    return torch.tensor(float(shared) / (len(x) * k), dtype=x.dtype, device=x.device)


class MutualKNN(PairedProbe):
    """Mutual kNN of matched clips and captions, each in one pair."""

    choices: ClassVar[Choices] = {"k": (5, 10, 20, 40)}

    def __init__(self, k: int = 10, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.k = k

    def measure_pairs(self, pairs: Pairs) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return mutual_knn(*self.matched(pairs.one_to_one, least=self.k + 1), k=self.k)


def _chances(x: Float64[Tensor, "n d"], k: int, *, who: str) -> csr_array:
    """n x n: the chance that a row is among the ``k`` nearest of another, where those that tie draw lots."""
    n = len(x)
    searched = k + 1
    while True:
        near = nearest(x, min(searched, n - 1) if n > k else k, who=who)
        last = near.distance[:, k - 1 : k]  # the radius that k rows are within
        if searched >= n - 1 or (near.distance[:, -1:] > last + TIE).all():
            break
        searched *= 2  # until all that tie with the last are seen
    inside = near.distance < last - TIE
    tied = (near.distance - last).abs() <= TIE
    left = k - inside.sum(dim=1, keepdim=True)
    chance = inside + tied * (left / tied.sum(dim=1, keepdim=True))
    row = torch.arange(n, device=x.device)[:, None].expand_as(near.place)
    kept = chance > 0
    return csr_array(
        (chance[kept].cpu().numpy(), (row[kept].cpu().numpy(), near.place[kept].cpu().numpy())), shape=(n, n)
    )
