"""Loggers that wait for nobody: offline without a key or an answer, CSV files that hold what was logged."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sweep_folders
import wandb
import yaml
from conftest import Command, Compose
from omegaconf import OmegaConf

from clapbench import files, report
from clapbench.running import evaluate, loggers
from clapbench.schema import Cell

ROOT = Path(loggers.__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder in which nobody has logged in, and a wandb that reads its environment anew."""
    wandb.teardown()
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    wandb.teardown()


class Answer(BaseHTTPRequestHandler):
    """A server that knows one sentence: the status code that stands in the path, else 404."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/") or 404))
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    """The address of something that speaks HTTP."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of something that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def nobody() -> str:
    """An address that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


def login(home: Path) -> None:
    (home / ".netrc").write_text(f"machine 127.0.0.1\n  login user\n  password {'0' * 40}\n")
    (home / ".netrc").chmod(0o600)


def test_without_a_key_wandb_is_offline_though_the_server_answers(
    home: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server)
    assert loggers.wandb_mode(None) == "offline"


def test_with_a_key_and_an_answer_wandb_is_online(
    home: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    login(home)
    monkeypatch.setenv("WANDB_BASE_URL", server)
    assert loggers.wandb_mode(None) == "online"


def test_with_a_key_and_no_answer_wandb_is_offline(
    home: Path, nobody: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", nobody)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert loggers.wandb_mode(None) == "offline"
    assert f"{nobody} does not answer" in caplog.text


def test_the_environment_decides_where_it_states_a_mode(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert loggers.wandb_mode(None) == "disabled"


def test_a_key_in_netrc_is_found_for_its_host(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not loggers.key_in_netrc("127.0.0.1")
    login(home)
    assert loggers.key_in_netrc("127.0.0.1")
    assert not loggers.key_in_netrc("api.wandb.ai")
    monkeypatch.setenv("NETRC", str(home / "elsewhere"))
    assert not loggers.key_in_netrc("127.0.0.1")


def test_a_damaged_netrc_holds_no_key(home: Path) -> None:
    (home / ".netrc").write_text("machine\n")
    assert not loggers.key_in_netrc("127.0.0.1")


@pytest.mark.parametrize(("path", "answers"), [("/200", True), ("/401", True), ("", True), ("/503", False)])
def test_a_server_answers_unless_it_fails(server: str, path: str, answers: bool) -> None:
    assert loggers.answers(server + path) == answers


@pytest.mark.parametrize("patience", [0.2, 2.0])
def test_a_server_that_refuses_does_not_answer_and_costs_no_time(nobody: str, patience: float) -> None:
    start = time.perf_counter()
    assert not loggers.answers(nobody, patience=patience)
    assert time.perf_counter() - start < 3.0


def test_a_server_that_keeps_silent_is_given_up(silent: str) -> None:
    start = time.perf_counter()
    assert not loggers.answers(silent, patience=0.3)
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize("mode", ["online", None])
def test_no_mode_waits_for_a_server_that_keeps_silent(
    home: Path, silent: str, mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    login(home)
    monkeypatch.setenv("WANDB_BASE_URL", silent)
    assert loggers.wandb_mode(mode) == "offline"


def test_a_run_that_does_not_open_is_written_offline(
    home: Path, server: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server answers, but it is no wandb: everything it is asked is 404 or 501."""
    monkeypatch.setenv("WANDB_BASE_URL", server)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_MODE", "online")
    logger = loggers.wandb(
        folder=home, group="g", run="r", run_id="abc", content={}, project="p", entity=None, mode=None
    )
    logger.log_metrics({"H": 0.5})
    loggers.finish(logger, summary={})
    assert "no run could be opened" in caplog.text
    assert len(list(home.glob("wandb/offline-run-*abc-offline"))) == 1


def test_offline_runs_leave_the_environment_to_the_next_one(home: Path) -> None:
    for run in ("one", "two"):
        logger = loggers.wandb(
            folder=home / "sweep",
            group="sweep",
            run=run,
            run_id=run,
            content={"F": 1},
            project="clapbench",
            entity=None,
            mode="offline",
        )
        logger.log_metrics({"F": 0.5})
        loggers.finish(logger, summary={"n_items": 3})
        assert "WANDB_MODE" not in os.environ
    assert len(list((home / "sweep").glob("wandb/offline-run-*"))) == 2
    assert f"wandb sync {home / 'sweep'}/wandb/offline-run-*" in str(loggers.sync_hint(home / "sweep"))


