"""The Trainer of a configuration, without Lightning's own bars, tables and tips."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Checkpoint, LambdaCallback
from pytorch_lightning.trainer.states import TrainerFn

from clapbench import config
from clapbench.running.stopping import raise_if_stopped


def make_trainer(
    trainer: DictConfig, *, root: str, logger: Any, callbacks: list[pl.Callback] | None = None
) -> pl.Trainer:
    """The configured Trainer; it stops after a batch where somebody asked it to (see `stopping`).

    ``root`` is the folder of whatever Lightning writes. What it refuses is a `config.ConfigError`.
    """
    quiet_lightning()
    between = {f"on_{loop}_batch_end": look_for_a_stop for loop in ("validation", "test", "predict")}
    try:
        built: pl.Trainer = config.build(
            trainer,
            _convert_="all",  # a list of callbacks that Lightning may add to
            logger=logger or False,
            callbacks=[*(callbacks or []), LambdaCallback(**between)],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=any(isinstance(one, Checkpoint) for one in callbacks or ()),
            use_distributed_sampler=False,  # loaders know their share
            default_root_dir=root,
        )
    except (
        Exception
    ) as error:  # a MisconfigurationException, a ValueError, a TypeError, as the argument may be
        raise config.ConfigError(
            f"trainer: Lightning refuses accelerator={trainer.get('accelerator')!r}, "
            f"devices={trainer.get('devices')!r}, precision={trainer.get('precision')!r}: {error} "
            f"Set trainer=cpu or trainer=auto."
        ) from error
    return built


def look_for_a_stop(trainer: pl.Trainer, *batch: Any) -> None:
    """Ends here where a signal has come; a training saves first, and ends by itself."""
    if trainer.state.fn != TrainerFn.FITTING:
        raise_if_stopped()


def quiet_lightning() -> None:
    """Keeps Lightning's notes on hardware and its tips out of the output; warnings stay."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 calls what torch 2.13 deprecates; a hint on worker processes, where none are needed.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # `finetune.mode` says which modules are in which mode.
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
    # Batches are counted here by steps, workers by a key, and a training goes on in its folder.
    for words in (
        "smaller than the logging interval",
        "This DataLoader will create",
        "exists and is not empty",
    ):
        warnings.filterwarnings("ignore", message=f".*{words}.*")
    # It is not used: loaders know their share.
    warnings.filterwarnings("ignore", message=".*Using `DistributedSampler` with the dataloaders.*")
