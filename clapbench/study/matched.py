"""The probes of a sweep at one number of rows: what makes cells of different size comparable.

At matched N every cell gives as many clips and captions as the smallest one has (`draws`). matched.csv holds values
with the range over draws and a 95 % interval (see `subsampling`; that of a cell taken whole rests on draws of halves),
curve.csv those of `CURVE` over a ladder of N. draws.csv keeps whatever was ever drawn, draw by draw, by a key over all
that decides it, so nothing is drawn twice, nor lost when embeddings are. `report` writes all three.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from clapbench import files
from clapbench.console import console
from clapbench.results.sweep import Matching, Sweep, cases, rows_of
from clapbench.schema import Cell, Size
from clapbench.statistics.subsampling import of_draws
from clapbench.study import drawn
from clapbench.study.drawn import Measured

VERSION = 1  # of the way to draw: part of a row's key
CURVE = ("rankme_audio", "rankme_text", "gap_angle_deg")  # over N; the angle for `diagnosis`
BELOW = (8, 4, 2)  # parts of matched N that the curve starts with
LEAST = 16  # rows of a side on the curve
KNOWN = ("mean", "low", "high", "draws", "note", "values")  # what drawing gives


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
    memory = drawn.read(sweep.folder / "draws.csv")
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
    whole = [one for one in at if one.size == one.cell.size and min(part(one.size, 2)) > 1]
    halves = _measured(sweep, [one._replace(size=part(one.size, 2)) for one in whole], memory=memory)
    known = {(row.model, row.bench, row.probe): row for row in halves}
    matched = tuple(_whole(row, known.get((row.model, row.bench, row.probe))) for row in matched)
    return Measurements(size, matched, curve, tuple(memory.values()))


def _whole(row: Measured, half: Measured | None) -> Measured:
    """A row of all of a cell's rows, with the interval that draws of half of them give."""
    if row.draws or row.mean is None or half is None or len(half.values) < 2:
        return row
    low, high = of_draws(np.array(half.values), part=half.part, whole=row.mean).ci95
    return row._replace(ci95_low=low, ci95_high=high)


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
            rows[number] = (
                _row(one)._replace(**{name: getattr(known, name) for name in KNOWN}, key=key).with_interval
            )
        else:
            missing[one.cell.model, one.cell.bench, one.size].append(number)
    if missing:
        console.print("[dim]probes of fewer rows, for comparison at equal N ...[/]", highlight=False)
    for numbers in missing.values():
        new = _drawn(sweep, [wanted[number] for number in numbers])
        rows |= zip(numbers, new, strict=True)
        memory.update({row.key: row for row in new if row.key})
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
        found = draws.measure(
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
        else _row(one)._replace(**found[one.probe]._asdict(), key=_key(one, sweep.matching)).with_interval
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
