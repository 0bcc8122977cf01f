r"""Text adherence: how near a clip lies to its own prompt, beside how near to those of others (CLAP score).

The mean cosine of matched rows, -1 to 1, and the mean over all clips and prompts that do not belong together. A matched
mean alone says little, as any two rows of one model have some cosine: read the difference.

Clips of one prompt are not independent, so the interval is Student's over prompts: with $r_g$ the sum over the clips
of prompt g of their cosines less the mean, its variance is $G / (G - 1) \sum_g r_g^2 / n^2$. With a prompt for each
clip that is the usual one. Source: Liang and Zeger 1986 (the variance); Wu et al. 2023 (the model).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from clapbench.metrics.sets import Interval, one_space, rows, unit
from clapbench.rows import Rows, tensor


class Adherence(NamedTuple):
    """Mean cosines, matched with its 95 % interval and mismatched, of ``n`` clips and as many different ``prompts``.

    ``interval`` and ``mismatched`` are None where all prompts are equal.
    """

    matched: float
    interval: Interval | None
    mismatched: float | None
    n: int
    prompts: int
    d: int
    notes: tuple[str, ...] = ()


def adherence(clips: Rows, prompts: Rows) -> Adherence:
    """Text adherence of rows of clips, n x d, to those of their prompts, n x d: row i belongs to row i.

    Equal prompt rows are one prompt, and never mismatched.

    Raises ValueError for under 2 rows, a value that is not finite, a row of zeros, unequal numbers or lengths of rows.

    >>> found = adherence([[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [0.0, 2.0]])
    >>> found.matched, found.mismatched
    (1.0, 0.0)
    """
    sides = {"clips": clips, "prompts": prompts}
    x, y = (rows(own, who=f"adherence ({name})") for name, own in sides.items())
    if len(x) != len(y):
        raise ValueError(
            f"adherence: needed row i of clips to belong to row i of prompts, so as many of each; got {len(x)} and "
            f"{len(y)}."
        )
    one_space(x.shape[1], y.shape[1], who="adherence (clips, prompts)")
    _, prompt = np.unique(y, axis=0, return_inverse=True)
    x, y = (unit(own, who=f"adherence ({name})") for name, own in zip(sides, (x, y), strict=True))
    n, count = len(x), int(prompt.max()) + 1
    cosines = np.einsum("ij,ij->i", x, y)
    matched = float(cosines.mean())
    if count < 2:
        note = f"All {n} clips have one prompt: there is no mismatch, and no interval over prompts."
        return Adherence(matched, None, None, n=n, prompts=count, d=x.shape[1], notes=(note,))
    from scipy.special import stdtrit

    left = np.bincount(prompt, weights=cosines - matched)
    reach = float(stdtrit(count - 1, 0.975) * (count / (count - 1) * left @ left) ** 0.5 / n)
    # Of all pairs, those of a prompt's own clips are taken out again: no n x n table.
    each = np.bincount(prompt)
    own = float((cosines * each[prompt]).sum())
    mismatched = (float(x.sum(axis=0) @ y.sum(axis=0)) - own) / float(n * n - (each**2).sum())
    return Adherence(
        matched=matched,
        interval=Interval(matched - reach, matched + reach),
        mismatched=mismatched,
        n=n,
        prompts=count,
        d=x.shape[1],
    )


class TextAdherence(Metric):
    """`adherence` of all rows so far, which it holds; ``compute`` gives both means by name."""

    full_state_update = False
    higher_is_better = True
    is_differentiable = False

    clips: list[Tensor]
    prompts: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("clips", "prompts"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, clips: Rows, prompts: Rows) -> None:
        """Add clips and, row by row, their prompts. ValueError for unequal numbers of them."""
        x, y = tensor(clips, who="TextAdherence (clips)"), tensor(prompts, who="TextAdherence (prompts)")
        if len(x) != len(y):
            raise ValueError(
                f"TextAdherence: needed a prompt for each clip, got {len(x)} clips and {len(y)} prompts."
            )
        self.clips.append(x)
        self.prompts.append(y)

    def measure(self) -> Adherence:
        """Both means with interval and n."""
        if not len(self.clips):
            raise ValueError("TextAdherence: needed rows of clips, got none. Call update first.")
        return adherence(*(x if isinstance(x, Tensor) else torch.cat(x) for x in (self.clips, self.prompts)))

    def compute(self) -> dict[str, Tensor]:
        """The means, matched and mismatched (NaN where there is no mismatch)."""
        found = self.measure()
        values = {"matched": found.matched, "mismatched": found.mismatched}
        return {
            name: torch.tensor(float("nan") if value is None else value, dtype=torch.float64)
            for name, value in values.items()
        }
