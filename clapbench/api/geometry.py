"""The probes on arrays of your own: rows in, a float out.

Rows are n x d, a row per clip or caption: a torch tensor (any real type, any device), a numpy array, nested lists or a
DataFrame of numbers. Functions of two sides take ``audio`` and ``text``. All compute in float64. ValueError says what
is needed where a number is undefined (too few rows, a NaN, rows all equal), TypeError where no rows were given.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64

from clapbench.probes import (
    align_uniform,
    neighbour_dimension,
    spectrum,
    swap,
)
from clapbench.probes import (
    cka as cka_module,
)
from clapbench.probes import (
    hubness as hubness_module,
)
from clapbench.probes import (
    lidar as lidar_module,
)
from clapbench.probes import (
    modality_gap as gap_module,
)
from clapbench.probes import (
    mutual_knn as knn_module,
)
from clapbench.probes import (
    rankme as rankme_module,
)
from clapbench.probes import (
    relative_gap as relative_gap_module,
)
from clapbench.probes import (
    residual_energy as residual_module,
)
from clapbench.probes import (
    separability as separability_module,
)
from clapbench.probes import (
    spectral_decay as spectral_decay_module,
)
from clapbench.probes import (
    two_nn as two_nn_module,
)
from clapbench.rows import Rows, both, checked
from clapbench.scoring.similarity import similarities


class Gap(NamedTuple):
    """The modality gap between the centroids of two sides.

    ``l2`` is their distance (0 to 2 for unit rows), ``cosine`` that of the angle between them (-1 to 1), ``angle_deg``
    the angle itself, in degrees (0 to 180).
    """

    l2: float  # distance; 0 to 2 for unit rows
    cosine: float  # -1 to 1
    angle_deg: float  # degrees, 0 to 180


def rankme(x: Rows, *, center: bool = False) -> float:
    """Effective rank (RankMe): how many directions the rows use, 1 to min(n, d). Grows with n: compare at equal n.

    With ``center`` of the rows less their mean. Garrido et al. 2023, eq. 1.

    >>> round(rankme([[1, 0], [0, 1]]), 6)
    2.0
    """
    return float(rankme_module.effective_rank(checked(x, who="rankme"), center=center))


def two_nn(x: Rows, *, discard: float = 0.1, plotting: str = "i/N", partners: Rows | None = None) -> float:
    """Two-NN intrinsic dimension, above 0: how many coordinates the rows need around each of their points.

    ``discard`` is the share of the largest distance ratios left out, ``plotting`` the position in their distribution
    (``i/N`` or ``i/(N+1)``), ``partners`` a p x 2 table of rows that do not count as neighbours. Repeated rows are left
    out. Facco et al. 2017.
    """
    rows = checked(x, who="two_nn")
    return float(two_nn_module.two_nn_dimension(rows, discard=discard, plotting=plotting, partners=partners))


def residual_energy(x: Rows, k: int = 10, *, center: bool = False) -> float:
    """The share of the rows' energy that their first ``k`` singular directions leave out, 0 to 1.

    With ``center`` of the rows less their mean. Eckart and Young 1936.

    >>> round(residual_energy([[1, 0, 0], [0, 1, 0], [0, 0, 1]], k=1), 6)
    0.666667
    """
    return float(residual_module.residual_energy(checked(x, who="residual_energy"), k, center=center))


def modality_gap(audio: Rows, text: Rows) -> Gap:
    """The gap between the centroids of the sides: ``.l2``, ``.cosine``, ``.angle_deg``. The sides need no pairs.

    Liang et al. 2022.

    >>> modality_gap([[3.0, 0.0]], [[0.0, 4.0]]).l2
    5.0
    """
    return Gap(*map(float, gap_module.modality_gap(audio, text)))


def stable_rank(x: Rows) -> float:
    """Energy of the rows over that of their first direction, 1 to min(n, d). Rudelson and Vershynin 2007."""
    return float(spectrum.stable_rank(checked(x, who="stable_rank")))


def participation_ratio(x: Rows) -> float:
    """How many equal eigenvalues would spread the covariance as evenly, 1 to min(n - 1, d). Gao et al. 2017."""
    return float(spectrum.participation_ratio(checked(x, who="participation_ratio")))


def nesum(x: Rows) -> float:
    """The sum of the covariance's eigenvalues over the largest, 1 to min(n - 1, d). He and Ozay 2022."""
    return float(spectrum.nesum(checked(x, who="nesum")))


def alpha_req(x: Rows, *, first: int = 4, last: int | None = 100, weights: str = "1/i") -> float:
    """alpha-ReQ: the exponent by which the covariance's eigenvalues decay, 0 or more, as its authors fit it.

    From rank ``first`` to ``last`` (None: the last above 0), with weights ``1/i`` or ``equal``. Agrawal et al. 2022.
    """
    rows = checked(x, who="alpha_req")
    return float(spectral_decay_module.alpha_req(rows, first=first, last=last, weights=weights))


