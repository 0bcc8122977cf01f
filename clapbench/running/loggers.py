"""Loggers for a run: Weights & Biases, CSV files, or none. All take the same arguments, so a yaml chooses.

A run's id derives from what it computed, so doing it again continues the same run. Nothing here waits for a
network: without a configured key, or when the server does not answer at once, wandb writes offline. wandb, pandas
and Lightning are imported where they are used, since each takes seconds.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from http.client import HTTPException
from netrc import NetrcParseError, netrc
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from omegaconf import DictConfig

from clapbench.console import plain

log = logging.getLogger(__name__)

PATIENCE = 8.0  # seconds that a server gets to open a run, and to take what is left at its end
KNOCK = 2.0  # seconds that it gets to answer at all


def wandb(
    *,
    folder: Path,
    group: str,
    run: str,
    run_id: str,
    content: dict[str, Any],
    project: str,
    entity: str | None,
    mode: str | None,
) -> Any:
    """An open wandb run under ``folder``/wandb. ``mode`` null: online if there is a key and the server answers.

    Where an online run does not open within ``PATIENCE`` seconds, it and the later ones of the process are offline.
    """
    from pytorch_lightning.loggers import WandbLogger

    os.environ.setdefault("WANDB_SILENT", "true")  # read when wandb's session starts, so before the import
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

    mode = wandb_mode(mode)
    try:
        return opened(mode, run_id)
    except Exception as error:  # wandb raises what it likes; a result must not depend on it
        if mode != "online":
            raise
        log.warning("wandb: no run could be opened (%s). This run is written offline.", error)
        os.environ["WANDB_MODE"] = "offline"
        return opened("offline", f"{run_id}-offline")  # wandb still holds the id of the run that did not open


def csv(*, folder: Path, group: str, run: str, run_id: str, content: dict[str, Any]) -> Any:
    """Lightning's CSV logger: ``folder``/csv/RUN/metrics.csv and hparams.yaml."""
    from pytorch_lightning.loggers import CSVLogger

    logger = CSVLogger(save_dir=folder, name="csv", version=run.replace("/", "-"))
    logger.log_hyperparams(content)
    return logger


def none(*, folder: Path, group: str, run: str, run_id: str, content: dict[str, Any]) -> None:
    """No logger: cell.json has it all."""


def wandb_mode(mode: str | None) -> str:
    """``mode``, else what WANDB_MODE says, else "online" where there is a key; "offline" when no server answers."""
    import wandb as client

    settings = client.setup().settings
    mode = mode or os.environ.get("WANDB_MODE")
    if mode is None:
        known = settings.api_key or key_in_netrc(urlsplit(settings.base_url).hostname or "")
        mode = "online" if known else "offline"
    return "offline" if mode == "online" and not answers(settings.base_url) else mode


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
    try:
        _log_summary(node, folder=folder, tables=tables, images=images, summary=summary)
    except Exception as error:  # wandb raises what it likes
        log.warning("wandb: the summary was not logged (%s: %s).", type(error).__name__, plain(error))


def _log_summary(
    node: DictConfig,
    *,
    folder: Path,
    tables: Mapping[str, Any],
    images: Sequence[Path],
    summary: dict[str, Any],
) -> None:
    import wandb as client

    logger = wandb(
        folder=folder,
        group=folder.name,
        run="summary",
        run_id=hashlib.sha256(f"{folder.name}/summary".encode()).hexdigest()[:16],
        content={"sweep": folder.name},
        project=node.project,
        entity=node.entity,
        mode=node.mode,
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
