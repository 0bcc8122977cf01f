r"""Simulated listeners: ratings from known qualities, to try what comes after a study. They do not hear anything.

Listener l rates stimulus s of quality q in trial t with

$50 + g_l (q_s - 50) + b_l + c_{ts} + e_{lts}$, rounded, from 0 to 100:

$b$ is a bias, $g$ how much of the scale is used, $c$ what a trial does to a stimulus, e noise; all normal. The hidden
reference is heard and gets 91 to 100. A careless listener rates everything at random. What comes out is marked as
simulated, in the result, in its table and by the names of its listeners.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clapbench.listening.answers import SIMULATED
from clapbench.listening.mushra import HIGHEST, LOW, LOWEST, MID, REFERENCE, Mushra, judged
from clapbench.statistics import crossed

ANCHORS = {LOW: 20.0, MID: 40.0}  # their qualities
GAIN = 0.1  # standard deviation of g
HEARD = 91  # the lowest score of a hidden reference that is heard


def simulate(
    qualities: Mapping[str, float | int],
    *,
    listeners: int = 20,
    trials: int = 10,
    bias: float | int = 5.0,
    spread: float | int = 3.0,
    noise: float | int = 8.0,
    careless: int = 0,
    draws: int = crossed.DRAWS,
    seed: int = 0,
) -> Mushra:
    """Ratings of systems with these ``qualities``, 0 to 100; a reference and two anchors are added.

    ``bias``, ``spread`` and ``noise`` are the standard deviations of b, c and e; the last ``careless`` listeners rate
    at random. Raises ValueError for qualities or numbers out of range, and where post-screening leaves nobody.

    >>> study = simulate({"good": 80.0, "poor": 40.0}, seed=1)
    >>> study.simulated, study.mean["good"] > study.mean["poor"], study.listeners[0]
    (True, True, 'simulated_01')
    """
    taken = {REFERENCE, *ANCHORS} & set(qualities)
    if not qualities or taken or not all(LOWEST <= q <= HIGHEST for q in qualities.values()):
        raise ValueError(
            f"simulate: needed qualities from {LOWEST} to {HIGHEST} of systems that are not called {REFERENCE}, {LOW} "
            f"or {MID}; got {dict(qualities)}."
        )
    if listeners < 1 or trials < 1 or not 0 <= careless < listeners or min(bias, spread, noise) < 0:
        raise ValueError(
            f"simulate: needed at least 1 trial, more listeners than careless ones and deviations of at least 0; got "
            f"trials={trials}, listeners={listeners}, careless={careless}, {bias=}, {spread=}, {noise=}."
        )
    rng = np.random.default_rng(seed)
    stimuli = sorted({**qualities, **ANCHORS})
    quality = np.array([{**qualities, **ANCHORS}[name] for name in stimuli])
    shape = (listeners, trials, len(stimuli))
    gain = 1 + GAIN * rng.standard_normal((listeners, 1, 1))
    offset = bias * rng.standard_normal((listeners, 1, 1)) + spread * rng.standard_normal((1, *shape[1:]))
    rated = 50 + gain * (quality - 50) + offset + noise * rng.standard_normal(shape)
    heard = rng.integers(HEARD, HIGHEST + 1, size=(listeners, trials, 1)).astype(np.float64)
    every = np.concatenate([heard, rated], axis=2)
    if careless:
        every[-careless:] = rng.uniform(LOWEST, HIGHEST, size=(careless, *every.shape[1:]))
    names = [REFERENCE, *stimuli]
    order = sorted(range(len(names)), key=names.__getitem__)
    made = judged(
        np.clip(np.rint(every[..., order]), LOWEST, HIGHEST),
        listeners=[f"{SIMULATED}_{place:02d}" for place in range(1, listeners + 1)],
        trials=[f"trial_{place:02d}" for place in range(1, trials + 1)],
        stimuli=[names[place] for place in order],
        reference=REFERENCE,
        low=LOW,
        mid=MID,
        simulated=True,
        draws=draws,
        seed=seed,
    )
    if not made.kept:
        raise ValueError(
            f"simulate: needed a listener whom post-screening keeps, got {listeners} that it rejects."
        )
    return made
