"""MGA-CLAP: the original's numbers, sparsemax by its definition, rows of their clip alone, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import released
import torch
from conftest import ROOT
from omegaconf import OmegaConf
from scipy.optimize import minimize
from torch import Tensor

from clapbench import config
from clapbench.encoders.base import unit
from clapbench.encoders.mga import MgaClap, mix_codes, sparsemax

LOG_MELS = (0, 3, 5)  # clips whose golden log-mel is kept: short, longer than the window, near-silent
CLIPS = range(6)


def build(checkpoint: Path, **arguments: Any) -> MgaClap:
    """The encoder of conf/model/mga.yaml with another checkpoint and the small tokenizer."""
    written = OmegaConf.to_container(
        config.without_levels(OmegaConf.load(ROOT / "conf" / "model" / "mga.yaml"))
    )
    assert written.pop("_target_") == "clapbench.encoders.mga.MgaClap"
    chosen = {"checkpoint": str(checkpoint), "tokenizer": str(released.folder() / "bert-base-uncased")}
    return MgaClap(**written | chosen | arguments)


@pytest.fixture(scope="module")
def encoder() -> MgaClap:
    return build(released.checkpoint("mga"))


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return released.golden("mga")


@pytest.fixture(scope="module")
def waves() -> list[Tensor]:
    return [torch.from_numpy(released.wave("mga", clip)) for clip in CLIPS]


@pytest.fixture(scope="module")
def rows(encoder: MgaClap, waves: list[Tensor]) -> Tensor:
    """All six clips as one batch, two of them beyond 10 s."""
    with torch.inference_mode():
        return encoder.embed_audio(waves)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def distance(rows: Tensor, others: np.ndarray | Tensor) -> float:
    """The largest L2 distance between unit rows."""
    return float((unit(rows) - unit(torch.as_tensor(others))).norm(dim=1).max())


def tokens(golden: dict[str, np.ndarray]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(golden["input_ids"]), torch.from_numpy(golden["attention_mask"])


def test_audio_from_golden_log_mel(encoder: MgaClap, golden: dict[str, np.ndarray]) -> None:
    log_mels = [torch.from_numpy(golden[f"logmel_{clip}"]).unsqueeze(0) for clip in LOG_MELS]
    features = encoder.audio_head(encoder.audio_states(log_mels))
    assert distance(features, golden["audio_pre"][[*LOG_MELS]]) < 1e-5
    np.testing.assert_allclose(features, golden["audio_pre"][[*LOG_MELS]], rtol=0, atol=2e-5)


def test_frames_of_golden_log_mel(encoder: MgaClap, golden: dict[str, np.ndarray]) -> None:
    """32 in order of time, before and after their projection."""
    (frames,) = encoder.audio_states([torch.from_numpy(golden["logmel_0"])[None]])
    assert distance(frames, golden["frame_feats_0"]) < 1e-5
    assert distance(encoder.frame_proj(frames), golden["frame_embeds_0"]) < 1e-5


def test_log_mel(encoder: MgaClap, golden: dict[str, np.ndarray], waves: list[Tensor]) -> None:
    """Zero-padded and cut to 10 s; what lies near the floor of -100 dB is rounding noise."""
    log_mels = encoder.log_mel([waves[clip] for clip in LOG_MELS])
    assert log_mels.shape == (len(LOG_MELS), 1, 1001, 64)
    for clip, (log_mel,) in zip(LOG_MELS, log_mels, strict=True):
        wanted = torch.from_numpy(golden[f"logmel_{clip}"])
        assert (log_mel - wanted)[wanted > -60].abs().max() < 0.01
        assert (log_mel - wanted).abs().median() < 1e-3


def test_audio_end_to_end(rows: Tensor, golden: dict[str, np.ndarray]) -> None:
    assert distance(rows, golden["audio_pre"]) < 1e-3


def test_a_clip_alone_is_the_clip_among_others(encoder: MgaClap, rows: Tensor, waves: list[Tensor]) -> None:
    """Twice the same to the last bit, and the same in any company to 1e-5."""
    assert torch.equal(encoder.embed_audio(waves), rows)
    assert distance(torch.cat([encoder.embed_audio([wave]) for wave in waves]), rows) < 1e-5
    assert distance(encoder.embed_audio(waves[::-1]).flip(0), rows) < 1e-5


def test_only_the_head_counts(encoder: MgaClap, waves: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "window", 1.5)
    assert torch.equal(encoder.embed_audio([waves[0]]), encoder.embed_audio([waves[0][:48_000]]))


def test_text(encoder: MgaClap, golden: dict[str, np.ndarray]) -> None:
    """From ids, from captions, and from captions one by one, whose batch has no padding."""
    captions = golden["captions"].tolist()
    for given, wanted in zip(encoder.tokenize(captions), tokens(golden), strict=True):
        assert torch.equal(given, wanted)
    together = encoder.embed_text(captions)
    assert torch.equal(encoder.embed_tokens(*tokens(golden)), together)
    assert distance(together, golden["text_pre"]) < 5e-5
    alone = torch.cat([encoder.embed_text([caption]) for caption in captions])
    assert distance(alone, golden["text_single_pre"]) < 5e-5
    assert distance(alone, together) < 1e-5


def test_padding_beyond_the_longest_caption_changes_nothing(
    encoder: MgaClap, golden: dict[str, np.ndarray]
) -> None:
    padded = [torch.nn.functional.pad(part, (0, 7)) for part in tokens(golden)]
    assert torch.equal(encoder.embed_tokens(*padded), encoder.embed_tokens(*tokens(golden)))


@pytest.mark.parametrize("scale", ["0.001", "0.01", "0.1"])
def test_masked_words_ask_for_every_code_by_zero(
    encoder: MgaClap, golden: dict[str, np.ndarray], scale: str
) -> None:
    """At full scale a mask of minus infinity would give the same; on words scaled down it does not."""
    ids, mask = tokens(golden)
    states = encoder.token_states(ids, mask)
    words = encoder.word_proj(torch.nn.utils.rnn.pad_sequence(states, batch_first=True)) * float(scale)
    heard = torch.from_numpy(golden["word_mask"]).bool()
    assert [len(own) - 1 for own in states] == heard.sum(dim=1).tolist()
    wanted = golden[f"msc_text_scale_{scale}"]
    assert distance(mix_codes(words, heard=heard, codes=encoder.codebook), wanted) < 5e-5
    if scale == "0.001":
        absent = [
            mix_codes(
                row[present][None], heard=torch.ones(1, int(present.sum())).bool(), codes=encoder.codebook
            )
            for row, present in zip(words, heard, strict=True)
        ]
        assert distance(torch.cat(absent), wanted) > 1e-2


def test_a_caption_without_words_is_the_mean_of_all_codes(encoder: MgaClap) -> None:
    assert distance(encoder.embed_text([""]), encoder.codebook.mean(dim=0, keepdim=True)) < 1e-5


def test_captions_beyond_30_tokens_are_counted_and_truncated(encoder: MgaClap) -> None:
    assert encoder.coverage(["rain " * 40, "rain"]) == {"truncated_captions": 1}
    ids, _ = encoder.tokenize(["rain " * 40, "rain " * 28])
    assert ids.shape == (2, 30)
    assert torch.equal(ids[0], ids[1])  # [SEP] is kept
    assert encoder.canonical("Rain") == encoder.canonical("rain") != encoder.canonical("rain rain")


def test_captions_are_given_as_they_are(encoder: MgaClap) -> None:
    """The original's datasets would blank the comma; the tokenizer keeps it."""
    assert encoder.canonical("dog, rain") != encoder.canonical("dog rain")


