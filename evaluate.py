"""Scores and probes a model on a benchmark: `python evaluate.py model=mini bench=synth_order`, or -m for a sweep."""

import sys

import hydra
from omegaconf import DictConfig

from clapbench.hooks import entry, one_clear_error


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    from clapbench.running import evaluate  # slow imports only when there is something to run

    with one_clear_error(debug=cfg.debug):
        evaluate.evaluate(cfg)


if __name__ == "__main__":
    entry(main, sys.argv[1:])
