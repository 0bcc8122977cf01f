"""What lies in outputs, at a glance: counts, ages, reasons, and nothing slow imported for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from conftest import ROOT

from clapbench import files, ls
from clapbench.schema import Cell


def write(folder: Path, *, model: str, bench: str = "order", h: float | None = 0.5, hours: float = 2) -> Path:
    created = datetime.now(timezone.utc) - timedelta(hours=hours)
    cell = Cell(
        status="failed" if h is None else "ok",
        model=model,
        bench=bench,
        error="ValueError: [broken] clip\nat line 3" if h is None else None,
        n_items=None if h is None else 40,
        scores={} if h is None else dict.fromkeys("FGH", h),
        embeddings={} if h is None else {"path": f"embeddings/{model}.npz"},
        created=created.isoformat(timespec="seconds"),
    )
    files.write_text(folder / model / bench / "cell.json", cell.to_json())
    return folder / model / bench / "cell.json"


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    folder = tmp_path / "outputs"
    write(folder / "first", model="mini", h=0.25)
    write(folder / "first", model="mini[v2]", h=0.75, hours=1)
    write(folder / "second", model="bad", h=None)
    write(folder / "second", model="odd").write_text(
        '{"schema": 1, "status": "ok", "model": "odd", "bench": 3}'
    )
    (folder / "second/sweep.json").write_text(
        json.dumps(
            {
                "cells": [{"model": name, "bench": "order"} for name in ("bad", "gone")],
                "cache_dir": "../cache",
            }
        )
    )
    (folder / "cache/embeddings").mkdir(parents=True)
    (folder / "cache/embeddings/mini.npz").write_bytes(bytes(2_500_000))
    (folder / "train").mkdir()
    (folder / "note.txt").touch()
    return folder


def lines(capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """What was printed, by the first word of a line."""
    return {words[0]: words[1:] for line in capsys.readouterr().out.splitlines() if (words := line.split())}


def test_sweeps_are_counted(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ls.main([str(outputs)]) == 0
    found = lines(capsys)
    assert found["first"] == ["2", "0", "0", "0", "0.750", "mini[v2]", "×", "order", "1", "h"]
    assert found["second"][:5] == ["0", "1", "1", "1", "–"]
    assert "train" not in found
    assert "cache" not in found


def test_cells_are_listed_with_their_reasons(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ls.main([str(outputs / "first")]) == 0
    found = lines(capsys)
    assert found["mini"] == ["order", "ok", "40", "0.250", "2", "h", "2.5", "MB"]
    assert found["mini[v2]"] == ["order", "ok", "40", "0.750", "1", "h", "gone"]
    assert ls.main([str(outputs / "second")]) == 0
    printed = capsys.readouterr().out
    assert "failed bad × order: ValueError: [broken] clip" in printed
    assert "at line 3" not in printed
    assert "damaged odd × order: bench: 3, where a name that can be a folder" in printed
    assert any(line.split()[:3] == ["gone", "order", "absent"] for line in printed.splitlines())


def test_without_a_folder_it_is_outputs(
    outputs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(outputs.parent)
    assert ls.main([]) == 0
    assert "first" in lines(capsys)


def test_a_folder_without_cells_is_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, words in ((tmp_path / "nowhere", "no such folder"), (tmp_path, "holds no sweep and no cell")):
        assert ls.main([str(folder)]) == 1
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
    with pytest.raises(SystemExit) as ended:
        ls.main(["a", "b"])
    assert ended.value.code == 2
    assert "usage: clapbench ls" in capsys.readouterr().err


def test_a_damaged_list_of_cells_hides_none(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (outputs / "second/sweep.json").write_text("{")
    assert ls.main([str(outputs / "second")]) == 0
    assert {"bad", "odd"} <= lines(capsys).keys()


@pytest.mark.parametrize("columns", [80, 60, 30, 20])
def test_no_line_is_wider_than_the_terminal(outputs: Path, columns: int) -> None:
    for folder in (outputs, outputs / "first"):
        done = subprocess.run(
            [sys.executable, "-m", "clapbench.ls", str(folder)],
            env={**os.environ, "COLUMNS": str(columns), "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        shown = [line for line in done.stdout.splitlines() if line != str(folder)]  # a path stays whole
        assert max(map(len, shown)) <= columns
        assert "…" not in done.stdout
        assert "0.750" in done.stdout or "best H" in " ".join(shown) or " H" in " ".join(shown)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (0.4, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "2 h"), (90000, "1 d")],
)
def test_ages(seconds: float | int | None, words: str) -> None:
    assert ls._ago(seconds) == words
