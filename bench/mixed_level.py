"""The level of the mixed model of items: how often it calls a probe that has nothing to do with H a finding.

    python bench/mixed_level.py [ROUNDS]

Six recipes, two of them by two seeds, on two benchmarks of 100 items; logits of recipes, seeds and cells are normal
with standard deviations 2, .3 and .7, and so are the recipes, seeds and cells of the probe.
"""

from __future__ import annotations

import sys
from math import sqrt

import numpy as np

from clapbench.statistics import glmm
from clapbench.study.mixed import odds, standardised

MODELS = (("a", 0), ("a", 1), ("b", 0), ("b", 1), ("c", 0), ("d", 0), ("e", 0), ("f", 0))
BENCHES, ITEMS = ("x", "y"), 100
SDS = {"recipe": 2.0, "seed": 0.3, "cell": 0.7}


def main(rounds: int) -> None:
    """Prints the share of rounds with p at most .05, without the level of cells and with it."""
    cells = [(recipe, f"{recipe}{seed}", bench) for recipe, seed in MODELS for bench in BENCHES]
    called = {"without cells": 0, "with cells": 0}
    for number in range(rounds):
        rng = np.random.default_rng(number)
        logits, probe = (_sums(cells, rng) for _ in range(2))
        x = standardised(probe, [bench for _, _, bench in cells])
        place = np.repeat(np.arange(len(cells)), ITEMS)
        success = rng.random(len(place)) < 1 / (1 + np.exp(-logits[place]))
        second = np.array([bench == BENCHES[1] for _, _, bench in cells])
        fixed = np.column_stack([x[place], np.ones(len(place)), second[place]])
        groups = {"recipe": [cells[i][0] for i in place], "seed": [cells[i][1] for i in place]}
        by_cell = groups | {"cell": [f"{cells[i][1]}/{cells[i][2]}" for i in place]}
        for name, levels in (("without cells", groups), ("with cells", by_cell)):
            found = glmm.fit(success, fixed, levels)
            called[name] += odds(float(found.coefficients[0]), float(found.errors[0]), df=4)["p"] <= 0.05
    for name, count in called.items():
        share = count / rounds
        print(f"{name:<14} {share:.3f} +- {sqrt(share * (1 - share) / rounds):.3f}")


def _sums(cells: list[tuple[str, str, str]], rng: np.random.Generator) -> np.ndarray:
    """A number for each cell: its recipe's, its seed's and its own draw."""
    total = np.zeros(len(cells))
    names = {
        "recipe": [one[0] for one in cells],
        "seed": [one[1] for one in cells],
        "cell": ["".join(one) for one in cells],
    }
    for level, labels in names.items():
        drawn = {label: SDS[level] * rng.standard_normal() for label in dict.fromkeys(labels)}
        total += np.array([drawn[label] for label in labels])
    return total


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
