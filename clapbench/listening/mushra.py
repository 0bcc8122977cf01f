r"""MUSHRA ratings, post-screened, and what they say of each stimulus.

Every listener rates every stimulus of every trial from 0 to 100: the systems, a hidden reference, and anchors that are
known to be bad. Means, medians, quartiles and intervals are over the ratings of the listeners that post-screening keeps
(`screening`); intervals draw listeners and trials, never ratings (`statistics.crossed`). Reliability is of the systems
alone: reference and anchors, which everybody tells apart, would make it look better than it is.

Sources: Recommendation ITU-R BS.1534-3 (2015); for the statistics see their modules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from clapbench.listening.answers import names
from clapbench.listening.paired import Paired
from clapbench.listening.screening import screen
from clapbench.sheets import text_of
from clapbench.statistics import crossed
from clapbench.statistics.agreement import Reliability, reliability
from clapbench.statistics.proportions import Interval

LOWEST, HIGHEST = 0, 100  # of a score
ENOUGH = 20  # listeners, as BS.1534-3 has it
REFERENCE = "reference"
LOW, MID = "anchor35", "anchor70"  # low-passed at 3.5 and 7 kHz, as webMUSHRA names them


class Difference(NamedTuple):
    """The mean of one stimulus less that of another, and its 95 % interval."""

    value: float
    ci95: Interval | None


@dataclass(frozen=True)
class Mushra:
    """Ratings of a study, and what they say. By listener, trial and stimulus, each in the order of their names.

    ``ratings`` holds all listeners; every number is of those that are not ``rejected``, which has the reason of each in
    words. ``notes`` are for people.
    """

    ratings: Float64[np.ndarray, "listeners trials stimuli"]  # 0 to 100
    listeners: tuple[str, ...]
    trials: tuple[str, ...]
    stimuli: tuple[str, ...]
    reference: str
    anchors: tuple[str, ...]
    rejected: Mapping[str, str]
    notes: tuple[str, ...] = ()
    simulated: bool = False
    draws: int = crossed.DRAWS
    seed: int = 0

    @property
    def systems(self) -> tuple[str, ...]:
        """The stimuli that are neither the reference nor an anchor."""
        return tuple(one for one in self.stimuli if one not in (self.reference, *self.anchors))

    @property
    def kept(self) -> tuple[str, ...]:
        """The listeners that every number is of."""
        return tuple(one for one in self.listeners if one not in self.rejected)

    @cached_property
    def used(self) -> Float64[np.ndarray, "kept trials stimuli"]:
        """The ratings of the listeners that are kept."""
        return self.ratings[[one not in self.rejected for one in self.listeners]]

    @cached_property
    def mean(self) -> dict[str, float]:
        """The mean of each stimulus."""
        return self._by_stimulus(self._flat.mean(axis=0))

    @cached_property
    def median(self) -> dict[str, float]:
        """The median of each stimulus."""
        return self._by_stimulus(np.median(self._flat, axis=0))

    @cached_property
    def iqr(self) -> dict[str, float]:
        """The 75 % less the 25 % quantile of each stimulus, linear between ratings."""
        low, high = np.quantile(self._flat, [0.25, 0.75], axis=0)
        return self._by_stimulus(high - low)

    @cached_property
    def interval(self) -> dict[str, Interval | None]:
        """The 95 % interval of each mean; None with fewer than two listeners or two trials."""
        if self.resampled is None:
            return dict.fromkeys(self.stimuli)
        return {name: crossed.bounds(self.resampled[:, place]) for place, name in enumerate(self.stimuli)}

    @cached_property
    def resampled(self) -> Float64[np.ndarray, "draws stimuli"] | None:
        """The means in each draw of listeners and trials: of one draw, so their differences and ranks can be had."""
        n_listeners, n_trials, _ = self.used.shape
        if min(n_listeners, n_trials) < crossed.MIN_LEVELS:
            return None
        chosen = crossed.drawn(n_listeners, n_trials, draws=self.draws, seed=self.seed)
        return crossed.means(self.used, chosen)

    @cached_property
    def reliability(self) -> Reliability:
        """How reliable the means of the systems are: the ceiling for whatever is to foretell them."""
        return reliability(self.used[..., self._places(self.systems)], draws=self.draws, seed=self.seed)

    def difference(self, a: str, b: str) -> Difference:
        """The mean of ``a`` less that of ``b``, in the same draws. KeyError for a stimulus that is not there."""
        if unknown := [name for name in (a, b) if name not in self.stimuli]:
            raise KeyError(f"mushra: needed a stimulus, {names(self.stimuli)}; got {unknown[0]!r}.")
        one, other = self._places((a, b))
        ci95 = (
            None
            if self.resampled is None
            else crossed.bounds(self.resampled[:, one] - self.resampled[:, other])
        )
        return Difference(self.mean[a] - self.mean[b], ci95)

    def preferences(self) -> Paired:
        """Of two systems in a trial the one rated higher is preferred; equal ratings are half a win for each."""
        x = self.used[..., self._places(self.systems)]
        above = (x[..., :, None] > x[..., None, :]) + 0.5 * (x[..., :, None] == x[..., None, :])
        wins = above.sum(axis=1) * ~np.eye(len(self.systems), dtype=bool)
        return Paired(
            wins=wins,
            listeners=self.kept,
            stimuli=self.systems,
            notes=("preferences are those that the ratings imply",),
            simulated=self.simulated,
            draws=self.draws,
            seed=self.seed,
        )

    def to_csv(self) -> str:
        """The ratings of all listeners as a plain long table, which `read_mushra` reads."""
        rows = [
            {
                "listener": listener,
                "trial": trial,
                "stimulus": stimulus,
                "score": float(self.ratings[i, j, k]),
            }
            for i, listener in enumerate(self.listeners)
            for j, trial in enumerate(self.trials)
            for k, stimulus in enumerate(self.stimuli)
        ]
        return text_of(("listener", "trial", "stimulus", "score"), rows)

    @cached_property
    def _flat(self) -> Float64[np.ndarray, "ratings stimuli"]:
        return self.used.reshape(-1, len(self.stimuli))

    def _by_stimulus(self, values: Float64[np.ndarray, " stimuli"]) -> dict[str, float]:
        return dict(zip(self.stimuli, values.tolist(), strict=True))

    def _places(self, chosen: Sequence[str]) -> list[int]:
        return [self.stimuli.index(name) for name in chosen]


def judged(
    ratings: Float64[np.ndarray, "listeners trials stimuli"],
    *,
    listeners: Sequence[str],
    trials: Sequence[str],
    stimuli: Sequence[str],
    reference: str,
    low: str | None = None,
    mid: str | None = None,
    post_screening: bool = True,
    notes: Sequence[str] = (),
    simulated: bool = False,
    draws: int = crossed.DRAWS,
    seed: int = 0,
) -> Mushra:
    """Ratings with post-screening done, and the notes that they call for."""
    places = {name: place for place, name in enumerate(stimuli)}
    found = screen(ratings[..., places[reference]], None if mid is None else ratings[..., places[mid]])
    rejected = {listeners[place]: why for place, why in found.rejected.items()} if post_screening else {}
    told = list(notes)
    if not post_screening:
        told.append(f"no post-screening: it would reject {len(found.rejected)} of {len(listeners)} listeners")
    elif mid is None:
        told.append(
            "no mid anchor (7 kHz) among the stimuli: post-screening is by the hidden reference alone"
        )
    elif found.waived:
        waived = names([trials[place] for place in found.waived])
        told.append(
            f"the mid anchor is above 90 for more than 25 % of the listeners in {waived}: these trials do not count "
            "for its rule"
        )
    made = Mushra(
        ratings=ratings,
        listeners=tuple(listeners),
        trials=tuple(trials),
        stimuli=tuple(stimuli),
        reference=reference,
        anchors=tuple(one for one in (low, mid) if one is not None),
        rejected=rejected,
        simulated=simulated,
        draws=draws,
        seed=seed,
    )
    if made.kept:
        told += _warnings(made)
    if simulated:
        told.insert(0, "the listeners are simulated: they say nothing of how anything sounds")
    return replace(made, notes=tuple(told))


def _warnings(made: Mushra) -> list[str]:
    told = []
    if (n := len(made.kept)) < ENOUGH:
        told.append(f"{n} listeners: fewer than {ENOUGH}, the number that BS.1534-3 calls often sufficient")
    ratings = made.used.mean(axis=(0, 1))
    top = int(ratings.argmax())
    mine = float(ratings[made.stimuli.index(made.reference)])
    if ratings[top] > mine:
        told.append(
            f"the hidden reference is not at the top: {made.stimuli[top]} has {ratings[top]:.1f}, it has {mine:.1f}"
        )
    return told
