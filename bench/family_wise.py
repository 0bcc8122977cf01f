"""How often a study of nothing finds something: family-wise error of the correlation tables, simulated.

`python bench/family_wise.py` prints the table of docs/correlations.md. 13 probes that share half of themselves and have
nothing to do with the score; of every probe and of the score the models make up a share of .9, their benchmarks the
rest. Old: Holm on the p over orders of the cells. New: step-down maxT on orders of the models.
"""

from __future__ import annotations

import sys

import numpy as np

from clapbench.statistics.corrections import holm, max_t
from clapbench.statistics.permutation import distances, free, joint, permuted

PROBES = 13
SHARE = 0.9  # of the variance, the model's; the benchmarks have the rest
BENCHES = 2
DRAWS = 499  # sampled orders; of 6 models all 720 are tried


def simulated(rng: np.random.Generator, *, models: int) -> tuple[np.ndarray, np.ndarray]:
    """Probes and a score of every model on every benchmark, a model's cells side by side."""
    own = rng.standard_normal((PROBES + 1, models, 1))
    common = rng.standard_normal((models, 1))
    own[:PROBES] = np.sqrt(0.5) * own[:PROBES] + np.sqrt(0.5) * common
    noise = rng.standard_normal((PROBES + 1, models, BENCHES))
    rows = (np.sqrt(SHARE) * own + np.sqrt(1 - SHARE) * noise).reshape(PROBES + 1, -1)
    return rows[:PROBES], rows[PROBES]


def wrong(models: int, *, rounds: int) -> tuple[int, int]:
    """In how many studies a probe is below .05, by the old p and by the new one."""
    names = [str(model) for model in range(models) for _ in range(BENCHES)]
    cells, together = free(len(names)), joint(names, list("xy") * models)
    rng = np.random.default_rng(models)
    old = new = 0
    for seed in range(rounds):
        x, y = simulated(rng, models=models)
        corrected = holm([one.p for one in permuted(x, y, cells, draws=DRAWS, seed=seed)])
        old += min(p for p in corrected if p is not None) <= 0.05
        far = distances(x, y, together, draws=DRAWS, seed=seed)
        new += min(one.p for one in max_t(far.rows)) <= 0.05
    return old, new


def main(rounds: int) -> None:
    print(
        f"Spearman, {PROBES} null probes, {BENCHES} benchmarks per model, {SHARE} of the variance the model's, "
        f"{rounds} simulated studies each"
    )
    print("| models | old: Holm on cells | new: maxT on models |\n|---|---|---|")
    for models in (6, 12, 24):
        shares = [count / rounds for count in wrong(models, rounds=rounds)]
        told = [f"{p:.3f} ± {(p * (1 - p) / rounds) ** 0.5:.3f}" for p in shares]
        print(f"| {models} | {' | '.join(told)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
