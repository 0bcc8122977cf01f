"""p of many probes at once: maxT against its definition, the level that it holds; families, sides, missing cells."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from clapbench.statistics.coefficients import COEFFICIENTS, Coefficient
from clapbench.statistics.corrections import holm, max_t
from clapbench.statistics.correlation import Row, table
from clapbench.statistics.permutation import distances, distinct, free, joint, orders, permuted, shares

NAN = float("nan")


def cells(models: int, benches: str = "xy") -> dict[str, list[str]]:
    return {
        "models": [f"m{model}" for model in range(models) for _ in benches],
        "benches": list(benches) * models,
    }


def dependent(
    rng: np.random.Generator, *, models: int, share: float, probes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Probes that share a half of themselves, and a score; of each the models make up ``share``, nothing in common."""
    own = rng.standard_normal((probes + 1, models, 1))
    own[:probes] = np.sqrt(0.5) * own[:probes] + np.sqrt(0.5) * rng.standard_normal((models, 1))
    rows = np.sqrt(share) * own + np.sqrt(1 - share) * rng.standard_normal((probes + 1, models, 2))
    return rows[:probes].reshape(probes, -1), rows[probes].ravel()


def test_max_t_is_what_westfall_and_young_wrote_down():
    """Algorithm 2.8, step by step, for each test and each order."""
    rng = np.random.default_rng(0)
    far = np.abs(rng.standard_normal((200, 5)))
    far[0] = [2.5, 0.1, 1.8, 2.0, 1.9]
    order = np.argsort(-far[0])
    count = np.zeros(5)
    for row in far:
        u = -np.inf
        for j in order[::-1]:
            u = max(u, row[j])
            count[j] += u >= far[0, j]
    p, so_far = {}, 0.0
    for j in order:
        so_far = max(so_far, count[j] / 200)
        p[j] = so_far
    assert [one.p for one in max_t(far)] == pytest.approx([p[j] for j in range(5)])


def test_probes_that_say_the_same_cost_nothing_and_one_alone_needs_no_correction():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((2, 12))
    strata = joint(**cells(6))
    alone = permuted(x[None], y, strata)[0]
    (one,) = max_t(distances(x[None], y, strata).rows)
    assert one == (alone.p, alone.p_min)
    same = max_t(distances(np.array([x, -x, np.exp(x), x**3]), y, strata).rows)
    assert set(same) == {one}
    assert distinct(np.array([x, -x, np.exp(x), x**3, y])) == 2
    assert distinct(np.array([x, -x, np.exp(x), x**3, y]), "pearson") == 4
    assert distinct(np.array([x, np.where(np.arange(12) == 3, NAN, x)])) == 2
    assert max_t(np.empty((5, 0))) == []


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_no_corrected_p_is_below_the_probes_own_or_the_bound(coefficient: Coefficient):
    rng = np.random.default_rng(2)
    for _ in range(10):
        x, y = dependent(rng, models=5, share=0.5, probes=4)
        far = distances(x, y, joint(**cells(5)), coefficient=coefficient)
        own, corrected = shares(far), max_t(far.rows)
        for one, many in zip(own, corrected, strict=True):
            assert one.p - 1e-12 <= many.p
            assert one.p_min - 1e-12 <= many.p_min <= many.p + 1e-12


@pytest.mark.parametrize("lacking", [False, True])
def test_under_the_null_the_family_is_valid_at_every_attainable_level(lacking: bool):
    """Each order of the models is as likely: over all of them the least corrected p is at most a in a share a."""
    rng = np.random.default_rng(3)
    x, y = dependent(rng, models=5, share=0.6, probes=3)
    if lacking:
        x[0, [1, 4]] = NAN
        x[1, 1::2] = NAN
    strata = joint(**cells(5))
    least = np.array(
        [min(one.p for one in max_t(distances(x, y[row], strata).rows)) for row in orders(strata).rows]
    )
    for level in np.unique(least.round(9)):
        assert (least <= level + 1e-9).mean() <= level + 1e-8


