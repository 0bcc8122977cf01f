"""Mel power against its formula in a plain loop, torch's short-time transform, and the mel scales."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import torch

from clapbench.sound.mel import MelPower

RATE, N_FFT, HOP = 16_000, 512, 320


def mel_power(*, n_mels: int = 40, scale: str = "slaney", norm: str | None = "slaney") -> MelPower:
    return MelPower(
        sample_rate=RATE,
        n_fft=N_FFT,
        hop=HOP,
        n_mels=n_mels,
        f_min=50.0,
        f_max=7600.0,
        scale=scale,
        norm=norm,
    )


def waves(n: int = 2, samples: int = 5000) -> torch.Tensor:
    return 0.1 * torch.randn(n, samples, generator=torch.Generator().manual_seed(0))


def to_mel(hertz: np.ndarray, *, scale: str) -> np.ndarray:
    """HTK: 2595 log10(1 + f / 700). Slaney: 200/3 Hz a step below 1 kHz, then 27 steps per factor of 6.4."""
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hertz / 700.0)
    above = 15.0 + 27.0 * np.log(np.maximum(hertz, 1000.0) / 1000.0) / np.log(6.4)
    return np.where(hertz < 1000.0, 3.0 * hertz / 200.0, above)


def filter_bank(n_mels: int, *, scale: str, norm: str | None) -> np.ndarray:
    """Triangles between neighbouring corners that lie evenly on the mel scale."""
    grid = np.linspace(0.0, RATE / 2, 400_001)
    low, high = to_mel(np.array([50.0, 7600.0]), scale=scale)
    corners = np.interp(np.linspace(low, high, n_mels + 2), to_mel(grid, scale=scale), grid)
    bins = np.fft.rfftfreq(N_FFT, 1 / RATE)
    columns = []
    for left, centre, right in zip(corners, corners[1:], corners[2:], strict=False):
        up, down = (bins - left) / (centre - left), (right - bins) / (right - centre)
        area = 2.0 / (right - left) if norm == "slaney" else 1.0
        columns.append(area * np.clip(np.minimum(up, down), 0.0, None))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize(("scale", "norm"), [("slaney", "slaney"), ("htk", None)])
def test_filters_are_those_of_the_scale(scale: str, norm: str | None) -> None:
    reference = filter_bank(40, scale=scale, norm=norm)
    found = mel_power(scale=scale, norm=norm).filters.numpy()
    np.testing.assert_allclose(found, reference, rtol=0, atol=1e-5 * reference.max())


def test_the_two_scales_differ() -> None:
    assert not torch.allclose(mel_power(scale="htk").filters, mel_power(scale="slaney").filters)


@pytest.mark.parametrize(("scale", "norm"), [("slaney", "slaney"), ("htk", None)])
def test_power_is_that_of_a_plain_loop_in_double_precision(scale: str, norm: str | None) -> None:
    module = mel_power(scale=scale, norm=norm)
    window = scipy.signal.get_window("hann", N_FFT, fftbins=True)
    reference = []
    for wave in waves().double().numpy():
        padded = np.pad(wave, N_FFT // 2, mode="reflect")
        starts = range(0, len(padded) - N_FFT + 1, HOP)
        spectra = [np.abs(np.fft.rfft(window * padded[start : start + N_FFT])) ** 2 for start in starts]
        reference.append(filter_bank(40, scale=scale, norm=norm).T @ np.stack(spectra, axis=1))
    np.testing.assert_allclose(module(waves()).numpy(), np.stack(reference), rtol=1e-5)


def test_power_is_that_of_torch_stft() -> None:
    module = mel_power()
    spectrum = torch.stft(
        waves().double(), N_FFT, HOP, window=torch.hann_window(N_FFT).double(), return_complex=True
    )
    reference = module.filters.double().T @ spectrum.abs().square()
    torch.testing.assert_close(module(waves()).double(), reference, rtol=1e-5, atol=0)


@pytest.mark.parametrize("samples", [HOP - 1, HOP, 1599, 1600, 16_000])
def test_a_frame_per_hop_and_one_more(samples: int) -> None:
    assert mel_power()(waves(samples=samples)).shape == (2, 40, 1 + samples // HOP)


def test_no_row_depends_on_another_and_buffers_are_no_part_of_a_checkpoint() -> None:
    module = mel_power()
    torch.testing.assert_close(module(waves(3))[1:2], module(waves(3)[1:2]), rtol=1e-6, atol=0)
    assert module.state_dict() == {}
