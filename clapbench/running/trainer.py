"""The Trainer of a configuration, without Lightning's own bars, tables and tips."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from clapbench import config


def make_trainer(cfg: DictConfig, *, logger: Any, callbacks: list[pl.Callback] | None = None) -> pl.Trainer:
    """The Trainer of cfg.trainer, without Lightning's own bars, tables and checkpoints."""
    try:
        trainer: pl.Trainer = config.build(
            cfg.trainer,
            logger=logger or False,
            callbacks=callbacks,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            default_root_dir=str(cfg.outputs),
        )
    except MisconfigurationException as error:
        raise config.ConfigError(
            f"trainer: Lightning refuses accelerator={cfg.trainer.accelerator!r}, devices={cfg.trainer.devices!r}: "
            f"{error} Set trainer=cpu or trainer=auto."
        ) from error
    return trainer


def quiet_lightning() -> None:
    """Keeps Lightning's notes on hardware and its tips out of the output; warnings stay."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 calls what torch 2.13 deprecates; a hint on worker processes, where none are needed.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
