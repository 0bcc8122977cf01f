"""The cells of a sweep, read from disk: as records, as one row each, as a DataFrame with their embeddings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from clapbench import sheets
from clapbench.schema import Case, Cell

ITEM = ("caption_p", "caption_r", "clip_p", "clip_r")  # columns of items.csv that name an item's rows


class Matching(NamedTuple):
    """How probes are made comparable between cells of different size (see `matched`)."""

    n: int | None = None  # rows of each side; None: the fewest among the cells
    draws: int = 40  # of whole items, without replacement
    seed: int = 0


DEFAULT_MATCHING = Matching()


@dataclass(frozen=True)
class Sweep:
    """The cells that a summary covers; ``absent`` are listed in sweep.json and have no cell.json."""

    folder: Path
    cells: tuple[Cell, ...]
    absent: tuple[tuple[str, str], ...]
    covers: str
    cache_dir: Path
    matching: Matching = DEFAULT_MATCHING

    @property
    def finished(self) -> tuple[Cell, ...]:
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
        return tuple(cell for cell in self.cells if cell.status != "ok")


def read(folder: Path, *, every: bool = False) -> Sweep:
    """The cells of a sweep folder, sorted as its sweep.json lists them; with ``every``, those not listed too."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"sweep {folder}: no such folder. Give one that evaluate.py wrote, as outputs/NAME."
        )
    listing = folder / "sweep.json"
    if listing.is_file():
        try:
            record = json.loads(listing.read_text(encoding="utf-8"))
            names = [(cell["model"], cell["bench"]) for cell in record["cells"]]
            cache_dir = folder / record["cache_dir"]
            matching = Matching(**record.get("matched", {}))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"sweep {folder}: needed the list of cells that evaluate.py writes in {listing}, got: {error!r}. "
                f"Delete that file to cover every cell of the folder."
            ) from error
        covers = f"the {count(names)} of the last sweep"
        if every:
            names += [name for name in _cells_in(folder) if name not in names]
            covers = f"all {count(names)} in {folder}"
    else:
        names = _cells_in(folder)
        covers, cache_dir = f"all {count(names)} in {folder}", folder.parent / "cache"
        matching = DEFAULT_MATCHING
    if not names:
        raise FileNotFoundError(
            f"sweep {folder}: holds no cell. Run evaluate.py with sweep={folder.name} first."
        )
    paths = {name: folder.joinpath(*name, "cell.json") for name in names}
    return Sweep(
        folder=folder,
        cells=tuple(Cell.read(path) for path in paths.values() if path.is_file()),
        absent=tuple(name for name, path in paths.items() if not path.is_file()),
        covers=covers,
        cache_dir=cache_dir,
        matching=matching,
    )


def _cells_in(folder: Path) -> list[tuple[str, str]]:
    return [(path.parts[-3], path.parts[-2]) for path in sorted(folder.glob("*/*/cell.json"))]


def cases(folder: Path, cell: Cell) -> list[Case]:
    """The items of a cell of the sweep in ``folder``, from the items.csv beside it: what belongs together."""
    path = folder / cell.model / cell.bench / "items.csv"
    if not path.is_file():
        raise FileNotFoundError(
            f"cell {cell.model} × {cell.bench}: its items are not at {path}. Run the cell again with force=true."
        )
    rows = sheets.read(path)
    lacking = [name for name in ITEM if rows and name not in rows[0]]
    if lacking:
        raise ValueError(
            f"cell {cell.model} × {cell.bench}: {path} needs the columns {', '.join(ITEM)}; it lacks "
            f"{', '.join(lacking)}, so it is not known which rows belong together."
        )
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


def count(names: Sequence[Any]) -> str:
    return "1 cell" if len(names) == 1 else f"{len(names)} cells"
