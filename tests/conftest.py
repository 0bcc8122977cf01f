"""Shared fixtures: configurations composed as the command line does, and commands run as a user would."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from clapbench.results.sweep import Matching

ROOT = Path(__file__).parents[1]
FEW_DRAWS = 10
os.environ.pop("COLUMNS", None)  # the width of whatever terminal the tests are typed in

Compose = Callable[..., DictConfig]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session", autouse=True)
def few_draws() -> Iterator[None]:
    """Sweeps without a sweep.json draw as often as a test of them needs, which is less than a study does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clapbench.results.sweep.DEFAULT_MATCHING", Matching(draws=FEW_DRAWS))
        patch.setattr("clapbench.study.correlations.LONG_DRAWS", 200)
        yield


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A job that Hydra runs here sets the root logger up, for a terminal that is gone with the test."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    disabled = {name: one.disabled for name, one in loggers().items()}
    yield
    root.setLevel(level)
    for handler in [one for one in root.handlers if one not in handlers]:
        root.removeHandler(handler)
        handler.close()
    for handler in [one for one in handlers if one not in root.handlers]:
        root.addHandler(handler)
    for name, one in loggers().items():
        one.disabled = disabled.get(name, False)


def loggers() -> dict[str, logging.Logger]:
    """The loggers that there are."""
    known = logging.root.manager.loggerDict
    return {name: one for name, one in known.items() if isinstance(one, logging.Logger)}


@pytest.fixture
def composed() -> Iterator[Compose]:
    """``composed("evaluate", "model=mini")``: the configuration of that command line."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield lambda root, *overrides: compose(root, list(overrides))


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """``command("evaluate.py", "model=mini")`` in a process of its own, with outputs in the temporary folder; also
    ``command("-m", "clapbench.report", ...)``.

    No home, no key: as on a machine where nobody has logged in to anything.
    """

    def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        is_entry = script.endswith(".py")
        line = (
            [str(ROOT / script), *arguments, f"outputs={tmp_path / 'outputs'}"]
            if is_entry
            else [script, *arguments]
        )
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("WANDB")},
            "HOME": str(tmp_path),
            "COLUMNS": "160",
            "PYTHONPATH": str(ROOT),
        }
        return subprocess.run(
            [sys.executable, *line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


def yamls(group: str) -> list[str]:
    return sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml"))
