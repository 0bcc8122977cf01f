"""Trains a model, or with -m several: `python train.py model=laion data=csv data.csv=mine.csv`."""

import sys

from clapbench.cli import run

if __name__ == "__main__":
    sys.exit(run("train", sys.argv[1:], program="python train.py"))
