"""How often a diagnosis calls models apart, and what its intervals cover: `python bench/diagnosis_level.py [ROUNDS]`.

Equal models on 197 items of unlike difficulty, so that they agree as models do: the share of rounds in which any of
them is told apart from the best, by the rule of `clapbench.statistics.rivals`, by Holm over the k - 1 comparisons with
the best alone, and by Wilson intervals that do not overlap, unpaired, as before. Then two models that differ, .08
against .14, with the power of McNemar's test beside it; equal recipes of three seeds; and the coverage of intervals
of RankMe and of the modality angle, by `clapbench.statistics.subsampling` and by the quantiles of the draws, as before.
"""

from __future__ import annotations

import sys
from functools import cache
from itertools import combinations

import numpy as np
from scipy.special import expit

from clapbench.statistics.item_power import mcnemar_power
from clapbench.statistics.proportions import LEVEL, sign_ps, wilson
from clapbench.statistics.rivals import rivals
from clapbench.statistics.subsampling import of_draws

N = 197
SPREAD = 2.0  # of the items' difficulty, in logits
DRAWS = 40


@cache
def level(share: float) -> float:
    """The ability that gets ``share`` of the items right on average."""
    grid, items = np.linspace(-8, 4, 241), SPREAD * np.random.default_rng(0).standard_normal(2000)
    return float(np.interp(share, [expit(ability - items).mean() for ability in grid], grid))


def draw(rng: np.random.Generator, rounds: int, shares: list[float], *, seeds: int = 1) -> np.ndarray:
    """Rounds x models x seeds x items: whether each item is right; seeds of a recipe differ by 0.3 logits."""
    difficulty = SPREAD * rng.standard_normal((rounds, 1, 1, N))
    between = 0.3 * rng.standard_normal((rounds, len(shares), seeds, 1)) if seeds > 1 else 0.0
    ability = np.array([level(share) for share in shares])[:, None, None] + between
    return rng.random((rounds, len(shares), seeds, N)) < expit(ability - difficulty)


def with_best(hits: np.ndarray, *, every_pair: bool) -> np.ndarray:
    """Whether any model is told apart from the best, round by round; Holm over all pairs, or those with the best."""
    rows, (rounds, k) = hits[:, :, 0].astype(np.float64), hits.shape[:2]
    wins = np.rint(rows @ (1 - rows).transpose(0, 2, 1)).astype(np.int64)
    best = rows.sum(axis=2).argmax(axis=1)
    pairs = np.array(list(combinations(range(k), 2)))
    one, other = pairs.T
    ps = sign_ps(wins[:, one, other].ravel(), wins[:, other, one].ravel()).reshape(rounds, -1)
    ours = (one == best[:, None]) | (other == best[:, None])
    if not every_pair:
        ps = np.where(ours, ps, 2.0)
    order = ps.argsort(axis=1)
    tests = np.arange(len(pairs) if every_pair else k - 1, 0, -1)
    sorted_ps = np.take_along_axis(ps, order, axis=1)[:, : len(tests)]
    called = np.maximum.accumulate(sorted_ps * tests, axis=1) <= LEVEL
    return (called & np.take_along_axis(ours, order, axis=1)[:, : len(tests)]).any(axis=1)


def by_rivals(hits: np.ndarray) -> bool:
    """The same of one round, by the rule itself."""
    best = int(hits.mean(axis=(1, 2)).argmax())
    found = rivals(list(hits))
    return any(found[best, other].p_holm <= LEVEL for other in range(len(hits)) if other != best)


def by_intervals(hits: np.ndarray) -> np.ndarray:
    """Whether the Wilson interval of any model lies below that of the best, as before."""
    bounds = np.array([wilson(count, N) for count in range(N + 1)])
    counts = hits[:, :, 0].sum(axis=2)
    return bounds[counts.min(axis=1), 1] < bounds[counts.max(axis=1), 0]


def row(name: str, hits: np.ndarray) -> None:
    """Prints the share of rounds in which each rule calls."""
    called = with_best(hits, every_pair=True)
    assert [by_rivals(one) for one in hits[:10]] == called[:10].tolist()
    shares = [called.mean(), with_best(hits, every_pair=False).mean(), by_intervals(hits).mean()]
    print(f"| {name} | " + " | ".join(f"{share:.3f}" for share in shares) + " |", flush=True)


