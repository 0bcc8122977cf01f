"""What is refused of a Trainer before anything runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, Compose

from clapbench.config import ConfigError
from clapbench.running import evaluate
from clapbench.running.devices import check_accelerator, check_devices

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")


@pytest.mark.parametrize("devices", ["1", "[0]", "'0,'", "auto"])
def test_one_device_may_be_asked_for_in_many_ways(composed: Compose, devices: str) -> None:
    check_devices(composed("evaluate", "trainer=cpu", f"trainer.devices={devices}"))


@pytest.mark.parametrize("devices", ["2", "0", "-2", "[0,1]", "'0,1'", "abc"])
def test_several_devices_are_refused_by_name(composed: Compose, devices: str, tmp_path: Path) -> None:
    cfg = composed("evaluate", "trainer=cpu", f"trainer.devices={devices}", f"outputs={tmp_path}")
    with pytest.raises(ConfigError, match=r"trainer\.devices: needed.*Set trainer\.devices=1"):
        evaluate.evaluate(cfg)
    assert not list(tmp_path.iterdir())


def test_several_machines_are_refused(composed: Compose) -> None:
    with pytest.raises(ConfigError, match="num_nodes=2"):
        check_devices(composed("evaluate", "trainer=cpu", "+trainer.num_nodes=2"))


@pytest.mark.parametrize(
    ("accelerator", "words"),
    [
        ("qpu", "Did you mean"),
        pytest.param("cuda", "finds none here", marks=NO_GPU),
        ("tpu", "finds none here"),
    ],
)
def test_hardware_that_is_not_there_is_refused(accelerator: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_accelerator(accelerator)


def test_the_checks_import_no_lightning() -> None:
    code = (
        "import sys; from clapbench.running.devices import check_accelerator; check_accelerator('cpu');"
        "print('pytorch_lightning' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
