"""What Hydra runs: one cell, or one training. In a module of its own, so that a launcher can send it elsewhere."""

from __future__ import annotations

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from clapbench.hooks import one_clear_error


def evaluate(cfg: DictConfig) -> None:
    """The cell of a composed conf/evaluate.yaml."""
    from clapbench.running import evaluate as running  # slow imports only when there is something to run

    with one_clear_error(debug=cfg.debug is True):
        running.evaluate(cfg)


def train(cfg: DictConfig) -> None:
    """The training of a composed conf/train.yaml."""
    from clapbench.training import fit  # slow imports only when there is something to run

    try:
        with one_clear_error(debug=cfg.debug is True):
            fit.fit(cfg)
    except SystemExit as end:
        if end.code != 1 or HydraConfig.get().mode is not RunMode.MULTIRUN:
            raise  # of several, the others go on, and the table says which is lacking


JOBS = {"evaluate": evaluate, "train": train}