def test_no_offline_run_needs_no_hint(tmp_path: Path) -> None:
    assert loggers.sync_hint(tmp_path) is None


def test_csv_writes_metrics_and_content(tmp_path: Path) -> None:
    logger = loggers.csv(
        folder=tmp_path, group="sweep", run="mini/order", run_id="1", content={"model": {"name": "mini"}}
    )
    logger.log_metrics({"F": 0.5, "rankme_text": 12.0}, step=0)
    loggers.finish(logger, summary={"n_items": 3})
    folder = tmp_path / "csv" / "mini-order"
    (row,) = pd.read_csv(folder / "metrics.csv").to_dict(orient="records")
    assert (row["F"], row["rankme_text"]) == (0.5, 12.0)
    assert "mini" in json.dumps(yaml.safe_load((folder / "hparams.yaml").read_text()))


def test_none_is_no_logger(tmp_path: Path) -> None:
    assert loggers.none(folder=tmp_path, group="g", run="r", run_id="1", content={}) is None
    loggers.finish(None, summary={"n_items": 3})


@pytest.mark.parametrize(("name", "expected"), [("wandb", True), ("csv", False), ("none", False)])
def test_a_logger_yaml_says_whether_it_is_wandb(name: str, expected: bool) -> None:
    node = OmegaConf.load(ROOT / "conf" / "logger" / f"{name}.yaml")
    assert loggers.logs_to_wandb(node) is expected  # type: ignore[arg-type]


class Failing:
    """A logger that opens, and fails at whatever comes then."""

    def log_metrics(self, numbers: dict[str, float]) -> None:
        raise BrokenPipeError("its process is gone")


@pytest.mark.parametrize("at_once", [True, False])
def test_a_logger_that_fails_costs_no_cell(
    composed: Compose,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    at_once: bool,
) -> None:
    def failing(*, folder: Path, group: str, run: str, run_id: str, content: dict) -> Failing:
        if at_once:
            raise BrokenPipeError("its process is gone")
        return Failing()

    monkeypatch.setattr(loggers, "none", failing)
    small = ["bench.n=4", "trainer=cpu", "probes=[gap_l2]", f"outputs={tmp_path}", "logger=none"]
    cell = evaluate.evaluate(composed("evaluate", *small))
    assert cell.status == "ok"
    assert Cell.read(tmp_path / "default/mini/synth_order/cell.json") == cell
    (line,) = [record.getMessage() for record in caplog.records if "logging failed" in record.getMessage()]
    assert line == (
        "mini × synth_order: its cell.json is written, but logging failed: BrokenPipeError: its process is gone"
    )


def test_a_training_survives_its_logger_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    logger = loggers.survivor(Failing())
    for _ in range(3):
        logger.log_metrics({"loss": 1.0})
    assert caplog.text.count("the training goes on, but logging failed: BrokenPipeError") == 1
    assert loggers.survivor(None) is None


def offline(folder: Path, *, run: str, project: str = "p") -> None:
    """A run as `loggers.record` makes one."""
    with loggers.never_failing("all is written"):
        logger = loggers.wandb(
            folder=folder,
            group="g",
            run=run,
            run_id=run,
            content={},
            project=project,
            entity=None,
            mode=None,
        )
        logger.log_metrics({"H": 0.5})
        loggers.finish(logger, summary={})


def test_a_mode_that_is_none_is_ignored_by_name(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "foo")
    offline(home, run="one")
    assert "WANDB_MODE=foo is none of online, offline" in caplog.text
    assert "logging failed" not in caplog.text
    assert list(home.glob("wandb/offline-run-*one"))


