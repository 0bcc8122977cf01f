r"""Post-screening of listeners by BS.1534-3: who does not hear the reference, or takes an anchor for it, is left out.

A listener goes who rates

- the hidden reference below 90 in more than 15 % of the trials, or
- the mid anchor (low-passed at 7 kHz) above 90 in more than 15 % of the trials. A trial in which more than 25 % of all
  listeners do so says that the anchor does little to that clip: it counts for nobody.

A score of exactly 90, and exactly 15 or 25 %, are within the limits.

Source: Recommendation ITU-R BS.1534-3 (2015), annex 1, section 4.1.2; both rules and the waiver as two transcripts have
them, not from the text itself. That a waived trial leaves the count of trials, too, is ours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

LEAST = 90  # of the hidden reference, and the most of the mid anchor
SHARE = 15  # % of a listener's trials
LISTENERS = 25  # % of the listeners, beyond which a trial does not count for the anchor's rule


class Screened(NamedTuple):
    """Listeners that are left out, by their place, each with the reason; and the trials that the waiver took out."""

    rejected: dict[int, str]
    waived: tuple[int, ...] = ()


def screen(
    reference: Float64[np.ndarray, "listeners trials"],
    mid: Float64[np.ndarray, "listeners trials"] | None = None,
) -> Screened:
    """Who is left out by the scores of the hidden reference, and of the mid anchor where there is one.

    >>> screen(np.array([[100.0, 89.0], [90.0, 90.0]])).rejected
    {0: 'hidden reference below 90 in 1 of 2 trials (50 %; at most 15 %)'}
    """
    reasons: dict[int, list[str]] = {}
    _add(reasons, reference < LEAST, f"hidden reference below {LEAST}")
    waived: tuple[int, ...] = ()
    if mid is not None:
        above = mid > LEAST
        counts = 100 * above.sum(axis=0) <= LISTENERS * len(above)
        waived = tuple(np.flatnonzero(~counts).tolist())
        _add(reasons, above[:, counts], f"mid anchor above {LEAST}")
    return Screened({place: "; ".join(reasons[place]) for place in sorted(reasons)}, waived)


def _add(reasons: dict[int, list[str]], broken: Bool[np.ndarray, "listeners trials"], what: str) -> None:
    n = broken.shape[1]
    for place, count in enumerate(broken.sum(axis=1).tolist()):
        if 100 * count > SHARE * n:
            share = f"{100 * count / n:.3g} %; at most {SHARE} %"
            reasons.setdefault(place, []).append(f"{what} in {count} of {n} trials ({share})")
