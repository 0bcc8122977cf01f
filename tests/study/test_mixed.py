"""The mixed model of a sweep: rows of mixed.csv from items on disk, and what it refuses."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clapbench import files
from clapbench.schema import Cell
from clapbench.study import mixed


def sweep_of(folder: Path, *, recipes: int = 5, items: int = 30) -> Path:
    """Two seeds of each recipe on two benchmarks; the odds of an item are e to the rank, its template does nothing."""
    rng = np.random.default_rng(0)
    for recipe in range(recipes):
        for seed in range(2):
            for bench, height in (("x", -0.5), ("y", 0.5)):
                rank = recipe - 2 + 0.1 * seed
                solved = rng.random(items) < 1 / (1 + np.exp(-height - rank))
                cell = Cell(
                    status="ok",
                    model=f"r{recipe}s{seed}",
                    recipe=f"r{recipe}",
                    seed=seed,
                    bench=bench,
                    n_items=items,
                    scores={"H": float(solved.mean())},
                    probes={"rankme_text": rank, "gap_l2": 1.0},
                )
                place = folder / cell.model / bench
                files.write_text(place / "cell.json", cell.to_json())
                rows = [f"{k},{int(hit)},t{k % 2}" for k, hit in enumerate(solved)]
                files.write_text(place / "items.csv", "\n".join(["item,H,template", *rows]) + "\n")
    return folder


def test_a_known_slope_is_found_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sweep_of(tmp_path / "s")
    assert mixed.main([str(folder), "--probes", "rankme_text,gap_l2"]) == 0
    rank, gap = csv.DictReader((folder / "mixed.csv").read_text(encoding="utf-8").splitlines())
    assert float(rank["low"]) < np.exp(2**0.5) < float(rank["high"])  # ranks have an SD of about 1.41
    assert float(rank["low"]) > 1
    assert [rank[name] for name in ("n_items", "n_cells", "n_recipes", "df", "bench")] == [
        *("600", "20", "5", "3", "fixed")
    ]
    assert float(rank["sd_template"]) < 0.6
    assert float(rank["sd_cell"]) < 0.6  # none was put in
    assert gap["note"] == "needs a probe that differs between 3 recipes"
    assert "rankme_text" in capsys.readouterr().out


def test_a_seed_is_a_level_only_where_a_recipe_has_two(tmp_path: Path) -> None:
    folder = sweep_of(tmp_path / "s", recipes=3, items=12)
    for path in folder.glob("*s1/*/cell.json"):
        files.write_text(path, replace(Cell.read(path), status="failed", error="x", scores={}).to_json())
    row = mixed.mixed(mixed.read(folder), probes=["rankme_text"])[0]
    assert "sd_seed" not in row
    assert row["df"] == 1


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = sweep_of(tmp_path / "s", recipes=3, items=4)
    assert mixed.main([str(folder), "--probes", "rank"]) == 1
    assert "'rank' is in no cell" in capsys.readouterr().err
    (folder / "r0s0" / "x" / "items.csv").unlink()
    assert mixed.main([str(folder), "--probes", "rankme_text"]) == 1
    assert "items of r0s0 × x" in capsys.readouterr().err
    few = sweep_of(tmp_path / "few", recipes=2, items=4)
    assert mixed.main([str(few)]) == 1
    assert "recipes are fewer than 3" in capsys.readouterr().err
