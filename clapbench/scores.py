r"""Compositional retrieval scores F, G and H: does a model bind words to the right sound?

A case is a block of similarities, clips x captions, with $s_{ct}$ the cosine of clip c and caption t. Under
``official`` a block counts

- for F, when every clip picks its captions: each match exceeds each mismatch of its row;
- for G, when every caption picks its clips: each match exceeds each mismatch of its column;
- for H, when both hold.

Scores are shares of blocks, 0 to 1. For a pair p and its reversed partner r (clip first) F asks
$s_{pp} > s_{pr}$ and $s_{rr} > s_{rp}$, G asks $s_{pp} > s_{rp}$ and $s_{rr} > s_{pr}$. ``>`` is strict, so a
tie is a miss.

Source: the evaluation of Ghosh et al. 2024 (CompA), after Thrush et al. 2022 (Winoground, eq. 1 to 3).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import permutations
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor
from torchmetrics import Metric

NEAR_TIE = 1e-6  # margin in cosine
DIRECTIONS = {"official": {"F": "clip->caption", "G": "caption->clip", "H": "both"}}


class Outcome(NamedTuple):
    """What a rule says of each block.

    A comparison is one clip or one caption: its least similar match against its most similar mismatch, so a
    block has k + l of them. ``ties`` counts exact equalities, ``near_ties`` margins within 1e-6, ties
    included.
    """

    F: Bool[Tensor, " b"]
    G: Bool[Tensor, " b"]
    H: Bool[Tensor, " b"]
    ties: Int[Tensor, " b"]
    near_ties: Int[Tensor, " b"]


class Scores(NamedTuple):
    """Shares of the ``n`` blocks that count for F, G and H, and how many comparisons were (near) ties."""

    F: Float64[Tensor, ""]
    G: Float64[Tensor, ""]
    H: Float64[Tensor, ""]
    n: Int[Tensor, ""]
    ties: Int[Tensor, ""]
    near_ties: Int[Tensor, ""]


class Chance(NamedTuple):
    """What a rule gives for two clips and their captions when every order of similarities is as likely."""

    F: Fraction
    G: Fraction
    H: Fraction


Rule = Callable[[Tensor, Tensor], Outcome]


def similarity_block(audio: Float[Tensor, "b k d"], text: Float[Tensor, "b l d"]) -> Float64[Tensor, "b k l"]:
    """Cosines of every clip with every caption of each block, from unit rows, in float64 on the CPU.

    Products summed row by row and no matrix product, whose order of summation depends on a row's place: equal
    rows give bitwise equal cosines wherever they stand, so that a tie is a tie.

    >>> similarity_block(torch.eye(2)[None], torch.eye(2)[None]).tolist()
    [[[1.0, 0.0], [0.0, 1.0]]]
    """
    clips, captions = audio.cpu().double(), text.cpu().double()
    by_clip = [(clip[:, None] * captions).sum(dim=-1) for clip in clips.unbind(dim=1)]
    return torch.stack(by_clip, dim=1)


def _refuse(similarity: Float[Tensor, "b k l"], match: Bool[Tensor, "b k l"], *, who: str) -> None:
    if similarity.dtype != torch.float64:
        raise ValueError(
            f"{who}: needs float64 similarities, in which ties can be told, got {similarity.dtype}. "
            f"Make them with similarity_block."
        )
    if not similarity.isfinite().all():
        block = int((~similarity.isfinite()).flatten(start_dim=1).any(dim=1).nonzero()[0])
        raise ValueError(f"{who}: needs finite similarities; block {block} has one that is not.")
    for what, dim in (("clip", 2), ("caption", 1)):
        for lack, bad in (("match", ~match.any(dim=dim)), ("mismatch", match.all(dim=dim))):
            if bad.any():
                block, position = bad.nonzero()[0].tolist()
                raise ValueError(
                    f"{who}: every clip and caption of a block needs a match and a mismatch; "
                    f"in block {block}, {what} {position} has no {lack}."
                )


def official(similarity: Float[Tensor, "b k l"], match: Bool[Tensor, "b k l"]) -> Outcome:
    """F, G and H of each block by the benchmark authors' rule (top of this file).

    ``similarity`` is float64, finite; ``match`` says which captions describe which clips. Raises ValueError
    otherwise, and for a block in which a clip or a caption has no match or no mismatch.

    >>> s = torch.tensor([[[0.9, 0.1], [0.3, 0.2]]], dtype=torch.float64)
    >>> outcome = official(s, torch.eye(2, dtype=torch.bool)[None])
    >>> outcome.F.tolist(), outcome.G.tolist(), outcome.H.tolist()
    ([False], [True], [False])
    """
    _refuse(similarity, match, who="official")
    match_low = similarity.masked_fill(~match, torch.inf)
    mismatch_high = similarity.masked_fill(match, -torch.inf)
    clip = match_low.amin(dim=2) - mismatch_high.amax(dim=2)
    caption = match_low.amin(dim=1) - mismatch_high.amax(dim=1)
    margin = torch.cat([clip, caption], dim=1)
    f, g = (clip > 0).all(dim=1), (caption > 0).all(dim=1)
    return Outcome(
        F=f, G=g, H=f & g, ties=(margin == 0).sum(dim=1), near_ties=(margin.abs() <= NEAR_TIE).sum(dim=1)
    )


def chance(rule: Rule) -> Chance:
    """Exact chance of ``rule`` for two clips and their captions, over all 24 orders of the four similarities.

    Holds for independent continuous similarities, and only for 2 x 2 blocks.

    >>> chance(official)
    Chance(F=Fraction(1, 4), G=Fraction(1, 4), H=Fraction(1, 6))
    """
    orders = torch.tensor(list(permutations(range(4))), dtype=torch.float64).view(-1, 2, 2)
    outcome = rule(orders, torch.eye(2, dtype=torch.bool).expand(len(orders), 2, 2))
    return Chance(*(Fraction(int(hits.sum()), len(orders)) for hits in (outcome.F, outcome.G, outcome.H)))


RULES: dict[str, Rule] = {"official": official}
CHANCE: dict[str, Chance] = {name: chance(rule) for name, rule in RULES.items()}


class CompositionalRetrieval(Metric):
    """F, G and H over all blocks under a protocol of ``RULES``."""

    full_state_update = False
    higher_is_better = True
    is_differentiable = False

    F: Tensor
    G: Tensor
    H: Tensor
    n: Tensor
    ties: Tensor
    near_ties: Tensor

    def __init__(self, protocol: str = "official", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if protocol not in RULES:
            raise ValueError(
                f"CompositionalRetrieval: protocol must be one of {list(RULES)}, got {protocol!r}."
            )
        self.protocol = protocol
        for name in Scores._fields:
            self.add_state(name, default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, similarity: Float[Tensor, "b k l"], match: Bool[Tensor, "b k l"]) -> None:
        """Add blocks of one shape; see the rule for what it refuses."""
        outcome = RULES[self.protocol](similarity, match)
        self.n += len(similarity)
        for name, value in outcome._asdict().items():
            setattr(self, name, getattr(self, name) + value.sum().to(self.n.device))

    def compute(self) -> Scores:
        """Scores over all blocks, on the CPU; ValueError when there were none."""
        n = self.n.cpu()
        if n == 0:
            raise ValueError("CompositionalRetrieval: needs at least 1 block, got 0.")
        return Scores(
            F=self.F.cpu().double() / n,
            G=self.G.cpu().double() / n,
            H=self.H.cpu().double() / n,
            n=n,
            ties=self.ties.cpu(),
            near_ties=self.near_ties.cpu(),
        )
