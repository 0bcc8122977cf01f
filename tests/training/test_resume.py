"""A training that was stopped or killed goes on to the same weights and curve, bit for bit; another one is refused."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from conftest import Compose
from trainings import BRIEF, Killed, equal, interrupted, weights

from clapbench.config import ConfigError
from clapbench.running.stopping import Stopped
from clapbench.training import fit, resume

LONGER = ("trainer.max_steps=6", "trainer.val_check_interval=2", "save_every=2")
POOL = ("data.pool=21", "trainer.accumulate_grad_batches=2", "finetune.mode=train")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trainings")


@pytest.mark.parametrize(
    ("more", "step", "by"),
    [
        ((), 1, signal.SIGTERM),  # a validation follows
        ((), 2, signal.SIGINT),
        ((), 3, signal.SIGKILL),
        (POOL, 2, signal.SIGTERM),
        (POOL, 5, signal.SIGKILL),
    ],
)
def test_the_same_bit_for_bit(
    more: tuple[str, ...],
    step: int,
    by: signal.Signals,
    composed: Compose,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def training(name: str) -> Path:
        typed = (*BRIEF, *LONGER, *more, f"outputs={folder}", f"name={name}")
        return fit.fit(composed("train", *typed))

    name = f"{'pool' if more else 'stream'}-{step}-{by.name}"
    with interrupted(monkeypatch, step=step, by=by), pytest.raises((Stopped, Killed)):
        training(name)
    result, last = (
        folder / "train" / name / file for file in (f"{name}.safetensors", "checkpoints/last.ckpt")
    )
    assert (result.exists(), last.exists()) == (False, True)
    training(name)
    undisturbed = training("pool" if more else "stream")  # of the second one on, it is there
    assert equal(weights(undisturbed), weights(result))
    assert (undisturbed.parent / "curve.csv").read_text() == (result.parent / "curve.csv").read_text()
    assert (result.exists(), last.exists()) == (True, False)


def test_stopping_says_how_to_go_on_and_leaves_the_exit_code_of_its_signal(
    composed: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = composed("train", *BRIEF, f"outputs={tmp_path}")
    with interrupted(monkeypatch, step=1, by=signal.SIGTERM), pytest.raises(Stopped) as stopped:
        fit.fit(cfg)
    assert stopped.value.code == 143
    assert "stopped by SIGTERM. Type the same command again to go on from" in capsys.readouterr().err
    other = composed("train", *BRIEF, f"outputs={tmp_path}", "optimizer.lr=1e-4", "seed=5")
    with pytest.raises(
        ConfigError, match=r"optimizer.lr \(was 0.0015, is 0.0001\), seed \(was 0, is 5\).*null"
    ):
        fit.fit(other)
    assert "step 2 of" in fit.describe(cfg)
    anew = composed("train", *BRIEF, f"outputs={tmp_path}", "optimizer.lr=1e-4", "ckpt_path=null")
    assert "random weights" in fit.describe(anew)


def test_what_is_no_checkpoint_is_refused(composed: Compose, tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    for content in (b"no checkpoint", b""):
        path.write_bytes(content)
        cfg = composed("train", *BRIEF, f"outputs={tmp_path}", f"ckpt_path={path}")
        with pytest.raises(ConfigError, match="cannot be read as a checkpoint"):
            fit.fit(cfg)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(ConfigError, match=r"is no checkpoint of train.py"):
        fit.fit(cfg)


def test_what_does_not_decide_the_curve_may_change() -> None:
    recipe = {"model": {"name": "a", "window": 6.0}, "trainer": {"max_steps": 3, "devices": 1}, "seed": 0}
    path = Path("x")
    other = {"model": {"name": "b", "window": 6.0}, "trainer": {"max_steps": 3, "devices": 2}, "seed": 0}
    resume.check_same(recipe, other, what=path, remedy="")
    other = {"model": {"name": "a", "window": None}, "trainer": {"max_steps": 4}, "seed": 0}
    with pytest.raises(ConfigError, match=r"model.window \(was 6.0, is null\), .*trainer.max_steps"):
        resume.check_same(recipe, other, what=path, remedy="")
    watched = recipe | {"callback": {"best": {"dirpath": "a"}}, "validation": {"order": {"n": 3}}}
    elsewhere = watched | {"callback": {"best": {"dirpath": "b"}}}
    resume.check_same(watched, elsewhere, what=path, remedy="")
    with pytest.raises(ConfigError, match=r"validation.order.n \(was 3, is 4\)"):
        resume.check_same(watched, watched | {"validation": {"order": {"n": 4}}}, what=path, remedy="")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written_is_said_before_the_first_step(
    composed: Compose, tmp_path: Path
) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train").chmod(0o500)
    with pytest.raises(ConfigError, match="outputs: needed a folder that can be written"):
        fit.fit(composed("train", *BRIEF, f"outputs={tmp_path}"))
