"""clapbench: compositional retrieval, embedding geometry, and their correlation, for audio-text models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clapbench.results.table import Cells


def load(folder: str | Path, *, cache_dir: str | Path | None = None) -> Cells:
    """The cells of ``outputs/NAME`` as a DataFrame, with ``.embeddings(model, bench)`` for a cell's arrays."""
    from clapbench.results import table  # slow imports only for who reads results

    return table.load(folder, cache_dir=cache_dir)
