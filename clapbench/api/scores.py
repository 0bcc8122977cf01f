"""Scores of similarities of your own, with chance, intervals and exact p."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from torch import Tensor

from clapbench.rows import Rows, checked
from clapbench.scoring import given
from clapbench.scoring.pairs import judged
from clapbench.scoring.retrieval import retrieved
from clapbench.scoring.zeroshot import classified

if TYPE_CHECKING:
    import pandas as pd

PLACES = {"s_pp": (0, 0), "s_pr": (1, 0), "s_rp": (0, 1), "s_rr": (1, 1)}  # in a block [clip, caption]


class Score(NamedTuple):
    """F, G or H of items, and what it is worth; ``float(score)`` is its value.

    ``value`` is the share of ``n`` items, 0 to 1, with the Wilson interval ``ci95``; ``direction`` says who picks;
    ``chance`` is that of independent similarities, ``p_chance`` the exact binomial p against it on both sides,
    ``p_swap`` the exact p of the right labels against exchanged clips.
    """

    value: float  # share of items, 0 to 1
    direction: str  # who picks: "clip->caption", "caption->clip" or "both"
    n: int  # items
    chance: float  # of independent similarities
    ci95: tuple[float, float]  # Wilson
    p_chance: float  # exact binomial, both sides, against chance
    p_swap: float  # exact, of the right labels against exchanged clips

    def __float__(self) -> float:
        return self.value


def score(
    similarities: Rows | pd.DataFrame | None = None,
    *,
    s_pp: Rows | None = None,
    s_pr: Rows | None = None,
    s_rp: Rows | None = None,
    s_rr: Rows | None = None,
    protocol: str = "official",
) -> dict[str, Score]:
    """F, G and H of compositional items: a pair p and its partner r with the parts exchanged.

    Call it with blocks, ``score(similarities)``, n x 2 x 2 as [clip, caption]; or with four lists of n similarities,
    ``score(s_pp=..., s_pr=..., s_rp=..., s_rr=...)``, the caption first: s_pr is caption p with clip r. A DataFrame
    with these columns, such as items.csv, does as well.

    ``protocol`` is ``official`` (F: each clip picks its caption, G: each caption its clip, H: both; a tie is a miss),
    ``single``, or ``triplet`` for blocks n x 3 x 3; see `clapbench.scoring.pairs`.

    Raises ValueError for other shapes and protocols, TypeError for both ways at once.

    >>> found = score([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.6], [0.1, 0.9]]])
    >>> found["H"].value, found["H"].n, round(found["H"].chance, 3)
    (0.5, 2, 0.167)
    >>> float(score(s_pp=[0.9], s_pr=[0.2], s_rp=[0.1], s_rr=[0.8])["G"])
    1.0
    """
    given.protocol(protocol, who="score")
    four = {"s_pp": s_pp, "s_pr": s_pr, "s_rp": s_rp, "s_rr": s_rr}
    named: dict[str, Any] = {name: values for name, values in four.items() if values is not None}
    table: Any = similarities
    if set(PLACES) <= set(getattr(table, "columns", ())) and not named:
        named, similarities = {name: table[name] for name in PLACES}, None
    if (similarities is None) == (not named) or (named and len(named) < len(PLACES)):
        raise TypeError(
            f"score: needs similarities of shape (n, 2, 2) as [clip, caption], or all of s_pp, s_pr, s_rp, s_rr; got "
            f"{'similarities and ' if similarities is not None else ''}{', '.join(named) or 'nothing'}."
        )
    blocks: Rows = _blocks(named) if similarities is None else similarities
    found = judged(protocol, given.items(blocks, protocol=protocol, who="score")) or {}
    return {name: Score(**{**of, "ci95": tuple(of["ci95"])}) for name, of in found.items()}


def _blocks(named: dict[str, Any]) -> np.ndarray:
    """Blocks [clip, caption] of four lists."""
    four = {name: _list(values, who=f"score ({name})") for name, values in named.items()}
    sizes = {name: len(values) for name, values in four.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"score: needs as many of each similarity; got {sizes}.")
    blocks = np.empty((max(sizes.values()), 2, 2))
    for name, (clip, caption) in PLACES.items():
        blocks[:, clip, caption] = four[name]
    return blocks


def _list(values: Any, *, who: str) -> np.ndarray:
    """A similarity for each item."""
    column = values if isinstance(values, Tensor) else np.asarray(values)
    if column.ndim != 1:
        raise ValueError(
            f"{who}: needs a list of similarities, one for each item; got shape {tuple(column.shape)}."
        )
    return checked(column[:, None], who=who)[:, 0].cpu().numpy()


def retrieval(similarities: Rows, match: Rows) -> dict[str, Any]:
    """R@1, R@5, R@10, mAP@10 and median rank of retrieval in both directions, ``t2a_...`` and ``a2t_...``.

    ``similarities`` are clips x captions; ``match`` says in the same shape which caption describes which clip, each
    having one at least. Recalls come with Wilson intervals (``_ci95``) and their chance. A tie counts as a miss. Names
    and numbers are those of a cell (see `clapbench.scoring.retrieval`).

    >>> retrieval([[0.9, 0.1], [0.2, 0.8]], [[True, False], [False, True]])["t2a_R@1"]
    1.0
    """
    s = checked(similarities, who="retrieval", axes="clips captions").cpu()
    own = given.match(match, shape=tuple(s.shape), who="retrieval (clips)")
    given.match(own.T, shape=tuple(s.T.shape), who="retrieval (captions)")
    return {**retrieved("t2a", s.T, own.T), **retrieved("a2t", s, own)}


def zeroshot(similarities: Rows, target: Rows, *, labels: Sequence[str] | None = None) -> dict[str, Any]:
    """Accuracy and mAP of zero-shot classification, with interval, chance and numbers per class.

    ``similarities`` are clips x classes; ``target`` is the number of each clip's class, or a mask clips x classes,
    where a clip may have several (then there is no accuracy). ``labels`` name the classes, by default by their numbers.
    Names and numbers are those of a cell (see `clapbench.scoring.zeroshot`).

    >>> zeroshot([[0.9, 0.1], [0.8, 0.3]], [0, 1])["accuracy"]
    0.5
    """
    s = checked(similarities, who="zeroshot", axes="clips captions").cpu()
    names = [str(number) for number in range(s.shape[1])] if labels is None else list(labels)
    if len(names) != s.shape[1]:
        raise ValueError(f"zeroshot: needs a label for each of {s.shape[1]} classes, got {len(names)}.")
    match = given.classes(target, shape=tuple(s.shape), who="zeroshot")
    return classified(s, match, labels=names, folds=[None] * len(s))
