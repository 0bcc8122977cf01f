"""Tables on narrow terminals: columns go, digits do not, and it is said which."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from clapbench import grid
from clapbench.grid import Column, Line, Table

COLUMNS = [
    Column("model", name=True),
    Column("n", keep=1),
    Column("H\n95 %", keep=3),
    Column("exact p", keep=2),
    Column("bar", page_only=True),
]
TABLE = Table(
    COLUMNS,
    [
        Line(["mini_negatives", "400", ".80-.87", ".123", "<b>"]),
        Line(["声声声", "9", "–", "1.000", ""], style="dim"),
    ],
    file="cells.csv",
)


def texts(width: int) -> tuple[list[str], list[str]]:
    lines, dropped = grid.layout(TABLE, width=width)
    return [line.plain for line in lines], dropped


def test_with_room_everything_stands_in_line() -> None:
    lines, dropped = texts(80)
    assert dropped == []
    assert lines == [
        " " * 27 + "H",
        "model             n     95 %  exact p",
        "─" * 37,
        "mini_negatives  400  .80-.87     .123",
        "声声声            9        –    1.000",
    ]


@pytest.mark.parametrize(
    ("width", "dropped"),
    [(36, ["n"]), (31, ["n", "exact p"]), (20, ["n", "exact p"]), (14, ["n", "exact p"])],
)
def test_the_least_important_columns_go_first_and_no_digit(width: int, dropped: list[str]) -> None:
    lines, gone = texts(width)
    assert sorted(gone) == sorted(dropped)
    assert max(map(cell_len, lines)) <= width
    assert any(".80-.87" in line for line in lines)
    assert "".join(line[:5].strip() for line in texts(14)[0][3:6]) == "mini_negatives"


def test_where_not_even_one_number_fits_names_stand_alone() -> None:
    lines, dropped = texts(8)
    assert dropped == ["n", "H 95 %", "exact p"]
    assert max(map(cell_len, lines)) <= 8


def test_what_was_left_out_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid.console, "width", 31)
    grid.show(TABLE)
    assert "no room here for: n, exact p; in cells.csv." in capsys.readouterr().out


def test_names_reach_the_terminal_as_they_are_and_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    grid.show(
        Table([Column("model", name=True)], [Line(["mini[v2]"]), Line(["a\x1b[2J\x07\nb"])], title="[x]")
    )
    printed = capsys.readouterr().out
    assert "mini[v2]" in printed
    assert "a\\x1b[2J\\x07\\nb" in printed
    assert "[x]" in printed
    assert "\x1b" not in printed
