r"""Models whose embeddings are made elsewhere: in another interpreter, or long ago.

Such a model takes a whole benchmark at once and gives its `Embeddings`; no wave passes through clapbench, and no
Trainer runs. Rows $x$ become $x / \lVert x \rVert_2$ here, each by itself in float64, so that captions with equal rows
keep equal rows to the last bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from clapbench.files import stable_name
from clapbench.schema import Embeddings

NOUN = {"audio": "clip", "text": "caption"}  # what a row of each side belongs to


class Outside(ABC):
    """One model. What `encoders.base.Encoder` is to models that run here, for those that do not.

    ``recipe`` is a version that a change of how rows are fetched raises: it is part of the cache key.
    """

    name: str
    recipe: int
    sides: tuple[str, ...] = ("audio", "text")  # `embed` of a model without text gives no text rows
    places: frozenset[str] = frozenset({"name"})  # arguments that decide no number
    certifiable: bool = True  # whether embedding again, in other company, could give something else

    @abstractmethod
    def embed(self, *, clips: Mapping[str, Path], captions: Sequence[str]) -> Embeddings:
        """Unit float32 rows, in the order given, of ``clips`` (id to path) and ``captions``.

        A model without a text side gives text rows [0, d] and no text ids.
        """

    @classmethod
    def fingerprint(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What decides the embeddings, found without making any: adapters add the content of the files that count.

        ``arguments`` are those of the constructor. An adapter's ``checkpoint`` (file, sha256) is told in the cell.
        """
        return {
            "class": stable_name(f"{cls.__module__}.{cls.__qualname__}"),
            "recipe": cls.recipe,
            "arguments": {key: arguments[key] for key in sorted(arguments.keys() - cls.places)},
        }


def check_rows(rows: np.ndarray, *, side: str, n: int, who: str) -> None:
    """Raises ``ValueError`` unless ``rows`` are real numbers [n, d] with d > 0."""
    if rows.dtype.kind not in "fiu" or rows.ndim != 2 or len(rows) != n or rows.shape[1] == 0:
        raise ValueError(
            f"{who}: needed {side} rows [{n}, d] of real numbers, one row per {NOUN[side]}; "
            f"got {list(rows.shape)} of {rows.dtype}."
        )


def check_dimensions(*, audio: np.ndarray, text: np.ndarray, who: str) -> None:
    """Raises ``ValueError`` unless rows of both sides have one length."""
    if audio.shape[1] != text.shape[1]:
        raise ValueError(
            f"{who}: needed audio and text rows in one space; "
            f"got audio {list(audio.shape)}, text {list(text.shape)}. Give both the same number of columns."
        )


def unit_rows(rows: np.ndarray, *, side: str, ids: Sequence[str], who: str) -> Float[np.ndarray, "n d"]:
    """Rows [n, d] divided by their length, in float32. Raises ``ValueError`` that names a row without direction."""
    exact = np.ascontiguousarray(rows, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(exact, axis=1)
    for what, bad in (("not finite", ~np.isfinite(lengths)), ("zero", lengths == 0)):
        if bad.any():
            raise ValueError(
                f"{who}: {side} row of {ids[int(bad.argmax())]!r} is {what} ({bad.sum()} of {len(ids)} rows). "
                f"Look at that {NOUN[side]}, or at the model's precision."
            )
    lengths[np.abs(lengths - 1) < 1e-6] = 1.0  # a row of unit length in float32 keeps its bits
    return (exact / lengths[:, None]).astype(np.float32)
