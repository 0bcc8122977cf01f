"""The geometry of rows: a module per formula, with its pure function and its torchmetrics class.

The classes are here by name, imported when used. The functions are not: several have the name of their module.

>>> from clapbench.probes import RankMe
>>> RankMe.__module__
'clapbench.probes.rankme'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clapbench.lazy import lazily

if TYPE_CHECKING:
    from clapbench.probes.align_uniform import Alignment as Alignment
    from clapbench.probes.align_uniform import Uniformity as Uniformity
    from clapbench.probes.base import Probe as Probe
    from clapbench.probes.base import SideProbe as SideProbe
    from clapbench.probes.base import StreamedProbe as StreamedProbe
    from clapbench.probes.cka import DebiasedCKA as DebiasedCKA
    from clapbench.probes.hubness import Hubness as Hubness
    from clapbench.probes.lidar import LiDAR as LiDAR
    from clapbench.probes.lidar import ShrunkLiDAR as ShrunkLiDAR
    from clapbench.probes.modality_gap import GapProbe as GapProbe
    from clapbench.probes.mutual_knn import MutualKNN as MutualKNN
    from clapbench.probes.neighbour_dimension import Gride as Gride
    from clapbench.probes.neighbour_dimension import MLEDimension as MLEDimension
    from clapbench.probes.paired import PairedProbe as PairedProbe
    from clapbench.probes.paired import bind as bind
    from clapbench.probes.rankme import RankMe as RankMe
    from clapbench.probes.relative_gap import RelativeGap as RelativeGap
    from clapbench.probes.residual_energy import ResidualEnergy as ResidualEnergy
    from clapbench.probes.separability import Separability as Separability
    from clapbench.probes.spectral_decay import AlphaReQ as AlphaReQ
    from clapbench.probes.spectral_decay import SpectralDecay as SpectralDecay
    from clapbench.probes.spectrum import IsoScoreStar as IsoScoreStar
    from clapbench.probes.spectrum import NESum as NESum
    from clapbench.probes.spectrum import ParticipationRatio as ParticipationRatio
    from clapbench.probes.spectrum import StableRank as StableRank
    from clapbench.probes.swap import SwapAlignment as SwapAlignment
    from clapbench.probes.swap import SwapSeparation as SwapSeparation
    from clapbench.probes.two_nn import TwoNN as TwoNN
    from clapbench.probes.two_nn import TwoNNApart as TwoNNApart

_HOMES = {
    "Alignment": "align_uniform",
    "AlphaReQ": "spectral_decay",
    "DebiasedCKA": "cka",
    "GapProbe": "modality_gap",
    "Gride": "neighbour_dimension",
    "Hubness": "hubness",
    "IsoScoreStar": "spectrum",
    "LiDAR": "lidar",
    "MLEDimension": "neighbour_dimension",
    "MutualKNN": "mutual_knn",
    "NESum": "spectrum",
    "PairedProbe": "paired",
    "ParticipationRatio": "spectrum",
    "Probe": "base",
    "RankMe": "rankme",
    "RelativeGap": "relative_gap",
    "ResidualEnergy": "residual_energy",
    "Separability": "separability",
    "ShrunkLiDAR": "lidar",
    "SideProbe": "base",
    "SpectralDecay": "spectral_decay",
    "StableRank": "spectrum",
    "StreamedProbe": "base",
    "SwapAlignment": "swap",
    "SwapSeparation": "swap",
    "TwoNN": "two_nn",
    "TwoNNApart": "two_nn",
    "Uniformity": "align_uniform",
    "bind": "paired",
}
_lazy = lazily(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()}, file=__file__)
__all__ = [
    "Alignment",
    "AlphaReQ",
    "DebiasedCKA",
    "GapProbe",
    "Gride",
    "Hubness",
    "IsoScoreStar",
    "LiDAR",
    "MLEDimension",
    "MutualKNN",
    "NESum",
    "PairedProbe",
    "ParticipationRatio",
    "Probe",
    "RankMe",
    "RelativeGap",
    "ResidualEnergy",
    "Separability",
    "ShrunkLiDAR",
    "SideProbe",
    "SpectralDecay",
    "StableRank",
    "StreamedProbe",
    "SwapAlignment",
    "SwapSeparation",
    "TwoNN",
    "TwoNNApart",
    "Uniformity",
    "bind",
]


def __getattr__(name: str) -> Any:
    return _lazy.getattr(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_lazy.dir()})