def test_the_codebook_is_read_in_float32_under_autocast(encoder: MgaClap) -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(2, 32, 1024, generator=generator).bfloat16()
    heard = torch.ones(2, 32, dtype=torch.bool)
    plain = mix_codes(frames, heard=heard, codes=encoder.codebook)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(mix_codes(frames, heard=heard, codes=encoder.codebook), plain)
    assert plain.dtype == torch.float32


def test_other_weights_and_modern_keys_give_other_rows(
    waves: list[Tensor], golden: dict[str, np.ndarray]
) -> None:
    """``position_ids`` is absent from what transformers saves since 4.31."""
    other = build(released.checkpoint("mga", salt="other", modern=True))
    assert distance(other.embed_audio(waves[:1]), golden["audio_pre"][:1]) > 0.1
    assert distance(other.embed_text(golden["captions"].tolist()), golden["text_pre"]) > 0.1


def test_the_factor_on_cosines_is_one_over_the_file_s_temperature(encoder: MgaClap) -> None:
    assert encoder.logit_scale == pytest.approx(1 / 0.07)


def test_states_of_captions_are_their_words_and_sep(encoder: MgaClap) -> None:
    states = encoder.text_states(["rain", "a dog", ""])
    assert [len(own) for own in states] == [2, 3, 1]


