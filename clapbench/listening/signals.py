r"""What is done to the sound of a study: how loud a clip is, and the anchors that are known to be bad.

Loudness is that of BS.1770, gated, in LUFS (by pyloudnorm, with the filters that have the Recommendation's own
coefficients). An anchor is the reference behind a low-pass: linear phase, so nothing moves in time, and unity gain
below the cut-off, so it is not made louder than what it is made of. BS.1534-3 asks of the 3.5 kHz filter a ripple of at
most .1 dB, 25 dB of attenuation at 4 kHz and 50 dB at 4.5 kHz; here 60 dB are reached at 8/7 of the cut-off, that is at
4 kHz, and by the same shape at 8 kHz for the 7 kHz anchor, of which it gives no mask.

Sources: Recommendations ITU-R BS.1770-4 (2015), annex 1; BS.1534-3 (2015), annex 1, section 5.1; Kaiser 1974 (window).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64

CUTOFFS = (3500.0, 7000.0)  # Hz, of the low and of the mid anchor
STOP = 8 / 7  # of the cut-off, from where the anchor is silent
ATTENUATION = 60.0  # dB
BLOCK = 0.4  # s, the shortest sound that has a loudness
LOWEST_RATE = 18_000  # Hz: the 7 kHz anchor's filter needs room below half of it


def loudness(samples: Float[np.ndarray, "n c"], rate: int) -> float | None:
    """Gated loudness in LUFS; None for what is shorter than .4 s, or nowhere louder than -70 LUFS.

    >>> time = np.arange(48_000) / 48_000
    >>> round(loudness(np.sin(2 * np.pi * 997 * time)[:, None], 48_000), 2)
    -3.01
    """
    import pyloudnorm  # and scipy.signal

    if len(samples) < BLOCK * rate:
        return None
    meter = pyloudnorm.Meter(rate, filter_class="DeMan")
    found = float(meter.integrated_loudness(np.asarray(samples, dtype=np.float64)))
    return found if np.isfinite(found) else None


def anchor(samples: Float[np.ndarray, "n c"], rate: int, *, cutoff: float) -> Float64[np.ndarray, "n c"]:
    """The sound without what is above ``cutoff`` Hz, as long as before."""
    from scipy.signal import oaconvolve

    taps = lowpass(rate, cutoff=cutoff)
    padded = oaconvolve(np.asarray(samples, dtype=np.float64), taps[:, None], axes=0)
    start = len(taps) // 2
    return padded[start : start + len(samples)]


def lowpass(rate: int, *, cutoff: float) -> Float64[np.ndarray, " taps"]:
    """An odd, symmetric filter that passes to ``cutoff`` Hz, at 60 dB from 8/7 of it."""
    from scipy.signal import firwin, kaiserord

    count, beta = kaiserord(ATTENUATION, (STOP - 1) * cutoff / (rate / 2))
    return firwin(count | 1, (1 + STOP) / 2 * cutoff, window=("kaiser", beta), fs=rate)
