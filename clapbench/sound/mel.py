r"""Log-mel front end in torch, parametrised, so that every encoder shares one.

Power spectrum of frames under a periodic Hann window, centred with reflection at both ends, times a
mel filter bank: $P_{m,t} = \sum_f W_{mf} |\mathrm{rfft}(w \cdot x_t)_f|^2$. Its logarithm is the encoder's.

Source: the filter bank is `transformers.audio_utils.mel_filter_bank` (Slaney or HTK scale, as librosa's).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class MelPower(nn.Module):
    """Waves ``[b, samples]`` to mel power ``[b, mels, frames]`` with ``frames = 1 + samples // hop``.

    ``n_fft`` and ``hop`` (samples) are even, ``f_min`` and ``f_max`` Hz; ``norm`` "slaney" or None.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        n_fft: int,
        hop: int,
        n_mels: int,
        f_min: float,
        f_max: float,
        scale: str = "slaney",
        norm: str | None = "slaney",
    ) -> None:
        super().__init__()
        # A slow import: only who computes features pays it.
        from transformers.audio_utils import mel_filter_bank

        bank = mel_filter_bank(
            num_frequency_bins=n_fft // 2 + 1,
            num_mel_filters=n_mels,
            min_frequency=f_min,
            max_frequency=f_max,
            sampling_rate=sample_rate,
            norm=norm,
            mel_scale=scale,
        )
        self.n_fft, self.hop = n_fft, hop
        # No buffers: the front end follows its waves, whatever precision the weights are moved to.
        self.window = torch.hann_window(n_fft, periodic=True)
        self.filters = torch.from_numpy(bank).float()

    def forward(self, waves: Float[Tensor, "b samples"]) -> Float[Tensor, "b mels frames"]:
        """Mel power spectrograms of waves, a column every ``hop`` samples."""
        half = self.n_fft // 2
        with torch.autocast(waves.device.type, enabled=False):
            padded = nn.functional.pad(waves.unsqueeze(1), (half, half), mode="reflect").squeeze(1)
            frames = padded.unfold(-1, self.n_fft, self.hop) * self.window.to(padded)
            power = torch.fft.rfft(frames).abs().square()
            return (power @ self.filters.to(power)).transpose(1, 2)
