"""Where Hydra meets clapbench: checks before the first job of a command runs, the summary after the last one.

Hydra turns an ``Exception`` of a callback into a warning; ``SystemExit`` passes. So whatever must stop a command, or
must not be overlooked, leaves here as ``SystemExit`` behind one printed error.
"""

from __future__ import annotations

import copy
import json
import os
import shlex
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException
from rich.markup import escape
from yaml import YAMLError

from clapbench import config, files
from clapbench.config import sweep_folder
from clapbench.config.lines import name_of_training
from clapbench.config.mistakes import in_our_words
from clapbench.console import complain, console, shown
from clapbench.study import names, registration

# What is wrong with a user's input arrives as one of these; anything else is our own fault and shows its traceback.
MISTAKES = (OSError, ValueError, HydraException, OmegaConfBaseException, YAMLError, RecursionError)

MOST_JOBS = 10_000  # each is composed and checked before the first one runs

OmegaConf.register_new_resolver("clapbench.trained_name", name_of_training, replace=True)


@contextmanager
def one_clear_error(*, debug: bool = False) -> Iterator[None]:
    """What goes wrong inside ends the command with exit code 1: a mistake in a line, a fault with its traceback."""
    try:
        yield
    except BrokenPipeError:  # whoever read the output has left
        raise SystemExit(0) from None
    except Exception as error:
        if debug or not isinstance(error, MISTAKES):
            traceback.print_exc()
        for line in f"error: {in_our_words(error, sys.argv[1:])}".splitlines():
            complain(line)
        raise SystemExit(1) from None


class EvaluateHooks(Callback):
    """Hydra's hooks of conf/evaluate.yaml."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Checks the one cell."""
        with one_clear_error(debug=_debug(config)):
            start([config])

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Says how to upload what was logged offline."""
        say_how_to_sync(config, folder=sweep_folder(config))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Checks every cell of the sweep, and lists them."""
        with one_clear_error(debug=_debug(config)):
            typed_replaces_grid(config)
            jobs = compose(config)
            start(jobs)
            list_cells(jobs)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Writes, prints and logs the summary; exit code 1 where a cell is lacking."""
        from clapbench import report
        from clapbench.running import loggers

        folder = sweep_folder(config)
        path = folder / "report" / "index.html"  # it names the content of every table
        old = path.read_text(encoding="utf-8") if path.is_file() else None
        with one_clear_error(debug=_debug(config)):
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
        if not summary.sweep.complete:
            raise SystemExit(1)


class TrainHooks(Callback):
    """Hydra's hooks of conf/train.yaml."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Checks the one training."""
        with one_clear_error(debug=_debug(config)):
            start_training([config])

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Checks every training."""
        with one_clear_error(debug=_debug(config)):
            typed_replaces_grid(config)
            start_training(compose(config))

    def on_run_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Says how to upload what was logged offline."""
        say_how_to_sync(config, folder=Path(config.outputs, "train", config.name))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Writes and prints the table of the trainings; exit code 1 where one is lacking."""
        from clapbench.training import fit, table

        with one_clear_error(debug=_debug(config)):
            jobs = compose(config)
            folders = [fit.Folder.of(job) for job in jobs]
            csv = table.write(Path(config.outputs, "train"))
            table.show([folder.path for folder in folders], csv=csv)
            lacking = [folder.path for folder in folders if not folder.weights.is_file()]
            if jobs[0].study is not None and not lacking:
                from clapbench.report.study import show_doses

                out = Path(config.outputs, "doses")
                show_doses(csv, registered=study_of(jobs[0]), out=out, names={str(job.name) for job in jobs})
        if lacking:
            complain(f"error: {len(lacking)} of {len(folders)} trainings have no result: {lacking[0]} ...")
            raise SystemExit(1)


def _debug(cfg: DictConfig) -> bool:
    return OmegaConf.select(cfg, "debug") is True


def say_how_to_sync(cfg: DictConfig, *, folder: Path) -> None:
    """Says how to upload runs that wandb wrote offline, if there are any."""
    from clapbench.running import loggers

    if loggers.logs_to_wandb(cfg.logger) and (hint := loggers.sync_hint(folder)):
        console.say(f"[dim]{escape(hint)}[/]")


def typed_replaces_grid(cfg: DictConfig) -> None:
    """``experiment=demo model=mini``: what is typed replaces that axis of the experiment's grid."""
    grid = cfg.hydra.sweeper.get("params") or {}
    typed = {override.key_or_group for override in OverridesParser.create().parse_overrides(_typed(cfg))}
    with read_write(cfg.hydra), open_dict(cfg.hydra):
        for key in list(grid):
            if key in typed:
                del cfg.hydra.sweeper.params[key]


def _typed(cfg: DictConfig) -> list[str]:
    """The overrides of the command; their ``${...}`` belong to each job and are left as they are."""
    overrides = OmegaConf.to_container(cfg.hydra.overrides.task, resolve=False)
    assert isinstance(overrides, list)
    return [str(line) for line in overrides]


