"""The probes of a sweep at one number of rows: what makes cells of different size comparable.

At matched N every cell gives as many clips and captions as the smallest one has (`draws`). matched.csv holds values
with the interval over draws, curve.csv those of `CURVE` over a ladder of N. draws.csv keeps whatever was ever drawn, by
a key over all that decides it, so nothing is drawn twice, nor lost when embeddings are. `report` writes all three.
"""

from __future__ import annotations

import csv
import logging
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from clapbench import files, sheets
from clapbench.console import console, plain
from clapbench.results.rows import Rows
from clapbench.results.sweep import Matching, Sweep, cases, rows_of
from clapbench.schema import Cell, Size

log = logging.getLogger(__name__)

VERSION = 1  # of the way to draw: part of a row's key
CURVE = ("rankme_audio", "rankme_text", "gap_angle_deg")  # over N; the angle for `diagnosis`
BELOW = (8, 4, 2)  # parts of matched N that the curve starts with
LEAST = 16  # rows of a side on the curve


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
    note: str | None = None  # why it is undefined
    key: str | None = None


def matched_size(sweep: Sweep) -> Size | None:
    """Rows of each side at matched N, the fewest among the cells with H; None where no cell says how many it has.

    Raises ValueError when ``matched.n`` asks for more than the smallest cell has.
    """
    there = [cell.size for cell in sweep.scored if cell.size]
    if not there:
        return None
    fewest = Size(*(min(side) for side in zip(*there, strict=True)))
    n = sweep.matching.n
    if n is None:
        return fewest
    if n > min(fewest):
        raise ValueError(
            f"matched.n: needed at most {min(fewest)}, the fewest rows among the cells of {sweep.folder}, got {n}. "
            f"Set matched.n=null or less."
        )
    return Size(n, n)


class Request(NamedTuple):
    """A probe of a cell to be measured at a number of rows."""

    cell: Cell
    size: Size
    probe: str


class Measurements(NamedTuple):
    """Probes of a sweep's cells at one number of rows, and whatever was ever drawn of them."""

    size: Size | None  # rows of each side at matched N
    matched: tuple[Measured, ...]  # every probe of every cell with H at matched N
    curve: tuple[
        Measured, ...
    ]  # those of `CURVE` over N, from an eighth of matched N to all rows of the cell
    memory: tuple[Measured, ...]  # draws.csv


def measure(sweep: Sweep) -> Measurements:
    """Takes what draws.csv of the sweep's folder knows, and draws the rest."""
    size = matched_size(sweep)
    cells = [cell for cell in sweep.scored if size and cell.size]
    memory = _read(sweep.folder / "draws.csv")
    at = [Request(cell, size, name) for cell in cells if size for name in cell.probes]
    over = [
        Request(cell, step, name)
        for cell in cells
        if size and cell.size
        for step in ladder(size, all_rows=cell.size)
        for name in CURVE
        if name in cell.probes
    ]
    matched, curve = (_measured(sweep, wanted, memory=memory) for wanted in (at, over))
    return Measurements(size, matched, curve, tuple(memory.values()))


def table_of(rows: Sequence[Measured]) -> Rows:
    """matched.csv or curve.csv: a row for each measured probe."""
    return Rows(Measured._fields, [row._asdict() for row in rows])


