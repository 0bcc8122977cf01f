"""Loggers for a run: Weights & Biases, CSV files, or none. All take the same arguments, so a yaml chooses.

A run's id derives from what it computed, so doing it again continues the same run. Nothing here waits for a
network: without a configured key, or when the server does not answer at once, wandb writes offline. And no result
depends on a logger: a cell is written before it is logged, and whatever a logger raises becomes one line. wandb and
Lightning are imported where they are used, since each takes seconds.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from http.client import HTTPException
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from omegaconf import DictConfig

from clapbench import config, files
from clapbench.kinds import Rule, Text
from clapbench.running.plan import Plan
from clapbench.sources import checkpoints

log = logging.getLogger(__name__)

Project = Annotated[
    str,
    Rule(
        "a project's name (1 to 128 characters, none of / \\ # ? % :)",
        lambda name: 0 < len(name.strip()) <= 128 and not set(name) & set("/\\#?%:"),
        "NAME",
    ),
]
PATIENCE = 8.0  # seconds that a server gets to open a run, and to take what is left at its end
KNOCK = 2.0  # seconds that it gets to answer at all
GROUP = "CLAPBENCH_WANDB_GROUP"
MODES = ("online", "offline", "disabled", "shared", "run", "dryrun")  # of WANDB_MODE
AGENT = ("WANDB_SWEEP_ID", "WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH")  # what `wandb agent` sets


def record(plan: Plan, *, numbers: Mapping[str, float]) -> None:
    """Logs the numbers of a cell, which is on disk already, as a run of its own."""
    with never_failing(f"{plan.label}: its cell.json is written"):
        logger = open_logger(
            plan.nodes["logger"],
            folder=plan.folder.parents[1],
            group=plan.sweep,
            run=f"{plan.model}/{plan.bench}",
            run_id=files.key_of([plan.sweep, plan.model, plan.bench, plan.config_key])[:16],
            content=plan.content,
        )
        if logger is not None:
            logger.log_metrics(dict(numbers))
            checkpoint = plan.nodes["model"].get("checkpoint")
            if checkpoint and (name := checkpoints.training_of(Path(checkpoint).expanduser())):
                use_model(logger, Path(checkpoint).expanduser(), name=name)
        finish(logger, summary={"n_items": plan.benchmark.n_items})


def open_logger(
    node: DictConfig, *, folder: Path, group: str, run: str, run_id: str, content: dict[str, Any]
) -> Any:
    """The logger of a yaml, open; None where it logs nothing."""
    return config.build(node, _partial_=True)(
        folder=folder, group=group, run=run, run_id=run_id, content=content
    )


@contextmanager
def never_failing(what_stands: str) -> Iterator[None]:
    """Whatever a logger raises within the block becomes one line, which says that results do not depend on it."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        log.warning(
            "%s, but logging failed: %s%s", what_stands, type(error).__name__, reason and f": {reason}"
        )
        client: Any = sys.modules.get("wandb")
        if client:
            with suppress(Exception):  # its process may be dead: the next run starts another
                client.teardown()
            client.run = None  # else the next logger goes on with the run that failed


def survivor(logger: Any) -> Any:
    """The same logger, for a training: where it cannot log, that is said once, and the training goes on."""
    if logger is None:
        return None
    log_metrics, well = logger.log_metrics, True

    def careful(*arguments: Any, **named: Any) -> None:
        nonlocal well
        if well:
            well = False
            with never_failing("the training goes on"):
                log_metrics(*arguments, **named)
                well = True

    logger.log_metrics = careful
    return logger


