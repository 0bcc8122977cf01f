"""The cells of a sweep, read from disk: as records, as one row each, as a DataFrame with their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from clapbench import files, sheets, strict
from clapbench.results import cache
from clapbench.schema import Case, Cell, Embeddings

ITEM = ("caption_p", "caption_r", "clip_p", "clip_r")  # columns of items.csv that name an item's rows


class Matching(NamedTuple):
    """How probes are made comparable between cells of different size (see `matched`)."""

    n: int | None = None  # rows of each side; None: the fewest among the cells
    draws: int = 40  # of whole items, without replacement
    seed: int = 0


DEFAULT_MATCHING = Matching()
MARGIN = 0.3  # correlations smaller than this count as none; Cohen 1988 calls .3 a medium one


@dataclass(frozen=True)
class Sweep:
    """The cells that a summary covers, damaged ones too; ``absent`` are listed in sweep.json and have no cell.json."""

    folder: Path
    cells: tuple[Cell, ...]
    absent: tuple[tuple[str, str], ...]
    covers: str
    cache_dir: Path
    matching: Matching = DEFAULT_MATCHING
    margin: float = MARGIN
    study: dict[str, Any] | None = None  # what is registered, see `study.registration`

    @property
    def finished(self) -> tuple[Cell, ...]:
        """The cells that were computed."""
        return tuple(cell for cell in self.cells if cell.status == "ok")

    @property
    def scored(self) -> tuple[Cell, ...]:
        """The finished cells that have H: retrieval and zero-shot have none."""
        return tuple(cell for cell in self.finished if cell.scores.get("H") is not None)

    @property
    def protocol(self) -> str:
        """The protocol of the cells with H; `official`, which each of them holds, where theirs differ."""
        found = {cell.protocol for cell in self.scored}
        return found.pop() if len(found) == 1 else "official"

    @property
    def mixed(self) -> bool:
        """Whether the cells with H differ in their protocol."""
        return len({cell.protocol for cell in self.scored}) > 1

    @property
    def failed(self) -> tuple[Cell, ...]:
        """The cells that ended in an error."""
        return tuple(cell for cell in self.cells if cell.status == "failed")

    @property
    def damaged(self) -> tuple[Cell, ...]:
        """Cells whose cell.json cannot be trusted; ``error`` says why."""
        return tuple(cell for cell in self.cells if cell.status == "damaged")

    @property
    def complete(self) -> bool:
        """Whether every cell is there and finished."""
        return not (self.failed or self.damaged or self.absent)


def read(folder: Path, *, every: bool = False) -> Sweep:
    """The cells of a sweep folder, sorted as its sweep.json lists them; with ``every``, those not listed too."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"sweep {folder}: no such folder. Give one that evaluate.py wrote, as outputs/NAME."
        )
    listing = folder / "sweep.json"
    names, cache_dir = cells_in(folder), folder.parent / "cache"
    matching, margin, study = DEFAULT_MATCHING, MARGIN, None
    covers = f"all {count(names)} in {folder}"
    if listing.is_file():
        last, cache_dir, matching, margin, study = listed(listing)
        others = [name for name in names if name not in last] if every else []
        names = [*last, *others]
        covers = f"all {count(names)} in {folder}" if every else f"the {count(names)} of the last sweep"
    if not names:
        raise FileNotFoundError(
            f"sweep {folder}: holds no cell. Run evaluate.py with sweep={folder.name} first."
        )
    there = [name for name in names if folder.joinpath(*name, "cell.json").is_file()]
    cells = tuple(cell_in(folder, name) for name in there)
    if cells and all(cell.status == "damaged" for cell in cells):
        raise ValueError(cells[0].error)
    return Sweep(
        folder=folder,
        cells=cells,
        absent=tuple(name for name in names if name not in there),
        covers=covers,
        cache_dir=cache_dir,
        matching=matching,
        margin=margin,
        study=study,
    )


class Listing(NamedTuple):
    """What sweep.json says: the cells of the last command by model and bench, and how they are summed up."""

    names: list[tuple[str, str]]
    cache_dir: Path
    matching: Matching
    margin: float
    study: dict[str, Any] | None  # what is registered, see `study.registration`


