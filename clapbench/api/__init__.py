"""What ``import clapbench`` gives by short names: arrays in, plain numbers and tables out.

Each function here calls the one of `clapbench.probes`, `clapbench.scoring` or `clapbench.statistics` that has the
formula, its source and its range.
"""
