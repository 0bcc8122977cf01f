r"""Zero-shot classification: each clip picks the caption made of its class's name, over a set such as ESC-50.

A prompt template turns each class into a caption; $s_{tc}$ is the cosine of class t's caption and clip c.

| score | is | of |
|---|---|---|
| ``accuracy`` | share of clips whose own class is more similar than every other | clips; where each has one label |
| ``mAP`` | mean of average precision, clips ordered by their similarity to the class | classes that have clips |

``>`` is strict: a tie is a miss. Average precision is $\sum_n (R_n - R_{n-1}) P_n$ over the distinct similarities, so
that tied clips come in together. Chance of the accuracy is 1/classes, that of independent similarities.

Sources: prompt and accuracy as in Wu et al. 2023 (Large-Scale Contrastive Language-Audio Pretraining with Feature
Fusion and Keyword-to-Caption Augmentation), https://github.com/LAION-AI/CLAP; average precision as in scikit-learn and
torchmetrics.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from clapbench.schema import Case
from clapbench.scoring.similarity import margins_of
from clapbench.statistics.proportions import binomial_p, wilson

SEVERAL = ";"  # between the labels of one clip


def average_precision(s: Float64[Tensor, " n"], match: Bool[Tensor, " n"]) -> float:
    """Mean over the matches of the precision among all that are at least as similar; NaN without a match.

    >>> average_precision(torch.tensor([0.9, 0.5, 0.5, 0.5]).double(), torch.tensor([True, False, True, False]))
    0.75
    """
    every, own = s.sort().values, s[match].sort().values
    matches = len(own) - torch.searchsorted(own, own)
    taken = len(every) - torch.searchsorted(every, own)
    return float((matches.double() / taken).mean())


def accuracy_of(hit: Bool[Tensor, " n"]) -> dict[str, Any]:
    """The share of hits with its n and Wilson interval."""
    hits, n = int(hit.sum()), len(hit)
    return {"n": n, "accuracy": hits / n, "ci95": list(wilson(hits, n))}


def classified(
    s: Float64[Tensor, "k l"],
    match: Bool[Tensor, "k l"],
    *,
    labels: Sequence[str],
    folds: Sequence[str | None],
) -> dict[str, Any]:
    """Accuracy over clips, per class and per fold, and mAP; without accuracies where a clip has several labels."""
    precision = {
        label: average_precision(s[:, t], match[:, t]) for t, label in enumerate(labels) if match[:, t].any()
    }
    found: dict[str, Any] = {
        "clips": len(s),
        "classes": len(labels),
        "mAP": math.fsum(precision.values()) / len(precision),
        "mAP_classes": len(precision),
    }
    if (match.sum(dim=1) > 1).any():
        per_class = {
            label: {"n": int(match[:, t].sum()), "average_precision": precision[label]}
            for t, label in enumerate(labels)
            if label in precision
        }
        return {**found, "per_class": per_class}
    hit = margins_of(s, match) > 0
    every = accuracy_of(hit)
    per_fold = {
        fold: accuracy_of(hit[torch.tensor([other == fold for other in folds])])
        for fold in sorted({fold for fold in folds if fold is not None}, key=lambda fold: (len(fold), fold))
    }
    return {
        **found,
        "accuracy": every["accuracy"],
        "accuracy_ci95": every["ci95"],
        "accuracy_chance": 1 / len(labels),
        "accuracy_p_chance": binomial_p(int(hit.sum()), every["n"], chance=1 / len(labels)),
        "per_class": {
            label: {**accuracy_of(hit[match[:, t]]), "average_precision": precision[label]}
            for t, label in enumerate(labels)
            if label in precision
        },
        **({"per_fold": per_fold} if per_fold else {}),
    }


def items(
    s: Float64[Tensor, "k l"],
    case: Case,
    *,
    labels: Sequence[str],
    folds: Sequence[str | None],
) -> Iterator[dict[str, Any]]:
    """The rows of items.csv, one per clip: its label (of several the most similar), and what the model says."""
    match = case.match_matrix
    own = s.masked_fill(~match, -torch.inf).max(dim=1)
    wrong = s.masked_fill(match, -torch.inf).max(dim=1)
    rank = 1 + ((s >= own.values[:, None]) & ~match).sum(dim=1)
    for c, clip in enumerate(case.clips):
        right = bool(own.values[c] > wrong.values[c])
        margin = float(own.values[c] - wrong.values[c])
        yield {
            "item": c,
            "clip": clip,
            "label": SEVERAL.join(label for label, of in zip(labels, case.match[c], strict=True) if of),
            "predicted": labels[int((own if right else wrong).indices[c])],
            "rank": int(rank[c]),
            "similarity": float(own.values[c]),
            "margin": margin if math.isfinite(margin) else None,
            **({"fold": folds[c]} if any(folds) else {}),
        }
