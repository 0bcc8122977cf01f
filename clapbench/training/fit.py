"""From a configuration to a trained model: ``train.py`` in one function."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers.logger import DummyLogger

from clapbench import config, files
from clapbench.config.levels import recipe_of_training
from clapbench.config.lines import choice_of
from clapbench.console import console, shown
from clapbench.encoders.base import Encoder, fingerprint
from clapbench.files import sha256_of
from clapbench.results.provenance import provenance
from clapbench.running import devices, loggers
from clapbench.running.batches import EncodingPlan
from clapbench.running.plan import model_class
from clapbench.running.probing import build_probes
from clapbench.running.progress import TrainingProgress
from clapbench.running.stopping import finishing_batches, stoppable
from clapbench.running.trainer import make_trainer, quiet_lightning
from clapbench.sources import source
from clapbench.training import launch, processes, result, resume
from clapbench.training.check import build_data, check, check_sides
from clapbench.training.data.base import TrainingData
from clapbench.training.features import Features
from clapbench.training.geometry import Curve, Geometry, validation_loaders
from clapbench.training.learn import Learn

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def describe(cfg: DictConfig) -> str:
    """What training this configuration would do, in words. Makes nothing."""
    folder = Folder.of(cfg)
    recipe = recipe_of(cfg, build_data(cfg))
    found = resume.find(cfg, recipe, weights=folder.weights, last=folder.last)
    if found.result:
        return f"done already: {found.result}"
    objective = str(cfg.objective._target_).rpartition(".")[2]
    terms = ", ".join([objective, *map(str, cfg.regularizer)])
    start = "random weights" if not cfg.model.get("pretrained", True) else "released weights"
    if found.checkpoint:
        start = f"step {found.step} of {found.checkpoint}"
    limits = {"steps": cfg.trainer.max_steps, "epochs": cfg.trainer.max_epochs}
    length = " or ".join(f"{n} {what}" for what, n in limits.items() if n is not None and n > 0)
    return f"{length or 'endless'} from {start} by {terms}; writes {folder.path}"


@dataclass(frozen=True)
class Folder:
    """Where a training's files lie: the result, its card and record, the curve, what it goes on from."""

    path: Path
    name: str

    @classmethod
    def of(cls, cfg: DictConfig) -> Folder:
        """The folder of a configuration."""
        return cls(path=Path(cfg.outputs, "train", cfg.name), name=str(cfg.name))

    @property
    def weights(self) -> Path:
        """The trained model."""
        return self.path / f"{self.name}.safetensors"

    @property
    def last(self) -> Path:
        """The checkpoint that an unfinished training goes on from."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def curve(self) -> Path:
        """Validation, step by step."""
        return self.path / "curve.csv"


@dataclass(frozen=True)
class Job:
    """A training as each of its processes gets it."""

    cfg: DictConfig
    folder: Folder
    recipe: dict[str, Any]
    found: resume.Found
    evaluation: str  # the command that evaluates the result
    folders: tuple[Path, ...]  # of yaml files that the command line adds


def fit(cfg: DictConfig) -> Path:
    """Trains ``cfg.model`` and saves it; returns the path of the weights.

    Writes outputs/train/NAME: NAME.safetensors with the recipe in its header, a model card, the curve, and until it is
    done a checkpoint to go on from. Prints the weights' SHA-256 and the command that evaluates them. Where the result
    is there already, says so and trains nothing.
    """
    data = check(cfg)
    folder, recipe = Folder.of(cfg), recipe_of(cfg, data)
    found = resume.find(cfg, recipe, weights=folder.weights, last=folder.last)
    evaluation = evaluation_of(cfg, path=folder.weights)
    if found.result:
        say(
            f"done already: {found.result}\nevaluate it: {evaluation}\ntrain it anew: the same with force=true"
        )
        return found.result
    config.check_writable(folder.last.parent, key="outputs")
    config.check_writable(Path(cfg.cache_dir), key="cache_dir")
    if found.checkpoint:
        say(f"goes on at step {found.step} of {found.checkpoint}")
    job = Job(
        cfg=OmegaConf.create({key: recipe[str(key)] for key in cfg if key != "hydra"}),
        folder=folder,
        recipe=recipe,
        found=found,
        evaluation=evaluation,
        folders=tuple(config.TYPED),
    )
    again = "" if cfg.ckpt_path == "last" else " with ckpt_path=last"
    with stoppable(f"Type the same command again{again} to go on from {folder.last}, if it was written."):
        launch.run(work, job, n=devices.processes_to_start(cfg))
    if launch.started_rank() == 0:
        say(f"wrote {folder.weights}\nSHA-256 {sha256_of(folder.weights)}\nevaluate it: {evaluation}")
    return folder.weights


def say(text: str) -> None:
    """Tells people, with paths and commands in one piece."""
    for line in text.splitlines():
        console.print(shown(line), highlight=False, soft_wrap=True)


def work(job: Job) -> None:
    """One process's part of a training. A logger that fails costs nothing but its log."""
    cfg = job.cfg
    config.TYPED[:] = job.folders
    quiet_lightning()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    began = time.perf_counter()
    data = build_data(cfg)
    learner, geometry = build(job, data)
    logger, summary = open_logger(cfg, recipe=job.recipe), {}
    try:
        trainer = make_trainer(
            cfg.trainer,
            root=str(cfg.outputs),
            logger=logger,
            callbacks=[
                geometry,
                TrainingProgress(),
                *(config.build(node) for node in cfg.callback.values()),
                resume.Keep(job.folder.last, every=cfg.save_every),
            ],
        )
        with finishing_batches(), in_our_words(cfg):
            train(trainer, learner, data, geometry, job)
        left_out = processes.union(data.left_out)
        if trainer.is_global_zero:
            about = data.content | {"left_out": len(left_out)}
            summary = save(job, learner, geometry, about, seconds=time.perf_counter() - began)
            with loggers.never_failing("the training is over"):
                loggers.log_model(logger, job.folder.weights, name=job.folder.name, about=summary)
            job.folder.last.unlink(missing_ok=True)
        trainer.strategy.barrier("saved")
    finally:
        with loggers.never_failing("the training is over"):
            loggers.finish(logger, summary=summary)


