"""What every probe shares: rows gathered over batches, each position counted once, in float64.

A probe is a number computed from the rows of one or both sides of an embedding space, without labels. Its
formula is a pure function in its own file; the class keeps rows and calls it.

Probes hold references to the rows they are given, so many probes over the same rows cost the memory of
one. Put them in a ``MetricCollection`` with ``compute_groups=False``: compute groups merge metrics whose
states agree on the first batch, which here is all of them, and nothing is gained by it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor
from torchmetrics import Metric

SIDES = ("audio", "text")
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
        for side, rows, index in (("audio", audio, audio_index), ("text", text, text_index)):
            self._refuse(~rows.isfinite().all(dim=1), side=side, index=index, fault="is not finite")
            self._refuse(~rows.any(dim=1), side=side, index=index, fault="is all zeros")
        self.audio.append(audio.detach())
        self.text.append(text.detach())
        self.audio_index.append(audio_index.to(audio.device))
        self.text_index.append(text_index.to(text.device))

    def compute(self) -> Float64[Tensor, ""]:
        """The number over every row added so far, on every process."""
        try:
            return self.measure()
        except ValueError as error:
            raise ValueError(f"{self.label}: {error}") from error

    def rows(self, side: str) -> Float64[Tensor, "n d"]:
        """The rows of ``side``, one for each position, in the order of the positions."""
        index = _joined(getattr(self, f"{side}_index"))
        order = index.argsort(stable=True)
        first = torch.ones_like(index, dtype=torch.bool)
        first[1:] = index[order].diff() != 0
        order = order[first]
        if len(order) < MIN_ROWS:
            raise ValueError(f"needs at least {MIN_ROWS} {side} rows, got {len(order)}.")
        return on_float64_device(_joined(getattr(self, side))[order]).double()

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

    @property
    def label(self) -> str:
        return f"{type(self).__name__}({self.side})"


def checked(x: Float[Tensor, "n d"], *, who: str) -> Float64[Tensor, "n d"]:
    """``x`` in float64; ValueError in the name of ``who`` when it is empty or not finite."""
    if len(x) == 0:
        raise ValueError(f"{who}: needs at least 1 row, got 0.")
    broken = ~x.isfinite().all(dim=1)
    if broken.any():
        first = int(broken.nonzero()[0])
        raise ValueError(
            f"{who}: needs finite rows; {int(broken.sum())} of {len(x)} are not (first: {first})."
        )
    return on_float64_device(x).double()


def singular_values(x: Float64[Tensor, "n d"], *, who: str) -> Float64[Tensor, " m"]:
    """All min(n, d) singular values of ``x``, the largest first, by LAPACK on the CPU.

    On the CPU whatever device ``x`` is on, so that a cell has the same number wherever it was made. Not from
    a Gram matrix, which loses the values below 1e-8 of the largest.
    """
    if not x.any():
        raise ValueError(f"{who}: all {len(x)} rows are zero. Look at what was embedded.")
    return torch.linalg.svdvals(x.cpu())


def on_float64_device(x: Tensor) -> Tensor:
    """``x`` where float64 exists: MPS has none, so its tensors come to the CPU."""
    return x.cpu() if x.device.type == "mps" else x


def _joined(state: list[Tensor] | Tensor) -> Tensor:
    """One tensor of a list state, which is a list before it is gathered over processes, a tensor after."""
    if isinstance(state, Tensor):
        return state
    return torch.cat(state) if state else torch.empty(0, dtype=torch.long)
