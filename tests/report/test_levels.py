"""The tables of levels that people read, from cells that lie nowhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clapbench.report import levels
from clapbench.report.wording import notes
from clapbench.results.sweep import Sweep
from clapbench.schema import Cell
from clapbench.study.matched import Measurements
from clapbench.study.summary import Summary, summarize


def summary_of(*, seeds: int) -> Summary:
    """Four recipes on two benchmarks, whose rank follows H but for noise."""
    rng = np.random.default_rng(0)
    cells = [
        Cell(
            status="ok",
            model=f"r{recipe}s{seed}",
            recipe=f"r{recipe}",
            family=f"f{recipe // 2}",
            seed=seed,
            bench=bench,
            n_items=100,
            scores={"H": 0.1 * recipe + height + 0.01 * seed},
            probes={"rankme_text": 10.0 * recipe + rng.random(), "gap_angle_deg": 80 + rng.random()},
            embeddings={"dim": 8, "n_text": 200, "n_audio": 200},
        )
        for recipe in range(4)
        for seed in range(seeds)
        for bench, height in (("order", 0.2), ("attribute", 0.4))
    ]
    sweep = Sweep(folder=Path("s"), cells=tuple(cells), absent=(), covers="all", cache_dir=Path("s"))
    return summarize(sweep, measured=Measurements(size=None, matched=(), curve=(), memory=()))


@pytest.fixture(scope="module")
def seeded() -> Summary:
    return summary_of(seeds=2)


def test_a_row_for_each_recipe_and_benchmark_over_its_seeds(seeded: Summary) -> None:
    table = levels.over_seeds(seeded)
    assert table is not None
    assert [line.cells[:3] for line in table.lines][:2] == [["r0", "order", "2"], ["r0", "attribute", "2"]]
    assert len(table.lines) == 8
    assert table.lines[0].cells[3:6] == [".205", ".14 to .27", ".200 to .210"]
    assert all(len(line.cells) == len(table.columns) for line in table.lines)


def test_correlations_and_their_notes_count_recipes(seeded: Summary) -> None:
    assert seeded.n == 8
    assert seeded.n_models == 4
    assert any("8 models are 4 recipes" in line for line in notes(seeded))


def test_every_section_has_a_table_of_full_lines(seeded: Summary) -> None:
    sections = dict(levels.sections(seeded))
    assert len(sections) == 4
    for table in sections.values():
        assert table.lines
        assert all(len(line.cells) == len(table.columns) for line in table.lines)
    prediction = levels.prediction(seeded)
    assert prediction is not None
    names = [line.cells[0] for line in prediction.lines]
    assert names[0] == "rankme_text"
    assert names[-1] == "null: random"
    assert prediction.lines[0].cells[1:3] == [".00", ".000"]


def test_summary_json_holds_the_tables(seeded: Summary) -> None:
    record = seeded.record
    share = next(row for row in record["levels"] if (row["bench"], row["name"]) == ("order", "H"))
    assert share["icc"] > 0.9
    assert {row["left_out"] for row in record["prediction"]} == {"recipe", "family", "bench"}
    assert record["meta"]


def test_without_seeds_nothing_is_said_of_them() -> None:
    single = summary_of(seeds=1)
    assert levels.over_seeds(single) is None
    assert levels.reliability(single) is None
    assert single.levels.note is None
    assert levels.prediction(single) is not None