def spectral_decay(x: Rows, *, first: int = 1, last: int | None = None, weights: str = "equal") -> float:
    """The exponent by which all of the covariance's eigenvalues decay, each weighing the same; 0 or more."""
    rows = checked(x, who="spectral_decay")
    return float(spectral_decay_module.spectral_decay(rows, first=first, last=last, weights=weights))


def iso_score(x: Rows) -> float:
    """IsoScore*: how close the covariance is to a multiple of the identity, 0 to 1. Rudman and Eickhoff 2024."""
    return float(spectrum.iso_score_star(checked(x, who="iso_score")))


def uniformity(x: Rows, *, t: float = 2.0) -> float:
    """How evenly the rows, at unit length, fill the sphere: -4 t to 0, lower is more even. Wang and Isola 2020."""
    return float(align_uniform.uniformity(x, t=t))


def alignment(audio: Rows, text: Rows) -> float:
    """Mean squared distance of row i of one side from row i of the other, at unit length, 0 to 4.

    Wang and Isola 2020.

    >>> alignment([[2.0, 0.0]], [[0.0, 3.0]])
    2.0
    """
    return float(align_uniform.alignment(audio, text))


def hubness(x: Rows, k: int = 10) -> float:
    """Skewness of how often a row is among the ``k`` nearest of another; large with hubs. Radovanović et al. 2010."""
    return float(hubness_module.hubness_skewness(checked(x, who="hubness"), k))


def mle_dimension(x: Rows, k: int = 20) -> float:
    """Intrinsic dimension by maximum likelihood from the ``k`` nearest rows, above 0. Levina and Bickel 2004."""
    return float(neighbour_dimension.mle_dimension(checked(x, who="mle_dimension"), k))


def gride_dimension(x: Rows, k: int = 2) -> float:
    """Intrinsic dimension at the scale of the ``k``-th nearest row, ``k`` even, above 0. Denti et al. 2022 (Gride)."""
    return float(neighbour_dimension.gride_dimension(checked(x, who="gride_dimension"), k))


def cka(audio: Rows, text: Rows) -> float:
    """Debiased linear CKA: whether matched rows are arranged alike on both sides; about 0 for independent, at most 1.

    The sides may have different dimensions. Kornblith et al. 2019; Song et al. 2012.
    """
    return float(cka_module.debiased_cka(audio, text))


def mutual_knn(audio: Rows, text: Rows, k: int = 10) -> float:
    """The share of the ``k`` nearest rows that matched rows have in common, 0 to 1. Huh et al. 2024."""
    return float(knn_module.mutual_knn(audio, text, k))


def separability(audio: Rows, text: Rows, *, groups: Rows | None = None, folds: int = 5) -> float:
    """Held-out accuracy of one hyperplane between matched clips and captions: 0.5 is chance, 1 is full separation.

    ``groups`` numbers the pairs that must be held out together; without it every pair stands alone.
    """
    sides = both(audio, text, who="separability")
    own = np.arange(len(sides.audio)) if groups is None else groups
    return float(separability_module.linear_separability(*sides, groups=own, folds=folds))


def relative_gap(audio: Rows, text: Rows) -> float:
    """The distance of matched rows in units of the distances within the sides, 0 to 1. Schrodi et al. 2024."""
    return float(relative_gap_module.relative_modality_gap(audio, text))


def lidar(audio: Rows, text: Rows, *, delta: float = 1e-4) -> float:
    """In how many directions matched pairs differ by more than clip and caption of one do, 1 to min(n - 1, d).

    Thilak et al. 2024. Needs as many pairs as dimensions.
    """
    sides = both(audio, text, who="lidar")
    return float(lidar_module.lidar(torch.stack(list(sides), dim=1), delta=delta))


def shrunk_lidar(audio: Rows, text: Rows) -> float:
    """`lidar` with the covariance within pairs shrunk (Ledoit and Wolf 2004): for any number of pairs from 2 on."""
    sides = both(audio, text, who="shrunk_lidar")
    return float(lidar_module.shrunk_lidar(torch.stack(list(sides), dim=1)))


def swap_separation(x: Rows, partners: Rows) -> float:
    """Distance of swapped ``partners`` (a p x 2 table of rows) against that of any two rows; 0 for a bag of words."""
    return float(swap.swap_separation(x, partners))


def swap_alignment(clips: Rows, captions: Rows) -> float:
    """Mean cosine between the difference of an item's two captions and that of its clips, -1 to 1; n x 2 x d each."""
    return float(swap.swap_alignment(clips, captions))


def similarity(audio: Rows, text: Rows) -> Float64[np.ndarray, "k l"]:
    """Cosines of every clip with every caption, an array clips x captions. Rows are brought to unit length.

    >>> similarity([[2.0, 0.0]], [[0.0, 3.0], [1.0, 0.0]]).tolist()
    [[0.0, 1.0]]
    """
    sides = both(audio, text, who="similarity", matched=False)
    unit = []
    for side, rows in sides._asdict().items():
        length = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        if not length.all():
            first = int((length[:, 0] == 0).nonzero()[0])
            raise ValueError(f"similarity ({side}): row {first} is all zeros: it has no direction.")
        unit.append(rows / length)
    return similarities(*unit).numpy()
