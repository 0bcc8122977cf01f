"""One cell: what evaluate writes, when it is done, what it does again, and what it refuses."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Compose
from fixtures import pairs_folder
from hydra.utils import instantiate
from omegaconf import OmegaConf

import clapbench
from clapbench import config
from clapbench.config import ConfigError
from clapbench.encoders.mini import MiniClap
from clapbench.results import cache
from clapbench.running import evaluate, plan
from clapbench.schema import Cell

SMALL = ("bench.n=12", "logger=none", "trainer=cpu")


@pytest.fixture
def small(composed: Compose, tmp_path: Path):
    """``small("model=mini")``: a configuration of a few items with outputs in the temporary folder."""
    return lambda *overrides: composed("evaluate", *SMALL, f"outputs={tmp_path}", *overrides)


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of clips in each batch that a mini encoder is given from here on."""
    seen: list[int] = []
    embed = MiniClap.embed_audio

    def counted(self: MiniClap, waves: list[torch.Tensor]) -> torch.Tensor:
        seen.append(len(waves))
        return embed(self, waves)

    monkeypatch.setattr(MiniClap, "embed_audio", counted)
    return seen


def test_levels_stand_in_the_cell_and_naming_them_encodes_nothing(
    small, encodings: list[int], tmp_path: Path
) -> None:
    first = evaluate.evaluate(small())
    assert (first.recipe, first.family, first.seed) == ("mini", "infonce", 0)
    encodings.clear()
    again = evaluate.evaluate(small("model.recipe=2024_a", "model.family=null", "model.seed=3"))
    assert encodings == []
    assert (again.recipe, again.family, again.seed) == ("2024_a", "2024_a", 3)
    assert again.config_key == first.config_key
    assert Cell.read(tmp_path / "default/mini/synth_order/cell.json") == again
    with pytest.raises(ConfigError, match=r"model\.seed: needed a whole number"):
        evaluate.evaluate(small("model.seed=-1"))


def test_cell_json_holds_the_schema(small, tmp_path: Path) -> None:
    cell = evaluate.evaluate(small())
    record = json.loads((tmp_path / "default/mini/synth_order/cell.json").read_text(encoding="utf-8"))
    assert next(iter(record)) == "schema"
    assert record["schema"] == 1
    assert record["status"] == "ok"
    assert record["error"] is None
    assert (record["model"], record["bench"], record["n_items"]) == ("mini", "synth_order", 12)
    assert set(record["scores"]) == {"F", "G", "H"}
    official = record["protocols"]["official"]
    assert official["F"]["direction"] == "clip->caption"
    assert official["H"]["chance"] == pytest.approx(1 / 6)
    assert official["G"]["value"] == record["scores"]["G"]
    expected = ["rankme_audio", "rankme_text", "twonn_audio", "twonn_text"]
    expected += [f"residual_{side}_k{k}" for side in ("audio", "text") for k in (1, 5, 10)]
    expected += ["gap_l2", "gap_cosine", "gap_angle_deg"]
    assert list(record["probes"]) == expected
    assert record["embeddings"]["n_audio"] == record["embeddings"]["n_text"] == 24
    assert record["embeddings"]["dim"] == 128
    assert len(record["checkpoint"]["sha256"]) == 64
    assert {"torch", "python", "clapbench"} <= set(record["versions"])
    assert Cell.read(tmp_path / "default/mini/synth_order/cell.json") == cell


def test_a_cell_knows_the_hash_of_its_items(small, tmp_path: Path) -> None:
    cell = evaluate.evaluate(small())
    items = (tmp_path / "default/mini/synth_order/items.csv").read_bytes()
    assert cell.extra["items_sha256"] == hashlib.sha256(items).hexdigest()


def test_scores_equal_a_plain_loop_over_the_embeddings_on_disk(small, tmp_path: Path) -> None:
    cfg = small("model=mini_negatives", "bench=synth_attribute", "bench.n=20")
    cell = evaluate.evaluate(cfg)
    rows = clapbench.load(tmp_path / "default").embeddings("mini_negatives", "synth_attribute")
    clip = dict(zip(rows.audio_id, rows.audio.astype(np.float64), strict=True))
    caption = dict(zip(rows.text_id, rows.text.astype(np.float64), strict=True))
    f = g = h = 0
    for case in instantiate(cfg.bench).cases():
        (cp, cr), (tp, tr) = (clip[c] for c in case.clips), (caption[t] for t in case.captions)
        clips_choose = cp @ tp > cp @ tr and cr @ tr > cr @ tp
        captions_choose = cp @ tp > cr @ tp and cr @ tr > cp @ tr
        f, g, h = f + clips_choose, g + captions_choose, h + (clips_choose and captions_choose)
    assert cell.scores == {"F": f / 20, "G": g / 20, "H": h / 20}


