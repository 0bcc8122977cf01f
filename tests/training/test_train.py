"""Training: a few steps end to end, what it leaves, and that evaluate reproduces what validation last said."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from conftest import Command, Compose
from hydra.core.global_hydra import GlobalHydra
from safetensors import safe_open
from trainings import BRIEF, equal, weights

from clapbench import cli, sheets
from clapbench.config import ConfigError
from clapbench.running import evaluate
from clapbench.training import fit, result, table
from clapbench.training.learn import NotFiniteError


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training's outputs, with the weights of InfoNCE alone in train/mini."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture
def trained(plain: Path, composed: Compose) -> Path:
    """Trained once; every later test finds the result."""
    return fit.fit(composed("train", *BRIEF, f"outputs={plain}"))


@pytest.mark.parametrize(
    "chosen",
    ["objective=swapped_choice", "regularizer=[variance,covariance]", "finetune=projection", "seed=3"],
)
def test_every_choice_changes_the_weights_and_is_in_the_header(
    chosen: str, trained: Path, composed: Compose, plain: Path
) -> None:
    path = fit.fit(composed("train", *BRIEF, f"outputs={plain}", chosen, "name=chosen", "force=true"))
    assert not equal(weights(trained), weights(path))
    with safe_open(path, framework="pt") as file:
        recipe = json.loads(file.metadata()["recipe"])
    assert ",".join(recipe["regularizer"]) == ("variance,covariance" if "regularizer" in chosen else "")
    assert recipe["seed"] == (3 if "seed" in chosen else 0)
    assert recipe["objective"]["_target_"].endswith("SwappedChoice" if "objective" in chosen else "InfoNce")


def test_the_seed_decides_everything(trained: Path, composed: Compose, tmp_path: Path, plain: Path) -> None:
    same = fit.fit(composed("train", *BRIEF, f"outputs={tmp_path}", f"cache_dir={plain}/cache"))
    assert equal(weights(trained), weights(same))


def test_the_result_is_not_trained_again_nor_lost(
    trained: Path, composed: Compose, plain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = trained.stat().st_mtime_ns
    assert fit.fit(composed("train", *BRIEF, f"outputs={plain}")) == trained
    assert "done already" in capsys.readouterr().out
    other = composed("train", *BRIEF, f"outputs={plain}", "optimizer.lr=1e-4")
    with pytest.raises(ConfigError, match=r"of another configuration: optimizer.lr .*force=true"):
        fit.fit(other)
    assert trained.stat().st_mtime_ns == before


def test_record_card_and_curve_tell_the_same(trained: Path) -> None:
    record = result.read(trained.parent)
    assert record is not None
    card = (trained.parent / "README.md").read_text(encoding="utf-8")
    curve = sheets.read(trained.parent / "curve.csv")
    assert [row["step"] for row in curve] == ["0", "3"]
    for name in ("order/H", "attribute/rankme_text"):
        assert record["before"][name] == float(curve[0][name])
        assert record["after"][name] == float(curve[1][name])
        assert f"| {name} | {result.figure(record['before'][name])} |" in card
    assert record["sha256"] in card
    assert record["evaluation"] in card
    assert record["steps"] == 3


def test_evaluate_gives_what_validation_last_said(
    trained: Path, composed: Compose, plain: Path, tmp_path: Path
) -> None:
    said = sheets.read(trained.parent / "curve.csv")[-1]
    for kind in ("order", "attribute"):
        cell = evaluate.evaluate(
            composed(
                "evaluate",
                f"model.checkpoint={trained}",
                f"bench=synth_{kind}",
                "bench.n=10",
                "bench.seed=1",
                "logger=none",
                "trainer=cpu",
                f"outputs={tmp_path}",
                f"cache_dir={plain}/cache",
            )
        )
        assert cell.scores == {name: float(said[f"{kind}/{name}"]) for name in ("F", "G", "H")}
        for name in ("rankme_text", "gap_l2", "rankme_audio", "twonn_text"):
            assert cell.probes[name] == pytest.approx(float(said[f"{kind}/{name}"]), rel=1e-5)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (
            ["optimizer.lr=1e30", "trainer.gradient_clip_val=null"],
            r"step \d+: the .* features hold what is no number",
        ),
        (
            ["regularizer=[variance]", "regularizer.variance.weight=1e39"],
            "step 0: the term variance is inf",
        ),
    ],
)
def test_a_training_that_leaves_the_numbers_ends_and_saves_nothing(
    typed: list[str], words: str, composed: Compose, tmp_path: Path, plain: Path
) -> None:
    cfg = composed("train", *BRIEF, f"outputs={tmp_path}", f"cache_dir={plain}/cache", *typed)
    with pytest.raises(NotFiniteError, match=words):
        fit.fit(cfg)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_best_weights_where_they_are_asked_for(composed: Compose, tmp_path: Path, plain: Path) -> None:
    best = [
        "callback=[best]",
        "callback.best.monitor=order/gap_l2",
        "weights=best",
        "trainer.val_check_interval=1",
    ]
    cfg = composed("train", *BRIEF, f"outputs={tmp_path}", f"cache_dir={plain}/cache", *best)
    path = fit.fit(cfg)
    curve = [float(row["order/gap_l2"]) for row in sheets.read(path.parent / "curve.csv")]
    record = result.read(path.parent)
    assert record is not None
    assert record["after"]["order/gap_l2"] == pytest.approx(max(curve[1:]))
    held = torch.load(path.parent / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(held[f"encoder.{key}"], value) for key, value in weights(path).items())


def test_trainings_of_one_command_end_in_one_table(
    tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.setenv("COLUMNS", "160")
    GlobalHydra.instance().clear()
    line = ["-m", "seed=0,1", "regularizer=[],[centroid]", *BRIEF, f"cache_dir={plain}/cache"]
    assert cli.run("train", line, program="train.py") == 0
    told = capsys.readouterr().out
    rows = sheets.read(tmp_path / "outputs/train/trainings.csv")
    names = ["mini-centroid-seed0", "mini-centroid-seed1", "mini-seed0", "mini-seed1"]
    assert [row["name"] for row in rows] == names
    assert all(name in told for name in names)
    assert "over seeds" in told
    assert len({row["sha256"] for row in rows}) == 4
    GlobalHydra.instance().clear()


def test_seeds_are_pooled_over_one_configuration_alone() -> None:
    def record(name: str, seed: int, h: float, lr: float = 1.0) -> dict:
        best = {"best": {"monitor": "order/H", "dirpath": name}}
        recipe = {"seed": seed, "data": {"seed": seed}, "content": {"seed": seed}, "optimizer": {"lr": lr}}
        recipe |= {"model": {"name": "mini"}, "trainer": {"max_steps": 3}, "callback": best}
        return {"name": name, "recipe": recipe, "after": {"order/H": h}}

    records = [record(f"a-seed{seed}", seed, 0.7 + seed / 10) for seed in (0, 1)]
    others = [record(f"b-seed{seed}", seed, 0.1, lr=2.0) for seed in (0, 1)]
    alone = record("c-seed0", 0, 0.5, lr=3.0)
    assert list(table.seeds_of([*records, *others, alone], ["order/H"])) == [
        ["a", "2", "0.750 [0.115, 1.385]"],
        ["b", "2", "0.100 [0.100, 0.100]"],
    ]


def test_two_trainings_into_one_folder_are_refused(command: Command, tmp_path: Path) -> None:
    done = command("train.py", "-m", *BRIEF, "optimizer.weight_decay=0,0.1")
    assert done.returncode == 1
    assert "two jobs would write" in done.stderr
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
def test_the_printed_command_evaluates_the_bag(command: Command, tmp_path: Path) -> None:
    done = command("train.py", "experiment=mini_bag", *BRIEF)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("evaluate it: "))
    typed = line.removeprefix("evaluate it: python ").split()
    assert "model.text=bag" in typed
    assert (tmp_path / "outputs/train/mini_bag/mini_bag.safetensors").stat().st_size < 2_000_000
    done = command(*typed, "bench.n=10", "logger=none")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("+typo=1", "key 'typo' is not there"),
        ("+optimizer.lrx=3", "Did you mean 'lr'|key optimizer.lrx"),
        ("+data.batchsize=3", "Did you mean 'batch_size'"),
        (
            "+regularizer.more={_target_:clapbench.training.regularizers.centroid.Centroid,weigth:1}",
            "Did you mean 'weight'",
        ),
        ("checkpoint_dtype=float17", "checkpoint_dtype: needed float16, bfloat16 or float32"),
        ("schedule.warmup_steps=3", "warmup_steps: needed fewer than the 3 steps"),
    ],
)
def test_refusals_come_before_training(composed: Compose, tmp_path: Path, typed: str, words: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=words):
        fit.fit(composed("train", *BRIEF, f"outputs={tmp_path}", typed))
    assert not list(tmp_path.rglob("*.safetensors"))
