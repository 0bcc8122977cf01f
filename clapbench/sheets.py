"""CSV tables that clapbench writes and reads again: in a spreadsheet text stays text, read back it is as it was.

A cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line end is a formula to a spreadsheet, and one such as
``=HYPERLINK(...)`` acts when somebody opens the file. Text that begins so (a caption, a clip's or a model's name) is
written behind an apostrophe, and text that begins with apostrophes and then such a sign gets one more, so that taking
one away always gives the text. Numbers stay as they are.

Source: OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
NUMBER = re.compile(r"[+-](\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")  # as text: executes nothing
ANY_LENGTH = 2**31 - 1  # of a cell; Python's own limit is 131072


def to_sheet(text: str) -> str:
    """``text`` as a cell that no spreadsheet takes for a formula.

    >>> [to_sheet(text) for text in ("=1+1", "'=1+1", "'t is a dog", "-0.5")]
    ["'=1+1", "''=1+1", "'t is a dog", '-0.5']
    """
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def from_sheet(cell: str) -> str:
    """The text that `to_sheet` has written.

    >>> [from_sheet(cell) for cell in ("'=1+1", "''=1+1", "'t is a dog", "-0.5")]
    ['=1+1', "'=1+1", "'t is a dog", '-0.5']
    """
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def text_of(columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> str:
    """The text of a CSV file: numbers to their last digit; None, NaN and what a record lacks are empty."""
    lines = [[to_sheet(name) for name in columns]]
    lines += [[_cell(record.get(name)) for name in columns] for record in records]
    # A lone carriage return ends a row for readers, and not every version of Python's writer quotes it.
    returns = any(isinstance(cell, str) and "\r" in cell for line in lines for cell in line)
    text = StringIO()
    csv.writer(
        text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    ).writerows(lines)
    return text.getvalue()


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a table that `text_of` wrote, every cell as text; also of one from before it was written so.

    Raises ``ValueError`` that says what is wrong with the table, and leaves it to the caller to say which it is.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        with any_length():
            header, *lines = [
                line for line in csv.reader(StringIO(text, newline=""), strict=True) if line
            ] or [[]]
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"it is no CSV ({error})") from error
    if not header:
        raise ValueError("it is empty")
    if not text.endswith("\n"):
        raise ValueError("its last row is cut")
    names = [from_sheet(name) for name in header]
    for number, line in enumerate(lines, start=1):
        if len(line) != len(names):
            raise ValueError(f"row {number} has {len(line)} values for {len(names)} columns")
    return [dict(zip(names, map(from_sheet, line), strict=True)) for line in lines]


@contextmanager
def any_length() -> Iterator[None]:
    """Python's csv reads cells of any length meanwhile."""
    before = csv.field_size_limit(ANY_LENGTH)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return to_sheet(value) if isinstance(value, str) else value
