r"""Retrieval between clips and captions, in both directions, over a set such as Clotho or AudioCaps.

A query is a caption that looks for its clips (``t2a``) or a clip that looks for its captions (``a2t``). The j-th
nearest of its m matches has the rank $r_j = j +$ the number of wrong candidates at least as similar: a tie counts
against the model.

| score | of one query | over queries |
|---|---|---|
| ``R@k``, k = 1, 5, 10 | $r_1 \le k$ | share, with a Wilson interval and its chance |
| ``mAP@10`` | $\frac{1}{\min(m, 10)} \sum_{j : r_j \le 10} j / r_j$ | mean |
| ``medR`` | $r_1$ | median, rounded down |

The chance of R@k is that of independent similarities: $1 - \binom{N - m}{k} / \binom{N}{k}$ with N candidates.
Captions of one clip are not independent of each other, so the intervals of ``t2a`` are narrower than the truth.

Sources: Mei et al. 2022 (On Metric Learning for Audio-Text Cross-Modal Retrieval) and its published evaluation,
https://github.com/XinhaoMei/audio-text_retrieval, ``tools/utils.py``: where no similarities tie and every caption
stands once, the same numbers. ``evaluate_clotho_audiocaps`` of https://github.com/LAION-AI/CLAP agrees too, except that
its ``a2t`` mAP@10 numbers the matches in the order of the file rather than by rank, and so is never lower. ``t2a`` is
what DCASE's language-based audio retrieval measures. Two deviations: a caption that stands for several clips is one
query that matches them all (there: a query for each, with one match); of more than 10 matches 10 count, so that a
perfect query has 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor

from clapbench.schema import Case
from clapbench.statistics.proportions import wilson

CUTS = (1, 5, 10)
DEPTH = 10  # of mAP


def match_ranks(s: Float64[Tensor, " n"], match: Bool[Tensor, " n"]) -> Int[Tensor, " m"]:
    """The ranks of a query's matches among its n candidates, nearest first, counted from 1.

    >>> match_ranks(torch.tensor([0.9, 0.5, 0.5, 0.1]).double(), torch.tensor([False, True, False, True]))
    tensor([3, 4])
    """
    own, wrong = s[match].sort(descending=True).values, s[~match].sort().values
    at_least_as_similar = len(wrong) - torch.searchsorted(wrong, own)
    return at_least_as_similar + torch.arange(1, len(own) + 1)


def average_precision(ranks: Int[Tensor, " m"], depth: int = DEPTH) -> float:
    """Precision at each match among the first ``depth``, over how many matches could be there; 0 to 1.

    >>> average_precision(torch.tensor([1, 4, 11]))
    0.5
    """
    found = ranks[ranks <= depth]
    return float((torch.arange(1, len(found) + 1) / found.double()).sum() / min(len(ranks), depth))


def recall_chance(k: int, *, matches: int, candidates: int) -> float:
    """Probability that one of ``matches`` is among the first ``k``, in a random order of all ``candidates``.

    >>> recall_chance(5, matches=1, candidates=20)
    0.25
    """
    every = math.comb(candidates, min(k, candidates))
    return (every - math.comb(candidates - matches, min(k, candidates))) / every


def retrieved(direction: str, s: Float64[Tensor, "q n"], match: Bool[Tensor, "q n"]) -> dict[str, Any]:
    """Every score of one direction; rows are queries, columns candidates."""
    ranks = [match_ranks(row, own) for row, own in zip(s, match, strict=True)]
    first = torch.stack([own[0] for own in ranks])
    n, candidates = s.shape
    found: dict[str, Any] = {f"{direction}_n": n, f"{direction}_candidates": candidates}
    for k in CUTS:
        hits = int((first <= k).sum())
        chances = [recall_chance(k, matches=len(own), candidates=candidates) for own in ranks]
        found[f"{direction}_R@{k}"] = hits / n
        found[f"{direction}_R@{k}_ci95"] = list(wilson(hits, n))
        found[f"{direction}_R@{k}_chance"] = math.fsum(chances) / n
    found[f"{direction}_mAP@{DEPTH}"] = math.fsum(map(average_precision, ranks)) / n
    found[f"{direction}_medR"] = math.floor(first.double().quantile(0.5))
    return found


def preferred(
    own: Float64[Tensor, "k m"], swapped: Float64[Tensor, "k m"], *, asked: Bool[Tensor, "k m"]
) -> dict[str, Any]:
    """The share of ``asked`` pairs of a clip and a caption in which the caption is nearer than its swapped form.

    A tie counts against the model, so that chance is 0.5 without ties. None where nothing is asked.
    """
    hits, n = int((own > swapped)[asked].sum()), int(asked.sum())
    return {
        "swapped_n": n,
        "swapped_captions": int(asked.any(dim=0).sum()),
        "swapped_accuracy": hits / n if n else None,
        "swapped_accuracy_ci95": list(wilson(hits, n)) if n else None,
        "swapped_accuracy_chance": 0.5,
    }


def items(s: Float64[Tensor, "k l"], case: Case) -> Iterator[dict[str, Any]]:
    """The rows of items.csv, one per caption: the nearest clip it stands for, and the nearest it does not."""
    match = case.match_matrix
    own = s.masked_fill(~match, -torch.inf).max(dim=0)
    wrong = s.masked_fill(match, -torch.inf).max(dim=0)
    for t, caption in enumerate(case.captions):
        against = bool(torch.isfinite(wrong.values[t]))
        yield {
            "item": t,
            "caption": caption,
            "clip": case.clips[int(own.indices[t])],
            "rank": int(match_ranks(s[:, t], match[:, t])[0]),
            "best_wrong_clip": case.clips[int(wrong.indices[t])] if against else None,
            "similarity": float(own.values[t]),
            "wrong_similarity": float(wrong.values[t]) if against else None,
            "margin": float(own.values[t] - wrong.values[t]) if against else None,
        }