def part(size: Size, divisor: int) -> Size:
    """A part of a size, rounded down."""
    return Size(size.audio // divisor, size.text // divisor)


def ladder(size: Size, *, all_rows: Size) -> list[Size]:
    """Numbers of rows: parts of matched N, then its doubles, a side that has no more being taken whole, then all rows.

    >>> [step.text for step in ladder(Size(394, 394), all_rows=Size(800, 800))]
    [49, 98, 197, 394, 788, 800]
    """
    steps = [step for divisor in BELOW if min(step := part(size, divisor)) >= LEAST]
    while (step := Size(min(size.audio, all_rows.audio), min(size.text, all_rows.text))) != all_rows:
        steps.append(step)
        size = Size(2 * size.audio, 2 * size.text)
    return [*steps, all_rows]


def _measured(
    sweep: Sweep, wanted: Sequence[Request], *, memory: dict[str, Measured]
) -> tuple[Measured, ...]:
    """A row for everything wanted, in its order; what ``memory`` has is not drawn again, and what is drawn is added."""
    rows: dict[int, Measured] = {}
    missing: dict[tuple[str, str, Size], list[int]] = defaultdict(list)
    for number, one in enumerate(wanted):
        value = one.cell.probes[one.probe]
        if one.size == one.cell.size:
            rows[number] = _row(one)._replace(mean=value)
        elif value is None:
            rows[number] = _row(one)._replace(note="undefined over all rows")
        elif (key := _key(one, sweep.matching)) in memory:
            known = memory[key]  # perhaps under another name: the same content has one key
            rows[number] = _row(one)._replace(
                mean=known.mean, low=known.low, high=known.high, draws=known.draws, note=known.note, key=key
            )
        else:
            missing[one.cell.model, one.cell.bench, one.size].append(number)
    if missing:
        console.print("[dim]probes of fewer rows, for comparison at equal N ...[/]", highlight=False)
    for numbers in missing.values():
        drawn = _drawn(sweep, [wanted[number] for number in numbers])
        rows |= zip(numbers, drawn, strict=True)
        memory.update({row.key: row for row in drawn if row.key})
    return tuple(rows[number] for number in range(len(wanted)))


def _drawn(sweep: Sweep, wanted: Sequence[Request]) -> list[Measured]:
    """Probes of one cell at one size, drawn; a row says why where that cannot be."""
    cell, size, _ = wanted[0]
    nodes, notes = {}, {}
    for one in wanted:
        try:
            nodes[one.probe] = _config_of(one)
        except ValueError as other:
            notes[one.probe] = str(other)
    from clapbench import config  # with Hydra and torchmetrics: seconds, spared where all is known
    from clapbench.study import draws

    try:
        drawn = draws.measure(
            {name: config.build(node) for name, node in nodes.items()},
            embeddings=rows_of(sweep.cache_dir / cell.embeddings["path"], model=cell.model, bench=cell.bench),
            cases=cases(sweep.folder, cell),
            size=size,
            draws=sweep.matching.draws,
            seed=sweep.matching.seed,
        )
    except (OSError, ValueError) as absent:
        return [_row(one)._replace(note=str(absent)) for one in wanted]
    return [
        _row(one)._replace(note=notes[one.probe])
        if one.probe in notes
        else _row(one)._replace(**drawn[one.probe]._asdict(), key=_key(one, sweep.matching))
        for one in wanted
    ]


def _config_of(one: Request) -> Any:
    """The configuration of a cell's probe. ValueError when it is no longer the one that the cell was probed with."""
    from omegaconf import OmegaConf

    from clapbench import config

    known = one.cell.extra.get("probe_nodes", {}).get(one.probe)
    node = OmegaConf.create(known) if known else config.probe_configs(one.probe)[one.probe]
    if config.probe_key(node) != one.cell.extra.get("probe_keys", {}).get(one.probe):
        raise ValueError(
            f"cell {one.cell.model} × {one.cell.bench}: {one.probe} was computed by a configuration of that probe "
            f"which is not the one in conf/probe. Run the cell again."
        )
    return node


def _row(one: Request) -> Measured:
    """Not measured yet."""
    cell, size, probe = one
    assert cell.size
    return Measured(
        model=cell.model,
        bench=cell.bench,
        probe=probe,
        n_audio=size.audio,
        n_text=size.text,
        mean=None,
        low=None,
        high=None,
        draws=0,
        all_rows=cell.probes[probe],
        n_audio_all=cell.size.audio,
        n_text_all=cell.size.text,
    )


def _key(one: Request, matching: Matching) -> str:
    """Of all that decides what is drawn and measured."""
    cell = one.cell
    content = [VERSION, cell.embeddings.get("key"), cell.extra.get("probe_keys", {}).get(one.probe)]
    return files.key_of([*content, one.probe, *one.size, matching.draws, matching.seed])[:16]


def _read(path: Path) -> dict[str, Measured]:
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
        for name in ("mean", "low", "high", "all_rows"):
            values[name] = float(values[name]) if values[name] else None
        for name in ("draws", "n_audio", "n_text", "n_audio_all", "n_text_all"):
            values[name] = int(values[name])
    except ValueError:
        return None
    if not (values["model"] and values["bench"] and values["probe"]):
        return None
    values |= {name: values[name] or None for name in ("note", "key")}
    row = Measured(**values)
    numbers = [number for number in (row.mean, row.low, row.high) if number is not None]
    sound = (
        re.fullmatch("[0-9a-f]{16}", row.key or "") is not None
        and all(map(math.isfinite, numbers))
        and min(row.draws, row.n_audio, row.n_text) > 0
        and (row.note is None if len(numbers) == 3 else not numbers and row.note is not None)
        and (row.low or 0) <= (row.high or 0)
    )
    return row if sound else None