def train(trainer: pl.Trainer, learner: Learn, data: TrainingData, geometry: Geometry, job: Job) -> None:
    """Validates before the first step, trains, and validates after the last one."""
    geometry.curve.start(until=job.found.step if job.found.checkpoint else None)
    if not geometry.curve.steps:
        trainer.validate(learner, datamodule=data, verbose=False)
        refuse_unknown_monitors(trainer, known=set(geometry.curve.before))
    trainer.fit(learner, datamodule=data, ckpt_path=job.found.checkpoint, weights_only=True)
    if max(geometry.curve.steps) != trainer.global_step:
        trainer.validate(learner, datamodule=data, verbose=False)
    if job.cfg.weights == "best":
        take_best(trainer, learner, data, geometry)


def refuse_unknown_monitors(trainer: pl.Trainer, *, known: set[str]) -> None:
    """`ConfigError` for a callback that watches a number which validation does not have."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor not in known and not monitor.startswith("train/"):
            raise config.unknown(f"callback {type(callback).__name__}: monitor", monitor, known)


def take_best(trainer: pl.Trainer, learner: Learn, data: TrainingData, geometry: Geometry) -> None:
    """Puts the weights of the best validation in place, and measures them once more."""
    keeper = next(one for one in trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint))
    if not keeper.best_model_path:
        say("no validation fell into the training: the last weights are the result, not the best ones")
        return
    held = resume.read_checkpoint(Path(keeper.best_model_path))
    learner.load_state_dict(held["state_dict"], strict=False)
    geometry.choosing, geometry.chosen_step = True, int(held["global_step"])
    trainer.validate(learner, datamodule=data, verbose=False)


def build(job: Job, data: TrainingData) -> tuple[Learn, Geometry]:
    """The LightningModule of a training, with its encoder loaded, and what follows it on held-out benchmarks."""
    cfg = job.cfg
    with source.settings(allowed=cfg.download, folder=cfg.checkpoint_dir):
        encoder: Encoder = config.build(cfg.model)
    held_out = {
        name: EncodingPlan(encoder=encoder, benchmark=config.build(node))
        for name, node in cfg.validation.items()
    }
    data.validation = lambda: validation_loaders(held_out, **cfg.loader)
    finetune = config.build(cfg.finetune)
    finetune.apply(encoder)
    objective = config.build(cfg.objective)
    objective.start(encoder.logit_scale)
    regularizers = {name: config.build(node) for name, node in cfg.regularizer.items()}
    check_sides(regularizers, moving=finetune.moving_sides(encoder))
    learner = Learn(
        features=Features(
            encoder,
            content={**job.recipe["fingerprint"], "precision": str(cfg.trainer.precision)},
            folder=Path(cfg.cache_dir, "training"),
            keep_heard=data.keeps_heard,
        ),
        finetune=finetune,
        objective=objective,
        regularizers=regularizers,
        optimizer=config.build(cfg.optimizer),
        schedule=config.build(cfg.schedule),
        recipe=job.recipe,
    )
    probes = build_probes(config.probe_configs(cfg.probes, cfg.probe))
    return learner, Geometry(held_out=held_out, probes=probes, curve=Curve(job.folder.curve))


def save(
    job: Job, learner: Learn, geometry: Geometry, data: Mapping[str, Any], *, seconds: float
) -> dict[str, Any]:
    """Writes record and card, then the weights, by which a training is known to be done; returns the record."""
    header = job.recipe | provenance()
    with files.replacing(job.folder.weights) as temporary:
        learner.encoder.save(
            temporary,
            recipe=header,
            dtype=DTYPES[job.cfg.checkpoint_dtype],
            logit_scale=float(learner.objective.scale.detach()),
            tensors=learner.finetune.merged(learner.encoder),
        )
        record = result.record(
            recipe=header,
            weights=job.folder.weights.name,
            sha256=sha256_of(temporary),
            geometry=geometry,
            data=data,
            seconds=seconds,
            evaluation=job.evaluation,
        )
        result.write(record, folder=job.folder.path)
    return record


@contextmanager
def in_our_words(cfg: DictConfig) -> Iterator[None]:
    """Out of memory: what to lower."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "t allocate memory" not in str(
            error
        ):
            raise
        told = str(error).splitlines() or [type(error).__name__]
        raise ValueError(
            f"out of memory in a step of {cfg.data.get('batch_size')} pairs ({told[0][:200]}). "
            f"Lower data.batch_size, set finetune.gradient_checkpointing=true, finetune=lora or projection, or "
            f"trainer.precision=bf16-mixed."
        ) from error