def test_a_done_cell_is_returned_as_it_is(small, encodings: list[int], tmp_path: Path) -> None:
    first = evaluate.evaluate(small())
    assert sum(encodings) == 24
    path = tmp_path / "default/mini/synth_order/cell.json"
    before = path.stat().st_mtime_ns
    assert evaluate.evaluate(small()) == first
    assert path.stat().st_mtime_ns == before
    assert sum(encodings) == 24


def test_a_new_probe_is_computed_without_encoding(small, encodings: list[int]) -> None:
    first = evaluate.evaluate(small("probes=[rankme_text]"))
    assert list(first.probes) == ["rankme_text"]
    encodings.clear()
    second = evaluate.evaluate(small("probes=[rankme_text,gap_l2]"))
    assert list(second.probes) == ["rankme_text", "gap_l2"]
    assert second.probes["rankme_text"] == first.probes["rankme_text"]
    assert evaluate.evaluate(small("probes=gap_cosine")).probes.keys() == {
        "rankme_text",
        "gap_l2",
        "gap_cosine",
    }
    assert not encodings


def test_force_encodes_again_to_the_same_numbers(small, encodings: list[int]) -> None:
    first = evaluate.evaluate(small())
    encodings.clear()
    again = evaluate.evaluate(small("force=true"))
    assert sum(encodings) == 24
    assert again.scores == first.scores
    assert again.probes == first.probes


def test_another_sweep_reads_the_same_embeddings(small, encodings: list[int]) -> None:
    first = evaluate.evaluate(small())
    encodings.clear()
    second = evaluate.evaluate(small("sweep=other"))
    assert not encodings
    assert second.embeddings == first.embeddings


@pytest.mark.parametrize("change", ["model.window=1.0", "bench.seed=5", "trainer.precision=64-true"])
def test_what_changes_the_numbers_changes_the_key(small, change: str) -> None:
    assert plan.Plan.from_config(small(change)).config_key != plan.Plan.from_config(small()).config_key


def test_batch_size_and_name_do_not_change_the_key(small) -> None:
    same = plan.Plan.from_config(small("loader.batch_size=3", "model.name=other"))
    assert same.config_key == plan.Plan.from_config(small()).config_key


def test_the_bag_of_words_ties_exactly_and_scores_0(small) -> None:
    cell = evaluate.evaluate(small("model=mini_bag"))
    assert cell.scores == {"F": 0.0, "G": 0.0, "H": 0.0}
    assert cell.ties == 24  # both captions of each item tie for each of its clips


def test_the_embedded_models_are_as_good_as_the_readme_says(small) -> None:
    h = {
        (model, bench): evaluate.evaluate(small(f"model={model}", f"bench={bench}", "bench.n=100")).scores[
            "H"
        ]
        for model in ("mini", "mini_negatives", "mini_bag")
        for bench in ("synth_order", "synth_attribute")
    }
    assert h["mini_negatives", "synth_order"] > 0.95
    assert h["mini_negatives", "synth_attribute"] > 0.9
    assert 0.6 < h["mini", "synth_order"] < 0.95
    assert 0.3 < h["mini", "synth_attribute"] < 0.7
    assert h["mini_bag", "synth_order"] == h["mini_bag", "synth_attribute"] == 0


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_rows_have_unit_length_in_every_precision(small, precision: str, tmp_path: Path) -> None:
    cell = evaluate.evaluate(small(f"trainer.precision={precision}"))
    rows = cache.load(tmp_path / "cache" / cell.embeddings["path"])
    for side in (rows.audio, rows.text):
        assert side.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(side, axis=1), 1.0, atol=1e-6)


