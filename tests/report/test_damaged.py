"""Cells that cannot be read: named with the reason everywhere, and the others covered; what names may not do."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import sweep_folders

import clapbench
from clapbench import files, report
from clapbench.report import page, tables
from clapbench.report.__main__ import main
from clapbench.results import sweep


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sweep_folders.study(tmp_path / "s", probes=("rankme_text",))


def test_a_damaged_cell_is_listed_and_the_others_are_covered(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "m1/small/cell.json"
    path.write_text(path.read_text().replace('"scores": {', '"scores": "x", "was": {'))
    assert main([str(folder)]) == 1
    printed = capsys.readouterr().out
    assert "damaged m1 × small: cell " in printed
    assert "the field 'was'" in printed
    record = json.loads((folder / "summary.json").read_text())
    assert [(one["model"], one["bench"]) for one in record["damaged"]] == [("m1", "small")]
    assert record["n_ok"] == 5
    assert "damaged: m1 × small: cell " in (folder / "report/index.html").read_text()
    rows = list(csv.DictReader((folder / "cells.csv").read_text().splitlines()))
    assert [row["status"] for row in rows].count("damaged") == 1
    loaded = clapbench.load(folder)
    assert sorted(loaded["status"]) == ["damaged"] + ["ok"] * 5
    assert loaded.embeddings("m0", "large").dim == 24


def test_a_cell_in_anothers_place_is_damaged(folder: Path) -> None:
    text = (folder / "m0/large/cell.json").read_text()
    files.write_text(folder / "copy/large/cell.json", text)
    found = sweep.read(folder)
    assert [(cell.model, cell.bench) for cell in found.damaged] == [("copy", "large")]
    assert "needed the cell of copy × large, got that of m0 × large" in found.damaged[0].error
    assert not found.complete


@pytest.mark.parametrize(
    "listing",
    [
        '{"cells": [{"model": "../..", "bench": "x"}], "cache_dir": ".."}',
        '{"cells": [{"model": 3, "bench": "x"}], "cache_dir": ".."}',
        '{"cells": [], "cache_dir": "..", "matched": {"draws": "many"}}',
        '{"cells": [], "cache_dir": "..", "margin": 2}',
        '{"cells": 4, "cache_dir": ".."}',
        "[]",
        "",
    ],
)
def test_a_damaged_list_of_cells_is_one_error(
    folder: Path, listing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "sweep.json").write_text(listing)
    assert main([str(folder)]) == 1
    error = capsys.readouterr().err
    assert "sweep.json" in error
    assert error.count("\n") == 1


def test_names_are_harmless_on_terminal_and_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "s"
    names = ("<span onclick=x>", "mini[v2]", "bell\x07\x1b[2J", "[bold]$x^声$")
    for number, name in enumerate(names):
        sweep_folders.write_cell(
            folder, model=name, bench="b[1]", n_items=20, h=0.2 * number, seed=number, probes=("rankme_text",)
        )
    report.show(report.build(folder))
    printed = capsys.readouterr().out
    html = (folder / "report/index.html").read_text(encoding="utf-8")
    assert "\x1b" not in printed
    assert "\x07" not in printed
    for seen in ("<span onclick=x>  b[1]", "mini[v2]", r"bell\x07\x1b[2J", "[bold]$x^声$"):
        assert seen in printed
    assert "&lt;span onclick=x&gt;" in html
    assert "<span onclick" not in html
    assert "<span class='bar'>" in html  # our own markup is markup


def test_only_our_own_type_is_markup() -> None:
    columns = [tables.Column("<b>", name=True)]
    html = page._table(
        tables.Table(columns, [tables.Line(["<span>x"]), tables.Line([tables.Html("<i>y</i>")])])
    )
    assert "&lt;span&gt;x" in html
    assert "<i>y</i>" in html
    assert "&lt;b&gt;" in html


def test_terminal_and_page_show_one_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = report.build(folder)
    report.show(found)
    printed = capsys.readouterr().out
    html = (folder / "report/index.html").read_text(encoding="utf-8")
    for table in (tables.cells(found), *tables.correlations(found)):
        for line in table.lines:
            assert len(line.cells) == len(table.columns)
            for column, text in zip(table.columns, line.cells, strict=True):
                if not column.page_only:
                    assert text in printed
                if not isinstance(text, tables.Html):
                    assert f">{text.replace('<', '&lt;')}</td>" in html


def test_exit_codes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(folder)]) == 0
    (folder / "m0/large/cell.json").write_text(
        json.dumps({"schema": 1, "status": "failed", "model": "m0", "bench": "large", "error": "x"})
    )
    assert main([str(folder)]) == 1
    assert main([str(folder / "nowhere")]) == 1
    for wrong in ([], [str(folder), "--n", "3"], [str(folder), "--draws", "many"], [str(folder), "--typo"]):
        with pytest.raises(SystemExit) as ended:
            main(wrong)
        assert ended.value.code == 2
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "usage: clapbench report" in capsys.readouterr().out
