"""The wheel and the sdist, installed in an environment elsewhere, do without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from conftest import ROOT


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    line = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment with the wheel; the libraries are those of this environment."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        str(wheel),
    ]
    subprocess.run(pip, check=True, capture_output=True, cwd=home)
    own = next(home.glob("lib/python*/site-packages"))
    (own / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")  # without its own .pth files
    return home / "bin"


def run(installed: Path, folder: Path, *line: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "WANDB_MODE")}
    command = [str(installed / "clapbench"), *line]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**environment, "HOME": str(folder)}
    )


def test_the_first_cell_of_the_demo(installed: Path, tmp_path: Path) -> None:
    done = run(
        installed, tmp_path, "evaluate", "model=mini", "bench=synth_order", "logger=none", "trainer=cpu"
    )
    assert done.returncode == 0, done.stderr
    cell = json.loads((tmp_path / "outputs/default/mini/synth_order/cell.json").read_text())
    assert (cell["n_items"], cell["scores"]) == (400, {"F": 0.8675, "G": 0.8525, "H": 0.8375})
    assert cell["versions"]["clapbench"] != "unknown"


def test_every_program_and_name_is_there(installed: Path, tmp_path: Path) -> None:
    told = run(installed, tmp_path, "evaluate", "--help").stdout
    assert "mini_vicreg" in told
    assert "synth_attribute" in told
    assert run(installed, tmp_path, "fetch", "model=mini").returncode == 0
    assert run(installed, tmp_path, "train", "experiment=mini", "plan=true").returncode == 0
    assert run(installed, tmp_path, "ls").returncode == 1  # nothing has been written here
    assert not (tmp_path / "outputs").exists()


def test_it_is_the_wheel_that_answers(installed: Path, tmp_path: Path) -> None:
    code = "import clapbench.config; print(clapbench.config.CONF)"
    line = [str(installed / "python"), "-c", code]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    found = subprocess.run(
        line, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert Path(found.strip()).is_relative_to(installed.parent)
    typed = Path(found.strip()).with_name("py.typed")
    assert typed.is_file()
