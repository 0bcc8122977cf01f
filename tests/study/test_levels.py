"""Levels of a sweep: seeds are averaged to recipes, told over seeds, and shares of variance; prediction left out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from clapbench.results.sweep import Sweep
from clapbench.schema import Cell
from clapbench.study import correlations, levels, meta, prediction, seeds
from clapbench.study.correlations import Predictor


def outcome(h: float) -> dict[str, object]:
    return {
        "value": h,
        "direction": "both",
        "n": 100,
        "chance": 1 / 6,
        "ci95": [h, h],
        "p_chance": 0.5,
        "p_swap": 0.5,
    }


def cell(model: str, bench: str, h: float, **said: object) -> Cell:
    return Cell(
        status="ok",
        model=model,
        bench=bench,
        n_items=100,
        scores=dict.fromkeys("FGH", h),
        protocols={
            "official": dict.fromkeys("FGH", outcome(h)),
            "single": dict.fromkeys("FGH", outcome(h / 2)),
        },
        extra={"pair_assignment": h, "parameters": 10},
        probes={"rank": h},
        embeddings={"path": "x", "n_audio": 4, "n_text": 4, "dim": 3},
        **said,  # type: ignore[arg-type]
    )


def sweep(cells: list[Cell]) -> Sweep:
    return Sweep(folder=Path("x"), cells=tuple(cells), absent=(), covers="", cache_dir=Path("x"))


def probe(values: list[float]) -> Predictor:
    x = np.array(values, dtype=float)
    return Predictor("matched", x, x, None)


def seeded() -> levels.Levels:
    """Two seeds of a, one of b, one model that says nothing; on one benchmark."""
    cells = [
        cell("a0", "x", 0.2, recipe="a", seed=0),
        cell("b0", "x", 0.5, recipe="b", seed=0),
        cell("a1", "x", 0.4, recipe="a", seed=1),
        cell("c", "x", 0.6),
    ]
    return levels.levels(sweep(cells), {"rank": probe([1, 5, 3, np.nan])})


def test_seeds_of_a_recipe_are_one_unit() -> None:
    found = seeded()
    assert [one.model for one in found.recipes.cells] == ["a", "b", "c"]
    np.testing.assert_allclose(found.recipes.h, [0.3, 0.5, 0.6])
    np.testing.assert_allclose(found.recipes.probes["rank"].values, [2, 5, np.nan])
    scores = correlations.scores(found.recipes.cells, protocol="official")
    np.testing.assert_allclose(scores["pair_assignment"], [0.3, 0.5, 0.6])
    np.testing.assert_allclose(
        scores["single_H"] if "single_H" in scores else scores["single_F"], [0.15, 0.25, 0.3]
    )
    assert found.seeded
    assert "4 models are 3 recipes" in str(found.note)


def test_a_recipe_is_a_control_where_each_of_its_seeds_is() -> None:
    """Below chance, 1/6, with the whole interval: both seeds of a, one of b."""
    cells = [
        cell(f"{recipe}{seed}", "x", h, recipe=recipe, seed=seed)
        for recipe, found in (("a", (0.1, 0.12)), ("b", (0.1, 0.3)))
        for seed, h in enumerate(found)
    ]
    units = levels.levels(sweep(cells), {}).recipes.cells
    assert units[1].score("H", "official")["ci95"] == [0.1, 0.3]
    assert correlations.controls(units, protocol="official") == ["a"]


def test_where_no_recipe_has_two_seeds_nothing_changes() -> None:
    cells = [cell("a", "x", 0.2, recipe="a"), cell("b", "x", 0.5)]
    found = levels.levels(sweep(cells), {"rank": probe([1, 2])})
    assert found.recipes.cells == found.models.cells
    assert found.note is None


def test_copies_of_a_seed_do_not_make_a_correlation_surer() -> None:
    """Three times the same cells as seeds: the same n, the same p."""
    h, x = [0.1, 0.3, 0.2, 0.5], [1.0, 2.0, 3.0, 4.0]
    single = [cell(f"m{k}", "x", value) for k, value in enumerate(h)]
    copies = [
        cell(f"m{k}s{seed}", "x", value, recipe=f"m{k}", seed=seed)
        for k, value in enumerate(h)
        for seed in range(3)
    ]
    rows = []
    for cells, values in ((single, x), (copies, list(np.repeat(x, 3)))):
        units = levels.levels(sweep(cells), {"rank": probe(values)}).recipes
        rows.append(correlations.correlated(units.cells, units.probes, protocol="official", seed=0))
    assert [one.row.n for one in rows[0]] == [one.row.n for one in rows[1]]
    for one, other in zip(*rows, strict=True):
        assert one.row.p_exact == pytest.approx(other.row.p_exact, nan_ok=True)


def test_over_seeds_and_the_share_between_recipes() -> None:
    models = seeded().models
    rows = {(row["recipe"], row["name"]): row for row in seeds.over_seeds(models)}
    assert rows["a", "H"]["n"] == 2
    assert rows["a", "H"]["mean"] == pytest.approx(0.3)
    assert rows["a", "H"]["low"] == pytest.approx(0.3 - 12.7062 * 0.1, abs=1e-4)
    assert rows["b", "H"]["low"] is None
    assert ("c", "rank") not in rows
    shares = {row["name"]: row for row in seeds.reliability(models)}
    assert (shares["H"]["recipes"], shares["H"]["models"]) == (3, 4)
    assert shares["H"]["icc"] < 1
    assert shares["rank"]["recipes"] == 2


def test_a_probe_that_is_h_predicts_what_is_left_out() -> None:
    cells = [
        dataclasses.replace(cell(f"m{k}", bench, 0.1 * k + shift), family=f"f{k // 2}")
        for bench, shift in (("x", 0.1), ("y", 0.3))
        for k in range(6)
    ]
    rng = np.random.default_rng(0)
    h = [one.scores["H"] for one in cells]
    found = levels.levels(sweep(cells), {"true": probe(h), "noise": probe(list(rng.random(12)))})
    rows = {(row["left_out"], row["probe"]): row for row in prediction.predicted(found.recipes)}
    for left_out in ("recipe", "family", "bench"):
        good, lot = rows[left_out, "true"], rows[left_out, "random"]
        assert (good["rank_error"], good["regret"]) == (0, 0)
        assert rows[left_out, "noise"]["rank_error"] > 0.1
        assert lot["regret"] == pytest.approx(0.25)
        constant = rows[left_out, "dim"]
        assert constant["regret"] == pytest.approx(lot["regret"])  # it chooses by lot
    assert rows["recipe", "true"]["h_error"] == pytest.approx(0, abs=1e-12)
    assert rows["recipe", "true"]["folds"] == 12
    assert rows["family", "true"]["n"] == 12
    # the mean of the other benchmark is all that is known of the level
    assert rows["bench", "true"]["h_error"] == pytest.approx(0.2)


def test_a_probe_is_not_judged_by_what_it_was_fitted_on() -> None:
    """One recipe off the line, whose place no line over the others can know."""
    x = np.array([1.0, 2, 3, 4, 100])
    h = np.array([0.1, 0.2, 0.3, 0.4, 0.0])
    found = prediction.row(x, h, np.array(list("abcde")), np.array(["b"] * 5))
    out = np.array([False] * 4 + [True])
    slope, guess = prediction.line(x, h, out, np.array(["b"] * 5))
    assert slope == pytest.approx(0.1)
    assert guess[4] == pytest.approx(10.0)
    assert found["rank_error"] >= 4 / 4 / 5


def test_over_benches_needs_two_and_names_what_has_no_z() -> None:
    rng = np.random.default_rng(1)
    values = rng.random(12)
    cells = [cell(f"m{k % 6}", "xy"[k // 6], float(values[k])) for k in range(12)]
    one = levels.levels(
        sweep(cells), {"noise": probe(list(rng.random(12))), "h": probe(list(values))}
    ).recipes
    entries = correlations.correlated(one.cells, one.probes, protocol="official", seed=0)
    rows = {(row["probe"], row["coefficient"]): row for row in meta.over_benches(entries)}
    noise = rows["noise", "spearman"]
    assert noise["predicted_low"] <= noise["low"] < noise["r"] < noise["high"] <= noise["predicted_high"]
    assert "one degree of freedom" in noise["note"]
    assert rows["h", "spearman"]["note"] == "a coefficient of 1 or -1 has no Fisher z"
    assert rows["dim", "spearman"]["note"] == "needs the coefficient on at least 2 benchmarks"
    assert meta.over_benches([entry for entry in entries if entry.bench == "pooled"]) == []
