"""LAION-CLAP: the original's numbers from both checkpoints, rows of their clip alone, refusals of what does not fit."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import released
import torch
from conftest import ROOT
from omegaconf import OmegaConf
from torch import Tensor

from clapbench import config
from clapbench.encoders.laion import LaionClap, repeat_pad, through_int16

LOGMEL_CLIPS = [0, 3, 5]
HEAD = {"laion": "audio_post", "laion_unfused": "audio_headcrop_post"}  # rows of clips cut to their head


def build(model: str, checkpoint: Path, **arguments: Any) -> LaionClap:
    """The encoder of conf/model/MODEL.yaml with another checkpoint and the small tokenizer."""
    written = OmegaConf.to_container(
        config.without_levels(OmegaConf.load(ROOT / "conf" / "model" / f"{model}.yaml"))
    )
    assert written.pop("_target_") == "clapbench.encoders.laion.LaionClap"
    chosen = {"checkpoint": str(checkpoint), "tokenizer": str(released.folder() / "roberta-base")}
    return LaionClap(**written | chosen | arguments)


@pytest.fixture(scope="module", params=["laion", "laion_unfused"])
def model(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def encoder(model: str) -> LaionClap:
    return build(model, released.checkpoint(model))


@pytest.fixture(scope="module")
def golden(model: str) -> dict[str, np.ndarray]:
    return released.golden(model)


@pytest.fixture(scope="module")
def waves(model: str) -> list[Tensor]:
    return [torch.from_numpy(released.wave(model, clip)) for clip in range(6)]


@pytest.fixture(scope="module")
def rows(encoder: LaionClap, waves: list[Tensor]) -> Tensor:
    """All six clips as one batch, two of them beyond 10 s."""
    with torch.inference_mode():
        return encoder.embed_audio(waves)


def apart(rows: Tensor, wanted: np.ndarray | Tensor) -> float:
    """The largest L2 distance between unit rows."""
    return float((rows - torch.as_tensor(wanted)).norm(dim=1).max())


def tokens(golden: dict[str, np.ndarray]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(golden["input_ids"]), torch.from_numpy(golden["attention_mask"])


def test_captions_embed_as_in_the_original(encoder: LaionClap, golden: dict[str, np.ndarray]) -> None:
    ids, mask = tokens(golden)
    with torch.inference_mode():
        together = encoder.embed_tokens(ids, mask)
        alone = torch.cat([encoder.embed_tokens(i[None], m[None]) for i, m in zip(ids, mask, strict=True)])
    assert apart(together, golden["text_post"]) < 5e-5
    assert apart(alone, together) < 1e-5


def test_the_tower_gives_the_original_s_rows_of_its_log_mel(
    encoder: LaionClap, golden: dict[str, np.ndarray]
) -> None:
    log_mel = torch.stack([torch.from_numpy(golden[f"logmel_{clip}"]) for clip in LOGMEL_CLIPS]).unsqueeze(1)
    with torch.inference_mode():
        got = torch.nn.functional.normalize(encoder.audio_head(encoder.audio_states(list(log_mel))))
    assert apart(got, golden["audio_post"][LOGMEL_CLIPS]) < 1e-5


def test_clips_embed_as_in_the_original(
    model: str, rows: Tensor, waves: list[Tensor], golden: dict[str, np.ndarray]
) -> None:
    found = [hashlib.sha256(wave.numpy().tobytes()).hexdigest() for wave in waves]
    assert found == golden["wave_sha256"].tolist()
    assert apart(rows, golden[HEAD[model]]) < 2e-4


def test_a_clip_alone_is_the_clip_beside_longer_ones(
    encoder: LaionClap, rows: Tensor, waves: list[Tensor]
) -> None:
    with torch.inference_mode():
        assert apart(torch.cat([encoder.embed_audio([wave]) for wave in waves]), rows) < 1e-5
        assert apart(encoder.embed_audio(waves[::-1]).flip(0), rows) < 1e-5
        assert torch.equal(encoder.embed_audio([waves[4][:480_000]]), encoder.embed_audio([waves[4]]))


def test_a_caption_beyond_77_tokens_is_cut_and_counted(encoder: LaionClap) -> None:
    fits, long = "x" * 75, "x" * 76  # a token per letter, and <s> and </s>
    ids, mask = encoder.tokenize([long, "dog"])
    assert ids.shape == mask.shape == (2, 77)
    assert (int(ids[0, 0]), int(ids[0, -1]), int(ids[1, -1])) == (0, 2, 1)
    assert encoder.coverage([fits, long, "dog"]) == {"truncated_captions": 1}
    assert encoder.canonical(long) == encoder.canonical(fits) != encoder.canonical("dog")
    with torch.inference_mode():
        assert apart(encoder.embed_text([long]), encoder.embed_text([fits])) < 1e-5


def test_a_shorter_window_hears_less(encoder: LaionClap, waves: list[Tensor]) -> None:
    """``window`` is read at each call; a window of 3 s is repeated as a clip of 3 s is."""
    clip, length = waves[2], 3 * 48_000
    with torch.inference_mode():
        head, whole = encoder.embed_audio([clip[:length]]), encoder.embed_audio([clip])
        encoder.window = 3.0
        try:
            assert torch.equal(encoder.embed_audio([clip]), head)
        finally:
            encoder.window = 10.0
    assert apart(head, whole) > 1e-3


def test_weights_never_seen_load_without_legacy_keys_and_give_other_rows() -> None:
    other = build("laion_unfused", released.checkpoint("laion_unfused", salt="other", modern=True))
    golden = released.golden("laion_unfused")
    with torch.inference_mode():
        text = other.embed_tokens(*tokens(golden))
    assert not other.training
    assert apart(text, golden["text_post"]) > 0.1


# Files with the released keys and shapes, and a single number as the content of each tensor: small, quick to refuse.


def hollow(folder: Path, like: str, *, part: str = "state_dict", change: Any = None) -> Path:
    """A small file with the keys and shapes of the released file of model ``like``, changed by ``change(tensors)``."""
    part_of_file = released.manifest(like)["parts"]["main"]
    tensors = {
        part_of_file.get("prefix", "") + entry["name"]: torch.zeros(()).expand(entry["shape"])
        for entry in part_of_file["tensors"]
    }
    if change is not None:
        change(tensors)
    path = folder / "file.pt"
    torch.save({part: tensors, "epoch": 45, "best_metric": np.float64(0.5)}, path)
    return path


def test_a_file_loads_without_being_touched(tmp_path: Path) -> None:
    path = hollow(tmp_path, "laion")
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    encoder = build("laion", path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert all(not value.any() for value in encoder.state_dict().values())  # nothing random is left


@pytest.mark.parametrize("legacy", [True, False])
def test_position_ids_may_be_there_or_not(legacy: bool, tmp_path: Path) -> None:
    key = "module.text_branch.embeddings.position_ids"
    path = hollow(tmp_path, "laion_unfused", change=None if legacy else lambda tensors: tensors.pop(key))
    assert isinstance(build("laion_unfused", path), LaionClap)


def test_an_unknown_key_is_refused_by_name(tmp_path: Path) -> None:
    path = hollow(tmp_path, "laion", change=lambda tensors: tensors.update({"module.extra": torch.zeros(2)}))
    with pytest.raises(ValueError, match=r"model 'laion': .*file\.pt does not fit: unexpected extra\."):
        build("laion", path)


def test_a_missing_key_is_refused_by_name(tmp_path: Path) -> None:
    path = hollow(
        tmp_path,
        "laion",
        change=lambda tensors: tensors.pop("module.audio_branch.layers.2.blocks.3.attn.qkv.bias"),
    )
    with pytest.raises(
        ValueError, match=r"missing audio_branch\.layers\.2\.blocks\.3\.attention\.self\.key\.bias"
    ):
        build("laion", path)


def test_another_shape_is_refused_by_name(tmp_path: Path) -> None:
    key = "text_projection.0.weight"
    path = hollow(
        tmp_path, "laion", change=lambda tensors: tensors.update({f"module.{key}": torch.zeros(512, 1024)})
    )
    with pytest.raises(ValueError, match=rf"{key} has shape \(512, 1024\), needed \(512, 768\)"):
        build("laion", path)


@pytest.mark.parametrize(
    ("asked", "like", "part"),
    [
        ("laion", "laion_unfused", "state_dict"),
        ("laion_unfused", "laion", "state_dict"),
        ("laion", "mga", "model"),
        ("laion_unfused", "m2d", "model"),
    ],
)
def test_a_file_of_another_model_is_refused_with_the_yaml_that_fits(
    asked: str, like: str, part: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=rf"model '{asked}': .*It looks like a file of model={like}\."):
        build(asked, hollow(tmp_path, like, part=part))


@pytest.mark.parametrize("window", [0.0, -1.0, 10.5])
def test_a_window_that_the_model_cannot_take_is_refused(window: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model 'laion': window must be .* got .*Set model\.window=10"):
        build("laion", tmp_path / "never-read.pt", window=window)


def test_a_missing_file_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"model 'laion': no checkpoint at .*Set model\.checkpoint=PATH"
    ):
        build("laion", tmp_path / "absent.pt")


def test_int16_truncates_toward_zero_and_clips() -> None:
    wave = torch.tensor([0.9, -0.9, 1.0, -1.0, 1.5, -2.0, 1.9999, -1.9999, 2.0]) / torch.tensor(
        [32767.0, 32767.0, 1, 1, 1, 1, 32767.0, 32767.0, 32767.0]
    )
    steps = [0, 0, 32767, -32767, 32767, -32767, 1, -1, 2]
    assert torch.equal(through_int16(wave), torch.tensor(steps) / 32767.0)


@pytest.mark.parametrize(
    ("length", "wanted"),
    [
        (1, [1, 1, 1, 1, 1, 1, 1]),
        (3, [1, 2, 3, 1, 2, 3, 0]),  # whole repeats alone
        (4, [1, 2, 3, 4, 0, 0, 0]),  # beyond half, once
        (7, [1, 2, 3, 4, 5, 6, 7]),
        (9, [1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_repeat_pad(length: int, wanted: list[int]) -> None:
    wave = torch.arange(1.0, length + 1)
    assert repeat_pad(wave, samples=7).tolist() == wanted


def test_the_factor_on_cosines_is_the_file_s(encoder: LaionClap) -> None:
    assert encoder.logit_scale == pytest.approx(100.0)


def test_a_file_without_a_factor_on_cosines_has_none(tmp_path: Path) -> None:
    path = hollow(tmp_path, "laion_unfused", change=lambda tensors: tensors.pop("module.logit_scale_a"))
    assert build("laion_unfused", path).logit_scale is None


def test_while_it_trains_the_tower_hears_the_whole_batch(
    encoder: LaionClap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BatchNorm's statistics are those of the batch, not of what a CPU encodes at once."""
    batches: list[int] = []

    def tower(log_mel: Tensor) -> SimpleNamespace:
        batches.append(len(log_mel))
        return SimpleNamespace(pooler_output=log_mel.new_zeros(len(log_mel), 768))

    monkeypatch.setattr(encoder.audio_branch, "forward", tower)
    heard = [torch.zeros(1, 1001, 64) for _ in range(6)]
    encoder.audio_states(heard)
    monkeypatch.setattr(encoder.audio_branch, "training", True)
    encoder.audio_states(heard)
    assert batches == [4, 2, 6]


def test_what_fuses_views_of_a_clip_is_not_trained(encoder: LaionClap) -> None:
    parts = [
        *encoder.towers["audio"],
        *encoder.towers["text"],
        *encoder.heads["audio"],
        *encoder.heads["text"],
    ]
    left = {
        name
        for name, _ in encoder.named_parameters()
        if not any(name == part or name.startswith(f"{part}.") for part in parts)
    }
    fusing = ("audio_branch.patch_embed.fusion_model.", "audio_branch.patch_embed.mel_conv2d.")
    assert all(name.startswith(fusing) for name in left)
    assert bool(left) == (encoder.name == "laion")
