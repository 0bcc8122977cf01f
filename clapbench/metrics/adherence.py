"""Whether generated clips are what their prompts asked for: cosines of clips and prompts of one CLAP model.

Beside the mean over matched pairs stands that over all others: their distance, and not the cosine alone, which a
modality gap shifts for all of them, says that a clip is nearer to its own prompt.

Source: the CLAP score of Huang et al. 2023 (Make-An-Audio); the mismatched mean is ours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from clapbench.metrics.clouds import Given, cloud, same_dimension
from clapbench.statistics.proportions import Interval

WHO = "text adherence"


class Adherence(NamedTuple):
    """Mean cosines of clips with their own prompts and with those of others."""

    matched: float
    mismatched: float
    interval: Interval  # of ``matched``, 95 %, Student's over clips
    n: int

    @property
    def lead(self) -> float:
        """By how much a clip is nearer to its own prompt."""
        return self.matched - self.mismatched


def adherence(
    clips: Given,
    prompts: Given,
) -> Adherence:
    """Row i of ``clips`` was asked for by row i of ``prompts``. ValueError for unlike numbers or dimensions.

    >>> found = adherence(np.eye(3), np.eye(3))
    >>> found.matched, found.mismatched, found.lead
    (1.0, 0.0, 1.0)
    """
    audio, text = cloud(clips, who=WHO, side="clip"), cloud(prompts, who=WHO, side="prompt")
    same_dimension(audio.shape[1], text.shape[1], who=WHO)
    if len(audio) != len(text):
        raise ValueError(f"{WHO}: needed a prompt for each clip, got {len(text)} for {len(audio)}.")
    lengths = [np.linalg.norm(rows, axis=1, keepdims=True) for rows in (audio, text)]
    if not all(length.all() for length in lengths):
        raise ValueError(f"{WHO}: needed rows with a direction, one is 0.")
    a, t = audio / lengths[0], text / lengths[1]
    own = np.einsum("nd,nd->n", a, t)
    n, matched = len(own), float(own.mean())
    rest = (float(a.sum(axis=0) @ t.sum(axis=0)) - float(own.sum())) / (n * (n - 1))
    half = float(stdtrit(n - 1, 0.975)) * float(own.std(ddof=1)) / n**0.5
    return Adherence(matched, rest, Interval(matched - half, matched + half), n)