def listed(listing: Path) -> Listing:
    """The content of a sweep.json."""
    try:
        record = strict.loads(listing.read_bytes())
        names = [(cell["model"], cell["bench"]) for cell in record["cells"]]
        for name in (name for both in names for name in both):
            strict.check_name(name, "cells")
        matching = Matching(**record.get("matched", {}))
        for number in matching:
            if not (number is None or type(number) is int):
                raise ValueError(f"matched: {number!r}")
        margin = record.get("margin", MARGIN)
        if type(margin) not in (int, float) or not 0 <= margin < 1:
            raise ValueError(f"margin: {margin!r}")
        study = record.get("study")
        if not (study is None or isinstance(study, dict)):
            raise ValueError(f"study: {study!r}")
        return Listing(names, listing.parent / record["cache_dir"], matching, float(margin), study)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"sweep {listing.parent}: needed the list of cells that evaluate.py writes in {listing}, got: {error!r}. "
            f"Delete that file to cover every cell of the folder."
        ) from error


def cells_in(folder: Path) -> list[tuple[str, str]]:
    """Model and bench of every cell.json under a sweep's folder."""
    return [(path.parts[-3], path.parts[-2]) for path in sorted(folder.glob("*/*/cell.json"))]


def cell_in(folder: Path, name: tuple[str, str]) -> Cell:
    """A cell of the sweep in ``folder``; of status "damaged", with the reason, where its file is not to be trusted."""
    path = folder.joinpath(*name, "cell.json")
    try:
        cell = Cell.read(path)
        if (cell.model, cell.bench) != name:
            raise ValueError(
                f"cell {path}: needed the cell of {' × '.join(name)}, got that of {cell.model} × {cell.bench}. "
                f"Move it to where it belongs."
            )
    except ValueError as error:
        return Cell(status="damaged", model=name[0], bench=name[1], error=str(error))
    return cell


def rows_of(path: Path, *, model: str, bench: str) -> Embeddings:
    """The embeddings of a cell; FileNotFoundError that names the cell when they are gone."""
    if not path.is_file():
        raise FileNotFoundError(
            f"cell {model} × {bench}: its embeddings are not at {path}. "
            f"Bring the cache folder along, give load(cache_dir=DIR), or run the cell again with force=true."
        )
    return cache.load(path)


def cases(folder: Path, cell: Cell) -> list[Case]:
    """The items of a cell of the sweep in ``folder``, from the items.csv beside it: what belongs together."""
    path = folder / cell.model / cell.bench / "items.csv"
    if not path.is_file():
        raise FileNotFoundError(
            f"cell {cell.model} × {cell.bench}: its items are not at {path}. Run the cell again with force=true."
        )
    try:
        rows = _items(path, cell)
    except ValueError as error:
        raise ValueError(
            f"cell {cell.model} × {cell.bench}: {path} is damaged: {error}. It is not known which rows belong "
            f"together. Run the cell again with force=true."
        ) from error
    found = []
    for row in rows:
        pairs = [pair for pair in ("p", "r", "third") if row.get(f"clip_{pair}")]
        found.append(
            Case(
                clips=tuple(row[f"clip_{pair}"] for pair in pairs),
                captions=tuple(row[f"caption_{pair}"] for pair in pairs),
                match=tuple(tuple(i == j for j in range(len(pairs))) for i in range(len(pairs))),
            )
        )
    return found


def _items(path: Path, cell: Cell) -> list[dict[str, str]]:
    """The rows of a cell's items.csv. ValueError unless it is whole and says which rows belong together."""
    rows = check_items(path, cell)
    if lacking := [name for name in ITEM if rows and name not in rows[0]]:
        raise ValueError(f"it lacks {', '.join(lacking)}")
    if empty := [number for number, row in enumerate(rows, start=1) if not all(row[name] for name in ITEM)]:
        raise ValueError(f"row {empty[0]} names no clip or caption")
    return rows


def check_items(path: Path, cell: Cell) -> list[dict[str, str]]:
    """The rows of a cell's items.csv. ValueError unless it is whole: its hash, columns and number of rows."""
    known = cell.extra.get("items_sha256")
    if known is not None and files.sha256_of(path) != known:
        raise ValueError("its content is not what the cell was computed with")
    rows = sheets.read(path)
    if cell.n_items is not None and len(rows) != cell.n_items:
        raise ValueError(f"it holds {len(rows)} of the cell's {cell.n_items} items")
    return rows


def count(names: Sequence[Any]) -> str:
    """``1 cell``, ``2 cells``."""
    return "1 cell" if len(names) == 1 else f"{len(names)} cells"
