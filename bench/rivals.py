"""Other libraries' ways to a probe, timed by `probes`: run by an interpreter that has them, one way a process.

Knows numpy and the library alone, so that its environment can be another one (dadapy needs numpy below 2).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

Cloud = np.ndarray


def slope(mu: np.ndarray) -> float:
    """Two-NN's line through the origin, the top tenth discarded, F = i / N."""
    mu = np.sort(mu)
    kept = int(0.9 * len(mu))
    x, y = np.log(mu[:kept]), -np.log1p(-np.arange(1, kept + 1) / len(mu))
    return float(x @ y / (x @ x))


def sklearn_two_nn(x: Cloud) -> float:
    """Brute force; the distances of what it found again from differences."""
    from sklearn.neighbors import NearestNeighbors

    near = NearestNeighbors(n_neighbors=3, algorithm="brute").fit(x).kneighbors(x, return_distance=False)
    r = np.stack([np.linalg.norm(x - x[near[:, k]], axis=1) for k in (1, 2)])
    r.sort(axis=0)
    return slope(r[1] / r[0])


def skdim_two_nn(x: Cloud) -> float:
    import skdim

    return float(skdim.id.TwoNN(discard_fraction=0.1).fit(x).dimension_)


def dadapy_two_nn(x: Cloud) -> float:
    """Its own default: the tenth discarded, F = i / N, by least squares through the origin."""
    import dadapy

    return float(dadapy.Data(x, verbose=False).compute_id_2NN(algorithm="base")[0])


def numpy_rank(x: Cloud) -> float:
    p = np.linalg.svd(x, compute_uv=False)
    p /= p.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


WAYS: dict[str, Callable[[Cloud], float]] = {
    "scikit-learn brute": sklearn_two_nn,
    "scikit-dimension": skdim_two_nn,
    "dadapy": dadapy_two_nn,
    "numpy svd": numpy_rank,
}


def main(way: str, path: str) -> None:
    """Prints the processor seconds of all threads, and the value; imports and what compiles come before."""
    x = np.load(path)
    WAYS[way](x[:500])
    start = time.process_time()
    value = WAYS[way](x)
    print(time.process_time() - start, value)


if __name__ == "__main__":
    main(*sys.argv[1:])
