r"""Linear separability of the sides: how well one hyperplane tells clips from captions that it has not seen.

Matched pairs are dealt into F folds. For each, a least-squares classifier is fitted to the rows $z$ of the others,
labels $y = \pm 1$, $w = (C + \rho I)^{-1} \frac{1}{N} \sum_i (z_i - \bar z)\, y_i$ with $C$ the covariance of both
sides together, and asked for the sign of $w \cdot (z - \bar z)$ on the fold's own. The number is the share that is
right: 1/2 is chance, 1 means that the sides lie in half-spaces; below 1/2 by chance alone.

Sources: Fisher 1936 (the discriminant, which least squares gives for sides of equal size); Fahim et al. 2024
(separability as a measure of the gap); the folds are ours. $\rho$ is $10^{-3}$ of the mean eigenvalue of $C$: with
fewer rows than dimensions any labels can be fitted, which is why the rows are held out. Whole groups go to one fold: an
item with its swapped partner, a clip with all its captions; a caption whose near-duplicate was trained on would not be
unseen.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float64, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from clapbench.probes.base import Choices
from clapbench.probes.paired import PairedProbe, Pairs
from clapbench.rows import Rows, both

RIDGE = 1e-3  # of the mean eigenvalue


def linear_separability(
    audio: Rows,
    text: Rows,
    groups: Rows,
    folds: int = 5,
) -> Float64[Tensor, ""]:
    """Held-out accuracy between ``audio`` and ``text``, row i of which are a pair of group ``groups[i]``.

    Groups are dealt to the folds in turn, in the order of their numbers. A row on the hyperplane counts one half.

    Raises ValueError for fewer than 2 folds, for fewer groups than folds, and for rows that are all equal.

    >>> x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    >>> linear_separability(x, x + 9, groups=torch.arange(40)).item()
    1.0
    """
    sides = both(audio, text, who="linear_separability")
    groups = torch.as_tensor(groups)
    if groups.shape != (len(sides.audio),):
        raise ValueError(
            f"linear_separability: needs a group for each of {len(sides.audio)} pairs, got shape {tuple(groups.shape)}."
        )
    found = len(groups.unique())
    if not 2 <= folds <= found:
        raise ValueError(
            f"linear_separability: undefined: needs 2 folds or more and a group for each, got {folds} folds and "
            f"{found} groups (of {len(groups)} pairs)."
        )
    # In one piece [side, pair, dimension]; the clips are labelled 1, the captions -1.
    z = torch.stack(list(sides))
    fold = groups.unique(return_inverse=True)[1].to(z.device) % folds
    right = 0.0
    for held in range(folds):
        train, test = z[:, fold != held], z[:, fold == held]
        centre = train.mean(dim=(0, 1))
        rows = (train - centre).reshape(-1, z.shape[2])
        covariance = rows.T @ rows / len(rows)
        level = covariance.diagonal().mean()
        if level <= (torch.finfo(z.dtype).eps * train.abs().max()) ** 2 * len(rows):
            raise ValueError(f"linear_separability: undefined: all {len(rows)} rows are equal.")
        covariance.diagonal().add_(RIDGE * level)
        towards_audio = (train[0].mean(dim=0) - train[1].mean(dim=0)) / 2
        score = (test - centre) @ torch.linalg.solve(covariance, towards_audio)
        right += float(((score[0].sign() - score[1].sign()) / 2 + 1).sum() / 2)
    return z.new_tensor(right / len(groups))


class Separability(PairedProbe):
    """Linear separability of matched clips and captions, each in one pair."""

    choices: ClassVar[Choices] = {"folds": (2, 5, 10)}

    def __init__(self, folds: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folds = folds

    def measure_pairs(self, pairs: Pairs) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        chosen = pairs.one_to_one
        rows = self.matched(chosen, least=self.folds)
        return linear_separability(
            *rows, groups=groups_of(pairs, n_clips=len(self.rows("audio")))[chosen[:, 0]], folds=self.folds
        )


def groups_of(pairs: Pairs, *, n_clips: int) -> Int[Tensor, " n_clips"]:
    """The group of each clip: clips are in one if matches and swapped partners lead from one to the other."""
    captions = torch.cat([pairs.matches[:, 1], pairs.swapped_captions.ravel()])
    size = n_clips + int(captions.max() + 1 if len(captions) else 0)
    edges = torch.cat(
        [
            pairs.matches + torch.tensor([0, n_clips]),
            pairs.swapped_clips,
            pairs.swapped_captions + n_clips,
        ]
    ).numpy()
    graph = coo_array(([True] * len(edges), (edges[:, 0], edges[:, 1])), shape=(size, size))
    return torch.from_numpy(connected_components(graph, directed=False)[1][:n_clips]).long()
