"""M2D-CLAP equals the original number for number: 2025, January 2024, and the stacked audio features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import released
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from clapbench.encoders.base import unit
from clapbench.encoders.m2d import M2dClap, M2dClap2024, M2dPair, M2dStacked, Stacked

LOG_MELS = (0, 3, 5)  # clips whose golden log-mel is kept: short, longer than a chunk, near-silent
FITTING = (0, 1, 2, 5)  # clips of at most ten seconds
CLIPS = range(6)


def build(model: str, *, checkpoint: Path | None = None, text: Path | None = None, **changed) -> M2dPair:
    place = released.folder(model)
    arguments = {
        "name": model,
        "checkpoint": str(checkpoint or released.checkpoint(model)),
        "tokenizer": str(place / "bert-base-uncased"),
        **changed,
    }
    if model == "m2d":
        return M2dClap(**arguments)
    return M2dClap2024(**arguments, text_checkpoint=str(text or place / "gte-base" / "model.safetensors"))


def build_stacked(checkpoint: Path) -> M2dStacked:
    return M2dStacked(name="m2d_stacked", checkpoint=str(checkpoint))


@pytest.fixture(scope="module", params=["m2d", "m2d_2024"])
def encoder(request: pytest.FixtureRequest) -> M2dPair:
    return build(request.param)


@pytest.fixture(scope="module")
def golden(encoder: M2dPair) -> dict[str, np.ndarray]:
    return released.golden(encoder.name)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def distance(rows: Tensor, others: np.ndarray | Tensor) -> float:
    """The largest L2 distance between unit rows."""
    return float((unit(rows) - unit(torch.as_tensor(others))).norm(dim=1).max())


def waves(model: str, *clips: int) -> list[Tensor]:
    return [torch.from_numpy(released.wave(model, clip)) for clip in clips]


def noise(*seconds: float) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [0.1 * torch.randn(round(s * 16_000), generator=generator) for s in seconds]


def log_mels(golden: dict[str, np.ndarray]) -> list[Tensor]:
    return [torch.from_numpy(golden[f"logmel_{clip}"]).unsqueeze(0) for clip in LOG_MELS]


def test_audio_from_golden_log_mel(encoder: M2dPair, golden: dict[str, np.ndarray]) -> None:
    rows = encoder.audio_head(encoder.audio_states([log_mel for (log_mel,) in log_mels(golden)]))
    assert distance(rows, golden["audio_pre"][[*LOG_MELS]]) < 1e-5
    np.testing.assert_allclose(rows, golden["audio_pre"][[*LOG_MELS]], rtol=0, atol=2e-5)


def test_tokens_of_golden_log_mel(encoder: M2dPair, golden: dict[str, np.ndarray]) -> None:
    for clip, log_mel in zip(LOG_MELS, log_mels(golden), strict=True):
        tokens = encoder.backbone(log_mel)
        assert tokens.shape == (1, 5, golden["stack_frames"][clip], 768)
        assert tokens.shape[1] * tokens.shape[2] == golden["n_tokens"][clip]
        assert distance(tokens.mean(dim=(1, 2)), golden["flat_pool"][[clip]]) < 1e-5
        if "stack_pool" in golden:
            assert distance(Stacked()(tokens), golden["stack_pool"][[clip]]) < 1e-5


def test_a_chunk_ends_with_its_last_whole_column(encoder: M2dPair) -> None:
    """Of 1001 frames 992 lie in columns, and 1000 are not padded to one more; frame 1002 opens another chunk."""
    frames, columns = encoder.backbone.frames, encoder.backbone.columns
    full = torch.randn(1, 80, frames + 1, generator=torch.Generator().manual_seed(0))
    assert encoder.backbone(full).shape[2] == columns + 1
    tokens = encoder.backbone(full[..., :frames])
    assert tokens.shape[2] == encoder.backbone(full[..., : frames - 1]).shape[2] == columns
    torch.testing.assert_close(encoder.backbone(full[..., : 16 * columns]), tokens)


def test_whole_clips_end_to_end(
    encoder: M2dPair, golden: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "window", None)
    assert distance(encoder.embed_audio(waves(encoder.name, *CLIPS)), golden["audio_pre"]) < 2e-5


def test_ten_seconds_end_to_end(encoder: M2dPair, golden: dict[str, np.ndarray]) -> None:
    assert encoder.window == 10.0
    rows = encoder.embed_audio(waves(encoder.name, *FITTING))
    assert distance(rows, golden["audio_pad10_pre"][[*FITTING]]) < 2e-5


def test_a_longer_window_is_cut_into_chunks(
    encoder: M2dPair, golden: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "window", 10.7)
    assert distance(encoder.embed_audio(waves(encoder.name, 3)), golden["audio_pre"][[3]]) < 2e-5


def test_only_the_head_counts(encoder: M2dPair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "window", 1.5)
    (clip,) = waves(encoder.name, 0)
    assert torch.equal(encoder.embed_audio([clip]), encoder.embed_audio([clip[:24_000]]))


@pytest.mark.parametrize("window", [1.0, None])
def test_a_clip_alone_is_the_clip_among_others(
    encoder: M2dPair, window: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "window", window)
    clips = noise(1.3, 0.5, 0.005, 0.5, 3.2)  # 5 ms are less than a frame of the spectrum
    together = encoder.embed_audio(clips)
    assert distance(together, torch.cat([encoder.embed_audio([clip]) for clip in clips])) < 1e-5
    assert distance(together, encoder.embed_audio(clips[::-1]).flip(0)) < 1e-5


def test_text(encoder: M2dPair, golden: dict[str, np.ndarray]) -> None:
    captions = golden["captions"].tolist()
    ids, mask = torch.from_numpy(golden["input_ids"]), torch.from_numpy(golden["attention_mask"])
    assert torch.equal(encoder.tokenize(captions)[0], ids)
    for rows in (encoder.embed_tokens(ids, mask), encoder.embed_text(captions)):
        assert distance(rows, golden["text_pre"]) < 5e-5
    alone = torch.cat([encoder.embed_text([caption]) for caption in captions])
    assert distance(alone, golden["text_single_pre"]) < 5e-5


def test_captions_beyond_512_tokens_are_counted_and_truncated(encoder: M2dPair) -> None:
    captions = ["rain " * 600, "rain"]
    assert encoder.coverage(captions) == {"truncated_captions": 1}
    ids, _ = encoder.tokenize(captions)
    assert ids.shape == (2, 512)
    assert encoder.embed_text(captions).isfinite().all()
    assert encoder.canonical("Rain") == encoder.canonical("rain") != encoder.canonical("rain rain")


def test_the_file_brings_its_normalisation(encoder: M2dPair, golden: dict[str, np.ndarray]) -> None:
    """That of 2024 has none, and takes -7.1 and 4.2."""
    np.testing.assert_array_equal(encoder.backbone.norm_stats, golden["norm_stats"])


def test_the_factor_on_cosines_is_the_file_s_of_2024(encoder: M2dPair) -> None:
    """That of 2025 holds none."""
    wanted = {"m2d": None, "m2d_2024": pytest.approx(1 / 0.07)}
    assert encoder.logit_scale == wanted[encoder.name]


def test_everything_is_float32_and_evaluates(encoder: M2dPair) -> None:
    """GTE-base is stored as fp16."""
    assert {value.dtype for value in encoder.state_dict().values()} == {torch.float32}
    assert not any(module.training for module in encoder.modules())


def test_gte_from_a_folder_and_without_position_ids(tmp_path: Path) -> None:
    released_file = released.folder("m2d_2024") / "gte-base" / "model.safetensors"
    tensors = load_file(released_file)
    assert tensors.pop("embeddings.position_ids").shape == (1, 512)
    assert tensors["embeddings.LayerNorm.weight"].dtype == torch.float16
    save_file(tensors, tmp_path / "model.safetensors")
    golden = released.golden("m2d_2024")
    rows = build("m2d_2024", text=tmp_path).embed_text(golden["captions"].tolist())
    assert distance(rows, golden["text_pre"]) < 5e-5


def test_other_weights_give_other_rows() -> None:
    other = build("m2d", checkpoint=released.checkpoint("m2d", salt="other", modern=True), window=None)
    golden = released.golden("m2d")
    assert distance(other.embed_audio(waves("m2d", 0)), golden["audio_pre"][:1]) > 0.1
    assert distance(other.embed_text(golden["captions"].tolist()), golden["text_pre"]) > 0.1


def test_stacked_features_have_3840_dimensions_and_no_text() -> None:
    encoder = build_stacked(released.checkpoint("m2d"))
    encoder.window = None
    rows = encoder.embed_audio(waves("m2d", *LOG_MELS))
    assert rows.shape == (len(LOG_MELS), 3840)
    assert distance(rows, released.golden("m2d")["stack_pool"][[*LOG_MELS]]) < 2e-5
    assert encoder.sides == ("audio",)
    ids = torch.ones(1, 3, dtype=torch.long)
    for ask in (lambda: encoder.embed_text(["rain"]), lambda: encoder.embed_tokens(ids, ids)):
        with pytest.raises(
            ValueError, match=r"'m2d_stacked': has no text side: .* Set model=m2d for captions"
        ):
            ask()


@pytest.mark.parametrize(("model", "given"), [("m2d", "m2d_2024"), ("m2d_2024", "m2d")])
def test_another_release_is_refused_and_named(model: str, given: str) -> None:
    key = r"backbone\.audio_proj\.norm\.bias" if model == "m2d" else r"audio_proj\.0\.bias"
    with pytest.raises(
        ValueError, match=rf"'{model}'.* does not fit: .*missing {key}.* file of model={given}\."
    ):
        build(model, checkpoint=released.checkpoint(given))


def test_stacked_takes_the_file_of_2025_alone() -> None:
    with pytest.raises(ValueError, match=r"missing backbone\..* file of model=m2d_2024\."):
        build_stacked(released.checkpoint("m2d_2024"))


@pytest.mark.parametrize("model", ["m2d", "m2d_2024"])
def test_a_file_of_laion_is_refused_and_named(model: str, tmp_path: Path) -> None:
    keys = [entry["name"] for entry in released.manifest("laion")["parts"]["main"]["tensors"]]
    path = tmp_path / "630k-audioset-fusion-best.pt"
    torch.save({"epoch": 1, "state_dict": {f"module.{key}": torch.zeros(1) for key in keys}}, path)
    with pytest.raises(ValueError, match=r"needs its tensors under 'model', .* file of model=laion\."):
        build(model, checkpoint=path)


@pytest.mark.parametrize("model", ["m2d", "m2d_2024"])
@pytest.mark.parametrize("window", [0.0, -1.0, float("nan")])
def test_a_window_without_length_is_refused(model: str, window: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"'{model}': window must be positive seconds or null, got"):
        build(model, checkpoint=tmp_path, text=tmp_path, window=window)
