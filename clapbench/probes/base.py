"""What every probe shares: rows over batches and processes, each position counted once, in float64.

A probe is a number computed from the rows of one or both sides of an embedding space, without labels. Its
formula is a pure function in its own file; the class gathers and calls it. There are two ways to gather:

- ``Probe`` holds references to all rows that it is given, so many probes over the same rows cost the memory of one.
- ``StreamedProbe`` holds the last rows and folds those before into `Moments`, in memory that does not grow with n
  but for 8 bytes a row: its position, so that a repeat is known when it comes.

Put them in a ``MetricCollection`` with ``compute_groups=False``: compute groups merge metrics whose
states agree on the first batch, which here is all of them.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor
from torchmetrics import Metric

from clapbench.probes.moments import CHUNK, SIDES, Moments, moments, stacked, triangle

ITEM = {"audio": "clip", "text": "caption"}
MIN_ROWS = 2  # a single row has no shape


class Probe(Metric):
    """Rows of both sides with their positions; a subclass says in ``measure`` what to make of them.

    Positions tell which clip or caption a row is. A position that comes twice (a padded distributed sampler
    repeats rows) counts once, its first row; the order of rows and the cut into batches do not matter.
    """

    full_state_update = False
    higher_is_better = None
    is_differentiable = False

    reads: tuple[str, ...] = SIDES  # the sides whose rows are held
    audio: list[Tensor]
    text: list[Tensor]
    audio_index: list[Tensor]
    text_index: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
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
        *,
        audio: Float[Tensor, "a d"],
        text: Float[Tensor, "t d"],
        audio_index: Int[Tensor, " a"],
        text_index: Int[Tensor, " t"],
    ) -> None:
        """Add rows and their positions; either side may have none in a batch.

        Raises ValueError, naming side and position, for a row that is not finite or is all zeros.
        """
        given = (("audio", audio, audio_index), ("text", text, text_index))
        for side, rows, index in given:
            self._refuse(not_finite(rows), side=side, index=index, fault="is not finite")
            self._refuse(~rows.any(dim=1), side=side, index=index, fault="is all zeros")
        for side, rows, index in given:
            if side in self.reads:
                self.hold(side, rows.detach(), index.to(rows.device))

    def hold(self, side: str, rows: Float[Tensor, "n d"], index: Int[Tensor, " n"]) -> None:
        getattr(self, side).append(rows)
        getattr(self, f"{side}_index").append(index)

    def compute(self) -> Float64[Tensor, ""]:
        """The number over every row added so far, on every process."""
        try:
            return self.measure()
        except ValueError as error:
            raise ValueError(f"{self.label}: {error}") from error

    def rows(self, side: str) -> Float64[Tensor, "n d"]:
        """The rows of ``side``, one for each position, in the order of the positions."""
        rows, _ = _once(_joined(getattr(self, side)), _joined(getattr(self, f"{side}_index")))
        _refuse_few(len(rows), side=side)
        return rows

    def _refuse(self, broken: Bool[Tensor, " n"], *, side: str, index: Int[Tensor, " n"], fault: str) -> None:
        if broken.any():
            raise ValueError(
                f"{self.label}: {side} row at position {int(index.cpu()[broken.cpu()][0])} {fault} "
                f"({int(broken.sum())} of {len(broken)} rows of this batch). "
                f"Look at that {ITEM[side]}, or at the model's precision."
            )


class SideProbe(Probe):
    """A probe of one side, ``audio`` or ``text``."""

    def __init__(self, side: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if side not in SIDES:
            raise ValueError(f"{type(self).__name__}: side must be 'audio' or 'text', got {side!r}.")
        self.side = side
        self.reads = (side,)

    @property
    def label(self) -> str:
        return f"{type(self).__name__}({self.side})"


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
        if not len(getattr(self, f"{side}_folded")):  # a process with nothing to fold gathers all the same
            empty = on_float64_device(rows[:0]).double()
            setattr(self, f"{side}_folded", [empty.new_empty(0, empty.shape[1] + 1)])
            setattr(self, f"{side}_folded_index", [index[:0].to(empty.device)])
        for piece, where in zip(rows.split(CHUNK), index.split(CHUNK), strict=True):
            super().hold(side, piece, where)
            if sum(map(len, getattr(self, side))) > CHUNK:
                self._fold_all_but_the_last(side)

    def moments(self, side: str) -> Moments:
        """The moments of the rows of ``side``, one row for each position."""
        pieces, where = getattr(self, side), getattr(self, f"{side}_index")
        rows, _, known = self._unfolded(side, _joined(pieces), _joined(where))
        n = len(rows) + len(known)
        _refuse_few(n, side=side)
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


def checked(x: Float[Tensor, "n d"], *, who: str) -> Float64[Tensor, "n d"]:
    """``x`` in float64; ValueError in the name of ``who`` when it is empty or not finite."""
    if len(x) == 0:
        raise ValueError(f"{who}: needs at least 1 row, got 0.")
    broken = not_finite(x)
    if broken.any():
        first = int(broken.nonzero()[0])
        raise ValueError(
            f"{who}: needs finite rows; {int(broken.sum())} of {len(x)} are not (first: {first})."
        )
    return on_float64_device(x.detach()).double()


def not_finite(x: Float[Tensor, "n d"]) -> Bool[Tensor, " n"]:
    """Which rows hold a NaN or an infinity. Their sum does then; so it tells in a fifth of the time that none do."""
    if x.sum().isfinite():
        return torch.zeros(len(x), dtype=torch.bool, device=x.device)
    return ~x.isfinite().all(dim=1)


def _once(rows: Tensor, index: Int[Tensor, " n"]) -> tuple[Tensor, Int[Tensor, " m"]]:
    """The first row of each position, and the positions, in their order."""
    order = index.argsort(stable=True)
    first = torch.ones_like(index, dtype=torch.bool)
    first[1:] = index[order].diff() != 0
    order = order[first]
    if len(order) < len(index) or index.diff().lt(0).any():  # else a copy for nothing
        rows, index = rows[order], index[order]
    return on_float64_device(rows).double(), index


def _refuse_few(n: int, *, side: str) -> None:
    if n < MIN_ROWS:
        raise ValueError(f"needs at least {MIN_ROWS} {side} rows, got {n}.")


def on_float64_device(x: Tensor) -> Tensor:
    """``x`` where float64 exists: MPS has none, so its tensors come to the CPU."""
    return x.cpu() if x.device.type == "mps" else x


def _joined(state: list[Tensor] | Tensor) -> Tensor:
    """One tensor of a list state, which is a list before it is gathered over processes, a tensor after."""
    if isinstance(state, Tensor):
        return state
    if len(state) == 1:
        return state[0]  # else a copy for nothing
    return torch.cat(state) if state else torch.empty(0, dtype=torch.long)
