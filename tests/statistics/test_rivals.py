"""Models on the same items: told apart as often as the level allows where they are equal, and where they differ."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from clapbench.statistics.corrections import holm
from clapbench.statistics.item_power import mcnemar_power
from clapbench.statistics.proportions import paired, sign_p
from clapbench.statistics.rivals import rivals


def equal(rng: np.random.Generator, *, models: int, n: int = 197, seeds: int = 1) -> list[np.ndarray]:
    """Models of one ability on items of unlike difficulty; seeds differ in ability."""
    difficulty = 1.5 * rng.standard_normal(n) - 2
    ability = 0.4 * rng.standard_normal((models, seeds, 1)) if seeds > 1 else np.zeros((models, 1, 1))
    return list(rng.random((models, seeds, n)) < expit(difficulty + ability))


def called(models: list[np.ndarray]) -> bool:
    """Whether any model is told apart from the best."""
    best = int(np.argmax([hits.mean() for hits in models]))
    found = rivals(models)
    return any(found[best, other].p_holm <= 0.05 for other in range(len(models)) if other != best)


@pytest.mark.parametrize(("models", "rounds"), [(2, 120), (6, 60), (12, 30)])
def test_equal_models_are_hardly_ever_told_apart(models: int, rounds: int) -> None:
    """The figures of more rounds are in docs/diagnosis.md."""
    rng = np.random.default_rng(0)
    assert np.mean([called(equal(rng, models=models)) for _ in range(rounds)]) <= 0.05


def test_equal_recipes_of_three_seeds_are_hardly_ever_told_apart() -> None:
    rng = np.random.default_rng(1)
    assert np.mean([called(equal(rng, models=2, seeds=3)) for _ in range(300)]) <= 0.06


def test_two_models_are_told_apart_with_mcnemars_power() -> None:
    rng = np.random.default_rng(2)
    n, differ = 197, 0.123
    found = []
    for _ in range(150):
        u = rng.random(n)
        b_only, a_only = (differ - 0.06) / 2, (differ + 0.06) / 2
        a, b = (u < a_only) | (u > 0.9515), ((u >= a_only) & (u < a_only + b_only)) | (u > 0.9515)
        found.append(called([a[None], b[None]]))
    assert np.mean(found) == pytest.approx(mcnemar_power(n, difference=0.06, differ=differ), abs=0.12)


def test_single_models_are_compared_by_mcnemar_with_holm_over_all_pairs() -> None:
    rng = np.random.default_rng(3)
    models = [(rng.random((1, 90)) < share) for share in (0.2, 0.5, 0.6)]
    found = rivals(models)
    ps = [paired(models[a][0], models[b][0]).p for a, b in ((0, 1), (0, 2), (1, 2))]
    assert [found[pair].p for pair in ((0, 1), (0, 2), (1, 2))] == ps
    assert [found[pair].p_holm for pair in ((0, 1), (0, 2), (1, 2))] == holm(ps)
    one, other = found[0, 1], found[1, 0]
    assert (one.value, one.low, one.high) == (-other.value, -other.high, -other.low)


def test_seeds_are_a_level_of_the_interval() -> None:
    """Two seeds far apart say less of a recipe than two that agree, whatever the items say."""
    items = np.arange(300)
    other = (items % 10 < 2)[None]
    apart = np.stack([items % 10 < 3, items % 10 < 9])
    alike = np.stack([items % 10 < 6, (items + 5) % 10 < 6])
    far, near = (rivals([recipe, other])[0, 1] for recipe in (apart, alike))
    assert far.value == pytest.approx(near.value) == pytest.approx(0.4)
    assert far.p > 0.3 > 0.001 > near.p
    assert far.low < 0 < near.low
    assert rivals([other, np.repeat(other, 2, axis=0)])[0, 1].p == 1.0


def test_the_largest_difference_that_there_can_be_is_told_apart() -> None:
    """All right in both seeds against all wrong: the items do not vary, and nothing could be surer."""
    right, wrong = np.ones((2, 100), dtype=bool), np.zeros((1, 100), dtype=bool)
    found = rivals([right, wrong])[0, 1]
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.p == pytest.approx(2 * 0.5**100)
    assert found.low > 0.9


def test_seeds_that_are_copies_add_nothing() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.random((1, 200)) < 0.5, rng.random((1, 200)) < 0.3
    found = rivals([np.repeat(a, 5, axis=0), np.repeat(b, 5, axis=0)])[0, 1]
    d = a[0].astype(float) - b[0]
    half = 1.972 * d.std(ddof=1) / 200**0.5
    assert (found.low, found.high) == pytest.approx((d.mean() - half, d.mean() + half), abs=1e-3)


def test_power_is_the_share_of_all_outcomes() -> None:
    rng = np.random.default_rng(5)
    drawn = rng.multinomial(40, [0.25, 0.05, 0.7], size=20_000)
    table = {(a, b): sign_p(a, b) <= 0.05 for a, b in {tuple(row[:2]) for row in drawn.tolist()}}
    simulated = np.mean([table[a, b] for a, b, _ in drawn.tolist()])
    assert mcnemar_power(40, difference=0.2, differ=0.3) == pytest.approx(simulated, abs=0.012)
    assert mcnemar_power(40, difference=-0.2, differ=0.3) == mcnemar_power(40, difference=0.2, differ=0.3)
    assert mcnemar_power(197, difference=0.0, differ=0.2) < 0.05
    with pytest.raises(ValueError, match=r"from the difference 0\.2 to 1, got differ=0\.1"):
        mcnemar_power(40, difference=0.2, differ=0.1)