def open_logger(cfg: DictConfig, *, recipe: Mapping[str, Any]) -> Any:
    """The logger of a training, of the first process alone; one that does not open costs a line.

    The others have one that logs nothing: callbacks want one in every process, or in none.
    """
    if launch.started_rank() > 0:
        return None if str(cfg.logger._target_).endswith(".none") else DummyLogger()
    with loggers.never_failing("the training goes on"):
        logger = loggers.open_logger(
            cfg.logger,
            folder=Folder.of(cfg).path,
            group="train",
            run=cfg.name,
            run_id=files.key_of(recipe)[:16],
            content=dict(recipe),
        )
        return loggers.survivor(logger)
    return DummyLogger()


def recipe_of(cfg: DictConfig, data: TrainingData) -> dict[str, Any]:
    """The configuration in plain values, and what the model's files and the data hold."""
    task = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    plain = OmegaConf.to_container(task, resolve=True)
    assert isinstance(plain, dict)
    plain["model"] = OmegaConf.to_container(config.without_levels(cfg.model), resolve=True)
    kind, arguments = model_class(cfg)
    with source.settings(allowed=cfg.download, folder=cfg.checkpoint_dir):
        content = fingerprint(kind, arguments)
    return {str(key): value for key, value in plain.items()} | {
        "fingerprint": content,
        "content": data.content,
    }


def evaluation_of(cfg: DictConfig, *, path: Path) -> str:
    """The command that evaluates a trained model, with every model key that is not the yaml's, and its levels.

    Its recipe is the training's name without the seed. A model that starts from random weights is of no known family.
    """
    choice = choice_of(cfg, "model") if HydraConfig.initialized() else "mini"
    shipped = config.shipped(config.find("model", choice))
    places = ("source", "checkpoint", "sha256", "pretrained", "text_source", "text_checkpoint")
    changed = {
        key: value for key, value in cfg.model.items() if key not in places and shipped.get(key) != value
    }
    levels = {"recipe": recipe_of_training(str(cfg.name), seed=cfg.seed), "seed": cfg.seed}
    if not cfg.model.get("pretrained", True) and "family" in shipped:
        levels["family"] = None
    typed = {"model": choice} | {
        f"model.{key}": value for key, value in {**changed, "name": cfg.name, **levels}.items()
    }
    typed["model.checkpoint"] = str(path)
    program = "clapbench evaluate" if Path(sys.argv[0]).name == "clapbench" else "python evaluate.py"
    folders = [f"--config-dir={folder}" for folder in config.TYPED]
    return (
        f"{program} {shlex.join([*folders, *(f'{key}={as_typed(value)}' for key, value in typed.items())])}"
    )


def as_typed(value: Any) -> str:
    """A value of a configuration as a command line has it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
