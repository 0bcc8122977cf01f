"""How often a diagnosis calls models apart, by simulation: `python bench/diagnosis_level.py [ROUNDS]`.

Equal models on 197 items of unlike difficulty, so that they agree as models do: the share of rounds in which any of
them is told apart from the best, by the rules of `clapbench.statistics.rivals`, by Holm over the k - 1 comparisons with
the best alone, and by Wilson intervals that do not overlap, unpaired, as before. Then two models that differ, .08
against .14, with the power of McNemar's test beside it; and equal recipes of three seeds each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from scipy.special import expit

from clapbench.statistics.corrections import holm
from clapbench.statistics.item_power import mcnemar_power
from clapbench.statistics.proportions import LEVEL, sign_ps, wilson
from clapbench.statistics.rivals import rivals

N = 197
SPREAD = 2.0  # of the items' difficulty, in logits


def draw(rng: np.random.Generator, *, shares: np.ndarray, seeds: int = 1, between: float = 0.0) -> np.ndarray:
    """Models x seeds x items: whether each item is right; ``shares`` are what a model gets right on average."""
    difficulty = SPREAD * rng.standard_normal(N)
    ability = levels(shares)[:, None, None] + between * rng.standard_normal((len(shares), seeds, 1))
    return rng.random((len(shares), seeds, N)) < expit(ability - difficulty)


def levels(shares: np.ndarray) -> np.ndarray:
    """The ability that gives each share over the items' difficulties."""
    grid, items = np.linspace(-12, 8, 4001), SPREAD * np.random.default_rng(0).standard_normal(4000)
    means = np.array([expit(ability - items).mean() for ability in grid[::10]])
    return np.interp(shares, means, grid[::10])


def by_rivals(hits: np.ndarray) -> bool:
    """Whether any model is told apart from the best, as the diagnosis does."""
    best = int(hits.mean(axis=(1, 2)).argmax())
    found = rivals(list(hits))
    return any(found[best, other].p_holm <= LEVEL for other in range(len(hits)) if other != best)


def by_best_alone(hits: np.ndarray) -> bool:
    """McNemar against the best, with Holm over the k - 1 comparisons that are read."""
    rows = hits[:, 0]
    best = int(rows.mean(axis=1).argmax())
    wins, losses = (rows[best] & ~rows).sum(axis=1), (~rows[best] & rows).sum(axis=1)
    ps = np.delete(sign_ps(wins, losses), best)
    return min(p for p in holm(ps.tolist()) if p is not None) <= LEVEL


def by_intervals(hits: np.ndarray) -> bool:
    """Whether the Wilson interval of any model lies below that of the best, as before."""
    counts = hits[:, 0].sum(axis=1)
    return wilson(int(counts.min()), N).high < wilson(int(counts.max()), N).low


RULES: dict[str, Callable[[np.ndarray], bool]] = {
    "diagnosis": by_rivals,
    "Holm over k - 1": by_best_alone,
    "unpaired intervals": by_intervals,
}


def main(rounds: int) -> None:
    """Prints the tables in Markdown."""
    rng = np.random.default_rng(0)
    print(f"| equal models, n = {N}, {rounds} rounds | " + " | ".join(RULES) + " |")
    print("|---" * (len(RULES) + 1) + "|")
    for share in (0.1, 0.4):
        for k in (2, 6, 12):
            drawn = [draw(rng, shares=np.full(k, share)) for _ in range(rounds)]
            called = [f"{np.mean([rule(hits) for hits in drawn]):.3f}" for rule in RULES.values()]
            print(f"| {k} models, H {share:g} | " + " | ".join(called) + " |")
    drawn = [draw(rng, shares=np.array([0.08, 0.14])) for _ in range(rounds)]
    differ = float(np.mean([(hits[0] ^ hits[1]).mean() for hits in drawn]))
    called = [f"{np.mean([rule(hits) for hits in drawn]):.3f}" for rule in RULES.values()]
    print("| .08 against .14 | " + " | ".join(called) + " |")
    power = mcnemar_power(N, difference=0.06, differ=differ)
    print(f"\nMcNemar's power at .06 with {differ:.3f} of the items apart: {power:.3f}")
    for k in (2, 6):
        seeds = [draw(rng, shares=np.full(k, 0.4), seeds=3, between=0.3) for _ in range(rounds)]
        print(f"{k} equal recipes of 3 seeds: {np.mean([by_rivals(hits) for hits in seeds]):.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
