"""Records: strict JSON both ways, shapes and finite rows checked where they enter."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clapbench.schema import SCHEMA, Case, Cell, Embeddings, null_undefined


def full_cell() -> Cell:
    return Cell(
        status="ok",
        model="mini",
        bench="größe",
        n_items=5,
        scores={"F": 0.5, "G": 0.25, "H": None},
        protocols={"official": {"F": {"value": 0.5, "ci95": [0.1, 0.9]}}, "triplet": None},
        probes={"rankme_audio": 12.5},
        dropped_items=1,
        runtime_s={"total": 1.5},
        created="2026-01-01T00:00:00+00:00",
    )


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} in JSON")


def test_a_cell_comes_back_from_disk(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    path.write_text(full_cell().to_json(), encoding="utf-8")
    assert Cell.read(path) == full_cell()


def test_json_is_strict_starts_with_the_schema_and_turns_nan_to_null() -> None:
    undefined: dict[str, Any] = {"a": float("nan"), "b": [np.float32("inf"), (1.0, -np.inf)]}
    cell = dataclasses.replace(full_cell(), probes={"twonn_audio": float("nan")}, extra=undefined)
    record = json.loads(cell.to_json(), parse_constant=refuse)
    assert next(iter(record.items())) == ("schema", SCHEMA)
    assert record["probes"] == {"twonn_audio": None}
    assert record["extra"] == {"a": None, "b": [None, [1.0, None]]}
    assert record["bench"] == "größe"


def test_null_undefined_leaves_the_rest() -> None:
    value = {"n": 3, "text": "nan", "flag": True, "x": np.float64(0.5), "none": None}
    assert null_undefined(value) == {"n": 3, "text": "nan", "flag": True, "x": 0.5, "none": None}


@pytest.mark.parametrize(
    "text",
    [
        full_cell().to_json().replace(f'"schema": {SCHEMA}', '"schema": 99'),
        full_cell().to_json().replace('"model"', '"modell"'),
        full_cell().to_json()[:50],
        "[]",
        "{}",
        "",
    ],
)
def test_another_schema_or_no_cell_is_refused_by_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cell.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"cell .*cell\.json: needed a cell\.json of schema 1"):
        Cell.read(path)


def test_a_case_holds_its_match_as_a_matrix() -> None:
    case = Case(clips=("a", "b"), captions=("x", "y", "z"), match=((True, False, False), (False, True, True)))
    assert case.match_matrix.shape == (2, 3)
    assert case.match_matrix.tolist() == [[True, False, False], [False, True, True]]


@pytest.mark.parametrize(
    "match", [((True, False),), ((True,), (False,)), ((True, False), (False,)), ((True, False),) * 3, ()]
)
def test_a_match_of_another_shape_is_refused(match: tuple[tuple[bool, ...], ...]) -> None:
    with pytest.raises(ValueError, match=r"Case: match needs .* 2 x 2; got"):
        Case(clips=("a", "b"), captions=("x", "y"), match=match)


@pytest.mark.parametrize(
    ("side", "value", "word"), [("audio", np.nan, "b.wav"), ("text", np.inf, "Rain falls")]
)
def test_a_row_that_is_not_finite_is_named(side: str, value: float, word: str) -> None:
    rows = {"audio": np.eye(2, 3), "text": np.eye(2, 3)}
    rows[side][1, 2] = value
    with pytest.raises(ValueError, match=f"{side} row of '{word}' is not finite"):
        Embeddings(
            audio=rows["audio"],
            audio_id=("a.wav", "b.wav"),
            text=rows["text"],
            text_id=("A bell", "Rain falls"),
        )


def test_rows_and_ids_are_as_many() -> None:
    with pytest.raises(ValueError, match="text has 2 rows for 1 ids"):
        Embeddings(audio=np.eye(2), audio_id=("a", "b"), text=np.eye(2), text_id=("x",))
