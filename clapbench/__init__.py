"""clapbench: compositional retrieval, embedding geometry, and their correlation, for audio-text models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clapbench.results.table import Cells


def __getattr__(name: str) -> str:
    """``__version__``, which takes a look at the installed packages."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("clapbench")
        except PackageNotFoundError:
            return "unknown"
    raise AttributeError(f"module 'clapbench' has no attribute {name!r}")


def load(folder: str | Path, *, cache_dir: str | Path | None = None) -> Cells:
    """The cells of ``outputs/NAME`` as a DataFrame, with ``.embeddings(model, bench)`` for a cell's arrays."""
    from clapbench.results import table  # slow imports only for who reads results

    return table.load(folder, cache_dir=cache_dir)
