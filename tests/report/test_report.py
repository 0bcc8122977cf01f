"""The summary of a sweep, built from cells that the test writes itself."""

from __future__ import annotations

import csv
import json
import math
from itertools import permutations
from pathlib import Path

import pytest
from scipy import stats

import clapbench
from clapbench import files, report
from clapbench.report.__main__ import main
from clapbench.results.sweep import read as read_sweep
from clapbench.schema import Cell

H = [0.1, 0.5, 0.4, 0.9, 0.7]
RANK = [10.0, 30.0, 20.0, 60.0, 70.0]


def write(folder: Path, *, model: str, h: float | None, status: str = "ok", **probes: float | None) -> None:
    cell = Cell(
        status=status,
        model=model,
        bench="order",
        error=None if status == "ok" else "ValueError: [broken] clip",
        n_items=10 if status == "ok" else None,
        scores={"F": h, "G": h, "H": h} if status == "ok" else {},
        probes=dict(probes),
    )
    files.write_text(folder / model / "order/cell.json", cell.to_json())


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for number, (h, rank) in enumerate(zip(H, RANK, strict=True)):
        write(tmp_path / "s", model=f"m{number}", h=h, rankme_text=rank, gap_l2=1.0, twonn_text=None)
    return tmp_path / "s"


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / name).read_text(encoding="utf-8").splitlines()))


def test_correlations_equal_scipy_and_say_what_is_undefined(sweep: Path) -> None:
    report.build(sweep)
    found = {row["probe"]: row for row in rows(sweep, "correlations.csv")}
    assert list(found) == [
        "rankme_text",
        "gap_l2",
        "twonn_text",
        "dim",
        "n_rows",
        "log_n_items",
        "parameters",
    ]
    assert [row["kind"] for row in found.values()] == ["probe"] * 3 + ["null predictor"] * 4
    rank = found["rankme_text"]
    orders = [abs(stats.spearmanr(RANK, order).statistic) for order in permutations(H)]
    at_least = sum(value >= orders[0] - 1e-9 for value in orders)  # the first order is the one found
    assert float(rank["spearman_p_exact"]) == pytest.approx(at_least / len(orders))
    assert float(rank["spearman_p_joint"]) == pytest.approx(at_least / len(orders))  # a cell per model
    assert rank["spearman_p_maxt"] == rank["spearman_p_joint"]  # one probe is defined
    assert rank["n"] == "5"
    assert float(rank["spearman"]) == pytest.approx(stats.spearmanr(RANK, H).statistic)
    assert float(rank["pearson"]) == pytest.approx(stats.pearsonr(RANK, H).statistic)
    assert float(rank["spearman_p"]) == pytest.approx(stats.spearmanr(RANK, H).pvalue)
    assert found["gap_l2"]["spearman"] == ""
    assert "gap_l2 is the same in all 5 cells" in found["gap_l2"]["note"]
    assert (found["twonn_text"]["n"], found["twonn_text"]["pearson"]) == ("0", "")
    summary = json.loads((sweep / "summary.json").read_text(encoding="utf-8"))
    assert summary["correlations"]["gap_l2"]["spearman"] is None
    assert summary["covers"].startswith("all 5 cells")


def test_a_cell_without_h_is_listed_and_not_correlated(sweep: Path) -> None:
    write(sweep, model="zero_shot", h=None, rankme_text=5.0)
    report.build(sweep)
    assert {row["n"] for row in rows(sweep, "correlations.csv") if row["probe"] == "rankme_text"} == {"5"}
    assert len(rows(sweep, "cells.csv")) == 6


def test_failed_and_absent_cells_are_listed(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(sweep, model="bad", h=None, status="failed")
    names = [*(f"m{number}" for number in range(5)), "bad", "gone"]
    listing = {"cells": [{"model": name, "bench": "order"} for name in names], "cache_dir": "../cache"}
    (sweep / "sweep.json").write_text(json.dumps(listing), encoding="utf-8")
    built = report.build(sweep)
    assert [row["n_items"] for row in rows(sweep, "cells.csv")] == ["10"] * 5 + [""]
    summary = json.loads((sweep / "summary.json").read_text(encoding="utf-8"))
    assert (summary["n_cells"], summary["n_ok"]) == (7, 5)
    assert summary["failed"] == [{"model": "bad", "bench": "order", "error": "ValueError: [broken] clip"}]
    assert summary["absent"] == [{"model": "gone", "bench": "order"}]
    report.show(built)
    printed = capsys.readouterr().out
    assert "failed bad × order: ValueError: [broken] clip" in printed
    assert "absent gone × order" in printed


def test_rebuilding_changes_nothing(sweep: Path) -> None:
    report.build(sweep)
    before = {path.name: path.read_bytes() for path in sweep.glob("*.*")}
    report.build(sweep)
    assert {path.name: path.read_bytes() for path in sweep.glob("*.*")} == before


def test_load_gives_a_frame_that_stays_one(sweep: Path) -> None:
    table = clapbench.load(sweep)
    assert list(table["H"]) == H
    assert math.isnan(table["twonn_text"].iloc[0])
    best = table[table["H"] > 0.6]
    assert len(best) == 2
    with pytest.raises(KeyError, match="no finished cell x × order"):
        best.embeddings("x", "order")


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: None, "no such folder"),
        (lambda folder: folder.mkdir(), "holds no cell"),
        (
            lambda folder: write(folder, model="m", h=0.1) or (folder / "sweep.json").write_text("{"),
            "sweep.json",
        ),
        (
            lambda folder: write(folder, model="m", h=0.1) or (folder / "m/order/cell.json").write_text("{}"),
            r"cell\.json: needed a cell\.json of schema 1",
        ),
    ],
)
def test_odd_folders_get_one_error(
    prepare, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path / "odd")
    assert main([str(tmp_path / "odd")]) == 1
    with pytest.raises((FileNotFoundError, ValueError), match=words):
        read_sweep(tmp_path / "odd")
    assert capsys.readouterr().err.count("\n") == 1
