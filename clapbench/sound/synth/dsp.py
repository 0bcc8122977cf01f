"""Sound primitives at 16 kHz: tones from a table, shaped noise, repeated strokes, distance.

Time is in seconds, frequency in Hz, sample rate ``SAMPLE_RATE``. Noise is always drawn for ``LONGEST``
seconds and then cut, so a short and a long version of one draw share every sample of their beginning.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.fft
from jaxtyping import Float

SAMPLE_RATE = 16000  # Hz
LONGEST = 2.048  # s
TABLE = 16384  # samples of one cycle, a power of two
LONGEST_SAMPLES = round(LONGEST * SAMPLE_RATE)
NOISE_HZ = np.maximum(scipy.fft.rfftfreq(LONGEST_SAMPLES, 1 / SAMPLE_RATE), 1.0).astype(np.float32)
TAIL = 0.5  # s of reverberation kept

Wave = Float[np.ndarray, " n"]
Stroke = Float[np.ndarray, " s"]  # shorter than the wave that it is repeated in
Gains = Float[np.ndarray, " g"]


def clock(seconds: float) -> Wave:
    """The time of each sample, in seconds."""
    return np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE


@lru_cache(maxsize=64)
def one_cycle(harmonics: tuple[float, ...]) -> Wave:
    """One cycle of a tone with these amplitudes of the harmonics 1, 2, ..."""
    cycles = np.outer(np.arange(1, len(harmonics) + 1), np.arange(TABLE) / TABLE)
    return np.asarray(harmonics) @ np.sin(2 * np.pi * cycles)


def tone(
    cycles: Float[np.ndarray, "*shape"], harmonics: tuple[float, ...] = (1.0,)
) -> Float[np.ndarray, "*shape"]:
    """A periodic tone at the given phases (in cycles); keep harmonics x frequency below 8 kHz."""
    return one_cycle(harmonics)[(cycles * TABLE).astype(np.int64) & (TABLE - 1)]


def phase(hz: Wave) -> Wave:
    """Cycles passed at each sample of a tone whose frequency moves."""
    return np.cumsum(hz) / SAMPLE_RATE


def noise(rng: np.random.Generator, seconds: float, *, low: float, high: float) -> Wave:
    """Gaussian noise between two frequencies (12 dB per octave beyond them), with unit power."""
    spectrum = scipy.fft.rfft(rng.standard_normal(LONGEST_SAMPLES, dtype=np.float32))
    gain = 1 / np.sqrt((1 + (low / NOISE_HZ) ** 4) * (1 + (NOISE_HZ / high) ** 4))
    wave = scipy.fft.irfft(spectrum * gain, LONGEST_SAMPLES) / np.sqrt(np.mean(gain**2))
    return wave[: round(seconds * SAMPLE_RATE)].astype(np.float64)


def decay(time: Wave, *, seconds: float, attack: float = 0.002) -> Wave:
    """An envelope that rises within ``attack`` and falls by e every ``seconds``."""
    return np.minimum(time / attack, 1.0) * np.exp(-time / seconds)


def repeat(stroke: Stroke, *, seconds: float, per_second: float, gains: Gains) -> Wave:
    """The stroke at a steady rate over ``seconds``; gains are taken in turn.

    The strokes of one rate sit evenly in the whole span, so that a slow and a fast version last equally long.
    """
    wave = np.zeros(round(seconds * SAMPLE_RATE))
    count = max(1, round(seconds * per_second))
    for index in range(count):
        start = round(index / count * len(wave))
        part = stroke[: len(wave) - start]
        wave[start : start + len(part)] += gains[index % len(gains)] * part
    return wave


def fade(wave: Wave, *, seconds: float = 0.005) -> Wave:
    """The wave with a linear rise and fall at its ends."""
    size = min(round(seconds * SAMPLE_RATE), len(wave) // 2)
    ramp = np.arange(size) / size
    wave = wave.copy()
    wave[:size] *= ramp
    wave[len(wave) - size :] *= ramp[::-1]
    return wave


def recede(
    wave: Wave, rng: np.random.Generator, *, cutoff: float, rt60: float = 1.0
) -> Float[np.ndarray, " n_and_tail"]:
    """The wave from afar: treble gone above ``cutoff``, an exponential noise tail added (``TAIL`` longer)."""
    tail = np.arange(round(TAIL * SAMPLE_RATE)) / SAMPLE_RATE
    echo = rng.standard_normal(len(tail)) * 10 ** (-3 * tail / rt60) * (1 - tail / TAIL)
    echo *= 0.8 / np.sqrt(np.sum(echo**2))
    echo[0] += 0.6
    length = len(wave) + len(tail)
    size = scipy.fft.next_fast_len(length, real=True)
    hz = scipy.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    spectrum = scipy.fft.rfft(wave, size) * scipy.fft.rfft(echo, size) / (1 + (hz / cutoff) ** 4)
    return scipy.fft.irfft(spectrum, size)[:length]
