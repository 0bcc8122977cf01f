r"""How many different clips a set holds, in effect: the Vendi score.

$\exp(-\sum_i \lambda_i \log \lambda_i)$ over the eigenvalues of $K / n$, $K$ the cosines of the rows: from 1, where
all are one, to n, where all are orthogonal. The smaller of $K$ and the d x d matrix of the same eigenvalues is used.

Source: Friedman and Dieng 2023, eq. 1.
"""

from __future__ import annotations

import numpy as np

from clapbench.metrics.clouds import Given, cloud

WHO = "Vendi score"
NOUGHT = 1e-14  # an eigenvalue below this is rounding


def vendi_score(rows: Given) -> float:
    """The effective number of different rows, 1 to n. ValueError for a row of length 0.

    >>> round(vendi_score(np.eye(4)), 9), round(vendi_score(np.ones((4, 3))), 9)
    (4.0, 1.0)
    """
    found = cloud(rows, who=WHO, side="", least=1)
    length = np.linalg.norm(found, axis=1)
    if not length.all():
        raise ValueError(
            f"{WHO}: needed rows with a direction, row {int(np.argmin(length))} is 0. Look at that clip."
        )
    unit = found / length[:, None]
    square = unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit
    share = np.linalg.eigvalsh(square / len(unit))
    share = share[share > NOUGHT]
    return float(np.exp(-(share * np.log(share)).sum()))
