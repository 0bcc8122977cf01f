"""What a run asks of its model: a certificate, one side only, compiled towers, weights that may not be downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from conftest import Command, Compose
from fixtures import other_interpreter, pairs_folder

from clapbench import report
from clapbench.config import ConfigError
from clapbench.encoders.mini import MiniClap
from clapbench.results import table
from clapbench.running import encoding, evaluate, plan
from clapbench.running.batches import EncodingPlan


class AudioOnly(MiniClap):
    """A model without a text side."""

    sides = ("audio",)

    def text_features(self, captions: list[str]) -> torch.Tensor:
        raise ValueError("no text side")


class Drifting(MiniClap):
    """A model whose clips see their batch."""

    def audio_features(self, waves: list[torch.Tensor]) -> torch.Tensor:
        rows = super().audio_features(waves)
        return rows + rows.mean(dim=0)


@pytest.fixture
def small(composed: Compose, tmp_path: Path):
    common = (
        "bench.n=12",
        "logger=none",
        "trainer=cpu",
        f"outputs={tmp_path}",
        "probes=[rankme_audio,rankme_text]",
    )
    return lambda *overrides: composed("evaluate", *common, *overrides)


def test_a_certificate_is_in_the_cell(small) -> None:
    found = evaluate.evaluate(small("certify=true")).extra["certify"]
    assert found["n_audio"] == found["n_text"] == 16
    assert set(found["audio"]) == set(found["text"]) == {"again", "shuffled", "alone"}
    assert found["drift"] == max(*found["audio"].values(), *found["text"].values()) < 1e-5
    assert found["audio"]["again"] == 0.0


def test_a_model_whose_clips_see_their_batch_is_found(small) -> None:
    found = evaluate.evaluate(small("certify=true", f"model._target_={__name__}.Drifting")).extra["certify"]
    assert found["audio"]["alone"] > 1e-3
    assert found["text"]["alone"] < 1e-5


def test_a_certificate_is_added_to_a_done_cell_and_stays(small, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluate.evaluate(small())
    assert "certify" not in first.extra
    monkeypatch.setattr(EncodingPlan, "loaders", None)  # nothing but the sample may be encoded
    second = evaluate.evaluate(small("certify=true"))
    assert second.extra["certify"]["drift"] < 1e-5
    assert second.scores == first.scores
    assert evaluate.evaluate(small()) == second
    monkeypatch.setattr(encoding.Encoding, "certificate", None)
    assert evaluate.evaluate(small("certify=true")) == second
    assert evaluate.evaluate(small("probes=[gap_l2]")).extra["certify"] == second.extra["certify"]


def test_a_model_without_text_has_probes_of_its_audio_and_no_scores(small, tmp_path: Path, capsys) -> None:
    cell = evaluate.evaluate(small(f"model._target_={__name__}.AudioOnly", "certify=true"))
    assert cell.status == "ok"
    assert cell.scores == {"F": None, "G": None, "H": None}
    assert cell.n_items == 12
    assert cell.probes["rankme_audio"] > 1
    assert cell.probes["rankme_text"] is None
    assert "text rows, got 0" in cell.extra["undefined"]["rankme_text"]
    assert "text" not in cell.extra["certify"]
    assert cell.embeddings["n_text"] == 0
    assert "audio only" in capsys.readouterr().out
    rows = table.load(tmp_path / "default").embeddings("mini", "synth_order")
    assert rows.audio.shape == (24, 128)
    assert rows.text.shape == (0, 128)
    built = report.build(tmp_path / "default")
    report.show(built)
    assert built.correlations == ()


def test_compiling_is_asked_of_the_model_and_changes_the_key(small, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    monkeypatch.setattr(MiniClap, "compile_towers", lambda self: compiled.append(self.name))
    evaluate.evaluate(small("compile=true"))
    assert compiled == ["mini"]
    assert (
        plan.Plan.from_config(small("compile=true")).config_key != plan.Plan.from_config(small()).config_key
    )


def test_compiled_towers_give_the_same_rows(command: Command) -> None:
    """By dynamo's own backend: whether the towers can be traced, not whether a C++ compiler is there. In a process of
    its own, since dynamo cannot trace through the type checks of the tests.
    """
    code = """
import torch
from clapbench.encoders.mini import MiniClap
compile_ = torch.nn.Module.compile
torch.nn.Module.compile = lambda self, **options: compile_(self, **options, backend="eager")
encoder = MiniClap(name="mini", source="package://mini.safetensors").eval()
waves = [torch.randn(16_000, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
embed = lambda: torch.cat([encoder.embed_audio(waves), encoder.embed_text(["rain", "a dog"])])
with torch.inference_mode():
    before = embed()
    encoder.compile_towers()
    print(float((embed() - before).norm(dim=1).max()))
"""
    done = command("-c", code)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-5


@pytest.mark.parametrize("precision", ["16-true", "bf16-true"])
def test_a_precision_that_would_round_the_clips_is_refused(small, precision: str) -> None:
    with pytest.raises(
        ConfigError, match=r"trainer\.precision: needed 32-true, 16-mixed, bf16-mixed or 64-true"
    ):
        evaluate.evaluate(small(f"trainer.precision={precision}"))


def test_a_silent_clip_is_an_error_with_its_name(composed: Compose, tmp_path: Path) -> None:
    bench = pairs_folder(tmp_path)
    soundfile.write(tmp_path / "1_pair.wav", [0.0] * 8000, 8000)
    cfg = composed(
        "evaluate", "bench=pairs", *bench, "logger=none", "trainer=cpu", f"outputs={tmp_path / 'outputs'}"
    )
    with pytest.raises(ValueError, match=r"1_pair\.wav \(row 2\): is silent"):
        evaluate.evaluate(cfg)


def test_truncated_captions_are_counted_and_said(
    small, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def coverage(self: MiniClap, captions: list[str]) -> dict[str, Any]:
        return {"truncated_captions": sum(len(caption.split()) > 4 for caption in captions)}

    monkeypatch.setattr(MiniClap, "coverage", coverage)
    cell = evaluate.evaluate(small())
    assert cell.extra["truncated_captions"] > 0
    assert "longer than this model reads" in capsys.readouterr().out


def test_models_elsewhere_are_certified_where_something_is_embedded(
    composed: Compose, tmp_path: Path
) -> None:
    common = [
        "bench=pairs",
        *pairs_folder(tmp_path),
        "logger=none",
        "trainer=cpu",
        f"outputs={tmp_path / 'o'}",
    ]
    common += ["certify=true", "probes=[gap_l2]"]
    first = evaluate.evaluate(composed("evaluate", "model=external", *other_interpreter(tmp_path), *common))
    assert first.extra["certify"]["drift"] == 0.0
    assert first.extra["certify"]["n_audio"] == first.extra["certify"]["n_text"] == 4
    rows = tmp_path / "o" / "cache" / first.embeddings["path"]
    second = evaluate.evaluate(composed("evaluate", "model=precomputed", f"model.file={rows}", *common))
    assert second.extra["certify"]["drift"] is None
    assert "nothing is encoded" in second.extra["certify"]["note"]
    assert second.scores == first.scores
