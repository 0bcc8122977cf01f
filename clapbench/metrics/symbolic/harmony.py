r"""Which pitch classes sound, and how far two sets of them lie apart. Drums are left out of all of it.

A pitch class is a pitch modulo 12 (0 = C); a histogram $h$ over the twelve sums to one. With $p' = (p + \varepsilon) /
(1 + 12 \varepsilon)$ the divergence is $\sum_k p'_k \ln (p'_k / q'_k)$ in nats: 0 for equal ones, without a bound, and
where a bin is empty in q alone a matter of $\varepsilon$, which is to be told beside it. The tonal centroid is

$$ c(h) = \sum_k h_k \, (r_1 \sin \tfrac{7 \pi k}{6}, r_1 \cos \tfrac{7 \pi k}{6}, r_2 \sin \tfrac{3 \pi k}{2},
r_2 \cos \tfrac{3 \pi k}{2}, r_3 \sin \tfrac{2 \pi k}{3}, r_3 \cos \tfrac{2 \pi k}{3}), \quad r = (1, 1, .5): $$

on circles of fifths, minor thirds and major thirds. Tonal distance is Euclidean between centroids, from 0
to $\sqrt 8 = 2.83$, a tritone.

Sources: Kullback and Leibler 1951; Harte, Sandler and Gasser 2006 (Detecting harmonic change in musical audio) for
centroid and radii. Smoothing both sides by $\varepsilon$ is ours. Both are blind to time and order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from clapbench.metrics.symbolic.score import Score
from clapbench.metrics.symbolic.undefined import Undefined

EPS = 1e-6
CLASSES = 12
ROUNDS = 10  # of finding a common key
EQUAL = 1e-12  # products of histograms that lie this close are equal

Shares = np.ndarray | Sequence[float]  # twelve, 0 or more each
Histogram = Float64[np.ndarray, "12"]
Histograms = Float64[np.ndarray, "_ 12"]

_K = np.arange(CLASSES)
_CIRCLES = ((1.0, 7 / 6), (1.0, 3 / 2), (0.5, 2 / 3))  # radius, turn by a semitone in half circles
SCALES = np.stack([np.isin((_K - root) % CLASSES, (0, 2, 4, 5, 7, 9, 11)) for root in _K]).astype(np.int64)
BASIS = np.stack([r * wave(_K * turn * np.pi) for r, turn in _CIRCLES for wave in (np.sin, np.cos)])


def without_pitch(score: Score) -> str | None:
    """Why a piece has no pitch at all; None where it has."""
    if not len(score.pitch):
        return "it has no notes"
    return "it has drums alone" if score.is_drum.all() else None


def pitch_class_histogram(score: Score, *, weight: str = "duration") -> Histogram:
    """The share of each pitch class, [12]: of the beats that notes last (``duration``), or of the notes (``count``).

    NaN throughout where no pitched note is there, or none lasts. Raises ValueError for another weight.

    >>> from clapbench.metrics.symbolic.score import score_of
    >>> piece = score_of(start=[0, 0], length=[3, 1], pitch=[60, 67], ticks_per_beat=1)
    >>> pitch_class_histogram(piece)[[0, 7]].tolist(), pitch_class_histogram(piece, weight="count")[[0, 7]].tolist()
    ([0.75, 0.25], [0.5, 0.5])
    """
    if weight not in ("duration", "count"):
        raise ValueError(f"pitch_class_histogram: needed weight duration or count, got {weight!r}.")
    kept = ~score.is_drum
    weights = score.length[kept].astype(np.float64) if weight == "duration" else None
    h = np.bincount(score.pitch[kept] % CLASSES, weights=weights, minlength=CLASSES).astype(np.float64)
    return h / h.sum() if h.sum() else np.full(CLASSES, np.nan)


def pitch_class_kl(p: Shares, q: Shares, *, eps: float = EPS) -> float:
    """Divergence of ``q`` from ``p`` in nats, of two pitch-class histograms [12], both smoothed by ``eps``.

    They are scaled to a sum of one first; of a set, give the mean of its pieces' histograms. `Undefined` where one of
    them is. Raises ValueError for another shape, for a share below 0 and for an ``eps`` that is not above 0.

    Pieces in many keys blur each other's histograms: `compare` gives it in a common key as well.

    >>> scale = np.array([1.0, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1])
    >>> round(pitch_class_kl(scale, np.roll(scale, 7)), 4), pitch_class_kl(scale, scale)
    (1.6956, 0.0)
    """
    if not 0 < eps < np.inf:
        raise ValueError(f"pitch_class_kl: needed an eps above 0, got {eps}.")
    shares = _shares(p, q, who="pitch_class_kl")
    if isinstance(shares, Undefined):
        return shares
    a, b = ((one + eps) / (one + eps).sum() for one in shares)
    return max(0.0, float((a * np.log(a / b)).sum()))  # below 0 by rounding alone


def tonal_distance(p: Shares, q: Shares) -> float:
    """Distance of the tonal centroids of two pitch-class histograms [12]: from 0 to 2.83.

    They are scaled to a sum of one first. `Undefined` where one of them is. Raises ValueError as `pitch_class_kl` does.

    >>> c, g, f_sharp = np.eye(12)[[0, 7, 6]]
    >>> tonal_distance(c, g) < tonal_distance(c, f_sharp)
    True
    """
    shares = _shares(p, q, who="tonal_distance")
    if isinstance(shares, Undefined):
        return shares
    a, b = shares
    return float(np.linalg.norm(BASIS @ a - BASIS @ b))


def _shares(p: Shares, q: Shares, *, who: str) -> tuple[Histogram, Histogram] | Undefined:
    found = []
    for name, given in (("first", p), ("second", q)):
        h = np.asarray(given, dtype=np.float64)
        if h.shape != (CLASSES,) or (h < 0).any() or np.isinf(h).any():
            got = f"shape {h.shape}" if h.shape != (CLASSES,) else f"{h.min():g} to {h.max():g}"
            raise ValueError(
                f"{who}: needed a histogram of {CLASSES} shares, 0 or more each; the {name} has {got}."
            )
        if not h.sum() > 0:
            return Undefined(f"the {name} histogram is {'undefined' if np.isnan(h).any() else 'empty'}")
        found.append(h / h.sum())
    return found[0], found[1]


def turned(histograms: Histograms, template: Histogram) -> Histograms:
    """Each histogram in the key, of twelve, in which its product with the template is largest; the first of equals."""
    keys = np.stack([np.roll(histograms, key, axis=1) for key in range(CLASSES)], axis=1)
    products = keys @ template
    best = products >= products.max(axis=1, keepdims=True) * (1 - EQUAL)
    return keys[np.arange(len(keys)), best.argmax(axis=1)]


def common_key(histograms: Histograms) -> Histogram:
    """What the pieces of a set are turned to: at first the first piece, then `ROUNDS` times the mean of what is turned.

    Another first piece gives another key for all, and now and then another turn of a single piece.
    """
    template = histograms[0]
    for _ in range(ROUNDS):
        template = turned(histograms, template).mean(axis=0)
    return template


def harmonic_change(score: Score) -> float:
    """Mean tonal distance of successive bars in which pitched notes sound, each weighed by how long: 0 to 2.83.

    `Undefined` without two such bars. It sees bars that change places, which a histogram of the piece does not.

    >>> from clapbench.metrics.symbolic.score import score_of
    >>> piece = score_of(start=[0, 4], length=[4, 4], pitch=[60, 67], ticks_per_beat=1)
    >>> round(harmonic_change(piece), 4)
    1.7372
    """
    if reason := without_pitch(score):
        return Undefined(reason)
    chroma = bar_chroma(score)
    sounds = chroma.sum(axis=1)
    pairs = (sounds[1:] > 0) & (sounds[:-1] > 0)
    if not pairs.any():
        return Undefined("no two successive bars sound")
    centroids = (chroma / np.maximum(sounds, 1)[:, None]) @ BASIS.T
    return float(np.linalg.norm(np.diff(centroids, axis=0), axis=1)[pairs].mean())


def bar_chroma(score: Score) -> Int64[np.ndarray, "bars 12"]:
    """How many ticks each pitch class sounds in each bar; notes are cut at the bar lines, drums are left out."""
    kept = ~score.is_drum
    start, end, classes = (
        score.start[kept],
        score.start[kept] + score.length[kept],
        score.pitch[kept] % CLASSES,
    )
    sounded = [_sounded(start[classes == k], end[classes == k], score.bars) for k in range(CLASSES)]
    return np.diff(np.stack(sounded, axis=1), axis=0)


def _sounded(start: np.ndarray, end: np.ndarray, until: np.ndarray) -> np.ndarray:
    """Ticks that notes have sounded ``until`` each of these: those since all starts, less those since all ends."""
    total = np.zeros(len(until), dtype=np.int64)
    for sign, times in ((1, start), (-1, np.sort(end))):
        n = np.searchsorted(times, until, side="right")
        total += sign * (n * until - np.concatenate([[0], np.cumsum(times)])[n])
    return total


def scale_consistency(score: Score) -> float:
    """The largest share of pitched notes that lie in one of the twelve diatonic scales: from 7/12 to 1.

    Source: Mogren 2016 (C-RNN-GAN), here with the natural minor, which is a major scale of another root.

    >>> from clapbench.metrics.symbolic.score import score_of
    >>> scale_consistency(score_of(start=[0, 1, 2, 3], length=[1] * 4, pitch=[60, 61, 62, 64], ticks_per_beat=1))
    0.75
    """
    if reason := without_pitch(score):
        return Undefined(reason)
    notes = np.bincount(score.pitch[~score.is_drum] % CLASSES, minlength=CLASSES)
    return float((SCALES @ notes).max() / notes.sum())