def test_a_project_that_wandb_refuses_is_one_line(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    offline(home, run="one", project="a/b")
    assert caplog.text.count("all is written, but logging failed") == 1
    assert "a/b" in caplog.text


KILL = """
import logging, os, signal, subprocess
from pathlib import Path
from clapbench.running import loggers

logging.basicConfig(format="%(message)s")

def cell(run, killed):
    with loggers.never_failing(f"{run} is written"):
        logger = loggers.wandb(
            folder=Path.cwd(), group="g", run=run, run_id=run, content={}, project="p", entity=None, mode="offline"
        )
        if killed:
            asked = ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())]
            lines = subprocess.run(asked, capture_output=True, text=True).stdout.splitlines()
            (pid,) = [int(line.split()[0]) for line in lines if "wandb-core" in line]
            os.kill(pid, signal.SIGKILL)
        logger.log_metrics({"H": 0.5})
        loggers.finish(logger, summary={})

cell("one", killed=True)
cell("two", killed=False)
"""


def test_a_killed_process_of_wandb_costs_one_run_in_one_line(command: Command, tmp_path: Path) -> None:
    """In a process of its own: that it ends, and how, is part of it."""
    done = command("-c", KILL)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("one is written, but logging failed") == 1, done.stderr
    assert "two is written" not in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("wandb/offline-run-*two"))


def test_every_run_under_an_agent_has_its_own_id(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SWEEP_ID", "sweep7"), ("RUN_ID", "agents"), ("SWEEP_PARAM_PATH", "params.yaml")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    monkeypatch.delenv(loggers.GROUP, raising=False)
    for run in ("one", "two"):
        logger = loggers.wandb(
            folder=home, group="g", run=run, run_id=run, content={}, project="p", entity=None, mode="offline"
        )
        assert (logger.experiment.id, logger.experiment.group) == (run, "sweep7")
        loggers.finish(logger, summary={})
    assert len(list(home.glob("wandb/offline-run-*"))) == 2
    monkeypatch.delenv(loggers.GROUP)


NODE = OmegaConf.create(
    {"_target_": "clapbench.running.loggers.wandb", "project": "clapbench", "entity": None, "mode": "offline"}
)


def test_the_summary_of_a_sweep_with_a_failed_cell_is_logged(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sweep_folders.study(home / "s", probes=("rankme_text",))
    failed = Cell(status="failed", model="bad", bench="large", error="ValueError: no")
    files.write_text(folder / "bad/large/cell.json", failed.to_json())
    (folder / "m0/small/cell.json").write_text("{")
    summary = report.build(folder)
    logged: list[dict[str, wandb.Table]] = []
    real = wandb.sdk.wandb_run.Run.log
    monkeypatch.setattr(
        wandb.sdk.wandb_run.Run, "log", lambda run, data: logged.append(data) or real(run, data)
    )
    loggers.log_summary(
        NODE,
        folder=folder,
        tables=summary.tables,
        images=sorted(folder.glob("report/*.png")),
        summary=summary.headline,
    )
    (data,) = logged
    assert {"cells", "correlations", "rankme_n"} <= data.keys()
    cells = dict(zip(data["cells"].get_column("model"), data["cells"].data, strict=False))
    at = data["cells"].columns.index("n_items")
    assert (cells["bad"][at], cells["m1"][at]) == (None, 60)
    assert len(list(folder.glob("wandb/offline-run-*/files/media/table/cells_*.table.json"))) == 1


def test_tables_hold_pythons_own_values() -> None:
    table = pd.DataFrame(
        {
            "count": pd.array([1, None], dtype="Int64"),
            "number": [np.float64(0.5), np.nan],
            "infinite": [np.inf, -np.inf],
            "flag": [True, None],
            "text": ["a", pd.NA],
            "time": [pd.NaT, pd.Timestamp("2026-01-01")],
        }
    )
    rows = loggers.plain_rows(table)
    assert rows == [
        [1, 0.5, None, True, "a", None],
        [None, None, None, None, None, "2026-01-01 00:00:00"],
    ]
    assert {type(value) for row in rows for value in row} == {int, float, bool, str, type(None)}
    json.dumps(rows, allow_nan=False)


@pytest.mark.parametrize("broken", ["wandb", "Table", "Image"])
def test_a_summary_that_wandb_does_not_take_costs_a_line(
    home: Path, broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise TypeError("not serializable\nat all")

    monkeypatch.setattr(*((loggers, broken) if broken == "wandb" else (wandb, broken)), fail)
    (home / "figure.png").touch()
    tables = {"cells": pd.DataFrame({"a": [1]})}
    loggers.log_summary(NODE, folder=home / "s", tables=tables, images=[home / "figure.png"], summary={})
    (line,) = [record.getMessage() for record in caplog.records if record.name == loggers.__name__]
    told = f"the summary of {home / 's'} is written, but logging failed: TypeError: not serializable at all"
    assert line == told
    assert wandb.run is None  # closed: the next cell opens its own
