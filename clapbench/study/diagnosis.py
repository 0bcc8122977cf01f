r"""Where a low H may come from, recipe by recipe, in words and with the numbers that they rest on.

Each model is compared with the one of the highest H on its benchmark: H item by item (exact McNemar p, Holm over all
pairs of models, see `rivals`), RankMe of the text side and the modality angle draw by draw, draw i of both being of the
same items (see `subsampling`). H is *below* where p after Holm is at most .05. Otherwise, and for rank and angle, a
number is *level* where the 95 % interval of its difference lies within a margin, else *lower* or *higher* where that
leaves out 0, else *not resolved*. Both are told whichever way they stand.

Then a lower text rank points at the text encoder, and a rank that is not and a wider angle at the joint alignment.
Where the two have embeddings of different dimension, ranks are compared as shares of the most there can be, min(n, d).

A pointer is a place to look, not a cause: models differ in more than these two numbers.

Sources: `rivals`, `subsampling`; margins as in Schuirmann 1987, with the 95 % in place of the 90 % interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from clapbench.statistics.proportions import LEVEL
from clapbench.statistics.rivals import Versus, rivals
from clapbench.statistics.subsampling import difference
from clapbench.study.evidence import Draws, Evidence

NOT_SEPARABLE = "not separable on this evidence"
H_MARGIN = 0.05  # share of items within which two models are level
RANK_MARGIN = 0.1  # of the other's rank
ANGLE_MARGIN = 5.0  # degrees

Verdict = Literal["reference", "text encoder", "joint alignment", "level", "not separable", "no evidence"]
Standing = Literal["lower", "higher", "level", "not resolved"]


class Diagnosis(NamedTuple):
    """Where a recipe's low H may come from, as a verdict and in words, and how its H stands to the reference's."""

    model: str
    bench: str
    verdict: Verdict
    words: str
    against: str | None = None  # the reference
    difference: float | None = None  # H less the reference's
    low: float | None = None  # of its 95 % interval
    high: float | None = None
    p: float | None = None  # exact McNemar; t where a recipe has several seeds
    p_holm: float | None = None  # over all pairs of models of the benchmark


def diagnose(recipes: Sequence[Evidence]) -> list[Diagnosis]:
    """A diagnosis for each recipe on each benchmark, in their order."""
    alike: dict[tuple[str, str], list[Evidence]] = {}
    for one in recipes:
        alike.setdefault((one.bench, one.items), []).append(one)
    found = {}
    for group in alike.values():
        best = max(group, key=lambda one: one.h)
        known = [one for one in group if one.hits is not None]
        pairs = rivals([one.hits for one in known if one.hits is not None])
        place = {one.model: number for number, one in enumerate(known)}
        for one in group:
            versus = None
            if one is not best and one.model in place and best.model in place:
                versus = pairs[place[one.model], place[best.model]]
            found[id(one)] = _diagnosed(one, best, versus, n_models=len(group), n_pairs=len(pairs) // 2)
    return [found[id(one)] for one in recipes]


def _diagnosed(
    one: Evidence, best: Evidence, versus: Versus | None, *, n_models: int, n_pairs: int
) -> Diagnosis:
    own = f"H {_share(one)}"
    if one is best:
        if n_models == 1:
            words = f"{own}; the only model on this benchmark, so there is nothing to compare it with."
            return Diagnosis(one.model, one.bench, "no evidence", words)
        low = f", and below the chance of independent similarities ({_point(one.chance)})"
        words = f"{own}: the highest of {n_models} models{low if one.high < one.chance else ''}."
        return Diagnosis(one.model, one.bench, "reference", words)
    if versus is None:
        words = f"{own}; items of this model or of {best.model} are not at hand, so they are not compared."
        return Diagnosis(one.model, one.bench, "no evidence", words)
    family = f", after Holm over {n_pairs} pairs of models" if n_pairs > 1 else ""
    told = f"p {_p(versus.p_holm)}{family}"
    gap = f"{_point(versus.value)} ({_point(versus.low)} to {_point(versus.high)}; {told})"
    theirs = f"{best.model}'s {_point(best.h)}: {gap}"
    standing = _standing(versus.low, versus.high, margin=H_MARGIN)
    verdict: Verdict
    if versus.p_holm <= LEVEL and versus.value < 0:
        verdict, words = _pointer(one, best)
        words = f"{own} is below {theirs}; {words}"
    elif standing == "level":
        verdict, words = "level", f"{own} is level with {theirs}, within {_point(H_MARGIN)} either way."
    else:
        verdict, words = "not separable", f"{own} is not told apart from {theirs}, {NOT_SEPARABLE}."
    return Diagnosis(one.model, one.bench, verdict, words, best.model, *versus)


def _pointer(one: Evidence, best: Evidence) -> tuple[Verdict, str]:
    """Where to look, by rank and angle; both are told, whichever way they stand."""
    if one.rank is None or one.angle is None or best.rank is None or best.angle is None:
        return "no evidence", "text rank or angle were not drawn for both, so no pointer."
    rank, rank_words = _rank(one.rank, best.rank)
    angle, angle_words = _compared(one.angle, best.angle, margin=ANGLE_MARGIN, more="wider", less="narrower")
    both = f"text rank {rank_words} at {one.rank.rows} rows, modality angle {angle_words} degrees"
    if rank == "lower":
        also = ", and the joint alignment may share in it" if angle == "higher" else ""
        return "text encoder", f"{both}: points at the text encoder{also}."
    if angle == "higher":
        also = "; the text encoder is not ruled out" if rank == "not resolved" else ""
        return "joint alignment", f"{both}: points at the joint alignment{also}."
    return "not separable", f"{both}: {NOT_SEPARABLE}."


def _rank(one: Draws, best: Draws) -> tuple[Standing, str]:
    """Of the rank; as a share of the most that there can be where that differs."""
    if one.most != best.most:
        one, best = (side._replace(values=side.values / side.most) for side in (one, best))
    margin = RANK_MARGIN * float(best.values.mean())
    standing, words = _compared(one, best, margin=margin, more="higher", less="lower")
    return standing, f"{words} of the most there can be" if one.values.max() <= 1 else words


def _compared(one: Draws, best: Draws, *, margin: float, more: str, less: str) -> tuple[Standing, str]:
    """How two numbers stand, and that in words with their difference."""
    if one.values.shape[1] != best.values.shape[1]:
        return (
            "not resolved",
            f"{one.values.mean():.3g} was drawn otherwise than its {best.values.mean():.3g}",
        )
    found = difference(one.values, best.values, part=one.part)
    low, high = found.ci95
    standing = _standing(low, high, margin=margin)
    words = {"lower": f"{less} than", "higher": f"{more} than", "level": "level with"}
    stands = words.get(standing, "not resolved from")
    digits = 3 if max(abs(one.values.max()), abs(best.values.max())) <= 1 else 1
    mine, theirs = (f"{side.values.mean():.{digits}f}" for side in (one, best))
    gap = f"{found.value:+.{digits}f}, {low:+.{digits}f} to {high:+.{digits}f}"
    return standing, f"{mine} is {stands} its {theirs} ({gap})"


def _standing(low: float, high: float, *, margin: float) -> Standing:
    """Of a difference by its interval: level within the margin first, so that a trifle is no finding."""
    if -margin <= low and high <= margin:
        return "level"
    return "lower" if high < 0 else "higher" if low > 0 else "not resolved"


def _share(one: Evidence) -> str:
    bounds = f"{_point(one.low)} to {_point(one.high)}"
    if one.seeds:
        return f"{_point(one.h)}, mean of {len(one.seeds)} seeds of one recipe, no rivals ({bounds})"
    return f"{_point(one.h)} ({bounds})"


def _p(p: float) -> str:
    return "<.001" if p < 0.0005 else _point(p)


def _point(share: float) -> str:
    """A share without the zero before its point.

    >>> _point(0.8375), _point(1.0), _point(-0.02), _point(-0.0)
    ('.838', '1.000', '-.020', '.000')
    """
    text = f"{round(share, 3) + 0.0:.3f}"  # no minus before 0
    return text if abs(share) >= 0.9995 else text.replace("0.", ".", 1)
