"""One deterministic path from a sound file to a model's input: decode, downmix, resample, crop.

Channels are averaged first, then the signal is resampled with soxr at quality HQ, then cut to a window
from the head. No randomness anywhere, so a clip always gives the same wave.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path

import numpy as np
import soxr
import torch
from jaxtyping import Float
from torch import Tensor

from clapbench.sound.containers import Cut, Held, survey
from clapbench.sound.decoding import Sound, decode

# Seconds decoded beyond the window, so that the resampler's filter sees the same signal as on the whole file.
RESAMPLER_MARGIN = 1.0
MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}  # a path that leads nowhere
CANCELLED = 1e-4  # -80 dB: a mean this far below its loudest channel is rounding, not sound
AUDIBLE = 1e-2  # a mean with such a peak is sound, whatever its channels hold
REPLACE = "Replace it, or take its item out of the CSV."
AGAIN = "Get the file again, or take its item out of the CSV."
CONVERT = "Convert it, or take its item out of the CSV."


class ClipError(ValueError):
    """A clip that cannot be read: ``reason`` says why without the path, so that several can be told together.

    ``where`` is who names the clip, as `Benchmark.where` has it.
    """

    def __init__(self, path: Path, reason: str, remedy: str = REPLACE, where: str = "") -> None:
        super().__init__(path, reason, remedy, where)  # what pickle builds it from again
        self.path, self.reason, self.remedy, self.where = path, reason, remedy, where

    def __str__(self) -> str:
        return f"{self.where + ': ' if self.where else ''}clip {self.path}: {self.reason}. {self.remedy}"


def load_wave(source: Path | Held, *, sample_rate: int, window: float | None) -> Float[Tensor, " samples"]:
    """The clip at a path, or in memory, as a mono float32 wave at ``sample_rate`` (Hz), of ``window`` seconds at most.

    ``window=None`` keeps the whole clip. Raises ``FileNotFoundError`` for a missing file and `ClipError` for one that
    cannot be decoded, is cut off within the window, is empty, silent, cancels itself or holds samples that are not
    finite.
    """
    path = source.path if isinstance(source, Held) else source
    if not isinstance(source, Held):
        check_file(path)
    try:
        found = survey(source)
        sound = decode(source, found, seconds=None if window is None else window + RESAMPLER_MARGIN)
    except OSError as error:
        raise ClipError(path, f"cannot be opened: {error.strerror}", "Check its permissions.") from error
    check_length(path, sound, cut=found.cut, window=window)
    if not np.isfinite(sound.samples).all():
        raise ClipError(path, "holds NaN or infinite samples")
    rate = sound.rate
    # Of one channel: the same bits as the mean, which has no negative zero, in less time.
    is_mono = sound.samples.shape[1] == 1
    wave = sound.samples[:, 0] + 0.0 if is_mono else sound.samples.mean(axis=1, dtype=np.float32)
    head = len(wave) if window is None else round(window * rate)
    check_sound(path, wave[:head], sound.samples[:head], rate=rate)
    return resampled(wave, rate, sample_rate=sample_rate, window=window)


def resampled(
    wave: Float[np.ndarray, " n"], rate: int, *, sample_rate: int, window: float | None
) -> Float[Tensor, " samples"]:
    """A mono wave at ``rate`` (Hz) brought to ``sample_rate``, then cut to ``window`` seconds from the head."""
    if rate != sample_rate:
        wave = soxr.resample(wave, rate, sample_rate, quality="HQ")
    if window is not None:
        wave = wave[: round(window * sample_rate)]
    return torch.from_numpy(np.ascontiguousarray(wave))


def check_file(path: Path) -> None:
    """Raises ``FileNotFoundError`` for what is not there, `ClipError` for what is no file.

    A name that is too long for the system, or holds a null, names nothing.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in MISSING:
            raise ClipError(path, f"cannot be opened: {error.strerror}", "Check its permissions.") from error
        raise FileNotFoundError(
            f"clip {path}: no such file. Check bench.root and the paths in the CSV."
        ) from error
    if not stat.S_ISREG(mode):
        raise ClipError(path, f"needed a sound file, found a {'folder' if stat.S_ISDIR(mode) else 'device'}")


def check_length(path: Path, sound: Sound, *, cut: Cut | None, window: float | None) -> None:
    """Raises `ClipError` where the file ends, or breaks, before the window does, and where it holds nothing."""
    n = len(sound.samples)
    if n and window is not None and n >= round(window * sound.rate):
        return
    held = n / sound.rate
    declared = sound.declared or (held / cut.share if cut and cut.share else None)
    says = f"its header declares {declared:.2f} s" if declared else (cut.sign if cut else "")
    if cut:
        raise ClipError(path, f"is cut off: {says}, {held:.2f} s are there", AGAIN)
    if sound.failure and n:
        can = f"{held:.2f} s can be decoded ({sound.failure})"
        raise ClipError(path, f"is cut off or damaged: {says + ', ' if says else ''}{can}", AGAIN)
    if sound.failure:
        needed = "a sound file that libsndfile or FFmpeg reads (wav, flac, mp3, m4a, ...)"
        raise ClipError(path, f"needed {needed}, got: {sound.failure}", CONVERT)
    if n == 0:
        raise ClipError(path, "holds no samples")


def check_sound(
    path: Path, mono: Float[np.ndarray, " n"], channels: Float[np.ndarray, "n c"], *, rate: int
) -> None:
    """Raises `ClipError` where the window holds no sound, or loses it in the mean of its channels."""
    if (left := peak(mono)) > AUDIBLE:
        return
    loudest = left if channels.shape[1] == 1 else peak(channels)
    if loudest == 0:
        raise ClipError(
            path, f"is silent, every sample of its first {len(mono) / rate:.1f} s is zero", REPLACE
        )
    if left <= CANCELLED * loudest:
        raise ClipError(
            path,
            f"its channels cancel: they hold sound, the mean of all {channels.shape[1]} does not, as when one is the "
            f"inverse of another",
            "Invert one channel, or keep a single one (sox IN OUT remix 1).",
        )


def peak(samples: Float[np.ndarray, ...]) -> float:
    """The largest magnitude of the samples."""
    return max(float(samples.max(initial=0)), -float(samples.min(initial=0)))
