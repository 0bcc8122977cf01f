"""Trains a model with text-side regularisers: `python train.py experiment=mini_vicreg`."""

import sys

import hydra
from omegaconf import DictConfig

from clapbench.hooks import entry, one_clear_error


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> None:
    from clapbench.training import fit  # slow imports only when there is something to run

    with one_clear_error(debug=cfg.debug):
        fit.fit(cfg)


if __name__ == "__main__":
    entry(main, sys.argv[1:])
