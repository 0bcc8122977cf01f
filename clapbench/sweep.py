"""Where Hydra meets clapbench: checks before the first job of a command runs, the summary after the last one.

Hydra turns an ``Exception`` of a callback into a warning; ``SystemExit`` passes. So whatever must stop a command, or
must not be overlooked, leaves here as ``SystemExit`` behind one printed error.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import shlex
import sys
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
from clapbench.console import console

log = logging.getLogger(__name__)

MISTAKES = (config.ConfigError, HydraException, OmegaConfBaseException)


def entry(main: Callable[[], Any], arguments: Sequence[str]) -> None:
    """Runs a Hydra main, after a look at the names on its command line."""
    try:
        config.check_choices(arguments)
    except MISTAKES as error:
        stop(error)
    main()


def stop(error: BaseException) -> None:
    """One error on stderr, and exit code 1."""
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(1) from None


@contextmanager
def one_clear_error(*, debug: bool) -> Iterator[None]:
    """Around the work of a single run: what is wrong with its input is told without a traceback."""
    try:
        yield
    except (OSError, ValueError) as error:
        if debug:
            raise
        stop(error)


class Sweep(Callback):
    """Hydra's hooks of conf/evaluate.yaml."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        prepare([config])
        if config.plan:
            show_plan([config])
            raise SystemExit(0)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            typed_replaces_grid(config)
            jobs = compose(config)
        except MISTAKES as error:
            stop(error)
        prepare(jobs)
        if config.plan:
            show_plan(jobs)
            raise SystemExit(0)
        list_cells(jobs)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        from clapbench import report, tracking

        folder = Path(config.outputs, config.sweep)
        before = folder / "summary.json"
        old = before.read_text(encoding="utf-8") if before.is_file() else None
        try:
            sweep = report.build(folder)
            report.show(sweep)
            if tracking.logs_to_wandb(config.logger) and before.read_text(encoding="utf-8") != old:
                tracking.log_summary(
                    config.logger, folder=folder, tables=report.tables(sweep), summary=report.headline(sweep)
                )
        except Exception as error:
            log.exception("the summary of %s could not be made", folder)
            stop(error)
        if hint := tracking.sync_hint(folder):
            console.print(f"[dim]{hint}[/]", soft_wrap=True)
        if sweep.failed or sweep.absent:
            raise SystemExit(1)


class Training(Callback):
    """Hydra's hooks of conf/train.yaml."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        from clapbench import fit

        try:
            fit.check(config)
        except MISTAKES as error:
            stop(error)


def typed_replaces_grid(cfg: DictConfig) -> None:
    """``experiment=demo model=mini``: what is typed replaces that axis of the experiment's grid."""
    grid = cfg.hydra.sweeper.get("params") or {}
    typed = {override.key_or_group for override in parse(cfg.hydra.overrides.task)}
    with read_write(cfg.hydra), open_dict(cfg.hydra):
        for key in list(grid):
            if key in typed:
                del cfg.hydra.sweeper.params[key]


def parse(overrides: Sequence[str]) -> list[Any]:
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


def prepare(jobs: Sequence[DictConfig]) -> None:
    """Everything that can be refused before the first cell runs is refused here."""
    from clapbench import run

    try:
        folders: dict[Path, DictConfig] = {}
        for job in jobs:
            run.check(job)
            folder = run.cell_folder(job)
            if folder in folders:
                raise config.ConfigError(
                    f"sweep {job.sweep!r}: two jobs would write {folder}. Cells are named by model.name and "
                    f"bench.name: give them different names, or run them as sweeps of their own (sweep=NAME)."
                )
            folders[folder] = job
        for job in jobs:
            if not job.plan:
                run.check_writable(job)
    except MISTAKES as error:
        stop(error)


def show_plan(jobs: Sequence[DictConfig]) -> None:
    """Prints what each cell of the command needs."""
    from clapbench import run

    for job in jobs:
        try:
            words = run.standing(job)
        except (OSError, ValueError) as error:
            words = f"[red]would fail[/]: {escape(str(error))}"
        console.print(f"[bold]{job.model.name} × {job.bench.name}[/]  {words}", highlight=False)


def list_cells(jobs: Sequence[DictConfig]) -> None:
    """sweep.json: the cells of this command, for the summary."""
    from clapbench import cache

    first = jobs[0]
    folder = Path(first.outputs, first.sweep)
    record = {
        "schema": 1,
        "command": shlex.join(sys.argv),
        "cells": [{"model": job.model.name, "bench": job.bench.name} for job in jobs],
        "cache_dir": os.path.relpath(first.cache_dir, folder),  # so that the outputs can be moved as one
    }
    cache.write_text(folder / "sweep.json", json.dumps(record, indent=1) + "\n")
