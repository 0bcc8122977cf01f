"""Training: a few steps end to end, determinism, and that evaluate reproduces what validation last said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import Command, Compose
from safetensors import safe_open

from clapbench.config import ConfigError
from clapbench.running import evaluate
from clapbench.training import fit

BRIEF = (
    "logger=none",
    "trainer=cpu",
    "trainer.max_steps=3",
    "trainer.val_check_interval=3",
    "validation.order.n=10",
    "validation.attribute.n=10",
    "data.neutral=2",
    "data.varied=1",
    "data.batch_size=8",
    "model.pretrained=false",
)


def weights(path: Path) -> dict[str, torch.Tensor]:
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize(
    "chosen",
    [
        "[]",
        "[variance,covariance]",
        "[swapped_captions]",
        "[centroid]",
        "[variance,swapped_captions,centroid]",
    ],
)
def test_regularizers_compose_and_change_the_weights(chosen: str, composed: Compose, tmp_path: Path) -> None:
    plain = fit.fit(composed("train", *BRIEF, f"outputs={tmp_path / 'plain'}"))
    path = fit.fit(composed("train", *BRIEF, f"outputs={tmp_path}", f"regularizer={chosen}"))
    same = all(
        torch.equal(a, b) for a, b in zip(weights(plain).values(), weights(path).values(), strict=True)
    )
    assert same == (chosen == "[]")
    with safe_open(path, framework="pt") as file:
        recipe = json.loads(file.metadata()["recipe"])
    assert ",".join(recipe["regularizer"]) == chosen.strip("[]")
    assert recipe["seed"] == 0


def test_the_seed_decides_everything(composed: Compose, tmp_path: Path) -> None:
    first, same, other = (
        weights(fit.fit(composed("train", *BRIEF, f"outputs={tmp_path / str(number)}", f"seed={seed}")))
        for number, seed in enumerate((3, 3, 4))
    )
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not torch.equal(first["text_tower.project.weight"], other["text_tower.project.weight"])


def test_evaluate_gives_what_validation_last_said(
    composed: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: dict[str, float] = {}
    learn = fit.Learn.log_dict

    def listening(self: fit.Learn, numbers: dict[str, float]) -> None:
        said.update(numbers)
        learn(self, numbers)

    monkeypatch.setattr(fit.Learn, "log_dict", listening)
    path = fit.fit(
        composed("train", *BRIEF, "checkpoint_dtype=float32", "probes=[paper]", f"outputs={tmp_path}")
    )
    for kind in ("order", "attribute"):
        cell = evaluate.evaluate(
            composed(
                "evaluate",
                f"model.checkpoint={path}",
                f"bench=synth_{kind}",
                "bench.n=10",
                "bench.seed=1",
                "logger=none",
                "trainer=cpu",
                f"outputs={tmp_path}",
            )
        )
        assert cell.scores == {name: said[f"{kind}/{name}"] for name in ("F", "G", "H")}
        for name in ("rankme_text", "gap_l2", "rankme_audio"):
            assert cell.probes[name] == pytest.approx(said[f"{kind}/{name}"], rel=1e-5)


def test_two_trainings_into_one_folder_are_refused(command: Command, tmp_path: Path) -> None:
    done = command("train.py", "-m", *BRIEF, "optimizer.weight_decay=0,0.1")
    assert done.returncode == 1
    assert "two jobs would write" in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_the_printed_command_evaluates_the_bag(command: Command, tmp_path: Path) -> None:
    done = command("train.py", "experiment=mini_bag", *BRIEF)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("evaluate it: "))
    typed = line.removeprefix("evaluate it: python ").split()
    assert "model.text=bag" in typed
    done = command(*typed, "bench.n=10", "logger=none")
    assert done.returncode == 0, done.stderr


def test_training_from_the_command_line(command: Command, tmp_path: Path) -> None:
    done = command("train.py", "experiment=mini_negatives", *BRIEF)
    assert done.returncode == 0, done.stderr
    path = Path("outputs/train/mini_negatives/mini_negatives.safetensors")
    assert (tmp_path / path).stat().st_size < 2_000_000
    assert "step 3  loss" in done.stdout
    assert f"model.name=mini_negatives model.checkpoint={tmp_path / path}" in done.stdout


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("+typo=1", "key 'typo' is not there"),
        ("+optimizer.lrx=3", "Did you mean 'learning_rate'|key optimizer.lrx"),
        ("+data.batchsize=3", "Did you mean 'batch_size'"),
        (
            "+regularizer.more={_target_:clapbench.training.regularizers.centroid.Centroid,weigth:1}",
            "Did you mean 'weight'",
        ),
        ("checkpoint_dtype=float17", "checkpoint_dtype: needed float16, bfloat16 or float32"),
    ],
)
def test_refusals_come_before_training(composed: Compose, tmp_path: Path, typed: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fit.fit(composed("train", *BRIEF, f"outputs={tmp_path}", typed))
    assert not list(tmp_path.iterdir())
