"""The command that tells what a sweep of trainings over doses says."""

from __future__ import annotations

from pathlib import Path

import pytest
from trained_tables import rows, write

from clapbench import sheets
from clapbench.report.study import FIGURES, main


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


def test_a_folder_without_trainings_is_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doses", str(tmp_path)]) == 1
    assert "needed trainings.csv in" in capsys.readouterr().err
