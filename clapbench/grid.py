"""Tables of text for a terminal: where room is short whole columns go, the least important first, and never a digit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, chop_cells
from rich.text import Text

from clapbench.console import console, plain, shown

GAP = 2  # columns of the terminal between two of the table
FOLDED = 5  # letters of a name on one line, at the least


@dataclass(frozen=True)
class Column:
    """``keep``: of two columns the one with the smaller number goes first; names stay, and are folded at worst."""

    head: str  # its lines one below the other
    keep: int = 0
    name: bool = False  # text, at the left; else a number, at the right
    page_only: bool = False  # for a page, which has room
    label: str = ""  # what it is called where the head alone says too little

    @property
    def title(self) -> str:
        """The head in one line."""
        return " ".join(self.head.split())

    @property
    def called(self) -> str:
        """The column as a sentence names it."""
        return " ".join(self.label.split()) or self.title


@dataclass(frozen=True)
class Line:
    """A row: a text for each column, and the style that all of it is printed in."""

    cells: Sequence[str]
    style: str = ""


@dataclass(frozen=True)
class Table:
    """Columns and lines, a title above and notes below."""

    columns: Sequence[Column]
    lines: Sequence[Line]
    title: str = ""
    caption: Sequence[str] = field(default_factory=tuple)
    file: str = ""  # where all columns are


def show(table: Table) -> None:
    """Prints the table, its caption, and which columns were left out for want of room."""
    if table.title:
        console.say(f"[italic]{shown(table.title)}[/]")
    lines, dropped = layout(table, width=console.width)
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)
    for sentence in table.caption:
        console.say(f"[dim]{shown(sentence)}[/]")
    if dropped:
        where = f"; in {table.file}" if table.file else ""
        console.say(f"[dim]no room here for: {shown(', '.join(dropped))}{where}.[/]")


def layout(table: Table, *, width: int) -> tuple[list[Text], list[str]]:
    """Heads and rows of the table in ``width`` columns of a terminal, and what the dropped columns are called."""
    cells = [[plain(text) for text in line.cells] for line in table.lines]
    places = [place for place, column in enumerate(table.columns) if not column.page_only]
    wide = {
        place: max(
            map(cell_len, [*table.columns[place].head.split("\n"), *(row[place] for row in cells)]), default=0
        )
        for place in places
    }
    dropped = []
    while _total(wide) > width and (loose := [place for place in wide if not table.columns[place].name]):
        least = min(loose, key=lambda place: (table.columns[place].keep, -place))
        names = [place for place in wide if table.columns[place].name]
        if len(loose) == 1 and wide[least] + sum(min(wide[place], FOLDED) + GAP for place in names) <= width:
            break  # one number is worth names on two lines
        dropped.append(least)
        del wide[least]
    _narrow([place for place in wide if table.columns[place].name], wide, width=width)
    heads = [[column.title if column.name else column.head for column in table.columns]]
    found = [Text(line) for line in _lines(heads[0], wide, table.columns, bottom=True)]
    found.append(Text("─" * _total(wide)))
    for row, line in zip(cells, table.lines, strict=True):
        found += [Text(text, style=line.style) for text in _lines(row, wide, table.columns)]
    return found, [table.columns[place].called for place in sorted(dropped)]


def _total(wide: dict[int, int]) -> int:
    return sum(wide.values()) + GAP * (len(wide) - 1)


def _narrow(names: Sequence[int], wide: dict[int, int], *, width: int) -> None:
    """Takes from the widest name, letter by letter, until the table fits."""
    while _total(wide) > width and max((wide[place] for place in names), default=0) > FOLDED:
        wide[max(names, key=lambda place: wide[place])] -= 1


def _lines(
    texts: Sequence[str], wide: dict[int, int], columns: Sequence[Column], *, bottom: bool = False
) -> list[str]:
    """A row in as many lines as its cells need."""
    folded = {
        place: [part for line in texts[place].split("\n") for part in chop_cells(line, room) or [""]]
        for place, room in wide.items()
    }
    height = max((len(parts) for parts in folded.values()), default=0)
    found = []
    for number in range(height):
        line = []
        for place, room in wide.items():
            blank = height - len(folded[place])
            parts = [""] * blank + folded[place] if bottom else folded[place] + [""] * blank
            space = " " * (room - cell_len(parts[number]))
            line.append(parts[number] + space if columns[place].name else space + parts[number])
        found.append((" " * GAP).join(line).rstrip())
    return found