def compose(cfg: DictConfig) -> list[DictConfig]:
    """The configuration of every job that Hydra's basic sweeper will run for ``cfg``, in its order."""
    grid = [f"{key}={value}" for key, value in (cfg.hydra.sweeper.get("params") or {}).items()]
    loader = GlobalHydra.instance().config_loader()
    parser = OverridesParser.create(config_loader=loader)
    overrides = parser.parse_overrides([*grid, *_typed(cfg)])
    batches = BasicSweeper.split_arguments(overrides, None)
    lines = batches[0] if batches else []
    if not lines:
        swept = ", ".join(str(one.input_line) for one in overrides if one.is_sweep_override())
        raise config.ConfigError(f"the sweep has no job: {swept} stands for nothing. Correct it.")
    if len(lines) > MOST_JOBS:
        raise config.ConfigError(
            f"the sweep has {len(lines)} jobs, at most {MOST_JOBS} go into one command. Split it."
        )
    jobs = {tuple(job): loader.load_sweep_config(cfg, list(job)) for job in lines}
    if cfg.hydra.launcher._target_.endswith("BasicLauncher"):
        remember(loader, jobs)
    return [jobs[tuple(job)] for job in lines]


def remember(loader: ConfigLoader, jobs: Mapping[tuple[str, ...], DictConfig]) -> None:
    """Spares Hydra from composing each job twice more, to see whether it can and to run it."""
    compose_anew = loader.load_sweep_config

    def load(master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        known = jobs.get(tuple(sweep_overrides))
        return compose_anew(master_config, sweep_overrides) if known is None else copy.deepcopy(known)

    loader.load_sweep_config = load  # type: ignore[method-assign]


def start(jobs: Sequence[DictConfig]) -> None:
    """Refuses before the first cell runs all that can be refused; under ``plan=true`` says the plan and ends."""
    for job in jobs:
        config.check(job, root="evaluate")
    check_what_all_share(jobs)
    from clapbench.running import plan  # and torch

    for job in jobs:
        plan.check(job)
        first, own = sweep_folder(jobs[0]), config.sweep_folder(job)
        if own != first:
            raise config.ConfigError(
                f"sweep: needed one folder for the whole command, got {first} and {own}. Type one command for each."
            )
    refuse_shared_folders([plan.cell_folder(job) for job in jobs], names="model.name and bench.name")
    if jobs[0].study is not None:
        study = study_of(jobs[0])
        names.check(study)
        benches = {str(job.bench.name) for job in jobs}
        if lacking := names.not_measured(study, probes=probes_of(jobs), benches=benches):
            console.say(f"[yellow]{shown(lacking)}[/]")
    if jobs[0].plan:
        fails = 0
        for job in jobs:
            try:
                words = plan.describe(job)
            except MISTAKES as error:
                words, fails = f"[red]would fail[/]: {shown(error)}", fails + 1
            console.say(f"[bold]{shown(job.model.name)} × {shown(job.bench.name)}[/]  {words}")
        raise SystemExit(1 if fails else 0)
    for job in jobs:
        plan.check_writable(job)


def start_training(jobs: Sequence[DictConfig]) -> None:
    """`start` for train.py."""
    for job in jobs:
        config.check(job, root="train")
    check_what_all_share(jobs)
    from clapbench.training import fit  # and Lightning

    for job in jobs:
        fit.check(job)
    refuse_shared_folders([fit.Folder.of(job).path for job in jobs], names="name")
    if jobs[0].study is not None:
        study = study_of(jobs[0])
        names.check(study)
        benches = {str(key) for job in jobs for key in job.validation}
        names.check_trainings(study, probes=probes_of(jobs), benches=benches)
    for job in jobs:
        if job.plan:
            console.say(f"[bold]{shown(job.name)}[/]  {shown(fit.describe(job))}")
    if jobs[0].plan:
        raise SystemExit(0)


def check_what_all_share(jobs: Sequence[DictConfig]) -> None:
    """A command plans or runs, and Hydra's own folders have names and can be made."""
    cfg = jobs[0]
    if any(job.plan != cfg.plan for job in jobs):
        raise config.ConfigError("plan: needed one value for the whole command. Set plan=true or plan=false.")
    if cfg.study is not None:
        study_of(cfg)
    for key in ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir"):
        folder = str(OmegaConf.select(cfg, key) or "").strip()
        if not folder:
            raise config.ConfigError(
                f"{key}: needed a folder, got an empty name. Leave it out, or set {key}=DIR."
            )
        config.check_place(Path(folder), key=key)


def refuse_shared_folders(folders: Sequence[Path], *, names: str) -> None:
    """Two jobs that would write one folder are a mistake."""
    twice = [folder for folder, times in Counter(folders).items() if times > 1]
    if twice:
        raise config.ConfigError(
            f"two jobs would write {twice[0]}, which is named by {names}. Give them different names, as in "
            f"'{names.split()[0]}=m${{seed}}', or type one command for each."
        )


def study_of(cfg: DictConfig) -> registration.Registered:
    """What ``study`` names. ValueError where it is none."""
    return registration.registered(config.study_file(str(cfg.study)))


def probes_of(jobs: Sequence[DictConfig]) -> set[str]:
    """The probes that every job measures."""
    return set.intersection(*({*config.probe_configs(job.probes, job.probe)} for job in jobs))


def list_cells(jobs: Sequence[DictConfig]) -> None:
    """sweep.json: the cells of this command, for the summary."""
    first = jobs[0]
    folder = sweep_folder(first)
    record = {
        "schema": 1,
        "command": shlex.join(sys.argv),
        "cells": [{"model": str(job.model.name), "bench": str(job.bench.name)} for job in jobs],
        "matched": {**first.matched, "seed": first.seed},
        "margin": first.margin,
        "cache_dir": os.path.relpath(first.cache_dir, folder),  # so that the outputs can be moved as one
    }
    if first.study is not None:
        record["study"] = registration.as_record(study_of(first))
    files.write_text(folder / "sweep.json", json.dumps(record, indent=1) + "\n")