@pytest.mark.parametrize("models", [6, 12])
def test_cells_of_a_model_are_not_independent_and_the_corrected_p_knows_it(models: int):
    """Of 13 null probes on two benchmarks, one is below .05 in 5 % of studies; by Holm on the cells, far more often."""
    rng = np.random.default_rng(models)
    n, wrong = 150, {"maxt": 0, "holm": 0}
    for seed in range(n):
        x, y = dependent(rng, models=models, share=0.9, probes=13)
        far = distances(x, y, joint(**cells(models)), draws=199, seed=seed)
        wrong["maxt"] += min(one.p for one in max_t(far.rows)) <= 0.05
        ps = holm([one.p for one in permuted(x, y, free(len(y)), draws=499, seed=seed)])
        wrong["holm"] += min(p for p in ps if p is not None) <= 0.05
    assert stats.binomtest(wrong["maxt"], n, 0.05).pvalue > 0.01
    assert wrong["holm"] > 0.12 * n


def test_missing_cells_see_the_scores_that_the_models_bring():
    """By the definition: in every order the coefficient of the cells that are there."""
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((2, 8))
    x[[0, 5]] = NAN
    strata, there = joint(**cells(4)), ~np.isnan(x)
    for coefficient, function in (
        ("spearman", stats.spearmanr),
        ("pearson", stats.pearsonr),
        ("kendall", stats.kendalltau),
    ):
        every = np.array([function(x[there], y[row][there]).statistic for row in orders(strata).rows])
        far = np.abs(every - every.mean()) / every.std()
        got = distances(x[None], y, strata, coefficient=coefficient).rows[:, 0]
        np.testing.assert_allclose(got, far, atol=1e-9)
    rows = table(
        {"gap": x, "all": rng.standard_normal(8)}, y, **cells(4), coefficients=["spearman"], draws=99
    )
    assert [row.orders for row in rows] == [24, 24]
    assert all(row.p_maxt >= row.p_joint for row in rows)


def found(rows: list[Row], name: str) -> Row:
    return next(row for row in rows if row.name == name)


def test_families_are_corrected_apart_and_foretold_signs_on_one_side():
    rng = np.random.default_rng(5)
    x, y = dependent(rng, models=6, share=0.5, probes=4)
    probes = dict(zip("abcd", x, strict=True))
    common = {**cells(6), "coefficients": ["pearson"], "draws": 99}
    signs = {"a": "positive", "b": "negative"}
    rows = table(
        probes,
        y,
        parts={"a": "registered", "b": "registered"},
        signs=signs,
        nulls={"dim": x[0]},
        **common,
    )
    apart = table({"a": x[0], "b": x[1]}, y, signs=signs, **common)
    rest = table({"c": x[2], "d": x[3]}, y, **common)
    for name, alone in (*zip("ab", apart, strict=True), *zip("cd", rest, strict=True)):
        assert found(rows, name)._replace(part=None) == alone
    assert [(row.part, row.alternative, row.tests) for row in rows] == [
        ("registered", "positive", 2),
        ("registered", "negative", 2),
        (None, "two-sided", 2),
        (None, "two-sided", 2),
        (None, "two-sided", None),
    ]
    every = distances(x[:1], y, joint(**cells(6)), coefficient="pearson", sides=[1]).rows
    assert found(rows, "a").p_joint == (every >= every[0] - 1e-9).mean()
    other = table(probes, y, signs={"a": "negative"}, **common)[0]
    assert other.p_joint == pytest.approx(1 - found(rows, "a").p_joint + 1 / 720)


def test_what_names_no_probe_or_no_sign_is_refused():
    common = {"models": "abcdef", "benches": "xxxxxx"}
    x, y = np.random.default_rng(6).random((2, 6))
    with pytest.raises(
        ValueError, match=r"parts needs names of probes of the table; got gpa. There are: gap"
    ):
        table({"gap": x}, y, parts={"gpa": "registered"}, **common)
    with pytest.raises(ValueError, match="signs must be positive or negative; got up"):
        table({"gap": x}, y, signs={"gap": "up"}, **common)
