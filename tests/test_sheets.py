"""Tables that a spreadsheet opens and clapbench reads again: text is never a formula, and comes back as it was."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pandas as pd
import pytest

from clapbench import sheets

SIGNS = "=+-@\t\r\n＝＋－＠'\",;1a é"


def text_of(table: pd.DataFrame) -> str:
    records = [
        {str(k): None if pd.isna(v) else v for k, v in row.items()} for row in table.to_dict("records")
    ]
    return sheets.text_of(list(map(str, table.columns)), records)


def written(folder: Path, table: pd.DataFrame) -> Path:
    path = folder / "table.csv"
    path.write_text(text_of(table), encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3+cmd", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "-", "--1", "+1-1"],
)
def test_text_that_a_spreadsheet_executes_stands_behind_an_apostrophe(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, pd.DataFrame([{"caption": text, text: 1, "s": -0.5}]))
    with path.open(encoding="utf-8", newline="") as file:
        header, row = csv.reader(file)
    assert header == ["caption", f"'{text}", "s"]
    assert row == [f"'{text}", "1", "-0.5"]
    assert sheets.read(path) == [{"caption": text, text: "1", "s": "-0.5"}]


def test_every_text_comes_back(tmp_path: Path) -> None:
    rng = random.Random(0)
    texts = ["".join(rng.choices(SIGNS, k=rng.randint(1, 5))) for _ in range(3000)]
    path = written(tmp_path, pd.DataFrame({"number": range(3000), "text": texts}))
    assert [row["text"] for row in sheets.read(path)] == texts
    assert all(sheets.from_sheet(sheets.to_sheet(text)) == text for text in texts)


def test_what_needs_nothing_is_as_pandas_writes_it(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "a": [1, 2],
            "b": [-0.5, None],
            "c": ["'t is a dog", "-0.5"],
            "d": ["x,y", 'say "z"'],
            "e": [True, None],
        }
    )
    table["f"] = pd.array([-3, pd.NA], dtype="Int64")
    assert text_of(table) == table.to_csv(index=False, lineterminator="\n")
    assert text_of(table[:0]) == "a,b,c,d,e,f\n"


def test_a_table_from_before_is_read_and_cells_of_any_length(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text(f"item,caption_p\n0,=1+1\n1,{'bell ' * 50_000}\n", encoding="utf-8")
    before = csv.field_size_limit()
    assert [row["caption_p"][:5] for row in sheets.read(path)] == ["=1+1", "bell "]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n3\n", "row 2 has 1 values for 2 columns"),
        ("a,b\n1,2,3\n", "row 1 has 3 values for 2 columns"),
        ('a,b\n1,"2\n', "it is no CSV"),
        ("a,b\n1,caf\xe9\n", "it is not UTF-8"),
        ("a,b\n1,2\n3,4", "its last row is cut"),
        ("", "it is empty"),
    ],
)
def test_a_table_that_is_not_whole_says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "cut.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=words):
        sheets.read(path)