def test_everything_is_float32_and_evaluates(encoder: MgaClap) -> None:
    assert all(value.dtype == torch.float32 for value in encoder.parameters())
    assert not any(module.training for module in encoder.modules())


def hollow(folder: Path, model: str, *, part: str, without: str | None = None) -> Path:
    """A small file with the keys and shapes of ``model``."""
    tensors = {
        entry["name"]: torch.zeros(()).expand(entry["shape"])
        for entry in released.manifest(model)["parts"]["main"]["tensors"]
        if entry["name"] != without
    }
    torch.save({part: tensors}, folder / "hollow.pt")
    return folder / "hollow.pt"


@pytest.mark.parametrize(
    ("like", "part"),
    [("laion", "state_dict"), ("laion_unfused", "model"), ("m2d", "model"), ("m2d_2024", "model")],
)
def test_a_file_of_another_model_is_refused_with_the_yaml_that_fits(
    like: str, part: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=rf"model 'mga': .*It looks like a file of model={like}\."):
        build(hollow(tmp_path, like, part=part))


@pytest.mark.parametrize(
    ("key", "own"),
    [
        ("codebook", "codebook"),
        (
            "audio_encoder.audio_enc.layers.3.blocks.1.attn.qkv.bias",
            "audio_encoder.layers.3.blocks.1.value.bias",
        ),
        (
            "text_encoder.text_encoder.encoder.layer.7.output.dense.bias",
            "text_encoder.encoder.layer.7.output.dense.bias",
        ),
    ],
)
def test_a_missing_key_is_refused_by_name(key: str, own: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"model 'mga': .* does not fit: missing {own}"):
        build(hollow(tmp_path, "mga", part="model", without=key))


@pytest.mark.parametrize("window", [0.0, -1.0, 10.5, float("nan")])
def test_a_window_that_the_model_cannot_take_is_refused(window: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model 'mga': window must be .* got .*Set model\.window=10"):
        build(tmp_path / "never-read.pt", window=window)


def test_a_missing_file_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"model 'mga': no checkpoint at .*Set model\.checkpoint=PATH"
    ):
        build(tmp_path / "absent.pt")


def test_sparsemax_is_the_nearest_point_of_the_simplex() -> None:
    """Against the quadratic programme that defines it."""
    rng = np.random.default_rng(0)
    for scale in (0.1, 0.5, 2.0):
        z = scale * rng.standard_normal(6)
        nearest = minimize(
            lambda p, z=z: ((p - z) ** 2).sum(),
            x0=np.full(6, 1 / 6),
            jac=lambda p, z=z: 2 * (p - z),
            bounds=[(0, 1)] * 6,
            constraints={"type": "eq", "fun": lambda p: p.sum() - 1},
            tol=1e-12,
        )
        np.testing.assert_allclose(sparsemax(torch.from_numpy(z)), nearest.x, atol=1e-6)


def test_sparsemax_of_many_is_a_distribution_with_one_threshold() -> None:
    """The optimality conditions: above zero all lie below their score by the same, at zero none would gain."""
    z = 0.05 * torch.randn(8, 4096, generator=torch.Generator().manual_seed(0))
    p = sparsemax(z)
    torch.testing.assert_close(p.sum(dim=1), torch.ones(8), rtol=0, atol=1e-5)
    for scores, shares in zip(z, p, strict=True):
        threshold = (scores - shares)[shares > 0]
        assert threshold.max() - threshold.min() < 1e-6
        assert scores[shares == 0].max() <= threshold.max() + 1e-6


def test_sparsemax_of_ties_a_shift_and_a_winner() -> None:
    assert torch.equal(
        sparsemax(torch.tensor([0.3, 0.3, -5.0, 0.3]))[[0, 1, 3]].unique(), torch.tensor([1 / 3])
    )
    assert torch.equal(sparsemax(torch.tensor([5.0, 1.0, 2.0])), torch.tensor([1.0, 0.0, 0.0]))
    z = torch.tensor([0.5, 0.25, -0.125])
    assert torch.equal(sparsemax(z + 1024), sparsemax(z))


@torch.enable_grad()
def test_sparsemax_has_its_gradient() -> None:
    z = torch.tensor([[0.9, 0.5, -1.0, 0.3], [3.0, 0.1, 0.2, 0.3]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sparsemax, z)
