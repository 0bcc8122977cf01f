"""One deterministic path from a sound file to a model's input: decode, downmix, resample, crop.

Channels are averaged first, then the signal is resampled with soxr at quality HQ, then cut to a window
from the head. No randomness anywhere, so a clip always gives the same wave.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from jaxtyping import Float
from torch import Tensor

# Seconds decoded beyond the window, so that the resampler's filter sees the same signal as on the whole file.
RESAMPLER_MARGIN = 1.0
REPLACE = "Replace it, or take its item out of the CSV."
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


def load_wave(path: Path, *, sample_rate: int, window: float | None) -> Float[Tensor, " samples"]:
    """The clip at ``path`` as a mono float32 wave at ``sample_rate`` (Hz), at most ``window`` seconds long.

    ``window=None`` keeps the whole clip. Raises ``FileNotFoundError`` for a missing file and `ClipError`
    for one that cannot be decoded, is empty, silent or holds samples that are not finite.
    """
    if not path.is_file():
        raise FileNotFoundError(f"clip {path}: no such file. Check bench.root and the paths in the CSV.")
    try:
        with soundfile.SoundFile(path) as sound:
            rate = sound.samplerate
            frames = -1 if window is None else int((window + RESAMPLER_MARGIN) * rate)
            samples = sound.read(frames, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        needed = "a sound file that libsndfile reads (wav, flac, mp3, ...)"
        raise ClipError(path, f"needed {needed}, got: {error}", CONVERT) from error
    if len(samples) == 0:
        raise ClipError(path, "holds no samples")
    if not np.isfinite(samples).all():
        raise ClipError(path, "holds NaN or infinite samples")
    wave = samples.mean(axis=1, dtype=np.float32)
    heard = wave if window is None else wave[: round(window * rate)]
    if not heard.any():
        raise ClipError(path, f"is silent, every sample of its first {len(heard) / rate:.1f} s is zero")
    if rate != sample_rate:
        wave = soxr.resample(wave, rate, sample_rate, quality="HQ")
    if window is not None:
        wave = wave[: round(window * sample_rate)]
    return torch.from_numpy(np.ascontiguousarray(wave))
