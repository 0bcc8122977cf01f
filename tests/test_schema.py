"""Records: strict JSON both ways, shapes and finite rows checked where they enter."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from clapbench import strict
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


def changed(**fields: Any) -> str:
    return json.dumps({**json.loads(full_cell().to_json()), **fields})


H = {
    "value": 0.5,
    "direction": "both",
    "n": 9,
    "chance": 0.2,
    "ci95": [0.4, 0.6],
    "p_chance": 0.1,
    "p_swap": 0.1,
}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (changed(scores="x"), "scores: 'x', where an object belongs"),
        (changed(scores={"H": "0.5"}), "scores.H: '0.5', where a number from 0 to 1 belongs"),
        (changed(scores={"H": 1.5}), "scores.H: 1.5, where a number from 0 to 1 belongs"),
        (changed(scores={"H": True}), "scores.H: True, where a number from 0 to 1 belongs"),
        (changed(probes={"gap": [1]}), "probes.gap: a list, where a number belongs"),
        (changed(probes=None), "probes: null, where an object belongs"),
        (changed(probes={"gap": 10**400}), "a number beyond 1e"),
        (changed(status="done"), "status: 'done', where 'ok' or 'failed' belongs"),
        (changed(status=None), "status: null, where 'ok' or 'failed' belongs"),
        (changed(model="../x"), "model: '../x', where a name that can be a folder belongs"),
        (changed(model=7), "model: 7, where a name"),
        (changed(n_items=-1), "n_items: -1, where a count belongs"),
        (changed(n_items=2.0), "n_items: 2.0, where a count belongs"),
        (changed(ties="none"), "ties: 'none', where a count belongs"),
        (changed(protocol=None), "protocol: null, where text belongs"),
        (changed(protocols={"official": 3}), "protocols.official: 3, where an object"),
        (changed(protocols={"official": {"H": {**H, "ci95": [0.6, 0.4]}}}), "the lower bound first"),
        (changed(protocols={"official": {"H": {**H, "ci95": 0.6}}}), "two bounds"),
        (changed(scores={"H": 0.5}, protocols={"official": {"H": H}}), "protocols.official.F without chance"),
        (changed(embeddings={"path": "../../etc/passwd"}), "a relative path inside the cache folder"),
        (changed(embeddings={"path": "/etc/passwd"}), "a relative path inside the cache folder"),
        (changed(embeddings={"path": "C:\\x"}), "a relative path inside the cache folder"),
        (changed(embeddings={"path": "a\\..\\..\\x"}), "a relative path inside the cache folder"),
        (changed(embeddings={"n_text": "9"}), "embeddings.n_text: '9', where a count"),
        (changed(extra={"accuracy": "good"}), "extra.accuracy: 'good', where a number from 0 to 1"),
        (changed(runtime_s={"total": -1}), "runtime_s.total: -1, where a number from 0"),
        (changed(created="yesterday"), "created: 'yesterday', where a time"),
        (changed(error="\ud800"), "error: text with half a character"),
        (full_cell().to_json().replace("12.5", "NaN"), "NaN, which is no JSON"),
        (full_cell().to_json().replace("12.5", "-Infinity"), "-Infinity, which is no JSON"),
        (full_cell().to_json().replace("12.5", "1e999"), "1e999, which is infinite"),
        (full_cell().to_json().replace('"ties"', '"model": "other", "ties"'), "the key 'model' twice"),
        ("\ufeff" + full_cell().to_json(), "starts with a byte order mark"),
        ("[" * 100_000, "cell.json"),
        (" \n", "an empty file"),
    ],
)
def test_a_field_that_is_not_what_we_write_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "cell.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"cell .*cell\.json: needed a cell\.json of schema 1, got") as error:
        Cell.read(path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_binary_and_folders_are_no_cell(tmp_path: Path) -> None:
    (tmp_path / "cell.json").write_bytes(b"\xff\xfe\x00PK")
    with pytest.raises(ValueError, match="no text in UTF-8"):
        Cell.read(tmp_path / "cell.json")
    with pytest.raises(ValueError, match="Is a directory"):
        Cell.read(tmp_path)


def test_what_we_write_is_read() -> None:
    """Also names and numbers at the edges."""
    complete = {"official": dict.fromkeys("FGH", H), "triplet": None}
    for text in (
        changed(scores={"F": 0, "G": 1, "H": 1e-9}, protocols=complete),
        changed(model="mini[v2] <b>", bench="größe 声", probes={"a": -1e12, "b": None}),
        changed(embeddings={"path": "embeddings/x-y.npz", "n_audio": 0, "n_text": 0, "dim": 3}),
        changed(extra={"anything": {"deep": [1, 2.5, None, "x"]}}),
    ):
        strict.check_cell(
            strict.loads(text.encode()), schema=SCHEMA, names=[one.name for one in dataclasses.fields(Cell)]
        )


def test_results_are_read_without_torch() -> None:
    code = "import sys, clapbench.ls, clapbench.report.writer; print([n for n in ('torch', 'scipy.stats', 'pandas', "
    code += "'matplotlib', 'hydra', 'omegaconf') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
