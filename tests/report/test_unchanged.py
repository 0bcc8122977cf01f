"""A report of what has not changed: nothing is done twice, and nothing is trusted that was tampered with."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
import sweep_folders

from clapbench import files, report
from clapbench.report import page, seal
from clapbench.report.__main__ import main
from clapbench.report.writer import KNOWN
from clapbench.results import sweep
from clapbench.study import correlations, draws, matched, memory, summary
from clapbench.study.summary import Summary

PROBES = ("rankme_text", "gap_angle_deg")


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    return sweep_folders.study(tmp_path / "s", models=2, probes=PROBES)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    folder = sweep_folders.study(tmp_path_factory.mktemp("built") / "s", models=2, probes=PROBES)
    sweep_folders.listed(folder)  # else the summary names the folder, and is another in another place
    return folder, report.build(folder)


@pytest.fixture
def folder(original: tuple[Path, Summary], tmp_path: Path) -> Path:
    """A sweep's folder whose report is built."""
    shutil.copytree(original[0].parent, tmp_path / "built")
    return tmp_path / "built" / "s"


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was computed or drawn since it was last cleared."""
    done: list[str] = []
    for module, name in ((correlations, "correlated"), (draws, "measure"), (page, "write")):
        real = getattr(module, name)
        monkeypatch.setattr(
            module,
            name,
            lambda *a, real=real, name=name, **k: done.append(name) or real(*a, **k),
        )
    return done


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_summary_writes_nothing(fresh: Path) -> None:
    before = contents(fresh)
    summary.summarize(sweep.read(fresh))
    assert contents(fresh) == before


def test_what_has_not_changed_costs_nothing_and_says_the_same(fresh: Path, work: list[str]) -> None:
    folder = fresh
    first = report.build(folder)
    assert set(work) == {"correlated", "measure", "write"}
    before = {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*.*") if path.is_file()
    }
    work.clear()
    again = report.build(folder)
    assert work == []
    assert again.entries == first.entries == summary.summarize(sweep.read(folder)).entries
    assert again.correlations == first.correlations
    assert [type(value) for one in again.entries for value in one.row] == [
        type(value) for one in first.entries for value in one.row
    ]
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*.*") if p.is_file()} == before


def edit_cell(folder: Path, **fields: object) -> None:
    path = folder / "m0/large/cell.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: edit_cell(folder, scores={"F": 0.6, "G": 0.6, "H": 0.61}),
        lambda folder: edit_cell(folder, probes={"rankme_text": 9.0, "gap_angle_deg": 2.0}),
        lambda folder: edit_cell(folder, n_items=None),
        lambda folder: sweep_folders.listed(folder, seed=3),
        lambda folder: sweep_folders.listed(folder, n=50),
        lambda folder: (folder / KNOWN).unlink(),
        lambda folder: (folder / KNOWN).write_bytes((folder / KNOWN).read_bytes()[:-9]),
        lambda folder: (folder / KNOWN).write_text((folder / KNOWN).read_text().replace("0.", "0.1", 1)),
        lambda folder: (folder / KNOWN).write_text("[]"),
        lambda folder: (folder / KNOWN).write_text('{"key": 1, "sha256": 2, "entries": 3}'),
    ],
)
def test_another_input_or_a_damaged_memory_is_computed_anew(folder: Path, work: list[str], change) -> None:
    change(folder)
    work.clear()
    again = report.build(folder)
    assert "correlated" in work
    assert again.entries == summary.summarize(sweep.read(folder)).entries
    work.clear()
    report.build(folder)
    assert work == []


def test_other_code_or_versions_are_another_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = sweep.read(folder)
    probes = correlations.predictors(found.scored, matched.measure(found).matched)
    key = memory.key_of(found.scored, probes, protocol="official", seed=0)
    assert key == memory.key_of(found.scored, probes, protocol="official", seed=0)
    assert key != memory.key_of(found.scored, probes, protocol="single", seed=0)
    assert key != memory.key_of(found.scored[::-1], probes, protocol="official", seed=0)
    monkeypatch.setattr(memory, "version", lambda name: "0.1")
    assert key != memory.key_of(found.scored, probes, protocol="official", seed=0)
    monkeypatch.undo()
    monkeypatch.setattr(files, "key_of_sources", lambda *folders: "other")
    assert key != memory.key_of(found.scored, probes, protocol="official", seed=0)


def test_the_code_that_correlates_and_draws_is_in_the_keys(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    one = files.key_of_sources(tmp_path)
    files.key_of_sources.cache_clear()
    (tmp_path / "a.py").write_text("2")
    assert files.key_of_sources(tmp_path) != one
    names = {
        path.name
        for folder in memory.SOURCES
        for path in (folder.glob("*.py") if folder.is_dir() else [folder])
    }
    assert {"correlations.py", "permutation.py", "bootstrap.py", "coefficients.py"} <= names
    assert {"page.py", "figures.py", "wording.py", "tables.py"} <= {
        path.name for path in seal.SOURCES.glob("*.py")
    }


@pytest.mark.parametrize("name", ["rankme_n.png", "probes_h.png", "index.html"])
@pytest.mark.parametrize("how", ["deleted", "edited", "cut"])
def test_a_figure_or_page_that_is_not_as_drawn_is_drawn_again(
    folder: Path, work: list[str], name: str, how: str
) -> None:
    path = folder / "report" / name
    whole = path.read_bytes()
    if how == "deleted":
        path.unlink()
    else:
        path.write_bytes(whole[:-100] if how == "cut" else whole.replace(whole[100:104], b"edit", 1))
    work.clear()
    report.build(folder)
    assert work == ["write"]
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "name", ["correlations_long.csv", "correlations.csv", "matched.csv", "summary.json", "cells.csv"]
)
def test_a_table_that_was_deleted_or_edited_is_written_again(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole.replace(b"0.", b"0.9", 1))
    report.build(folder)
    assert (folder / name).read_bytes() == whole
    (folder / name).unlink()
    report.build(folder)
    assert (folder / name).read_bytes() == whole


def line_of(text: str, number: int) -> str:
    return text.splitlines(keepends=True)[number]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[:-30], "1 of 20 rows are damaged"),
        (lambda text: text[:-1], "1 of 20 rows are damaged"),
        (lambda text: text.replace(",40,", ",forty,", 1), "1 of 20 rows are damaged"),
        (lambda text: text.replace(",40,", ",", 1), "1 of 20 rows are damaged"),
        (lambda text: text.replace(",40,", ",40,,", 1), "1 of 20 rows are damaged"),
        (lambda text: text.replace(line_of(text, 1).split(",")[5], "nan", 1), "1 of 20 rows are damaged"),
        (lambda text: text.replace(line_of(text, 1).split(",")[5], "", 1), "1 of 20 rows are damaged"),
        (lambda text: text.replace(line_of(text, 2), "\x00\x01\n"), "1 of 20 rows are damaged"),
        (lambda text: text.replace("mean", "average", 1), "not what a summary writes (other columns)"),
        (lambda text: text.partition("\n")[2], "not what a summary writes (other columns)"),
        (lambda text: "", "not what a summary writes"),
        (lambda text: '"' + text, "not what a summary writes"),
    ],
)
def test_damaged_draws_are_said_in_a_line_and_drawn_anew(
    original: tuple[Path, Summary], folder: Path, caplog: pytest.LogCaptureFixture, change, words: str
) -> None:
    first = original[1]
    path = folder / "draws.csv"
    whole = path.read_text(encoding="utf-8")
    assert len(list(csv.reader(whole.splitlines()))) == 21
    path.write_text(change(whole), encoding="utf-8")
    again = report.build(folder)
    assert words in caplog.text
    assert caplog.text.count("draws.csv") == 1
    assert (again.matched, again.curve) == (first.matched, first.curve)
    assert sorted(path.read_text(encoding="utf-8").splitlines()) == sorted(whole.splitlines())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace(line_of(text, 50), ""), "it holds 99 of the cell's 100 items"),
        (lambda text: text[: len(text) // 2], "its last row is cut"),
        (lambda text: text.replace(",6,", ",6,,", 1), "values for 10 columns"),
        (lambda text: text.replace("6.wav", "", 1), "names no clip or caption"),
        (lambda text: "", "it is empty"),
    ],
)
def test_items_that_are_not_whole_are_not_drawn_from(folder: Path, change, words: str) -> None:
    (folder / "draws.csv").unlink()
    path = folder / "m1/large/items.csv"
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    found = report.build(folder)
    notes = {row.note for row in found.matched if row.note}
    assert len(notes) == 1
    assert words in notes.pop()
    assert {row["rows"] for row in found.correlations if row["kind"] == "probe"} == {"all"}


def test_items_with_another_hash_are_not_drawn_from(folder: Path) -> None:
    path = folder / "m0/large/items.csv"
    edit_cell(
        folder,
        extra={
            **json.loads((folder / "m0/large/cell.json").read_text())["extra"],
            "items_sha256": files.sha256_of(path),
        },
    )
    assert not {row.note for row in report.build(folder).matched} - {None}
    (folder / "draws.csv").unlink()
    rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
    files.write_text(path, "".join([rows[0], *rows[:0:-1]]))
    notes = {row.note for row in report.build(folder).matched if row.note}
    assert any("not what the cell was computed with" in note for note in notes)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder.chmod(0o500)
    assert main([str(folder)]) == 1
    folder.chmod(0o700)
    assert "needed a folder that can be read and written" in capsys.readouterr().err


def test_a_read_only_file_system_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, text: str) -> None:
        raise OSError(30, "Read-only file system", str(path))

    assert main([str(folder)]) == 0
    monkeypatch.setattr(files, "write_text", refuse)
    assert main([str(folder)]) == 0  # nothing to write
    (folder / "cells.csv").unlink()
    capsys.readouterr()
    assert main([str(folder)]) == 1
    error = capsys.readouterr().err
    assert "needed a folder that can be read and written, got: Read-only file system" in error
    assert error.count("\n") == 1
