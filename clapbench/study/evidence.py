"""What the cells of a sweep are diagnosed by: their items, and rank and angle draw by draw, recipe by recipe.

Cells of one benchmark are those with the same items in the same order. Those of one recipe are its seeds, no rivals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from clapbench.results.sweep import ITEM, Sweep, check_items
from clapbench.schema import Cell, Size
from clapbench.statistics.rivals import Hits
from clapbench.study.drawn import Measured
from clapbench.study.matched import part


class Draws(NamedTuple):
    """A probe of a recipe over draws of the same items: a row for each seed."""

    values: Float64[np.ndarray, "s b"]
    part: float  # of the items in a draw
    rows: int
    most: int  # what the probe can be at most: rows or dimensions, whichever are fewer


class Evidence(NamedTuple):
    """What a recipe is judged by on a benchmark; ``rank`` and ``angle`` are None where they were not drawn."""

    model: str  # the recipe where several cells share it, else the cell's own name
    bench: str
    items: str  # which items: models of others are not compared
    hits: Hits | None  # H of every seed, item by item; None where its items are not there
    h: float  # mean over seeds
    low: float  # of the Wilson interval, or of the range over seeds
    high: float
    chance: float  # of H
    rank: Draws | None = None  # RankMe of the text side
    angle: Draws | None = None  # degrees
    seeds: tuple[str, ...] = ()  # the names of the cells where they are several

    @property
    def noise(self) -> float | None:
        """The variance that the sampling of items adds to ``h``; of one seed, H (1 - H) / (n - 1)."""
        if self.hits is None or self.hits.shape[1] < 2:
            return None
        return float(self.hits.mean(axis=0).var(ddof=1)) / self.hits.shape[1]


def evidence(sweep: Sweep, curve: Sequence[Measured], *, size: Size | None) -> list[Evidence]:
    """Each recipe with H on each benchmark; rank and angle of half of the rows at matched N."""
    wanted = part(size, 2) if size else None
    halves = {(row.model, row.bench, row.probe): row for row in curve if (row.n_audio, row.n_text) == wanted}
    cells = [cell for cell in sweep.scored if cell.score("H", sweep.protocol)]
    read = [_items(sweep.folder, cell, protocol=sweep.protocol) for cell in cells]
    alike = {(cell.bench, cell.n_items): names for cell, (names, _) in zip(cells, read, strict=True) if names}
    recipes: dict[tuple[str, str, str], list[tuple[Cell, Bool[np.ndarray, " n"] | None]]] = {}
    for cell, (names, hits) in zip(cells, read, strict=True):
        items = names or alike.get((cell.bench, cell.n_items), f"{cell.n_items}")
        recipes.setdefault((cell.recipe or cell.model, cell.bench, items), []).append((cell, hits))
    return [
        _recipe(seeds, name=name, items=items, halves=halves, protocol=sweep.protocol)
        for (name, _, items), seeds in recipes.items()
    ]


def _recipe(
    seeds: Sequence[tuple[Cell, Bool[np.ndarray, " n"] | None]],
    *,
    name: str,
    items: str,
    halves: Mapping[tuple[str, str, str], Measured],
    protocol: str,
) -> Evidence:
    cells = [cell for cell, _ in seeds]
    scores = [cell.score("H", protocol) or {} for cell in cells]
    values, several = [score["value"] for score in scores], len(cells) > 1
    hits = [hit for _, hit in seeds if hit is not None]
    return Evidence(
        model=name if several else cells[0].model,
        bench=cells[0].bench,
        items=items,
        hits=np.stack(hits) if len(hits) == len(seeds) else None,
        h=float(np.mean(values)),
        low=min(values) if several else scores[0]["ci95"][0],
        high=max(values) if several else scores[0]["ci95"][1],
        chance=scores[0]["chance"],
        rank=_draws(cells, [halves.get((cell.model, cell.bench, "rankme_text")) for cell in cells]),
        angle=_draws(cells, [halves.get((cell.model, cell.bench, "gap_angle_deg")) for cell in cells]),
        seeds=tuple(cell.model for cell in cells) if several else (),
    )


def _draws(cells: Sequence[Cell], rows: Sequence[Measured | None]) -> Draws | None:
    """None unless all seeds were drawn from, alike."""
    known = [row for row in rows if row is not None and len(row.values) > 1]
    alike = {(row.n_text, row.n_text_all, row.draws) for row in known}
    if len(known) < len(cells) or len(alike) > 1:
        return None
    first, dim = known[0], cells[0].embeddings.get("dim") or known[0].n_text
    return Draws(np.array([row.values for row in known]), first.part, first.n_text, min(first.n_text, dim))


def _items(folder: Path, cell: Cell, *, protocol: str) -> tuple[str, Bool[np.ndarray, " n"] | None]:
    """Which items a cell has, and whether each has H under ``protocol``; empty and None where it is not known."""
    try:
        rows = check_items(folder / cell.model / cell.bench / "items.csv", cell)
        names = "\n".join("\t".join(row[name] for name in ITEM) for row in rows)
    except (OSError, ValueError, KeyError):
        return "", None
    try:
        if cell.protocol == protocol:  # empty where the protocol does not judge an item
            return names, np.array([row["H"] == "1" for row in rows if row["H"] != ""])
        if protocol != "official":
            return names, None
        s = np.array([[float(row[name]) for name in ("s_pp", "s_rr", "s_pr", "s_rp")] for row in rows])
        return names, s[:, :2].min(axis=1) > s[:, 2:].max(axis=1)
    except (KeyError, ValueError):
        return names, None
