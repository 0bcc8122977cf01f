r"""Where a low H may come from, cell by cell, in words and with the numbers that they rest on.

Each cell is compared with the one of the highest H on its benchmark, and two numbers are the same unless their 95 %
intervals are apart. Then a lower text RankMe points at the text encoder; a rank that is no lower and a wider modality
angle point at the joint alignment. What neither tells apart is called not separable. Rank and angle are those of half
of the rows at matched N, m of a cell's n. Such draws without replacement spread $\sqrt{(n - m) / m}$ times as widely as
whole samples do (the delete-d jackknife of Shao and Wu 1989, d = n - m), so intervals are narrowed by that.

A pointer is a place to look, not a cause: models differ in more than these two numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

NOT_SEPARABLE = "not separable on this evidence"


class Span(NamedTuple):
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float

    def below(self, other: Span) -> bool:
        """Whether the whole interval lies below the other."""
        return self.high < other.low


class Evidence(NamedTuple):
    """What a cell is judged by; ``rank`` and ``angle`` are None where they were not drawn."""

    model: str
    bench: str
    n_items: int | None
    h: Span  # H
    chance: float  # of H
    rank: Span | None  # RankMe of the text side
    angle: Span | None  # degrees
    n_text: int | None  # rows behind both


Verdict = Literal["reference", "text encoder", "joint alignment", "not separable", "no evidence"]


class Diagnosis(NamedTuple):
    """Where a cell's low H may come from, as a verdict and in words."""

    model: str
    bench: str
    verdict: Verdict
    words: str


def diagnose(cells: Sequence[Evidence]) -> list[Diagnosis]:
    """A diagnosis for each cell, in their order."""
    alike: dict[tuple[str, int | None], list[Evidence]] = {}  # another number of items is another benchmark
    for cell in cells:
        alike.setdefault((cell.bench, cell.n_items), []).append(cell)
    found = []
    for cell in cells:
        group = alike[cell.bench, cell.n_items]
        best = max(group, key=lambda one: one.h.value)
        found.append(Diagnosis(cell.model, cell.bench, *_verdict(cell, best, n_models=len(group))))
    return found


def _verdict(cell: Evidence, best: Evidence, *, n_models: int) -> tuple[Verdict, str]:
    own, theirs = f"H {_share(cell.h)}", f"{best.model}'s {_share(best.h)}"
    if cell is best:
        if n_models == 1:
            return (
                "no evidence",
                f"{own}; the only model on this benchmark, so there is nothing to compare it with.",
            )
        low = f", and below the chance of independent similarities ({_point(cell.chance)})"
        return (
            "reference",
            f"{own}: the highest of {n_models} models{low if cell.h.high < cell.chance else ''}.",
        )
    if not cell.h.below(best.h):
        return "not separable", f"{own} overlaps {theirs}: {NOT_SEPARABLE}."
    if cell.rank is None or cell.angle is None or best.rank is None or best.angle is None:
        return (
            "no evidence",
            f"{own} is below {theirs}; text rank or angle were not drawn for both, so no pointer.",
        )
    rank = f"text rank {_compared(cell.rank, best.rank, more='higher', less='lower')} at {cell.n_text} rows"
    angle = f"modality angle {_compared(cell.angle, best.angle, more='wider', less='narrower')} degrees"
    below = f"{own} is below {theirs}"
    if cell.rank.below(best.rank):
        words = f"{below}; {rank}: points at the text encoder."
        if best.angle.below(cell.angle):
            words += f" The {angle}, so the joint alignment may share in it."
        return "text encoder", words
    if best.angle.below(cell.angle):
        return "joint alignment", f"{below}; {rank}, {angle}: points at the joint alignment."
    return "not separable", f"{below}, but {rank}, {angle}: {NOT_SEPARABLE}."


def _compared(own: Span, other: Span, *, more: str, less: str) -> str:
    """Two numbers with the word for how they stand: level where their intervals overlap."""
    word = f"{less} than" if own.below(other) else f"{more} than" if other.below(own) else "level with"
    return f"{_number(own)} is {word} its {_number(other)}"


def _share(span: Span) -> str:
    return f"{_point(span.value)} ({_point(span.low)} to {_point(span.high)})"


def _number(span: Span) -> str:
    return f"{span.value:.1f} ({span.low:.1f} to {span.high:.1f})"


def _point(share: float) -> str:
    """A share without the zero before its point.

    >>> _point(0.8375), _point(1.0)
    ('.838', '1.000')
    """
    return f"{share:.3f}".removeprefix("0")