def wandb(
    *,
    folder: Path,
    group: str,
    run: str,
    run_id: str,
    content: dict[str, Any],
    project: Project,
    entity: Text | None,
    mode: Literal["online", "offline", "disabled"] | None,
) -> Any:
    """An open wandb run under ``folder``/wandb. ``mode`` null: online if there is a key and the server answers.

    Where an online run does not open within ``PATIENCE`` seconds, it and the later ones of the process are offline.
    """
    from pytorch_lightning.loggers import WandbLogger

    os.environ.setdefault("WANDB_SILENT", "true")  # read when wandb's session starts, so before the import
    group = agent_sweep() or group
    import wandb as client

    folder.mkdir(parents=True, exist_ok=True)

    def opened(mode: str, name: str) -> WandbLogger:
        logger = WandbLogger(
            name=run,
            id=name,
            group=group,
            project=project,
            entity=entity,
            save_dir=folder,
            config=content,
            mode=mode,  # not Lightning's offline=True: that sets WANDB_MODE for every later run of the process
            resume="allow",
            settings=client.Settings(init_timeout=PATIENCE, login_timeout=PATIENCE, finish_timeout=PATIENCE),
        )
        _ = logger.experiment  # opens the run
        return logger

    chosen = wandb_mode(mode)
    try:
        return opened(chosen, run_id)
    except Exception as error:  # wandb raises what it likes; a result must not depend on it
        if chosen != "online":
            raise
        log.warning("wandb: no run could be opened (%s). This run is written offline.", error)
        os.environ["WANDB_MODE"] = "offline"
        return opened("offline", f"{run_id}-offline")  # wandb still holds the id of the run that did not open


def csv(*, folder: Path, group: str, run: str, run_id: str, content: dict[str, Any]) -> Any:
    """Lightning's CSV logger: ``folder``/csv/RUN/metrics.csv and hparams.yaml."""
    from pytorch_lightning.loggers import CSVLogger

    version, again = run.replace("/", "-"), 1
    while (
        group == "train" and (folder / "csv" / version / "metrics.csv").is_file()
    ):  # of what this run goes on from
        again += 1
        version = f"{run}-{again}"
    logger = CSVLogger(save_dir=folder, name="csv", version=version)
    logger.log_hyperparams(content)
    return logger


def none(*, folder: Path, group: str, run: str, run_id: str, content: dict[str, Any]) -> None:
    """No logger: cell.json has it all."""


def wandb_mode(mode: str | None) -> str:
    """``mode``, else what WANDB_MODE says, else "online" where there is a key; "offline" when no server answers."""
    stated = os.environ.get("WANDB_MODE")
    if stated is not None and stated not in MODES:
        log.warning("WANDB_MODE=%s is none of %s; it is ignored.", stated, ", ".join(MODES))
        del os.environ["WANDB_MODE"]  # wandb refuses to start under it
    import wandb as client

    settings = client.setup().settings
    mode = mode or os.environ.get("WANDB_MODE")
    if mode is None:
        known = settings.api_key or key_in_netrc(urlsplit(settings.base_url).hostname or "")
        mode = "online" if known else "offline"
    return "offline" if mode == "online" and not answers(settings.base_url) else mode


def agent_sweep() -> str | None:
    """The sweep of the ``wandb agent`` that started this command; to be asked before wandb reads the environment.

    An agent gives a command one run, and within its sweep wandb insists on that run's id. A command has a run for every
    cell, so they leave the sweep, and its id becomes their group.
    """
    found = {name: os.environ.pop(name, None) for name in AGENT}
    if found["WANDB_SWEEP_ID"]:
        os.environ[GROUP] = found["WANDB_SWEEP_ID"]  # for the next cells, and processes
    return os.environ.get(GROUP)


def key_in_netrc(host: str) -> bool:
    """Whether ``wandb login`` has left a key for ``host``."""
    stated = os.environ.get("NETRC")
    for path in [Path(stated)] if stated else [Path.home() / name for name in (".netrc", "_netrc")]:
        try:
            if netrc(path).authenticators(host):
                return True
        except (OSError, NetrcParseError):
            continue
    return False


@lru_cache
def answers(url: str, *, patience: float = KNOCK) -> bool:
    """Whether a server answers a GET of ``url``, through the proxy if there is one, and not with a failure (5xx).

    ``patience`` is in seconds and includes the look-up of the name. Asked once per process.
    """
    found = threading.Event()

    def knock() -> None:
        try:
            with urlopen(url, timeout=patience):
                found.set()
        except HTTPError as answer:
            if answer.code < 500:
                found.set()
        except (OSError, HTTPException):
            pass

    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(patience)
    if not found.is_set():
        log.warning("wandb: %s does not answer; runs are written offline.", url)
    return found.is_set()


