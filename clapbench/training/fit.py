"""From a configuration to a trained model: ``train.py`` in one function."""

from __future__ import annotations

from pathlib import Path

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
from clapbench.running.devices import check_accelerator
from clapbench.running.probing import build_probes
from clapbench.running.progress import TrainingProgress
from clapbench.running.trainer import make_trainer, quiet_lightning
from clapbench.sources import source
from clapbench.training.learn import Learn

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def check(cfg: DictConfig) -> None:
    """Refuses what cannot work, before anything is made, and puts values in as their kinds have them."""
    config.check(cfg, root="train")
    config.probe_configs(cfg.probes, cfg.probe)
    check_accelerator(cfg.trainer.accelerator)
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
    folder = folder_of(cfg)
    config.check_writable(folder, key="outputs")
    quiet_lightning()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)

    with source.settings(allowed=cfg.download, folder=cfg.checkpoint_dir):
        encoder = config.build(cfg.model)
    held_out = {
        name: EncodingPlan(encoder=encoder, benchmark=config.build(node))
        for name, node in cfg.validation.items()
    }
    learner = Learn(
        encoder=encoder,
        regularizers={name: config.build(node) for name, node in cfg.regularizer.items()},
        probes=build_probes(cfg),
        held_out=held_out,
        **cfg.optimizer,
    )
    recipe = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(recipe, dict)
    logger = config.build(cfg.logger, _partial_=True)(
        folder=folder,
        group="train",
        run=cfg.name,
        run_id=files.key_of(recipe)[:16],
        content=recipe,
    )
    loaders = [loader for plan in held_out.values() for loader in plan.loaders(**cfg.loader)]
    trainer = make_trainer(cfg, logger=logger, callbacks=[TrainingProgress()])
    trainer.fit(learner, config.build(cfg.data).loader(), loaders)
    path = folder / f"{cfg.name}.safetensors"
    with files.replacing(path) as temporary:
        encoder.save(temporary, recipe=recipe | provenance(), dtype=DTYPES[cfg.checkpoint_dtype])
    digest = sha256_of(path)
    loggers.finish(logger, summary={"sha256": digest})
    console.print(
        f"wrote {path}\nSHA-256 {digest}\nevaluate it: {evaluation_of(cfg, path=path)}",
        highlight=False,
        soft_wrap=True,
    )
    return path


def folder_of(cfg: DictConfig) -> Path:
    """Where the checkpoint of this configuration goes."""
    return Path(cfg.outputs, "train", cfg.name)


def evaluation_of(cfg: DictConfig, *, path: Path) -> str:
    """The command that evaluates a trained model, with every model key that is not the yaml's."""
    choice = HydraConfig.get().runtime.choices["model"] if HydraConfig.initialized() else "mini"
    shipped = config.shipped(config.CONF / "model" / f"{choice}.yaml")
    places = ("source", "checkpoint", "sha256", "pretrained")
    changed = {
        key: value for key, value in cfg.model.items() if key not in places and shipped.get(key) != value
    }
    typed = " ".join(f"model.{key}={value}" for key, value in {**changed, "name": cfg.name}.items())
    return f"python evaluate.py model={choice} {typed} model.checkpoint={path}"
