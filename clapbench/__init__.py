"""clapbench: compositional retrieval, embedding geometry, and their correlation, for audio-text models.

The names below are imported when they are used, so ``import clapbench`` itself is quick.

>>> import clapbench
>>> round(clapbench.rankme([[1, 0], [0, 1]]), 6)
2.0
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clapbench.lazy import lazily

if TYPE_CHECKING:
    from clapbench.api.evidence import correlate as correlate
    from clapbench.api.geometry import Gap as Gap
    from clapbench.api.geometry import alignment as alignment
    from clapbench.api.geometry import alpha_req as alpha_req
    from clapbench.api.geometry import cka as cka
    from clapbench.api.geometry import gride_dimension as gride_dimension
    from clapbench.api.geometry import hubness as hubness
    from clapbench.api.geometry import iso_score as iso_score
    from clapbench.api.geometry import lidar as lidar
    from clapbench.api.geometry import mle_dimension as mle_dimension
    from clapbench.api.geometry import modality_gap as modality_gap
    from clapbench.api.geometry import mutual_knn as mutual_knn
    from clapbench.api.geometry import nesum as nesum
    from clapbench.api.geometry import participation_ratio as participation_ratio
    from clapbench.api.geometry import rankme as rankme
    from clapbench.api.geometry import relative_gap as relative_gap
    from clapbench.api.geometry import residual_energy as residual_energy
    from clapbench.api.geometry import separability as separability
    from clapbench.api.geometry import shrunk_lidar as shrunk_lidar
    from clapbench.api.geometry import similarity as similarity
    from clapbench.api.geometry import spectral_decay as spectral_decay
    from clapbench.api.geometry import stable_rank as stable_rank
    from clapbench.api.geometry import swap_alignment as swap_alignment
    from clapbench.api.geometry import swap_separation as swap_separation
    from clapbench.api.geometry import two_nn as two_nn
    from clapbench.api.geometry import uniformity as uniformity
    from clapbench.api.scores import Score as Score
    from clapbench.api.scores import retrieval as retrieval
    from clapbench.api.scores import score as score
    from clapbench.api.scores import zeroshot as zeroshot
    from clapbench.results.table import Cells

    __version__: str

_NAMES = {
    "clapbench.api.evidence": "correlate",
    "clapbench.api.geometry": (
        "Gap alignment alpha_req cka gride_dimension hubness iso_score lidar mle_dimension modality_gap mutual_knn "
        "nesum participation_ratio rankme relative_gap residual_energy separability "
        "shrunk_lidar similarity spectral_decay stable_rank swap_alignment swap_separation two_nn uniformity"
    ),
    "clapbench.api.scores": "Score retrieval score zeroshot",
}
_lazy = lazily(
    __name__, {name: home for home, names in _NAMES.items() for name in names.split()}, file=__file__
)
__all__ = [
    "Gap",
    "Score",
    "__version__",
    "alignment",
    "alpha_req",
    "cka",
    "correlate",
    "gride_dimension",
    "hubness",
    "iso_score",
    "lidar",
    "load",
    "mle_dimension",
    "modality_gap",
    "mutual_knn",
    "nesum",
    "participation_ratio",
    "rankme",
    "relative_gap",
    "residual_energy",
    "retrieval",
    "score",
    "separability",
    "shrunk_lidar",
    "similarity",
    "spectral_decay",
    "stable_rank",
    "swap_alignment",
    "swap_separation",
    "two_nn",
    "uniformity",
    "zeroshot",
]


def load(folder: str | Path, *, cache_dir: str | Path | None = None) -> Cells:
    """The cells of ``outputs/NAME`` as a DataFrame, with ``.embeddings(model, bench)`` for a cell's arrays."""
    from clapbench.results import table  # slow imports only for who reads results

    return table.load(folder, cache_dir=cache_dir)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    return _lazy.getattr(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_lazy.dir(), "__version__"})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # a slow import

    try:
        return version("clapbench")
    except PackageNotFoundError:
        return "unknown"
