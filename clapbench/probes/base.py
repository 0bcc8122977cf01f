"""What every probe shares: rows over batches and processes, each position counted once, in float64.

A probe is a number computed from the rows of one or both sides of an embedding space, without labels. Its
formula is a pure function in its own file; the class gathers and calls it. There are two ways to gather:

- ``Probe`` holds references to all rows that it is given, so many probes over the same rows cost the memory of one.
- ``StreamedProbe`` holds the last rows and folds those before into `Moments`, in memory that does not grow with n
  but for 8 bytes a row: its position, so that a repeat is known when it comes.

Every probe is a torchmetrics ``Metric``: ``update``, ``compute``, ``reset``, ``forward``, alone or in a
``MetricCollection``. Compute groups there merge what reads the same sides in the same way, and nothing else.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor
from torchmetrics import Metric

import clapbench.probes.moments as second
from clapbench.probes.moments import SIDES, Moments, moments, stacked, triangle
from clapbench.rows import Rows, not_finite, on_float64_device, tensor

ITEM = {"audio": "clip", "text": "caption"}
Choices: TypeAlias = Mapping[str, tuple[bool | int | float | str | None, ...]]  # of an argument, by its name
MIN_ROWS = 2  # a single row has no shape
BY_ORDER = (
    2**48
)  # rows that come without positions get some from here on: others in each batch, metric and process
_rows_numbered = 0  # in this process; a metric's own count would start anew in each call of forward


class Probe(Metric):
    """Rows of both sides with their positions; a subclass says in ``measure`` what to make of them.

    Positions tell which clip or caption a row is. A position that comes twice (a padded distributed sampler
    repeats rows) counts once, its first row; the order of rows and the cut into batches do not matter. Rows that come
    without positions are all different ones.

    ``reads_matches`` says that the number is made of which clip belongs to which caption, as the scores are: its
    correlation with them is no evidence that geometry predicts them. ``choices`` are the arguments that another author
    could have set otherwise, each with the values that `multiverse` tries.
    """

    reads_matches: ClassVar[bool] = False
    choices: ClassVar[Choices] = {}

    full_state_update = False
    higher_is_better = None
    is_differentiable = False

    audio: list[Tensor]
    text: list[Tensor]
    audio_index: list[Tensor]
    text_index: list[Tensor]

    def __init__(self, reads: tuple[str, ...] = SIDES, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reads = reads  # the sides whose rows are held
        # Tells compute groups apart: else they take probes of different sides for one, whose lists are empty in turn.
        code = sum(2**place for place, side in enumerate(SIDES) if side in reads)
        self.add_state("held_sides", default=torch.tensor(code), dist_reduce_fx="max")
        for side in SIDES:
            self.add_state(side, default=[], dist_reduce_fx="cat")
            self.add_state(f"{side}_index", default=[], dist_reduce_fx="cat")

    @property
    def label(self) -> str:
        """The probe as errors name it."""
        return type(self).__name__

    @abstractmethod
    def measure(self) -> Float64[Tensor, ""]:
        """The number, from ``self.rows("audio")``, ``self.rows("text")`` or both."""

    def update(
        self,
        *sides: Rows,
        audio: Rows | None = None,
        text: Rows | None = None,
        audio_index: Int[Tensor, " a"] | None = None,
        text_index: Int[Tensor, " t"] | None = None,
    ) -> None:
        """Add rows: ``update(audio, text)``, or by keyword with their positions.

        Either side may have none in a batch. Raises ValueError, naming side and position, for a row that is not finite
        or is all zeros; TypeError for what holds no rows.
        """
        named = {"audio": audio, "text": text}
        given = self.by_side(sides, {side: rows for side, rows in named.items() if rows is not None})
        missing = [side for side in self.reads if side not in given]
        if missing:
            raise TypeError(f"{self.label}: needs {' and '.join(self.reads)} rows; got no {missing[0]}.")
        rows = {side: tensor(x, who=f"{self.label} ({side})") for side, x in given.items()}
        index = self._positions(rows, {"audio": audio_index, "text": text_index})
        for side, own in rows.items():
            self._refuse(not_finite(own), side=side, index=index[side], fault="is not finite")
            self._refuse(~own.any(dim=1), side=side, index=index[side], fault="is all zeros")
        for side in self.reads:
            self.hold(side, rows[side], index[side].to(rows[side].device))

    def by_side(self, sides: tuple[Rows, ...], named: dict[str, Rows]) -> dict[str, Rows]:
        """The rows of an update by their side: those that came by place, ``sides``, or those ``named``."""
        if not sides:
            return named
        if named or len(sides) != 2:
            raise TypeError(
                f"{self.label}: needs the rows of both sides, update(audio, text), or all by keyword; "
                f"got {len(sides)} by place and {len(named)} by keyword."
            )
        return dict(zip(SIDES, sides, strict=True))

    def _positions(
        self, rows: dict[str, Tensor], given: dict[str, Int[Tensor, _] | None]
    ) -> dict[str, Int[Tensor, _]]:
        """Those given; else new ones, that start alike on both sides: rows that come together may belong together."""
        index = {side: own for side in rows if (own := given[side]) is not None}
        for side, own in index.items():
            if len(own) != len(rows[side]):
                raise ValueError(
                    f"{self.label}: needs a position for each of {len(rows[side])} {side} rows, got {len(own)}."
                )
        without = rows.keys() - index.keys()
        if without:
            first = _new_positions(max(len(rows[side]) for side in without))
            index |= {side: torch.arange(first, first + len(rows[side])) for side in without}
        return index

    def hold(self, side: str, rows: Float[Tensor, "n d"], index: Int[Tensor, " n"]) -> None:
        """Keep rows of a side that is read, and their positions."""
        getattr(self, side).append(rows)
        getattr(self, f"{side}_index").append(index)

    def compute(self) -> Float64[Tensor, ""]:
        """The number over every row added so far, on every process; ValueError where it is undefined."""
        try:
            return self.measure()
        except ValueError as error:
            raise ValueError(f"{self.label}: {error}") from error

    def rows(self, side: str) -> Float64[Tensor, "n d"]:
        """The rows of ``side``, one for each position, in the order of the positions."""
        rows, _ = _once(_joined(getattr(self, side)), _joined(getattr(self, f"{side}_index")))
        self.refuse_few(len(rows), side=side)
        return rows

    def named(self, side: str) -> str:
        """A row of this side, as errors call it."""
        return f"{side} row"

    def refuse_few(self, n: int, *, side: str) -> None:
        """ValueError for so few rows that they have no shape."""
        if n < MIN_ROWS:
            raise ValueError(f"needs at least {MIN_ROWS} {self.named(side)}s, got {n}.")

    def _refuse(self, broken: Bool[Tensor, " n"], *, side: str, index: Int[Tensor, " n"], fault: str) -> None:
        if broken.any():
            first = broken.nonzero()[0].cpu()
            position = int(index.cpu()[first])
            where = f"at position {position}" if position < BY_ORDER else f"{int(first)} of this batch"
            raise ValueError(
                f"{self.label}: {self.named(side)} {where} {fault} "
                f"({int(broken.sum())} of {len(broken)} rows of this batch). "
                f"Look at that {ITEM[side]}, or at the model's precision."
            )


class SideProbe(Probe):
    """A probe of one side, ``audio`` or ``text``; or, without a side, of whatever rows ``update(x)`` gives."""

    def __init__(self, side: str | None = None, **kwargs: Any) -> None:
        if side not in (None, *SIDES):
            raise ValueError(f"{type(self).__name__}: side must be 'audio' or 'text', got {side!r}.")
        self.has_side = side is not None
        self.side = side or SIDES[0]  # where the rows of a probe without a side are held
        super().__init__(reads=(self.side,), **kwargs)

    @property
    def label(self) -> str:
        """The probe and its side, as errors name it."""
        return f"{type(self).__name__}({self.side})" if self.has_side else type(self).__name__

    def by_side(self, sides: tuple[Rows, ...], named: dict[str, Rows]) -> dict[str, Rows]:
        """One set of rows is that of its side; of two, audio and text, it reads its own."""
        if not self.has_side and (named or len(sides) != 1):
            name = type(self).__name__
            raise TypeError(
                f"{name}: was built without a side, so update needs one set of rows, by place; got "
                f"{len(sides)} by place and {len(named)} by keyword. Build {name}('audio') or {name}('text')."
            )
        if len(sides) == 1 and not named:
            return {self.side: sides[0]}
        return super().by_side(sides, named)

    def named(self, side: str) -> str:
        """A row, as errors call it: of its side, if there is one."""
        return super().named(side) if self.has_side else "row"


class StreamedProbe(Probe):
    """A probe that needs no more than `Moments`: ``measure`` takes ``self.moments(side)`` in place of rows.

    The last ``CHUNK`` rows or fewer are held as they are; a cloud of no more is never folded, so that its number is
    that of the function. Processes add up by stacking, and a position that comes on several of them counts once as
    long as all of them but one still hold its row: a padded sampler's repeats come last, so they do. Where the row
    was folded on two, it cannot be taken out again, and ``compute`` refuses.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for side in SIDES:
            self.add_state(f"{side}_folded", default=[], dist_reduce_fx="cat")  # weights, rows: m x (1 + d)
            self.add_state(f"{side}_folded_index", default=[], dist_reduce_fx="cat")  # positions in there

    def fold(self, folded: Float64[Tensor, "m e"], rows: Float64[Tensor, "n d"]) -> Float64[Tensor, "k e"]:
        """Both in fewer rows with their moments, as ``folded`` behind their weights. Here: up to the second."""
        return triangle(folded, rows)

    def hold(self, side: str, rows: Float[Tensor, "n d"], index: Int[Tensor, " n"]) -> None:
        """Keep rows and their positions, and fold all but the last once there are more than ``CHUNK``."""
        if not len(getattr(self, f"{side}_folded")):  # a process with nothing to fold gathers all the same
            empty = on_float64_device(rows[:0]).double()
            setattr(self, f"{side}_folded", [empty.new_empty(0, empty.shape[1] + 1)])
            setattr(self, f"{side}_folded_index", [index[:0].to(empty.device)])
        for piece, where in zip(rows.split(second.CHUNK), index.split(second.CHUNK), strict=True):
            super().hold(side, piece, where)
            if sum(map(len, getattr(self, side))) > second.CHUNK:
                self._fold_all_but_the_last(side)

    def forward(self, *args: Any, **kwargs: Any) -> Float64[Tensor, ""]:
        """`update`, and the number over this batch alone."""
        value = super().forward(*args, **kwargs)  # which keeps every batch as it came
        for side in self.reads:
            if sum(map(len, getattr(self, side))) > second.CHUNK:
                self._fold_all_but_the_last(side)
        return value

    def moments(self, side: str) -> Moments:
        """The moments of the rows of ``side``, one row for each position."""
        pieces, where = getattr(self, side), getattr(self, f"{side}_index")
        rows, _, known = self._unfolded(side, _joined(pieces), _joined(where))
        n = len(rows) + len(known)
        self.refuse_few(n, side=side)
        if not len(known):
            return moments(rows)
        weighted = stacked(_joined(getattr(self, f"{side}_folded")), rows)
        return Moments(n=n, weights=weighted[:, 0], rows=weighted[:, 1:])

    def _fold_all_but_the_last(self, side: str) -> None:
        *pieces, last = getattr(self, side)
        *where, last_where = getattr(self, f"{side}_index")
        rows, index, known = self._unfolded(side, _joined(pieces), _joined(where))
        setattr(self, f"{side}_folded", [self.fold(_joined(getattr(self, f"{side}_folded")), rows)])
        setattr(self, f"{side}_folded_index", [torch.cat([known, index]).sort().values])
        setattr(self, side, [last])
        setattr(self, f"{side}_index", [last_where])

    def _unfolded(
        self, side: str, rows: Tensor, index: Int[Tensor, " n"]
    ) -> tuple[Tensor, Int[Tensor, " m"], Int[Tensor, " known"]]:
        """Rows at positions not yet folded, these positions, and the folded ones in order."""
        known = _joined(getattr(self, f"{side}_folded_index")).long().sort().values
        twice = known[1:][known.diff() == 0]
        if len(twice):
            raise ValueError(
                f"needs each {side} row on one process; {len(twice)} came on several (first: position "
                f"{int(twice[0])}), too far from the end of each to be taken out again. "
                f"Give every process rows of its own."
            )
        rows, index = _once(rows, index)
        place = torch.searchsorted(known, index.to(known.device))
        new = torch.ones_like(place, dtype=torch.bool)
        inside = place < len(known)
        new[inside] = known[place[inside]] != index.to(known.device)[inside]
        index = index.to(known.device)
        return (rows, index, known) if new.all() else (rows[new], index[new], known)


def _once(rows: Tensor, index: Int[Tensor, " n"]) -> tuple[Tensor, Int[Tensor, " m"]]:
    """The first row of each position, and the positions, in their order."""
    order = index.argsort(stable=True)
    first = torch.ones_like(index, dtype=torch.bool)
    first[1:] = index[order].diff() != 0
    order = order[first]
    if len(order) < len(index) or index.diff().lt(0).any():  # else a copy for nothing
        rows, index = rows[order], index[order]
    return on_float64_device(rows).double(), index


def _new_positions(n: int) -> int:
    """The first of ``n`` positions that no row of this process or another has had."""
    global _rows_numbered
    parallel = torch.distributed.is_available() and torch.distributed.is_initialized()
    first = BY_ORDER * (1 + (torch.distributed.get_rank() if parallel else 0)) + _rows_numbered
    _rows_numbered += n
    return first


def _joined(state: list[Tensor] | Tensor) -> Tensor:
    """One tensor of a list state, which is a list before it is gathered over processes, a tensor after."""
    if isinstance(state, Tensor):
        return state
    if len(state) == 1:
        return state[0]  # else a copy for nothing
    return torch.cat(state) if state else torch.empty(0, dtype=torch.long)
