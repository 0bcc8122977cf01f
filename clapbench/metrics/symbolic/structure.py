r"""What of a piece comes back: bars against bars.

A bar is the set $A$ of its (place, pitch) pairs, drums left out, places to the tick. Two bars are alike to
$J = |A \cap B| / |A \cup B|$, from 0 to 1; two that are both empty are not compared. Repetition is the largest mean of
$J$ over bars that lie L apart, for L from 1 to half the number of bars.

Source: Jaccard 1912 for J; the matrix is Foote's (1999) with bars in place of frames. Repetition at bar lags is ours.
Of performances, which place no two notes alike to the tick, it sees nothing: round them to a grid first.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from clapbench.metrics.symbolic.harmony import without_pitch
from clapbench.metrics.symbolic.score import Score
from clapbench.metrics.symbolic.undefined import Undefined


def self_similarity(score: Score) -> Float64[np.ndarray, "bars bars"]:
    """How alike each two bars are, up to the bar of the last pitched onset; NaN where both are empty.

    Without pitched notes it has no rows.

    >>> from clapbench.metrics.symbolic.score import score_of
    >>> piece = score_of(start=[0, 1, 4, 5, 8], length=[1] * 5, pitch=[60, 62, 60, 64, 65], ticks_per_beat=1)
    >>> self_similarity(piece).round(2).tolist()
    [[1.0, 0.33, 0.0], [0.33, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    from scipy.sparse import csr_array

    piece = score.pitched()
    n = piece.n_bars
    if not n:
        return np.zeros((0, 0))
    bars = piece.bar_of(piece.start)
    notes = (piece.start - piece.bars[bars]) * 128 + piece.pitch  # of a place and a pitch one number
    kinds, kind = np.unique(notes, return_inverse=True)
    cells = np.unique(bars * len(kinds) + kind)  # a pair counts once in a bar
    where = (cells // len(kinds), cells % len(kinds))
    held = csr_array((np.ones(len(cells)), where), shape=(n, len(kinds)))
    shared = (held @ held.T).toarray()
    size = np.diag(shared)
    either = size[:, None] + size - shared
    return np.divide(shared, either, out=np.full((n, n), np.nan), where=either > 0)


def repetition(score: Score) -> float:
    """How much comes back at the bar lag at which most does: 0 to 1. `Undefined` for fewer than two bars.

    >>> from clapbench.metrics.symbolic.score import score_of
    >>> repetition(score_of(start=[0, 4, 8, 12], length=[1] * 4, pitch=[60, 64, 60, 64], ticks_per_beat=1))
    1.0
    """
    if reason := without_pitch(score):
        return Undefined(reason)
    alike = self_similarity(score)
    if len(alike) < 2:
        return Undefined("it has fewer than two bars")
    diagonals = (np.diagonal(alike, lag) for lag in range(1, len(alike) // 2 + 1))
    compared = [own[~np.isnan(own)] for own in diagonals]
    return float(max(own.mean() for own in compared if len(own)))