def finish(logger: Any, *, summary: dict[str, Any]) -> None:
    """Adds what is no metric to a Lightning logger's run (or None's) and closes it: the next cell opens its own."""
    if logger is None:
        return
    from pytorch_lightning.loggers import WandbLogger

    if isinstance(logger, WandbLogger):
        logger.experiment.summary.update(summary)
        logger.experiment.finish()
    else:
        logger.finalize("success")


def log_model(logger: Any, path: Path, *, name: str, about: Mapping[str, Any]) -> None:
    """Adds trained weights to a wandb run as an artifact of type "model"; other loggers have no place for them."""
    from pytorch_lightning.loggers import WandbLogger

    if isinstance(logger, WandbLogger):
        numbers = {key: about[key] for key in ("sha256", "steps", "before", "after", "evaluation")}
        logger.experiment.log_artifact(model_artifact(path, name=name, metadata=numbers))


def use_model(logger: Any, path: Path, *, name: str) -> None:
    """Says of a wandb run that it read the weights of a training: the artifact has the same content, so it is one.

    wandb takes no such word offline; the run then has the artifact's name and digest in its summary.
    """
    from pytorch_lightning.loggers import WandbLogger

    if isinstance(logger, WandbLogger):
        artifact = model_artifact(path, name=name)
        if logger.experiment.offline:
            logger.experiment.summary["model_artifact"] = f"{artifact.name} {artifact.digest}"
        else:
            logger.experiment.use_artifact(artifact)


def model_artifact(path: Path, *, name: str, metadata: dict[str, Any] | None = None) -> Any:
    """Weights as an artifact, named as wandb allows."""
    import wandb as client

    artifact = client.Artifact(re.sub(r"[^A-Za-z0-9._-]", "_", name), type="model", metadata=metadata)
    artifact.add_file(str(path), name=path.name)
    return artifact


def sync_hint(folder: Path) -> str | None:
    """The one line that says how to upload offline runs under ``folder``, or None when there are none."""
    if not any(folder.glob("wandb/offline-run-*")):
        return None
    return f"wandb wrote offline: `wandb login`, then `wandb sync {folder}/wandb/offline-run-*` to upload."


def logs_to_wandb(node: DictConfig) -> bool:
    """Whether a logger's config is that of conf/logger/wandb.yaml."""
    return str(node._target_) == f"{__name__}.wandb"


def log_summary(
    node: DictConfig,
    *,
    folder: Path,
    tables: Mapping[str, Any],
    images: Sequence[Path],
    summary: dict[str, Any],
) -> None:
    """One wandb run for a sweep: ``tables`` (DataFrames) by name, ``images``, and flat ``summary`` numbers.

    What wandb makes of it costs a line at worst: the summary itself lies on disk and is printed.
    """
    with never_failing(f"the summary of {folder} is written"):
        import wandb as client

        logger = open_logger(
            node,
            folder=folder,
            group=folder.name,
            run="summary",
            run_id=hashlib.sha256(f"{folder.name}/summary".encode()).hexdigest()[:16],
            content={"sweep": folder.name},
        )
        try:
            logger.experiment.log(
                {
                    name: client.Table(
                        columns=list(table.columns), data=plain_rows(table), allow_mixed_types=True
                    )
                    for name, table in tables.items()
                }
                | {path.stem: client.Image(str(path)) for path in images}
            )
        finally:
            finish(logger, summary=summary)


def plain_rows(table: Any) -> list[Iterable[Any]]:
    """The rows of a DataFrame in Python's own values, None where there is none: wandb writes them as JSON.

    A list of values per row, since pandas and NumPy have missing values and numbers of their own.
    """
    import pandas as pd

    def own(value: Any) -> str | bool | int | float | None:
        if value is None or value is pd.NA or value is pd.NaT:
            return None
        value = value.item() if hasattr(value, "item") else value
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        return value if isinstance(value, str | bool | int) else str(value)

    return [[own(value) for value in row] for row in table.itertuples(index=False, name=None)]