def clouds(rng: np.random.Generator, rounds: int, n: int, d: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Two sides of ``n`` rows each, of a falling spectrum and unlike centres."""
    scale = np.arange(1, d + 1) ** -0.5
    audio, text = rng.standard_normal((2, rounds, n, d)) * scale + np.array([0.5, 0.3])[:, None, None, None]
    text[..., 0] -= 1
    return audio, text


def rank_of(x: np.ndarray) -> np.ndarray:
    """RankMe of each cloud, by the eigenvalues of its Gram matrix."""
    s = np.sqrt(np.maximum(np.linalg.eigvalsh(x.swapaxes(-1, -2) @ x), 1e-12))
    p = s / s.sum(axis=-1, keepdims=True)
    return np.exp(-(p * np.log(p)).sum(axis=-1))


def angle_of(audio: np.ndarray, text: np.ndarray) -> np.ndarray:
    """The angle between the two centres, in degrees."""
    a, b = audio.mean(axis=-2), text.mean(axis=-2)
    cosine = (a * b).sum(axis=-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    return np.degrees(np.arccos(cosine))


def coverage(rng: np.random.Generator, rounds: int, *, n: int, m: int) -> None:
    """Prints how often 95 % intervals hold what fresh samples of m rows, or of all n, have on average."""
    truth = {}
    for size in (m, n):
        audio, text = clouds(rng, 2000, size)
        truth["RankMe", size], truth["angle", size] = rank_of(text).mean(), angle_of(audio, text).mean()
    covered = {name: np.zeros(3) for name in ("RankMe", "angle")}
    for _ in range(rounds):
        audio, text = (side[0] for side in clouds(rng, 1, n))
        rows = rng.permuted(np.tile(np.arange(n), (DRAWS, 1)), axis=1)[:, :m]
        drawn = {"RankMe": rank_of(text[rows]), "angle": angle_of(audio[rows], text[rows])}
        whole = {"RankMe": rank_of(text), "angle": angle_of(audio, text)}
        for name, values in drawn.items():
            low, high = np.quantile(values, [0.025, 0.975]) - values.mean()
            scale = (m / (n - m)) ** 0.5
            old = (values.mean() + scale * low, values.mean() + scale * high)
            bounds = [
                (old, truth[name, m]),
                (of_draws(values, part=m / n).ci95, truth[name, m]),
                (of_draws(values, part=m / n, whole=float(whole[name])).ci95, truth[name, n]),
            ]
            covered[name] += [low <= true <= high for (low, high), true in bounds]
    for name, found in covered.items():
        shares = " | ".join(f"{share:.3f}" for share in found / rounds)
        print(f"| {name}, {m} of {n} rows | {shares} |", flush=True)


def main(rounds: int) -> None:
    """Prints the tables in Markdown."""
    rng = np.random.default_rng(0)
    print(f"| n = {N}, {rounds} rounds | diagnosis | Holm over k - 1 | unpaired intervals |")
    print("|---|---|---|---|")
    for share in (0.1, 0.4):
        for k in (2, 6, 12):
            row(f"{k} equal models, H {share:g}", draw(rng, rounds, [share] * k))
    hits = draw(rng, rounds, [0.08, 0.14])
    row("two models, .08 and .14", hits)
    differ = float((hits[:, 0] ^ hits[:, 1]).mean())
    power = mcnemar_power(N, difference=0.06, differ=differ)
    print(f"\nMcNemar's power at .06, {differ:.3f} of the items apart: {power:.3f}")
    for k in (2, 6):
        seeds = draw(rng, rounds // 4, [0.4] * k, seeds=3)
        print(f"{k} equal recipes of 3 seeds: {np.mean([by_rivals(one) for one in seeds]):.3f}", flush=True)
    print("\n| 95 % intervals | quantiles of the draws | draws | all rows, by halves |\n|---|---|---|---|")
    for m in (60, 30):
        coverage(rng, rounds // 4, n=120, m=m)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
