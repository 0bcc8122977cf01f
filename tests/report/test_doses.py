"""The command that tells what a sweep of trainings over doses says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from trained_tables import rows, write

from clapbench import sheets
from clapbench.report import dose_tables
from clapbench.report.study import main
from clapbench.study.registration import registered

FIGURES = ("doses_h", "doses_rank", "h_over_rank", "moved")


def test_tables_and_figures_are_written_and_the_registered_tests_come_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [row for row in rows(seeds=2) if not {0.3, -0.1, 0.1, 3.0} & set(row.values())]
    write(tmp_path / "train", few)
    assert main(["doses", str(tmp_path), "--study", "regularizer_study"]) == 0
    told = capsys.readouterr().out
    assert told.index("registered") < told.index("arms, order") < told.index("level by level")
    assert "before the first of the 20 trainings" in " ".join(told.split())
    out = tmp_path / "doses"
    assert {path.name for path in out.iterdir()} == {
        *(f"{name}.{suffix}" for name in FIGURES for suffix in ("svg", "png")),
        *("claims.csv", "arms.csv", "responses.csv", "levels.csv", "mediation.csv", "tables.md"),
    }
    assert len(sheets.read(out / "claims.csv")) == 22


def test_a_study_that_was_not_locked_first_is_exploratory(tmp_path: Path) -> None:
    study = registered(ROOT / "conf" / "studies" / "regularizer_study.yaml")
    found = dose_tables.find(write(tmp_path, rows(seeds=2)), study.model_copy(update={"lock": None}))
    assert dose_tables.claim_table(found).title == "tests of the study (exploratory)"
    assert {one.holds for one in found.claims} == {None}
    assert "is not locked" in found.came_first


def weighted(row: dict[str, Any]) -> bool:
    return any(key.startswith("weight.") for key in row)


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        (lambda row: {**row, "order/H": 0.0}, set()),
        (lambda row: {key: row[key] for key in row if "rankme" not in key}, {"doses_rank", "h_over_rank"}),
        (lambda row: row if weighted(row) else None, {"moved"}),
        (lambda row: None if weighted(row) else row, {"doses_h", "doses_rank", "moved"}),
    ],
)
def test_what_cannot_be_drawn_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[..., Any], lacking: set[str]
) -> None:
    """A score at the floor, no rank, no arm without a regulariser, no arm with one."""
    found = [new for row in rows(seeds=2) if (new := change(row)) is not None]
    write(tmp_path, found)
    assert main(["doses", str(tmp_path)]) == 0, capsys.readouterr().err
    assert {path.stem for path in (tmp_path / "doses").glob("*.svg")} == {*FIGURES} - lacking


def test_a_folder_without_trainings_is_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doses", str(tmp_path)]) == 1
    assert "needed trainings.csv in" in capsys.readouterr().err


def test_the_published_tables_are_those_of_the_published_trainings(tmp_path: Path) -> None:
    """Numbers of docs/regularizer_study.md come from the trainings.csv beside them."""
    published = ROOT / "docs" / "regularizer_study"
    study = registered(ROOT / "conf" / "studies" / "regularizer_study.yaml")
    found = dose_tables.find(published / "trainings.csv", study)
    kept = sheets.read(published / "claims.csv")
    assert [(one.claim, one.bench, one.holds) for one in found.claims] == [
        (row["claim"], row["bench"], row["holds"] == "True") for row in kept
    ]
    assert [one.value for one in found.claims] == pytest.approx(
        [float(row["value"]) for row in kept], rel=1e-9
    )
    page = (ROOT / "docs" / "regularizer_study.md").read_text(encoding="utf-8")
    lines = dose_tables.markdown(found).splitlines()
    first = lines.index("### Registered")
    assert all(line in page for line in lines[first + 2 : first + 4 + len(kept)])
