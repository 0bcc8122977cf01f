"""From a configuration to a trained model: ``train.py`` in one function."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from clapbench import config, files
from clapbench.console import console
from clapbench.files import sha256_of
from clapbench.results.provenance import provenance
from clapbench.running import loggers
from clapbench.running.batches import EncodingPlan
from clapbench.running.plan import check_parts
from clapbench.running.probing import build_probes
from clapbench.running.progress import TrainingProgress
from clapbench.running.stopping import finishing_batches, stoppable
from clapbench.running.trainer import make_trainer, quiet_lightning
from clapbench.sources import source
from clapbench.training.learn import Learn

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def check(cfg: DictConfig) -> None:
    """Refuses what cannot work, before anything is made, and puts values in as their kinds have them."""
    config.check(cfg, root="train")
    check_parts(cfg)
    if not cfg.validation:
        raise config.ConfigError(
            "validation: needed a benchmark or more under it, got none. Leave it as it is."
        )
    for node in cfg.validation.values():
        config.build(node)


def describe(cfg: DictConfig) -> str:
    """What training this configuration would do, in words. Makes nothing."""
    terms = ", ".join(["the contrastive loss", *map(str, cfg.regularizer)])
    start = "random weights" if not cfg.model.get("pretrained", True) else "released weights"
    return f"{cfg.trainer.max_steps} steps from {start} by {terms}; writes {folder_of(cfg)}"


def fit(cfg: DictConfig) -> Path:
    """Trains ``cfg.model`` and saves it; returns the checkpoint's path.

    Writes outputs/train/NAME/NAME.safetensors with the recipe in its header, and prints its SHA-256 and the
    command that evaluates it.
    """
    check(cfg)
    config.check_writable(folder_of(cfg), key="outputs")
    with stoppable("Nothing of this training is saved. Type the same command again to start it anew."):
        quiet_lightning()
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        learner = build_learner(cfg)
        digest = train(cfg, learner)
    path = path_of(cfg)
    console.print(
        f"wrote {path}\nSHA-256 {digest}\nevaluate it: {evaluation_of(cfg, path=path)}",
        highlight=False,
        soft_wrap=True,
    )
    return path


def build_learner(cfg: DictConfig) -> Learn:
    """The LightningModule of a training, with its encoder loaded."""
    with source.settings(allowed=cfg.download, folder=cfg.checkpoint_dir):
        encoder = config.build(cfg.model)
    held_out = {
        name: EncodingPlan(encoder=encoder, benchmark=config.build(node))
        for name, node in cfg.validation.items()
    }
    return Learn(
        encoder=encoder,
        regularizers={name: config.build(node) for name, node in cfg.regularizer.items()},
        probes=build_probes(config.probe_configs(cfg.probes, cfg.probe)),
        held_out=held_out,
        **cfg.optimizer,
    )


def train(cfg: DictConfig, learner: Learn) -> str:
    """Trains, and writes the checkpoint; returns its SHA-256. A logger that fails costs nothing but its log."""
    recipe: dict[str, Any] = {
        str(key): value
        for key, value in OmegaConf.to_container(cfg, resolve=True).items()  # type: ignore[union-attr]
    }
    logger, summary = open_logger(cfg, recipe=recipe), {}
    try:
        loaders = [loader for plan in learner.held_out.values() for loader in plan.loaders(**cfg.loader)]
        trainer = make_trainer(
            cfg.trainer, root=str(cfg.outputs), logger=logger, callbacks=[TrainingProgress()]
        )
        with finishing_batches():
            trainer.fit(learner, config.build(cfg.data).loader(), loaders)
        with files.replacing(path_of(cfg)) as temporary:
            dtype = DTYPES[cfg.checkpoint_dtype]
            learner.encoder.save(temporary, recipe=recipe | provenance(), dtype=dtype)
        summary = {"sha256": sha256_of(path_of(cfg))}
        return summary["sha256"]
    finally:
        with loggers.never_failing("the training is over"):
            loggers.finish(logger, summary=summary)


def open_logger(cfg: DictConfig, *, recipe: dict[str, Any]) -> Any:
    """The logger of a training; one that does not open costs a line."""
    with loggers.never_failing("the training goes on"):
        logger = loggers.open_logger(
            cfg.logger,
            folder=folder_of(cfg),
            group="train",
            run=cfg.name,
            run_id=files.key_of(recipe)[:16],
            content=recipe,
        )
        return loggers.survivor(logger)
    return None


def folder_of(cfg: DictConfig) -> Path:
    """Where the checkpoint of this configuration goes."""
    return Path(cfg.outputs, "train", cfg.name)


def path_of(cfg: DictConfig) -> Path:
    """The file that the trained model goes to."""
    return folder_of(cfg) / f"{cfg.name}.safetensors"


def evaluation_of(cfg: DictConfig, *, path: Path) -> str:
    """The command that evaluates a trained model, with every model key that is not the yaml's."""
    choice = HydraConfig.get().runtime.choices["model"] if HydraConfig.initialized() else "mini"
    shipped = config.shipped(config.find("model", choice))
    places = ("source", "checkpoint", "sha256", "pretrained")
    changed = {
        key: value for key, value in cfg.model.items() if key not in places and shipped.get(key) != value
    }
    typed = " ".join(f"model.{key}={value}" for key, value in {**changed, "name": cfg.name}.items())
    program = "clapbench evaluate" if Path(sys.argv[0]).name == "clapbench" else "python evaluate.py"
    folders = "".join(f" --config-dir={folder}" for folder in config.TYPED)
    return f"{program}{folders} model={choice} {typed} model.checkpoint={path}"
