"""The clouds of points behind ``probes_golden.json``, from numpy's seeded generator (PCG64), in float64.

The order of the draws is part of each definition; the golden file holds checksums of what comes out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Cloud = np.ndarray


def unit(x: Cloud) -> Cloud:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def iso() -> Cloud:
    return np.random.default_rng(1).standard_normal((2000, 64))


def manifold10() -> Cloud:
    """Ten dimensions turned into 512, with a little noise."""
    rng = np.random.default_rng(2)
    inner = rng.standard_normal((2000, 10))
    turn = rng.standard_normal((10, 512)) / np.sqrt(512)
    return inner @ turn + 1e-3 * rng.standard_normal((2000, 512))


def swiss() -> Cloud:
    """A rolled sheet: two dimensions in three."""
    rng = np.random.default_rng(3)
    u, v = rng.random(3000), rng.random(3000)
    angle = 1.5 * np.pi * (1 + 2 * u)
    return np.stack([angle * np.cos(angle), 21 * v, angle * np.sin(angle)], axis=1)


def paired() -> Cloud:
    """Each row beside a partner at a cosine of about 0.66."""
    rng = np.random.default_rng(4)
    x = unit(rng.standard_normal((400, 512)))
    noise = rng.standard_normal((400, 512))
    return np.concatenate([x, unit(x + 0.05 * noise)])


def paired_tight() -> Cloud:
    """Each row beside a near-duplicate, at a cosine of about 0.999."""
    rng = np.random.default_rng(4)
    x = unit(rng.standard_normal((400, 512)))
    noise = rng.standard_normal((400, 512))
    return np.concatenate([x, unit(x + 0.05 * unit(noise))])


def powerlaw(seed: int = 5) -> Cloud:
    return np.random.default_rng(seed).standard_normal((794, 768)) * np.arange(1, 769) ** -0.5


def cones() -> tuple[Cloud, Cloud]:
    """Paired sides, each around its own axis."""
    rng = np.random.default_rng(6)
    axes = [unit(rng.standard_normal((1, 512))) for _ in range(2)]
    shared, noise_a, noise_t = (rng.standard_normal((800, 512)) / np.sqrt(512) for _ in range(3))
    return unit(axes[0] + shared + 0.5 * noise_a), unit(axes[1] + shared + 0.5 * noise_t)


def iso_halves() -> tuple[Cloud, Cloud]:
    return iso()[:1000], iso()[1000:] + 0.1


def powerlaw_two() -> tuple[Cloud, Cloud]:
    return powerlaw(5), powerlaw(505)


def powerlaw_rankdef() -> tuple[Cloud, Cloud]:
    return powerlaw(5)[:300], powerlaw(505)[:300]


SINGLE: dict[str, Callable[[], Cloud]] = {
    f.__name__: f for f in (iso, manifold10, swiss, paired, paired_tight, powerlaw)
}
PAIR: dict[str, Callable[[], tuple[Cloud, Cloud]]] = {
    f.__name__: f for f in (cones, iso_halves, powerlaw_two, powerlaw_rankdef)
}
