"""Broken clips: all told together before anything is encoded, left out where that is allowed, looked for once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
from conftest import Compose
from fixtures import captioned_clips, labelled_clips, other_interpreter, pairs_folder

from clapbench.encoders.base import Hearing, hearing
from clapbench.encoders.laion import LaionClap
from clapbench.encoders.mini import MiniClap
from clapbench.running import clips, encoding, evaluate, plan


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the clips that are decoded to find out whether they can be, from here on."""
    seen: list[str] = []
    load = clips.load_wave

    def counted(path: Path, **how):
        seen.append(path.name)
        return load(path, **how)

    monkeypatch.setattr(clips, "load_wave", counted)
    return seen


@pytest.fixture
def pairs(composed: Compose, tmp_path: Path):
    """``pairs("bench.allow_missing=true")``: a configuration of five items."""
    chosen = pairs_folder(tmp_path, items=5)
    common = ["bench=pairs", *chosen, "logger=none", "trainer=cpu", f"outputs={tmp_path / 'o'}"]
    return lambda *more: composed("evaluate", *common, "probes=[gap_l2]", *more)


def break_clips(folder: Path, *names: str) -> None:
    """Every second one is no sound, the others are silent."""
    for number, name in enumerate(names):
        if number % 2:
            soundfile.write(folder / name, [0.0] * 8000, 8000)
        else:
            (folder / name).write_text("no sound", encoding="utf-8")


def test_all_broken_clips_are_told_before_the_model_is_loaded(
    pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_clips(tmp_path, "0_pair.wav", "1_reversed.wav", "3_pair.wav", "3_reversed.wav")
    monkeypatch.setattr(encoding, "Encoding", None)
    with pytest.raises(ValueError, match="4 of 10 clips cannot be read") as caught:
        evaluate.evaluate(pairs())
    told = str(caught.value)
    assert "0_pair.wav (row 1): needed a sound file" in told
    assert "1_reversed.wav (row 2): is silent" in told
    assert "3_pair.wav (row 4): needed" in told
    assert "; and 1 more." in told
    assert "bench.allow_missing=true" in told


def test_what_was_found_is_remembered_until_the_clips_change(
    pairs, tmp_path: Path, decoded: list[str]
) -> None:
    break_clips(tmp_path, "0_pair.wav")
    for _ in range(2):
        with pytest.raises(ValueError, match="1 of 10 clips"):
            evaluate.evaluate(pairs())
        assert len(decoded) == 10
    with pytest.raises(ValueError, match="1 of 10 clips"):
        plan.describe(pairs())
    pairs_folder(tmp_path, items=5)
    assert evaluate.evaluate(pairs()).n_items == 5
    assert len(decoded) == 20
    assert evaluate.evaluate(pairs("force=true")).n_items == 5
    assert evaluate.evaluate(pairs("model=mini_bag")).n_items == 5
    assert len(decoded) == 20


def test_their_items_are_left_out_and_counted_apart_from_missing_ones(
    pairs, tmp_path: Path, decoded: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    break_clips(tmp_path, "0_pair.wav", "0_reversed.wav")
    (tmp_path / "2_pair.wav").unlink()
    cell = evaluate.evaluate(pairs("bench.allow_missing=true"))
    assert (cell.n_items, cell.dropped_items) == (3, 2)
    assert (cell.extra["missing_clips"], cell.extra["broken_clips"]) == (1, 2)
    assert "2 items left out: 1 clips are missing, 2 clips cannot be read" in capsys.readouterr().out
    n = len(decoded)
    assert evaluate.evaluate(pairs("bench.allow_missing=true")) == cell
    assert plan.describe(pairs("bench.allow_missing=true")) == "done"
    assert len(decoded) == n


def test_the_key_is_that_of_the_items_that_are_left(pairs, composed: Compose, tmp_path: Path) -> None:
    break_clips(tmp_path, "4_pair.wav")
    left_out = evaluate.evaluate(pairs("bench.allow_missing=true"))
    rows = (tmp_path / "items.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "items.csv").write_text("\n".join(rows[:-1]) + "\n", encoding="utf-8")
    whole = evaluate.evaluate(pairs("sweep=other"))
    assert (left_out.config_key, left_out.scores) == (whole.config_key, whole.scores)
    assert "broken_clips" not in whole.extra


@pytest.mark.parametrize(("bench", "made"), [("retrieval", captioned_clips), ("zeroshot", labelled_clips)])
def test_a_benchmark_of_one_case_loses_single_clips(
    composed: Compose, tmp_path: Path, bench: str, made
) -> None:
    common = [f"bench={bench}", *made(tmp_path), "logger=none", "trainer=cpu", f"outputs={tmp_path / 'o'}"]
    break_clips(tmp_path, "2.wav")
    cell = evaluate.evaluate(composed("evaluate", *common, "probes=[gap_l2]", "bench.allow_missing=true"))
    assert (cell.n_items, cell.dropped_items, cell.extra["broken_clips"]) == (2, 1, 1)
    assert cell.embeddings["n_audio"] == 2


def test_nothing_left_is_an_error(pairs, tmp_path: Path) -> None:
    break_clips(tmp_path, *(f"{item}_pair.wav" for item in range(5)))
    with pytest.raises(ValueError, match="no item is left, 5 of 10 clips cannot be read"):
        evaluate.evaluate(pairs("bench.allow_missing=true"))


def test_cached_embeddings_and_models_outside_need_no_look(
    pairs, tmp_path: Path, decoded: list[str], composed: Compose
) -> None:
    evaluate.evaluate(pairs())
    assert len(decoded) == 10
    for memory in (tmp_path / "o/cache/clips").iterdir():
        memory.unlink()
    evaluate.evaluate(pairs("sweep=other"))
    evaluate.evaluate(pairs("model=external", *other_interpreter(tmp_path)))
    assert len(decoded) == 10


def test_a_damaged_memory_counts_as_none(pairs, tmp_path: Path, decoded: list[str]) -> None:
    evaluate.evaluate(pairs())
    (memory,) = (tmp_path / "o/cache/clips").iterdir()
    assert json.loads(memory.read_text(encoding="utf-8")) == {"bench": "pairs", "clips": 10, "broken": {}}
    memory.write_text('{"broken": [', encoding="utf-8")
    evaluate.evaluate(pairs("force=true"))
    assert len(decoded) == 20


def test_what_a_model_hears_is_known_without_its_weights() -> None:
    assert hearing(MiniClap, {"window": 2.5}) == Hearing(16_000, 2.5)
    assert hearing(MiniClap, {}) == Hearing(16_000, 6.0)
    assert hearing(LaionClap, {"window": None}) == Hearing(48_000, None)
    for refused_later in (-1, 0, float("nan"), "abc"):
        assert hearing(MiniClap, {"window": refused_later}) is None
