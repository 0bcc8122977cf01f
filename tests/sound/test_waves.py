"""One audio path: mono by averaging, soxr's resampling, a crop from the head, errors that name the file."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

from clapbench.sound.waves import ClipError, load_wave

SECONDS = 0.5


def signal(*, rate: int, channels: int, seconds: float = SECONDS) -> np.ndarray:
    """Another tone on every channel, and noise."""
    time = np.arange(round(seconds * rate)) / rate
    tones = np.stack(
        [np.sin(2 * np.pi * (200 + 150 * channel) * time) for channel in range(channels)], axis=1
    )
    noise = np.random.default_rng(0).standard_normal(tones.shape)
    return 0.2 * tones + 0.02 * noise


def clip(path: Path, samples: np.ndarray, *, rate: int, subtype: str = "FLOAT") -> Path:
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 96_000])
def test_channels_are_averaged_before_soxr_resamples(tmp_path: Path, rate: int, channels: int) -> None:
    samples = signal(rate=rate, channels=channels).astype(np.float32)
    wave = load_wave(clip(tmp_path / "a.wav", samples, rate=rate), sample_rate=16_000, window=None)
    expected = soxr.resample(samples.mean(axis=1), rate, 16_000, quality="HQ")
    assert wave.dtype == torch.float32
    assert wave.shape == (round(SECONDS * 16_000),)
    np.testing.assert_allclose(wave.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "subtype", "error"),
    [
        ("a.wav", "PCM_16", 2**-15),
        ("a.wav", "PCM_24", 2**-23),
        ("a.wav", "PCM_32", 1e-7),
        ("a.wav", "FLOAT", 1e-7),
        ("a.wav", "DOUBLE", 1e-7),
        ("a.flac", "PCM_16", 2**-15),
        ("a.flac", "PCM_24", 2**-23),
    ],
)
def test_every_sample_format_gives_the_same_scale(
    tmp_path: Path, name: str, subtype: str, error: float
) -> None:
    samples = signal(rate=16_000, channels=1)
    wave = load_wave(
        clip(tmp_path / name, samples, rate=16_000, subtype=subtype), sample_rate=16_000, window=None
    )
    np.testing.assert_allclose(wave.numpy(), samples[:, 0], rtol=0, atol=error)


def test_a_lossy_format_keeps_length_and_signal(tmp_path: Path) -> None:
    samples = signal(rate=16_000, channels=1, seconds=2.0)
    path = clip(tmp_path / "a.ogg", samples, rate=16_000, subtype="VORBIS")
    wave = load_wave(path, sample_rate=16_000, window=None).numpy()
    assert wave.shape == (32_000,)
    assert np.corrcoef(wave, samples[:, 0])[0, 1] > 0.95


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("sample_rate", [16_000, 32_000])
def test_cropping_before_resampling_equals_cropping_after(
    tmp_path: Path, rate: int, sample_rate: int
) -> None:
    path = clip(tmp_path / "a.wav", signal(rate=rate, channels=1, seconds=5.0), rate=rate)
    early = load_wave(path, sample_rate=sample_rate, window=2.5)
    late = load_wave(path, sample_rate=sample_rate, window=None)[: round(2.5 * sample_rate)]
    assert len(early) == round(2.5 * sample_rate)
    torch.testing.assert_close(early, late, rtol=0, atol=1e-6)


def test_a_clip_shorter_than_the_window_stays_as_it_is(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.wav", signal(rate=44_100, channels=2), rate=44_100)
    whole = load_wave(path, sample_rate=16_000, window=None)
    assert torch.equal(load_wave(path, sample_rate=16_000, window=10.0), whole)
    assert torch.equal(load_wave(path, sample_rate=16_000, window=None), whole)


def test_a_missing_clip_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.wav: no such file"):
        load_wave(tmp_path / "gone.wav", sample_rate=16_000, window=None)


@pytest.mark.parametrize("content", [b"", b"not a sound at all\n"])
def test_what_is_no_sound_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "text.wav").write_bytes(content)
    with pytest.raises(ValueError, match=r"text\.wav: needed a sound file .* Convert it"):
        load_wave(tmp_path / "text.wav", sample_rate=16_000, window=None)


def test_a_clip_without_samples_is_named(tmp_path: Path) -> None:
    path = clip(tmp_path / "none.wav", np.zeros((0, 1)), rate=16_000)
    with pytest.raises(ValueError, match=r"none\.wav: holds no samples"):
        load_wave(path, sample_rate=16_000, window=None)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_refused_on_any_channel(tmp_path: Path, value: float) -> None:
    samples = signal(rate=8_000, channels=2)
    samples[100, 1] = value
    path = clip(tmp_path / "bad.wav", samples, rate=8_000)
    with pytest.raises(ValueError, match=r"bad\.wav: holds NaN or infinite samples"):
        load_wave(path, sample_rate=16_000, window=None)


@pytest.mark.parametrize(
    ("subtype", "gains"),
    [
        ("FLOAT", (1.0, -1.0)),
        ("PCM_16", (1.0, -1.0)),
        ("DOUBLE", (1.0, 0.3, -1.0, -0.3)),  # whose float32 sum is not quite zero
        ("PCM_24", (0.0, 2.0, -1.0, -1.0)),
    ],
)
def test_channels_that_cancel_are_no_silence(tmp_path: Path, subtype: str, gains: tuple[float, ...]) -> None:
    samples = signal(rate=16_000, channels=1) * np.array(gains)
    path = clip(tmp_path / "anti.wav", samples, rate=16_000, subtype=subtype)
    with pytest.raises(ClipError, match=r"anti\.wav: its channels cancel: .* Invert one channel"):
        load_wave(path, sample_rate=16_000, window=None)


def test_channels_that_all_but_cancel_are_sound(tmp_path: Path) -> None:
    samples = signal(rate=16_000, channels=1) * np.array([1.0, -0.99])
    wave = load_wave(clip(tmp_path / "a.wav", samples, rate=16_000), sample_rate=16_000, window=None)
    np.testing.assert_allclose(wave.numpy(), samples.mean(axis=1), rtol=0, atol=1e-6)


def test_silence_within_the_window_is_named(tmp_path: Path) -> None:
    samples = signal(rate=16_000, channels=2)
    samples[:4000] = 0
    path = clip(tmp_path / "late.wav", samples, rate=16_000)
    with pytest.raises(ClipError, match=r"late\.wav: is silent, every sample of its first 0\.2 s is zero"):
        load_wave(path, sample_rate=16_000, window=0.25)
    assert load_wave(path, sample_rate=16_000, window=0.3).any()


def test_a_name_too_long_for_the_system_is_a_missing_clip(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"x\.wav: no such file"):
        load_wave(tmp_path / f"{'x' * 300}.wav", sample_rate=16_000, window=None)


def test_a_folder_is_no_clip(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"needed a sound file, found a folder"):
        load_wave(tmp_path, sample_rate=16_000, window=None)


def test_an_error_survives_a_process_border(tmp_path: Path) -> None:
    error = ClipError(tmp_path / "a.wav", "holds no samples", where="bench 'pairs'")
    again = pickle.loads(pickle.dumps(error))
    assert (again.path, again.reason, str(again)) == (error.path, error.reason, str(error))
    assert str(error).startswith(f"bench 'pairs': clip {tmp_path / 'a.wav'}: holds no samples. Replace it")
