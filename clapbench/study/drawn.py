"""What was drawn of probes, as records and on disk: rows of matched.csv and curve.csv, and draws.csv draw by draw."""

from __future__ import annotations

import csv
import logging
import math
import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clapbench import sheets
from clapbench.console import plain
from clapbench.results.rows import Rows
from clapbench.statistics.subsampling import of_draws

log = logging.getLogger(__name__)


class Measured(NamedTuple):
    """A probe of a cell at some number of rows; ``low`` and ``high`` are None where these are all the rows."""

    model: str
    bench: str
    probe: str
    n_audio: int
    n_text: int
    mean: float | None
    low: float | None  # 2.5 % quantile over draws
    high: float | None  # 97.5 %
    draws: int  # 0 where all rows are taken
    all_rows: float | None  # the cell's own number
    n_audio_all: int
    n_text_all: int
    ci95_low: float | None = None  # for the population of the items, by `subsampling`
    ci95_high: float | None = None
    note: str | None = None  # why it is undefined
    key: str | None = None
    values: tuple[float, ...] = ()  # draw by draw; in draws.csv alone

    @property
    def part(self) -> float:
        """The share of its cell's rows."""
        return self.n_text / self.n_text_all

    @property
    def with_interval(self) -> Measured:
        """With the interval that its draws give."""
        if len(self.values) < 2 or not 0 < self.part < 1:
            return self
        low, high = of_draws(np.array(self.values), part=self.part).ci95
        return self._replace(ci95_low=low, ci95_high=high)


def table_of(rows: Sequence[Measured]) -> Rows:
    """matched.csv or curve.csv: a row for each measured probe."""
    return Rows(Measured._fields[:-1], [row._asdict() for row in rows])


def memory_of(rows: Sequence[Measured]) -> Rows:
    """draws.csv: what was drawn, draw by draw."""
    return Rows(
        Measured._fields, [row._asdict() | {"values": " ".join(map(repr, row.values))} for row in rows]
    )


def read(path: Path) -> dict[str, Measured]:
    """The drawn rows of ``path`` by their keys. A row that is not whole is left out: where wanted, it is drawn anew."""
    try:
        text = path.read_bytes().decode("utf-8")
        head, *lines = csv.reader(StringIO(text, newline=""), strict=True)
        if tuple(head) != Measured._fields:
            raise ValueError("other columns")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, csv.Error) as error:
        log.warning("%s is not what a summary writes (%s). It is written anew.", path, plain(error))
        return {}
    rows = [_parsed([sheets.from_sheet(value) for value in line]) for line in lines]
    if rows and not text.endswith("\n"):
        rows[-1] = None  # cut
    if lost := sum(row is None for row in rows):
        log.warning("%s: %d of %d rows are damaged. They are drawn anew.", path, lost, len(rows))
    return {row.key: row for row in rows if row and row.key}


def _parsed(line: Sequence[str]) -> Measured | None:
    """A drawn row as it was written, to the last digit; None unless every field is there and can be."""
    if len(line) != len(Measured._fields):
        return None
    values: dict[str, Any] = dict(zip(Measured._fields, line, strict=True))
    try:
        for name in ("mean", "low", "high", "all_rows", "ci95_low", "ci95_high"):
            values[name] = float(values[name]) if values[name] else None
        for name in ("draws", "n_audio", "n_text", "n_audio_all", "n_text_all"):
            values[name] = int(values[name])
        values["values"] = tuple(map(float, values["values"].split()))
    except ValueError:
        return None
    if not (values["model"] and values["bench"] and values["probe"]):
        return None
    values |= {name: values[name] or None for name in ("note", "key")}
    row = Measured(**values)
    numbers = [number for number in (row.mean, row.low, row.high) if number is not None]
    sound = (
        re.fullmatch("[0-9a-f]{16}", row.key or "") is not None
        and all(map(math.isfinite, [*numbers, *row.values]))
        and len(row.values) == (row.draws if numbers else 0)
        and min(row.draws, row.n_audio, row.n_text) > 0
        and (row.note is None if len(numbers) == 3 else not numbers and row.note is not None)
        and (row.low or 0) <= (row.high or 0)
    )
    return row if sound else None
