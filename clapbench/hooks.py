"""Where Hydra meets clapbench: checks before the first job of a command runs, the summary after the last one.

Hydra turns an ``Exception`` of a callback into a warning; ``SystemExit`` passes. So whatever must stop a command, or
must not be overlooked, leaves here as ``SystemExit`` behind one printed error.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from rich.markup import escape

from clapbench import config
from clapbench.config import sweep_folder
from clapbench.console import console

# What is wrong with a user's input arrives as one of these; anything else is our own fault and shows its traceback.
MISTAKES = (OSError, ValueError, HydraException, OmegaConfBaseException)


def entry(main: Callable[[], Any], arguments: Sequence[str]) -> None:
    """Runs a Hydra main, after a look at the names on its command line."""
    with one_clear_error():
        config.check_choices(arguments)
    main()


@contextmanager
def one_clear_error(*, debug: bool = False) -> Iterator[None]:
    """What goes wrong inside ends the command with exit code 1: a mistake in a line, a fault with its traceback."""
    try:
        yield
    except Exception as error:
        if debug or not isinstance(error, MISTAKES):
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


class EvaluateHooks(Callback):
    """Hydra's hooks of conf/evaluate.yaml."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Checks the one configuration before anything slow."""
        with one_clear_error(debug=config.debug):
            start([config])

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Says how to upload what was logged offline."""
        say_how_to_sync(config, folder=sweep_folder(config))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Checks every job of the sweep before the first one runs, and lists its cells."""
        with one_clear_error(debug=config.debug):
            typed_replaces_grid(config)
            jobs = compose(config)
            start(jobs)
            list_cells(jobs)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Writes and shows the summary; exit code 1 where a cell failed or is absent."""
        from clapbench import report
        from clapbench.running import loggers

        folder = sweep_folder(config)
        path = folder / "report" / "index.html"  # it names the content of every table
        old = path.read_text(encoding="utf-8") if path.is_file() else None
        with one_clear_error(debug=config.debug):
            summary = report.build(folder)
            report.show(summary)
            if loggers.logs_to_wandb(config.logger) and path.read_text(encoding="utf-8") != old:
                loggers.log_summary(
                    config.logger,
                    folder=folder,
                    tables=summary.tables,
                    images=sorted(folder.glob("report/*.png")),
                    summary=summary.headline,
                )
            say_how_to_sync(config, folder=folder)
        if summary.sweep.failed or summary.sweep.absent:
            raise SystemExit(1)


class TrainHooks(Callback):
    """Hydra's hooks of conf/train.yaml."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Checks the one configuration before anything slow."""
        with one_clear_error(debug=config.debug):
            start_training([config])

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Checks every job before the first one runs."""
        with one_clear_error(debug=config.debug):
            start_training(compose(config))

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Says how to upload what was logged offline."""
        say_how_to_sync(config, folder=Path(config.outputs, "train", config.model.name))


def say_how_to_sync(cfg: DictConfig, *, folder: Path) -> None:
    """Prints the command that uploads what wandb logged offline, where it did."""
    from clapbench.running import loggers

    if loggers.logs_to_wandb(cfg.logger) and (hint := loggers.sync_hint(folder)):
        console.print(f"[dim]{hint}[/]", soft_wrap=True)


def typed_replaces_grid(cfg: DictConfig) -> None:
    """``experiment=demo model=mini``: what is typed replaces that axis of the experiment's grid."""
    grid = cfg.hydra.sweeper.get("params") or {}
    typed = {override.key_or_group for override in parse(cfg.hydra.overrides.task)}
    with read_write(cfg.hydra), open_dict(cfg.hydra):
        for key in list(grid):
            if key in typed:
                del cfg.hydra.sweeper.params[key]


def parse(overrides: Sequence[str]) -> list[Any]:
    """Hydra's overrides of these words."""
    return OverridesParser.create().parse_overrides(list(overrides))


def compose(cfg: DictConfig) -> list[DictConfig]:
    """The configuration of every job that Hydra's basic sweeper will run for ``cfg``, in its order."""
    grid = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.get("params") or {}).items()]
    axes = []
    for override in parse([*grid, *cfg.hydra.overrides.task]):
        if override.is_sweep_override():
            config.check_choices([override.input_line])
            axes.append([f"{override.key_or_group}={value}" for value in override.sweep_string_iterator()])
        else:
            axes.append([override.input_line])
    loader = GlobalHydra.instance().config_loader()
    return [loader.load_sweep_config(cfg, list(overrides)) for overrides in itertools.product(*axes)]


def start(jobs: Sequence[DictConfig]) -> None:
    """Refuses before the first cell runs all that can be refused; under ``plan=true`` says the plan and ends."""
    from clapbench.running import plan

    for job in jobs:
        plan.check(job)
        first, own = sweep_folder(jobs[0]), config.sweep_folder(job)
        if own != first:
            raise config.ConfigError(
                f"sweep: needed one folder for the whole command, got {first} and {own}. Type one command for each."
            )
    refuse_shared_folders([plan.cell_folder(job) for job in jobs], names="model.name and bench.name")
    if jobs[0].plan:
        for job in jobs:
            try:
                words = plan.describe(job)
            except MISTAKES as error:
                words = f"[red]would fail[/]: {escape(str(error))}"
            console.print(
                f"[bold]{job.model.name} × {job.bench.name}[/]  {words}", highlight=False, soft_wrap=True
            )
        raise SystemExit(0)
    for job in jobs:
        plan.check_writable(job)


def start_training(jobs: Sequence[DictConfig]) -> None:
    """`start` for train.py."""
    from clapbench.training import fit

    for job in jobs:
        fit.check(job)
    refuse_shared_folders([fit.folder_of(job) for job in jobs], names="model.name")


def refuse_shared_folders(folders: Sequence[Path], *, names: str) -> None:
    """ConfigError for two jobs that would write one folder."""
    twice = [folder for folder in folders if folders.count(folder) > 1]
    if twice:
        raise config.ConfigError(
            f"two jobs would write {twice[0]}, which is named by {names}. Give them different names, "
            f"or type one command for each."
        )


def list_cells(jobs: Sequence[DictConfig]) -> None:
    """sweep.json: the cells of this command, for the summary."""
    from clapbench import files

    first = jobs[0]
    folder = sweep_folder(first)
    record = {
        "schema": 1,
        "command": shlex.join(sys.argv),
        "cells": [{"model": str(job.model.name), "bench": str(job.bench.name)} for job in jobs],
        "matched": {**first.matched, "seed": first.seed},
        "cache_dir": os.path.relpath(first.cache_dir, folder),  # so that the outputs can be moved as one
    }
    files.write_text(folder / "sweep.json", json.dumps(record, indent=1) + "\n")
