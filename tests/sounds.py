"""Sound files as libsndfile and FFmpeg write them, to be cut, chained and told other lengths."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import soundfile

from clapbench.sound.waves import load_wave

RATE = 16_000
SECONDS = 6.0


def sweep(*, rate: int = RATE, seconds: float = SECONDS) -> np.ndarray:
    """A rising tone in noise, loud first: then an mp3's first frames are larger than the others."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(len(time))
    return ((0.3 * np.sin(2 * np.pi * (300 + 100 * time) * time) + 0.1 * noise) * np.exp(-time / 2)).astype(
        "f4"
    )


def written(path: Path, *, subtype: str = "PCM_16", form: str | None = None, **options: object) -> Path:
    soundfile.write(path, sweep(), RATE, subtype=subtype, format=form, **options)  # type: ignore[arg-type]
    return path


def by_ffmpeg(path: Path, codec: str, *, rate: int = 48_000, **options: str) -> Path:
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        wave = sweep(rate=rate)[None]
        for start in range(0, wave.shape[1], 4800):
            samples = wave[:, start : start + 4800]
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def vbr_mp3(path: Path) -> bytes:
    """An mp3 of variable bit rate with its Xing header, as libsndfile writes it."""
    written(path, subtype="MPEG_LAYER_III", form="MP3", bitrate_mode="VARIABLE", compression_level=0.1)
    return path.read_bytes()


def load(path: Path, *, window: float | None = None) -> np.ndarray:
    return load_wave(path, sample_rate=RATE, window=window).numpy()


def patched(path: Path, at: int, field: bytes) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[:at] + field + content[at + len(field) :])
    return path


CONTAINERS = [
    ("a.wav", "PCM_16", "WAV"),
    ("a.wav", "PCM_24", "WAVEX"),
    ("a.wav", "FLOAT", "WAV"),
    ("a.wav", "ULAW", "WAV"),
    ("a.wav", "IMA_ADPCM", "WAV"),
    ("a.wav", "GSM610", "WAV"),
    ("a.rf64", "PCM_16", "RF64"),
    ("a.w64", "PCM_16", "W64"),
    ("a.aiff", "PCM_24", "AIFF"),
    ("a.au", "PCM_16", "AU"),
    ("a.caf", "PCM_16", "CAF"),
    ("a.svx", "PCM_16", "SVX"),
    ("a.sph", "PCM_16", "NIST"),
    ("a.flac", "PCM_16", "FLAC"),
    ("a.mp3", "MPEG_LAYER_III", "MP3"),
    ("a.ogg", "VORBIS", "OGG"),
    ("a.opus", "OPUS", "OGG"),
]
