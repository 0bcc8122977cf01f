"""Trains a model with text-side regularisers: `python train.py experiment=mini_vicreg`."""

import sys

from clapbench.cli import run

if __name__ == "__main__":
    sys.exit(run("train", sys.argv[1:], program="python train.py"))