def test_a_changed_probe_is_computed_again(small, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluate.evaluate(small("probes=[twonn_text,gap_l2]"))
    configs = config.probe_configs

    def changed(names: object, arguments: Any = None) -> dict[str, Any]:
        nodes = configs(names, arguments)
        return {
            name: OmegaConf.merge(node, {"discard": 0.5}) if name == "twonn_text" else node
            for name, node in nodes.items()
        }

    monkeypatch.setattr(config, "probe_configs", changed)
    second = evaluate.evaluate(small("probes=[twonn_text,gap_l2]"))
    assert second.probes["twonn_text"] != first.probes["twonn_text"]
    assert second.probes["gap_l2"] == first.probes["gap_l2"]


def test_why_a_probe_is_undefined_stays_with_its_null(small) -> None:
    evaluate.evaluate(small("bench.n=4", "probes=[residual_text_k10]"))
    cell = evaluate.evaluate(small("bench.n=4", "probes=[gap_l2]"))
    assert cell.probes["residual_text_k10"] is None
    assert "ResidualEnergy(text)" in cell.extra["undefined"]["residual_text_k10"]


def test_a_cell_says_which_of_its_probes_read_the_matches(small) -> None:
    assert evaluate.evaluate(small("probes=[cka,gap_l2]")).extra["reads_matches"] == ["cka"]
    cell = evaluate.evaluate(small("probes=[swap_alignment,swap_separation_text]"))
    assert cell.extra["reads_matches"] == ["cka", "swap_alignment"]
    assert Cell.read(plan.cell_folder(small()) / "cell.json").extra == cell.extra


def test_a_result_is_recorded_where_there_is_no_git(small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    cell = evaluate.evaluate(small())
    assert (cell.status, cell.git_sha) == ("ok", None)


def test_a_damaged_rendering_is_rendered_again(small, tmp_path: Path) -> None:
    first = evaluate.evaluate(small())
    folder = next((tmp_path / "cache/synth").iterdir())
    (folder / "audio/00003_pair.flac").unlink()
    assert evaluate.evaluate(small()) == first
    (folder / "items.csv").unlink()
    assert evaluate.evaluate(small()) == first
    assert [child.name for child in (tmp_path / "cache/synth").iterdir()] == [folder.name]


def test_load_works_from_anywhere_and_sees_single_runs(
    small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate.evaluate(small("model=mini"))
    listing = {"cells": [{"model": "mini", "bench": "synth_order"}], "cache_dir": "../cache"}
    (tmp_path / "default/sweep.json").write_text(json.dumps(listing), encoding="utf-8")
    evaluate.evaluate(small("model=mini_bag"))
    monkeypatch.chdir("/")
    cells = clapbench.load(tmp_path / "default")
    assert list(cells["model"]) == ["mini", "mini_bag"]
    assert cells.embeddings("mini_bag", "synth_order").audio.shape == (24, 128)


def test_untrained_weights_depend_on_the_seed(small) -> None:
    first, same, other = (
        evaluate.evaluate(small("model.pretrained=false", f"sweep=s{number}", f"seed={seed}"))
        for number, seed in enumerate((0, 0, 1))
    )
    assert first.probes == same.probes
    assert first.probes != other.probes


def test_recorded_pairs_run_through_the_same_path(composed: Compose, tmp_path: Path) -> None:
    chosen = [*pairs_folder(tmp_path), "bench=pairs", "bench.name=mine", "logger=none", f"outputs={tmp_path}"]
    cell = evaluate.evaluate(composed("evaluate", *chosen))
    assert (cell.bench, cell.n_items) == ("mine", 3)
    assert 0 < cell.extra["unknown_words"] < 1
    assert cell.probes["residual_audio_k10"] is None
    assert "ResidualEnergy(audio)" in cell.extra["undefined"]["residual_audio_k10"]


def test_a_damaged_cell_or_cache_is_made_anew(
    small, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = evaluate.evaluate(small())
    cell, stored = (
        tmp_path / "default/mini/synth_order/cell.json",
        tmp_path / "cache" / first.embeddings["path"],
    )
    cell.write_text('{"schema": 1, "status"', encoding="utf-8")
    stored.write_bytes(stored.read_bytes()[:500])
    again = evaluate.evaluate(small())
    assert again.scores == first.scores
    assert str(cell) in caplog.text
    assert str(stored) in caplog.text
    assert cache.find(stored) is not None


class TestRefusals:
    @pytest.fixture
    def damaged(self, tmp_path: Path) -> str:
        """The override that names a checkpoint which cannot be read."""
        path = tmp_path / "damaged.safetensors"
        path.write_bytes((40).to_bytes(8, "little") + b"{no tensors")  # its head is that of one
        return f"model.checkpoint={path}"

    @pytest.mark.parametrize(
        ("overrides", "words"),
        [
            (["+typo=1"], "key 'typo' is not there"),
            (["+modle.name=x"], "Did you mean 'model'"),
            (["+model.windw=3"], "Did you mean 'window'"),
            (["+bench.sed=3"], "Did you mean 'seed'"),
            (["probes=[paper,rankme_txt]"], "probe 'rankme_txt' is not there. Did you mean 'rankme_text'"),
            (["model.name=a/b"], "model.name: needed a name that can be a folder"),
        ],
    )
    def test_keys_and_names(self, small, overrides: list[str], words: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="(?s).*" + words.replace(".", r"\.")):
            evaluate.evaluate(small(*overrides))
        assert not list(tmp_path.iterdir())

    def test_a_value_that_must_be_given(self, composed: Compose, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"bench\.csv: needed a value, got none\. Set bench\.csv=VALUE"):
            evaluate.evaluate(composed("evaluate", "bench=pairs", f"outputs={tmp_path}"))

    def test_an_output_folder_that_cannot_be_written(
        self, small, encodings: list[int], tmp_path: Path
    ) -> None:
        (tmp_path / "blocked").write_text("a file where the sweep's folder would go", encoding="utf-8")
        with pytest.raises(ConfigError, match="needed a folder that can be written"):
            evaluate.evaluate(small("sweep=blocked"))
        assert not encodings

    def test_a_damaged_checkpoint_is_recorded_and_raised(self, small, damaged: str, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"needed a safetensors file at .*damaged\.safetensors"):
            evaluate.evaluate(small(damaged))
        cell = Cell.read(tmp_path / "default/mini/synth_order/cell.json")
        assert cell.status == "failed"
        assert "damaged.safetensors" in (cell.error or "")

    def test_an_ok_cell_survives_failures(self, small, damaged: str, tmp_path: Path) -> None:
        first = evaluate.evaluate(small())
        for _ in range(2):
            with pytest.raises(ValueError, match="needed a safetensors file"):
                evaluate.evaluate(small(damaged))
            assert Cell.read(tmp_path / "default/mini/synth_order/cell.previous.json") == first

    def test_a_failure_keeps_its_traceback_until_the_cell_is_done(
        self, small, damaged: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(ValueError, match="needed a safetensors file"):
            evaluate.evaluate(small(damaged))
        kept = tmp_path / "default/mini/synth_order/failed.txt"
        assert "Traceback (most recent call last)" in kept.read_text(encoding="utf-8")
        assert "damaged.safetensors" in kept.read_text(encoding="utf-8")
        assert f"mini × synth_order failed. Traceback: {kept}" in caplog.text
        evaluate.evaluate(small())
        assert not kept.exists()

    @pytest.mark.parametrize("typo", ["trainer.precision=foo", "+trainer.strategy=foo"])
    def test_a_mistake_of_configuration_leaves_the_folder_as_it_was(
        self, small, tmp_path: Path, typo: str
    ) -> None:
        evaluate.evaluate(small())
        folder = tmp_path / "default/mini/synth_order"
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        with pytest.raises(ConfigError, match="trainer"):
            evaluate.evaluate(small(typo, "force=true"))
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    def test_a_missing_clip_is_named(self, composed: Compose, tmp_path: Path) -> None:
        chosen = pairs_folder(tmp_path)
        (tmp_path / "1_reversed.wav").unlink()
        with pytest.raises(FileNotFoundError, match=r"1 of 6 clips are missing .*first: 1_reversed\.wav"):
            evaluate.evaluate(
                composed("evaluate", "bench=pairs", *chosen, f"outputs={tmp_path}", "logger=none")
            )

    def test_a_clip_that_is_no_audio_is_named(self, composed: Compose, tmp_path: Path) -> None:
        chosen = pairs_folder(tmp_path)
        (tmp_path / "2_pair.wav").write_text("no sound", encoding="utf-8")
        with pytest.raises(ValueError, match=r"2_pair\.wav \(row 3\): needed a sound file"):
            evaluate.evaluate(
                composed("evaluate", "bench=pairs", *chosen, f"outputs={tmp_path}", "logger=none")
            )

    @pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
    def test_a_gpu_that_is_not_there(self, small) -> None:
        with pytest.raises(ConfigError, match=r"accelerator='gpu'.*Set trainer=cpu or trainer=auto"):
            evaluate.evaluate(small("trainer=gpu"))


def test_standing_says_what_would_be_done(small) -> None:
    assert plan.describe(small()).startswith("render 12 items, encode, score, 13 probes")
    instantiate(small().bench).cases()
    assert plan.describe(small()) == "encode 24 clips and 24 captions, score, 13 probes"
    evaluate.evaluate(small("probes=[gap_l2]"))
    assert plan.describe(small()) == "score cached embeddings, 12 new probes"
    assert plan.describe(small("probes=[gap_l2]")) == "done"
    assert plan.describe(small("probes=[gap_l2]", "force=true")).startswith("encode 24 clips")
