"""HTSAT-tiny, the audio tower that LAION-CLAP and MGA-CLAP share, as transformers' `ClapAudioEncoder`.

Log-mel [b, 1, 1001, 64] -> BatchNorm over mel -> bicubic resize in time to 1024 -> 256 x 256 image of four time
segments -> 4 x 4 patches -> Swin stages 96/192/384/768, depths 2/2/6/2, window 8 -> LayerNorm -> mean over the 64
tokens: [b, 768].

Source: Chen et al. 2022 (HTS-AT: A Hierarchical Token-Semantic Audio Transformer).
"""

from __future__ import annotations

import re
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import ClapAudioConfig
from transformers.models.clap.modeling_clap import (
    ClapAudioAttention,
    ClapAudioEncoder,
    ClapAudioSelfAttention,
)

MEL: dict[str, Any] = {"n_fft": 1024, "n_mels": 64, "f_min": 50.0, "f_max": 14_000.0}

# Keys of the original that the embeddings do not need: STFT and mel kernels, masks that transformers computes, and
# the tagging heads of HTSAT's own pre-training.
UNUSED = (
    r"spectrogram_extractor\..*",
    r"logmel_extractor\..*",
    r"audio_feats_extractor\..*",
    r"layers\.\d+\.blocks\.\d+\.attn_mask",
    r"tscam_conv\..*",
    r"head\..*",
)

CPU_GROUP = 4  # clips at once: what a CPU's cache holds; at 16 each took a third longer
GROUP = 64  # elsewhere

# Beginnings of the names of what is run, and so can be trained, and the names of the tower's blocks.
RUN = ("batch_norm", "patch_embed.proj", "patch_embed.norm", "layers", "norm")
BLOCKS = r"layers\.\d+\.blocks\.\d+"

RENAMES = [
    (r"^bn0\.", "batch_norm."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.attn\.relative", ".attention.self.relative"),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
]


def audio_tower(*, fusion: bool) -> ClapAudioEncoder:
    """The tower with random weights; with ``fusion`` it holds LAION-CLAP's layers that fuse views of a long clip.

    They are not run: a clip is cut to what the tower hears, and the original, too, skips them where none is longer.
    They are not in `RUN`.
    """
    tower = ClapAudioEncoder(
        ClapAudioConfig(
            depths=[2, 2, 6, 2],
            num_attention_heads=[4, 8, 16, 32],
            enable_fusion=fusion,
            fusion_type="aff_2d" if fusion else None,
        )
    )
    tower.enable_fusion = tower.patch_embed.enable_fusion = False
    for attention in [part for part in tower.modules() if isinstance(part, ClapAudioAttention)]:
        plain = attention.self
        attention.self = WindowAttention(
            tower.config, plain.all_head_size, plain.num_attention_heads, plain.window_size
        )
    return tower


class WindowAttention(ClapAudioSelfAttention):
    """Attention within windows of 8 x 8 patches, as transformers' but in one fused kernel.

    On one thread of a CPU the tower then takes 0.7 of the time.
    """

    def forward(
        self,
        hidden_states: Float[Tensor, "b_windows patches d"],
        attention_mask: Float[Tensor, "windows patches patches"] | None = None,
        output_attentions: bool | None = False,
    ) -> tuple[Float[Tensor, "b_windows patches d"]]:
        """Attention within each window, with the relative position bias; transformers' signature."""
        rows, patches, _ = hidden_states.shape
        query, key, value = (
            part(hidden_states).view(rows, patches, self.num_attention_heads, -1).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1).unsqueeze(0)
        if attention_mask is not None:  # shifted windows: the same masks for every clip of the batch
            bias = (bias + attention_mask.unsqueeze(1)).repeat(rows // len(attention_mask), 1, 1, 1)
        mixed = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias.to(query.dtype).contiguous()
        )
        return (mixed.transpose(1, 2).flatten(2),)


def rename(tensors: dict[str, Tensor], *, prefix: str, to: str) -> dict[str, Tensor]:
    """The original's keys under ``prefix`` as those of a `ClapAudioEncoder` under ``to``; others stay as they are."""
    renamed: dict[str, Tensor] = {}
    for key, value in tensors.items():
        if not key.startswith(prefix):
            renamed[key] = value
            continue
        own = key.removeprefix(prefix)
        for pattern, text in RENAMES:
            own = re.sub(pattern, text, own)
        if ".attn.qkv." in own and len(value) % 3 == 0:  # one matrix in the original, three in transformers
            for part, rows in zip(("query", "key", "value"), value.chunk(3), strict=True):
                renamed[to + own.replace(".attn.qkv.", f".attention.self.{part}.")] = rows
        else:
            # A counter of training steps, stored as one number or as a row of one.
            renamed[to + own] = value.reshape(()) if own.endswith("num_batches_tracked") else value
    return renamed


def groups(clips: list[Tensor], *, whole: bool = False) -> list[list[int]]:
    """The numbers of ``clips`` in as many at once as the tower encodes fastest.

    ``whole``: all at once, as BatchNorm needs them while it trains.
    """
    numbers, size = list(range(len(clips))), CPU_GROUP if clips[0].is_cpu else GROUP
    return [numbers] if whole else [numbers[start : start + size] for start in range(0, len(clips), size)]


def decibels(power: Float[Tensor, "b mels frames"]) -> Float[Tensor, "b 1 frames mels"]:
    """10 log10 of mel power, floored at -100 dB, in the layout that the tower reads."""
    return 10.0 * torch.log10(power.clamp(min=1e-10)).transpose(1, 2).unsqueeze(1)
