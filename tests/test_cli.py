"""The command `clapbench`: its programs, its help, a user's own yaml files and modules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import ROOT, Command

import clapbench
from clapbench import cli


def test_help_names_every_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    told = capsys.readouterr().out
    for name in ("evaluate", "train", "report", "compare", "listening", "fetch", "ls"):
        assert f"  {name} " in told
    assert cli.main([]) == 2


def test_a_program_that_is_not_there_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evalute", "model=mini"]) == 2
    assert "Did you mean 'evaluate'?" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"clapbench {clapbench.__version__}\n"


@pytest.mark.parametrize("program", ["evaluate", "train", "report", "compare", "listening", "fetch", "ls"])
def test_each_program_has_help(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):  # by which argparse leaves
        assert cli.main([program, "--help"]) == 0
    assert "usage: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "line", ["--help", "evaluate --help", "evaluate model=minni", "evalute", "train --help"]
)
def test_help_and_wrong_names_import_nothing_slow(line: str) -> None:
    """Each of these takes a second or more to import."""
    slow = (
        "torch",
        "pandas",
        "pytorch_lightning",
        "torchmetrics",
        "wandb",
        "matplotlib",
        "transformers",
        "scipy",
    )
    code = (
        f"import sys; from clapbench import cli; cli.main({line.split()!r});"
        f"print([name for name in {slow!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


MODULE = """
import torch
from clapbench.encoders.mini import MiniClap
from clapbench.probes.base import SideProbe


class Mine(MiniClap):
    def __init__(self, *, loud: bool, **arguments) -> None:
        super().__init__(**arguments)
        assert loud is False


class Rows(SideProbe):
    def measure(self):
        return torch.tensor(float(len(self.rows(self.side))), dtype=torch.float64)
"""
MODEL = """
_target_: my_models.Mine
name: mine
source: package://mini.safetensors
checkpoint: null
sha256: null
window: 6.0
text: sequence
pretrained: true
loud: false
"""


@pytest.mark.parametrize("flag", ["--config-dir=mine", "hydra.searchpath=[file://mine]"])
def test_a_config_folder_and_modules_of_ones_own(flag: str, tmp_path: Path, command: Command) -> None:
    (tmp_path / "my_models.py").write_text(MODULE)
    for group, name, text in (
        ("model", "mine", MODEL),
        ("probe", "rows", "rows_text:\n  _target_: my_models.Rows\n  side: text\n"),
        ("probe_set", "few", "- rows_text\n- gap_l2\n"),
    ):
        (tmp_path / "mine" / group).mkdir(parents=True)
        (tmp_path / "mine" / group / f"{name}.yaml").write_text(text)
    line = ["model=mine", "model.loud=no", "bench.n=10", "probes=[few]", "logger=none", "trainer=cpu"]
    if flag.startswith("hydra"):  # found by the same names; it runs as with the other flag
        planned = command("-m", "clapbench.cli", "evaluate", flag, *line, "plan=true")
        assert "mine × synth_order  render 10 items, encode, score, 2 probes" in planned.stdout
        return
    done = command("-m", "clapbench.cli", "evaluate", flag, *line, f"outputs={tmp_path / 'outputs'}")
    assert done.returncode == 0, done.stderr
    cell = json.loads((tmp_path / "outputs/default/mine/synth_order/cell.json").read_text())
    assert cell["probes"]["rows_text"] == cell["embeddings"]["n_text"]
    wrong = command("-m", "clapbench.cli", "evaluate", flag, "model=mine", "model.loud=loud")
    assert wrong.returncode == 1
    assert "error: model.loud: needed true or false, got 'loud'" in wrong.stderr


def test_the_scripts_of_the_repository_are_the_same_programs(tmp_path: Path) -> None:
    for script in ("evaluate", "train"):
        done = subprocess.run(
            [sys.executable, str(ROOT / f"{script}.py"), "--help"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.stdout.startswith(f"usage: python {script}.py")
    assert os.listdir(tmp_path) == []
