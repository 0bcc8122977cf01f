"""The audio tower: transformers' numbers with fused attention, its weights under the original's keys."""

from __future__ import annotations

import pytest
import torch
from transformers.models.clap.modeling_clap import ClapAudioEncoder

from clapbench.encoders import htsat


@pytest.fixture(scope="module")
def tower() -> ClapAudioEncoder:
    torch.manual_seed(0)
    tower = htsat.audio_tower(fusion=False).eval()
    for key, value in tower.named_parameters():
        if "relative_position_bias_table" in key:
            torch.nn.init.normal_(value)  # zero at first, and then it would hide a bias that is left out
    return tower


@pytest.mark.parametrize("clips", [1, 3])
def test_fused_attention_gives_the_numbers_of_transformers(tower: ClapAudioEncoder, clips: int) -> None:
    plain = ClapAudioEncoder(tower.config).eval()
    plain.load_state_dict(tower.state_dict())
    log_mel = 20.0 * torch.randn(clips, 1, 1001, 64, generator=torch.Generator().manual_seed(1)) - 40.0
    with torch.inference_mode():
        wanted, got = plain(log_mel).pooler_output, tower(log_mel).pooler_output
    assert got.shape == (clips, 768)
    assert ((got - wanted).norm(dim=1) / wanted.norm(dim=1)).max() < 1e-5


def test_the_fusing_layers_are_held_and_not_run() -> None:
    tower = htsat.audio_tower(fusion=True).eval()
    assert any(key.startswith("patch_embed.fusion_model") for key in tower.state_dict())
    plain = htsat.audio_tower(fusion=False).eval()
    plain.load_state_dict({key: tower.state_dict()[key] for key in plain.state_dict()})
    log_mel = torch.randn(1, 1, 1001, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(tower(log_mel).pooler_output, plain(log_mel).pooler_output)


def test_rename_splits_qkv_in_its_order_and_leaves_other_keys() -> None:
    qkv = torch.arange(6.0).reshape(6, 1)
    given = {
        "audio.layers.0.blocks.1.attn.qkv.weight": qkv,
        "audio.layers.0.blocks.1.mlp.fc1.bias": torch.ones(2),
        "audio.bn0.num_batches_tracked": torch.tensor([7]),
        "text.norm1.bias": torch.zeros(1),
    }
    block = "tower.layers.0.blocks.1"
    renamed = htsat.rename(given, prefix="audio.", to="tower.")
    assert set(renamed) == {
        *(f"{block}.attention.self.{part}.weight" for part in ("query", "key", "value")),
        f"{block}.intermediate.dense.bias",
        "tower.batch_norm.num_batches_tracked",
        "text.norm1.bias",
    }
    assert renamed[f"{block}.attention.self.key.weight"].tolist() == [[2.0], [3.0]]
    assert renamed["tower.batch_norm.num_batches_tracked"].shape == ()


def test_decibels_have_a_floor_and_the_tower_s_layout() -> None:
    power = torch.tensor([[[1.0, 100.0], [0.0, 1e-12]]])  # a clip, two mel bands, two frames
    assert htsat.decibels(power).tolist() == [[[[0.0, -100.0], [20.0, -100.0]]]]
