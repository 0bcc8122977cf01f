"""What a caller gives as rows, turned into tensors in one place, or refused in one sentence.

Rows are ``n d``: one row per clip or caption. They may come as a torch tensor (any real floating or integer type, any
device, with or without a gradient), a numpy array (any layout), nested lists, or a DataFrame of numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from clapbench.schema import Embeddings

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    Rows: TypeAlias = "Tensor | ArrayLike | Sequence[Tensor] | pd.DataFrame"
else:
    Rows = Any  # so that a checker of shapes lets wrong input through to the errors below

AXES = {
    "n d": "a 2-D array, one row of d numbers per item",
    "n q d": "a 3-D array, n items in q rows of d numbers",
    "clips captions": "a 2-D array of similarities, a row per clip and a column per caption",
    "queries candidates": "a 2-D array of similarities, a row per query and a column per candidate",
    "items clips captions": "a 3-D array of similarities, for each item a block [clip, caption]",
}


def tensor(x: Rows, *, who: str, axes: str = "n d") -> Tensor:
    """``x`` as a real floating tensor with these ``axes``, detached; its values and its precision as given.

    Whole numbers become float64. Raises TypeError for what holds no real numbers, ValueError for another shape.

    >>> tensor([[1, 2], [3, 4]], who="doc")
    tensor([[1., 2.],
            [3., 4.]], dtype=torch.float64)
    """
    needs = f"{who}: needs {AXES[axes]}"
    if not isinstance(x, Tensor):
        x = _from_numbers(x, needs=needs)
    if x.is_complex() or x.dtype == torch.bool:
        raise TypeError(f"{needs}, of real numbers; got {x.dtype}. {_REAL[x.dtype == torch.bool]}")
    if x.dim() != len(axes.split()):
        raise ValueError(f"{needs}; got shape {tuple(x.shape)}. {_reshape(x.dim(), axes)}")
    x = x.detach()
    if not x.is_floating_point():
        return on_float64_device(x).double()
    return x.float() if x.dtype.itemsize == 1 else x  # float8 cannot even be summed


_REAL = {
    True: "Give the embeddings, not a mask.",
    False: "Take its real part or its absolute value.",
}


def _reshape(dims: int, axes: str) -> str:
    """How to come to the right number of axes."""
    if axes == "n d" and dims == 1:
        return (
            "One embedding alone has no geometry: stack several, or give x[:, None] for rows of one number."
        )
    if axes == "n d":
        return "Pool over time first, or flatten with x.reshape(-1, x.shape[-1])."
    return "Stack what belongs together." if dims < len(axes.split()) else "Take one at a time."


def _from_numbers(x: Any, *, needs: str) -> Tensor:
    """A tensor of what is none yet."""
    _refuse_other_things(x, needs=needs)
    if isinstance(x, list | tuple) and x and all(isinstance(row, Tensor) for row in x):
        shapes = {tuple(row.shape) for row in x}
        if len(shapes) > 1:
            raise ValueError(
                f"{needs}; got a list of {len(x)} tensors of different shapes, {sorted(shapes)}."
            )
        return torch.stack([row.detach() for row in x])
    try:
        array = np.asarray(x)
    except (
        ValueError,
        TypeError,
        RuntimeError,
    ) as error:  # of numpy, for ragged lists; of torch, for GPU rows
        raise ValueError(f"{needs}; got a {type(x).__name__} that numpy takes for none ({error}).") from error
    if array.dtype.kind in "iu" or (array.dtype.kind == "f" and array.dtype.itemsize > 8):
        array = array.astype(np.float64)
    if array.dtype.kind not in "fbc":
        raise TypeError(
            f"{needs}; got {_described(x)} of type {array.dtype}. Give numbers alone; of a DataFrame the columns "
            f"that hold them."
        )
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    as_it_is = array.flags.writeable and min(array.strides, default=0) >= 0  # what torch takes without a copy
    return torch.from_numpy(array if as_it_is else array.copy())


def _refuse_other_things(x: Any, *, needs: str) -> None:
    """TypeError for what numpy would take, and make nonsense of."""
    if isinstance(x, Embeddings):
        raise TypeError(f"{needs}; got an Embeddings, which has two sides. Pass its .audio or its .text.")
    if isinstance(x, str | bytes | PathLike):
        raise TypeError(f"{needs}; got {x!r}. Load it first, for instance with numpy.load.")
    if x is None or isinstance(x, Mapping | Set) or not (hasattr(x, "__array__") or isinstance(x, Sequence)):
        raise TypeError(f"{needs}; got {_described(x)}.")
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            f"{needs}; got a masked array. Leave its masked rows out: x[~x.mask.any(axis=1)].data."
        )


def _described(x: Any) -> str:
    return "None" if x is None else f"a {type(x).__name__}"


def checked(x: Rows, *, who: str, axes: str = "n d", rows: str = "rows") -> Float64[Tensor, "*n d"]:
    """``x`` in float64 with these ``axes``; an error in the name of ``who`` when it is none, empty or not finite.

    ``rows`` is what errors call them.

    >>> checked([[1.0, float("nan")]], who="rankme")
    Traceback (most recent call last):
    ValueError: rankme: needs finite rows; 1 of 1 are not (first: 0).
    """
    x = tensor(x, who=who, axes=axes)
    if len(x) == 0:
        raise ValueError(f"{who}: needs at least 1 row, got 0.")
    if x.numel() == 0:
        raise ValueError(f"{who}: needs rows of at least 1 number, got shape {tuple(x.shape)}.")
    broken = not_finite(x.flatten(start_dim=1))
    if broken.any():
        first = int(broken.nonzero()[0])
        raise ValueError(
            f"{who}: needs finite {rows}; {int(broken.sum())} of {len(x)} are not (first: {first})."
        )
    return on_float64_device(x).double()


class Sides(NamedTuple):
    """The rows of both sides."""

    audio: Float64[Tensor, "*n d"]
    text: Float64[Tensor, "*n d"]


def both(
    audio: Rows, text: Rows, *, who: str, matched: bool = True, one_space: bool = True, axes: str = "n d"
) -> Sides:
    """Both sides `checked`: ``matched`` needs as many rows on each, ``one_space`` rows as long."""
    sides = Sides(
        checked(audio, who=f"{who} (audio)", axes=axes), checked(text, who=f"{who} (text)", axes=axes)
    )
    if matched and len(sides.audio) != len(sides.text):
        raise ValueError(
            f"{who}: needs row i of audio to belong to row i of text, so as many of each; "
            f"got {len(sides.audio)} and {len(sides.text)}."
        )
    if one_space and sides.audio.shape[-1] != sides.text.shape[-1]:
        raise ValueError(
            f"{who}: needs both sides in one space; got audio rows of {sides.audio.shape[-1]} numbers and text rows "
            f"of {sides.text.shape[-1]}."
        )
    return sides


def places(x: Rows, *, who: str, n: int) -> Int[Tensor, "p 2"]:
    """Pairs of rows by their places among ``n``; an error in the name of ``who`` for anything else."""
    needs = f"{who}: needs a table of 2 columns, places of rows from 0 to {n - 1}"
    found = x if isinstance(x, Tensor) else torch.from_numpy(np.array(x))
    if not found.numel():
        return torch.empty(0, 2, dtype=torch.long)
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise TypeError(f"{needs}; got {found.dtype}.")
    if found.dim() != 2 or found.shape[1] != 2:
        raise ValueError(f"{needs}; got shape {tuple(found.shape)}.")
    if not 0 <= int(found.min()) <= int(found.max()) < n:
        raise ValueError(f"{needs}; got {int(found.min())} to {int(found.max())}.")
    return found.long()


def not_finite(x: Float[Tensor, "n d"]) -> Bool[Tensor, " n"]:
    """Which rows hold a NaN or an infinity. Their sum does then; so it tells in a fifth of the time that none do."""
    if x.sum().isfinite():
        return torch.zeros(len(x), dtype=torch.bool, device=x.device)
    return ~x.isfinite().all(dim=1)


def on_float64_device(x: Tensor) -> Tensor:
    """``x`` where float64 exists: MPS has none, so its tensors come to the CPU."""
    return x.cpu() if x.device.type == "mps" else x
