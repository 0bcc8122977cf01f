"""The cells of a sweep, read from disk: as records, as one row each, as a DataFrame with their embeddings."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from clapbench import cache, sheets
from clapbench.schema import Case, Cell, Embeddings, single_numbers

ITEM = ("caption_p", "caption_r", "clip_p", "clip_r")  # columns of items.csv that name an item's rows


class Cells(pd.DataFrame):
    """A row per cell with flat column names, and the embeddings that each was computed from."""

    _metadata = ["cache_dir"]
    cache_dir: Path

    @property
    def _constructor(self) -> type[Cells]:
        return Cells

    def embeddings(self, model: str, bench: str) -> Embeddings:
        """Unit rows of one cell, as arrays with their ids: ``.audio``, ``.audio_id``, ``.text``, ``.text_id``."""
        chosen = self[(self["model"] == model) & (self["bench"] == bench) & (self["status"] == "ok")]
        if len(chosen) != 1:
            there = ", ".join(f"{m} × {b}" for m, b in zip(self["model"], self["bench"], strict=True))
            raise KeyError(f"no finished cell {model} × {bench}. Choose from: {there}.")
        return rows_of(self.cache_dir / chosen["embeddings_path"].item(), model=model, bench=bench)


def rows_of(path: Path, *, model: str, bench: str) -> Embeddings:
    """The embeddings of a cell; FileNotFoundError that names the cell when they are gone."""
    if not path.is_file():
        raise FileNotFoundError(
            f"cell {model} × {bench}: its embeddings are not at {path}. "
            f"Bring the cache folder along, give load(cache_dir=DIR), or run the cell again with force=true."
        )
    return cache.load(path)


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


def load(folder: str | Path, *, cache_dir: str | Path | None = None) -> Cells:
    """Every cell of a sweep folder as a DataFrame; ``.embeddings(model, bench)`` gives a cell's arrays.

    The summary of a sweep covers the cells of its last command; here are those of single runs too.

    >>> cells = load("outputs/demo")  # doctest: +SKIP
    >>> cells[["model", "bench", "H", "rankme_text"]]  # doctest: +SKIP
    >>> cells.embeddings("mini", "synth_order").text.shape  # doctest: +SKIP
    (800, 128)
    """
    sweep = read(Path(folder))
    listed = {(cell.model, cell.bench) for cell in sweep.cells}
    paths = sorted(Path(folder).glob("*/*/cell.json"))
    others = [Cell.read(path) for path in paths if path.parts[-3:-1] not in listed]
    table = Cells(frame((*sweep.cells, *others)))
    table.cache_dir = Path(cache_dir) if cache_dir is not None else sweep.cache_dir
    return table


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
            names += [name for name in _there(folder) if name not in names]
            covers = f"all {count(names)} in {folder}"
    else:
        names = _there(folder)
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


def _there(folder: Path) -> list[tuple[str, str]]:
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


def frame(cells: Sequence[Cell]) -> pd.DataFrame:
    """A row per cell; counts stay whole numbers where a failed cell has none."""
    return pd.DataFrame([flat(cell) for cell in cells]).astype({"n_items": "Int64"})


def flat(cell: Cell) -> dict[str, Any]:
    """A cell as one row of cells.csv."""
    return {
        "model": cell.model,
        "bench": cell.bench,
        "status": cell.status,
        "n_items": cell.n_items,
        "protocol": cell.protocol,
        **{name: defined(cell.scores.get(name)) for name in ("F", "G", "H")},
        **worth(cell),
        **{name: defined(value) for name, value in cell.probes.items()},
        **single_numbers(cell.extra),
        "ties": cell.ties,
        "near_ties": cell.near_ties,
        "dropped_items": cell.dropped_items,
        **{f"embeddings_{key}": value for key, value in cell.embeddings.items()},
        **{f"checkpoint_{key}": value for key, value in cell.checkpoint.items()},
        **{f"runtime_{key}_s": value for key, value in cell.runtime_s.items()},
        "config_key": cell.config_key,
        "git_sha": cell.git_sha,
        "created": cell.created,
        "error": cell.error,
    }


def worth(cell: Cell) -> dict[str, float]:
    """What H is worth, and F, G and H of every protocol."""
    height = (cell.protocols.get(cell.protocol) or {}).get("H")
    found = {}
    if height:
        found = dict(zip(("H_low", "H_high"), height["ci95"], strict=True))
        found |= {f"H_{name}": height[name] for name in ("chance", "p_chance", "p_swap")}
    for protocol, outcome in cell.protocols.items():
        found |= {f"{protocol}_{name}": score["value"] for name, score in (outcome or {}).items()}
    return found


def defined(value: float | int | None) -> float:
    """NaN for None, so that a column of numbers is one."""
    return math.nan if value is None else float(value)
