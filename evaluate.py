"""Scores and probes a model on a benchmark: `python evaluate.py model=mini bench=synth_order`, or -m for a sweep."""

import sys

from clapbench.cli import run

if __name__ == "__main__":
    sys.exit(run("evaluate", sys.argv[1:], program="python evaluate.py"))
