r"""Mutual kNN: whether matched clips and captions have the same neighbours on their own sides.

With $A_i$ and $T_i$ the pairs of the k nearest other clips of clip i and captions of caption i,
$\frac{1}{n k} \sum_i \lvert A_i \cap T_i\rvert$, between 0 and 1; $k / (n - 1)$ by chance.

Source: Huh et al. 2024 (The Platonic representation hypothesis), k = 10. Neighbours are by the distance of
unit rows, which orders as their cosine does. Chance depends on n: compare at equal n. Swapped partners that both sides
keep close count, as any other neighbours.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from clapbench.probes.neighbours import nearest
from clapbench.probes.paired import PairedProbe, Pairs
from clapbench.rows import Rows, both


def mutual_knn(audio: Rows, text: Rows, k: int = 10) -> Float64[Tensor, ""]:
    """Share of the ``k`` nearest rows that row i of ``audio`` and row i of ``text`` have in common.

    Raises ValueError for no more than ``k`` rows, and for rows that are all equal, which have no nearest.

    >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    >>> mutual_knn(x, -3 * x, k=5).item()
    1.0
    """
    near = []
    for side, x in both(audio, text, who="mutual_knn", one_space=False)._asdict().items():
        who = f"mutual_knn ({side})"
        if (x == x[0]).all():
            raise ValueError(f"{who}: all {len(x)} rows are equal, so none is nearest.")
        unit = x / torch.linalg.vector_norm(x, dim=1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
        near.append(nearest(unit, k, who=who).place)
    shared = (near[0][:, :, None] == near[1][:, None, :]).any(dim=2)
    return shared.double().mean()


class MutualKNN(PairedProbe):
    """Mutual kNN of matched clips and captions, each in one pair."""

    def __init__(self, k: int = 10, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.k = k

    def measure_pairs(self, pairs: Pairs) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return mutual_knn(*self.matched(pairs.one_to_one, least=self.k + 1), k=self.k)
