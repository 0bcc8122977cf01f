"""The Trainer's loops, as a configuration asks for them: encode a benchmark, measure its embeddings.

Importing Lightning takes seconds, so `run` imports this module only when there is something to do.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from clapbench import config
from clapbench.benchmarks.base import Benchmark
from clapbench.data import EncodingPlan, scoring_loader
from clapbench.module import Encode, Measured, Score
from clapbench.probes.base import Probe
from clapbench.progress import EncodingProgress
from clapbench.schema import Embeddings


def encode(cfg: DictConfig, *, benchmark: Benchmark, label: str) -> tuple[Embeddings, float]:
    """Embeddings of the benchmark's distinct clips and captions, and the rate in clips per second."""
    quiet_lightning()
    torch.manual_seed(cfg.seed)  # of weights that are not trained
    encoder = config.build(cfg.model)
    plan = EncodingPlan(encoder=encoder, benchmark=benchmark)
    progress = EncodingProgress(label=label, n_clips=len(plan.clips), n_captions=len(plan.encoded))
    trainer = make_trainer(cfg, logger=None, callbacks=[progress])
    batches = trainer.predict(Encode(encoder), plan.loaders(**cfg.loader))
    assert batches is not None
    audio, text = batches
    return plan.embeddings(audio=audio, text=text), progress.clips_per_s


def build_probes(cfg: DictConfig) -> dict[str, Probe]:
    """A Metric per wanted probe, by name."""
    nodes = config.probe_configs(cfg.probes)
    for name, node in nodes.items():
        config.check_arguments(node, who=f"probe.{name}")
    return {name: config.build(node) for name, node in nodes.items()}


def measure(
    cfg: DictConfig,
    *,
    probes: Mapping[str, Probe],
    embeddings: Embeddings,
    benchmark: Benchmark,
    logger: Any,
) -> Measured:
    """Scores and probes of embeddings, by the Trainer's test loop on its device."""
    quiet_lightning()
    module = Score(probes=probes, protocol=benchmark.protocol)
    loader = scoring_loader(embeddings, benchmark.cases())
    make_trainer(cfg, logger=logger).test(module, loader, verbose=False)
    return module.measured


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
