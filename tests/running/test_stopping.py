"""Ctrl-C and SIGTERM: after a batch, with one line, the right exit code, and nothing left half-done."""

# ruff: noqa: PT012 - what matters is where in a block a signal comes

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from clapbench.running.stopping import Stopped, finishing_batches, raise_if_stopped, stoppable

SLOW = """
import time
from pathlib import Path
from clapbench.encoders.mini import MiniClap

class Slow(MiniClap):
    def audio_states(self, heard):
        time.sleep(0.2)
        with Path("batches").open("a") as file:
            file.write("x")
        return super().audio_states(heard)
"""


def interrupted(
    folder: Path, script: str, *arguments: str, number: int, whole_group: bool
) -> subprocess.CompletedProcess[str]:
    """A command that gets a signal when its model has seen two batches; a terminal's Ctrl-C goes to the group."""
    (folder / "slow.py").write_text(SLOW, encoding="utf-8")
    process = subprocess.Popen(
        [
            sys.executable,
            str(ROOT / script),
            *arguments,
            "model._target_=slow.Slow",
            "trainer=cpu",
            "logger=none",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{folder}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    seen, deadline = folder / "batches", time.monotonic() + 120
    while not (seen.is_file() and seen.stat().st_size >= 2) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (os.killpg if whole_group else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.parametrize(
    ("number", "code", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]
)
def test_a_sweep_ends_after_the_batch_and_leaves_nothing_behind(
    tmp_path: Path, number: int, code: int, name: str
) -> None:
    words = ["-m", "model=mini,mini_bag", "bench.n=12", "loader.batch_size=2", "loader.num_workers=1"]
    done = interrupted(tmp_path, "evaluate.py", *words, number=number, whole_group=number == signal.SIGINT)
    assert done.returncode == code, done.stderr
    assert f"stopped by {name}. Type the same command again to go on" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert len((tmp_path / "batches").read_text()) < 12
    outputs = tmp_path / "outputs"
    assert not list(outputs.rglob("cell*.json"))
    assert not list(outputs.rglob("*.npz"))
    assert not [path for path in outputs.rglob(".*") if path.name != ".hydra"]


def test_a_training_ends_and_says_how_to_go_on(tmp_path: Path) -> None:
    small = ["data.neutral=1", "data.varied=1", "data.batch_size=4", "model.pretrained=false"]
    small += [f"validation.{bench}.n=5" for bench in ("order", "attribute")]
    done = interrupted(tmp_path, "train.py", *small, number=signal.SIGTERM, whole_group=False)
    assert done.returncode == 143, done.stderr
    assert "stopped by SIGTERM. Type the same command again to go on from" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    cache = tmp_path / "outputs/cache"  # what was heard of its pool stays, for the next try
    assert not [path for path in tmp_path.rglob("*.safetensors") if cache not in path.parents]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_outside_of_batches_it_stops_at_once_and_handlers_are_put_back(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as stopped, stoppable("Again."), stoppable("Go on."):
        signal.raise_signal(number)
        raise AssertionError("it went on")
    assert stopped.value.code == 128 + number
    assert capsys.readouterr().err.count("\n") == 1
    assert signal.getsignal(number) is before


def test_a_batch_is_finished_first_unless_it_is_asked_twice() -> None:
    finished = []
    with pytest.raises(Stopped), stoppable(""), finishing_batches():
        signal.raise_signal(signal.SIGTERM)
        finished.append("batch")
        raise_if_stopped()
    with pytest.raises(Stopped), stoppable(""), finishing_batches():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        finished.append("another")
    assert finished == ["batch"]


def test_what_was_finished_is_kept_and_the_command_ends_all_the_same() -> None:
    kept = []
    with pytest.raises(Stopped), stoppable(""):
        with finishing_batches():
            signal.raise_signal(signal.SIGINT)
        kept.append("rows")
    assert kept == ["rows"]


def test_what_fails_because_of_the_signal_is_no_failure() -> None:
    with pytest.raises(Stopped), stoppable(""), finishing_batches():
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Terminated.")
