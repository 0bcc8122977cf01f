"""Two sets of rows, reference and generated: checked together, measured, held over batches and processes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor
from torchmetrics import Metric

from clapbench.rows import Rows, checked, tensor

MIN_ROWS = 2  # a single row has no spread
SETS = ("reference", "generated")


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


class Measured(float):
    """A number with what it was measured on: rows of both sets, their length ``d``, and ``notes`` for its reader.

    ``n_reference`` is None where there is no reference, ``bandwidth`` where there is no kernel of one.

    >>> found = Measured(0.5, n_reference=10, n_generated=20, d=4, notes=("10 rows are few.",))
    >>> found + 1, found.n_generated
    (1.5, 20)
    """

    n_reference: int | None
    n_generated: int
    d: int
    bandwidth: float | None
    interval: Interval | None
    notes: tuple[str, ...]

    def __new__(
        cls,
        value: float,
        *,
        n_generated: int,
        d: int,
        n_reference: int | None = None,
        bandwidth: float | None = None,
        interval: Interval | None = None,
        notes: tuple[str, ...] = (),
    ) -> Measured:
        """``value`` with all of this."""
        made = super().__new__(cls, value)
        made.n_reference, made.n_generated, made.d = n_reference, n_generated, d
        made.bandwidth, made.interval, made.notes = bandwidth, interval, notes
        return made

    def __getnewargs_ex__(self) -> tuple[tuple[float], dict[str, Any]]:
        """What pickle and copy make it from again."""
        return (float(self),), dict(self.__dict__)

    def __repr__(self) -> str:
        told = ", ".join(
            f"{name}={value!r}" for name, value in self.__dict__.items() if value not in (None, ())
        )
        return f"Measured({float(self)!r}, {told})"


class Pair(NamedTuple):
    """Both sets in float64 on the CPU, with rows of one length."""

    reference: Float64[np.ndarray, "n d"]
    generated: Float64[np.ndarray, "m d"]


def rows(x: Rows, *, who: str, least: int = MIN_ROWS) -> Float64[np.ndarray, "n d"]:
    """``x`` in float64 on the CPU; ValueError in the name of ``who`` for under ``least`` rows or any not finite."""
    found = checked(x, who=who).cpu().numpy()
    if len(found) < least:
        raise ValueError(f"{who}: needed at least {least} rows, got {len(found)}. Give more clips or chunks.")
    return found


def both(reference: Rows, generated: Rows, *, who: str, least: int = MIN_ROWS) -> Pair:
    """Both sets as `rows`; ValueError where their rows are not equally long."""
    pair = Pair(
        rows(reference, who=f"{who} (reference)", least=least),
        rows(generated, who=f"{who} (generated)", least=least),
    )
    one_space(*(x.shape[1] for x in pair), who=who)
    return pair


def one_space(reference: int, generated: int, *, who: str) -> None:
    """ValueError for lengths of rows that are not equal."""
    if reference != generated:
        raise ValueError(
            f"{who}: needed both sets in one space, got reference rows of {reference} numbers and generated rows "
            f"of {generated}. Embed both with one encoder."
        )


def unit(x: Float64[np.ndarray, "n d"], *, who: str) -> Float64[np.ndarray, "n d"]:
    """Rows at length 1; ValueError for one of zeros."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    if not length.all():
        raise ValueError(
            f"{who}: needed rows with a direction, got {int((length == 0).sum())} rows of zeros."
        )
    return x / length


class SetMetric(Metric):
    """Holds the rows of both sets; a subclass says in ``measure`` what to make of them.

    ``update(reference, generated)``, or one of them by keyword; batches, and processes, add up by stacking.
    """

    full_state_update = False
    higher_is_better: bool | None = None
    is_differentiable = False

    reference: list[Tensor]
    generated: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in SETS:
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, reference: Rows | None = None, generated: Rows | None = None) -> None:
        """Add rows to either set or both. TypeError for what holds no rows, ValueError for those of another length."""
        for name, x in zip(SETS, (reference, generated), strict=True):
            if x is None:
                continue
            found = tensor(x, who=f"{type(self).__name__} ({name})")
            before = getattr(self, name)
            if len(before) and before[-1].shape[-1] != found.shape[1]:
                raise ValueError(
                    f"{type(self).__name__} ({name}): needed rows of {before[-1].shape[-1]} numbers as before, got "
                    f"{found.shape[1]}. Embed all with one encoder."
                )
            before.append(found)

    def held(self, name: str) -> Tensor:
        """The rows of one set so far."""
        pieces = getattr(self, name)
        if isinstance(pieces, Tensor):  # gathered over processes
            return pieces
        if not pieces:
            raise ValueError(
                f"{type(self).__name__}: needed rows of the {name} set, got none. Call update first."
            )
        return torch.cat(pieces)

    @abstractmethod
    def measure(self) -> Any:
        """The number of the rows held, with what it was measured on."""

    def compute(self) -> Float64[Tensor, ""]:
        """The number of the rows held, on every process; ValueError where it is undefined."""
        return torch.tensor(float(self.measure()), dtype=torch.float64)
