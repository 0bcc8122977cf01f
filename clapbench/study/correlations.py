"""Probes of a sweep's cells, and null predictors, with the cells' scores: the rows of its correlation tables.

A probe enters at matched N where every cell could be drawn from (`matched`); its coefficient over all rows stands by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from clapbench.results.rows import Rows, defined, score_columns
from clapbench.schema import Cell
from clapbench.statistics.coefficients import COEFFICIENTS
from clapbench.statistics.correlation import Row
from clapbench.statistics.correlation import table as correlation_rows
from clapbench.statistics.permutation import DRAWS
from clapbench.study.drawn import Measured

# What correlations.csv says of each coefficient beside its value (see `statistics.correlation.Row`).
EVIDENCE = [
    "p",
    "p_exact",
    "p_exact_min",
    "p_exact_sampled",
    "p_within",
    "p_within_min",
    "p_joint",
    "p_joint_min",
]
EVIDENCE += ["p_holm", "p_bh", "ci95_low", "ci95_high", "without_one_low", "without_one_high", "partial"]
EVIDENCE += ["cells_needed"]
COLUMNS = ["kind", "probe", "rows", "n", "n_models"]
COLUMNS += [
    f"{name}{what}" for name in COEFFICIENTS for what in ("", "_all_rows", *(f"_{part}" for part in EVIDENCE))
]
COLUMNS += ["note", "undefined", "all_rows_because"]
LONG_COLUMNS = ["score", "bench", "rows", *(name for name in Row._fields if name != "notes"), "note"]
LONG_DRAWS = 1000  # sampled orders and resamples of correlations_long.csv, where there are many tables
POOLED = "pooled"
READS_LABELS = ("swap_alignment",)  # of what H is made: its correlation with H is no evidence
HEADLINE = ("H", POOLED)  # score and benchmark of correlations.csv


class Predictor(NamedTuple):
    """A probe over the cells: ``values`` at matched N, or over all rows where not every cell could be drawn from."""

    rows: str  # "matched" or "all"
    values: Float[np.ndarray, " n"]
    all_rows: Float[np.ndarray, " n"]
    because: str | None  # why not at matched N, in words


def predictors(cells: Sequence[Cell], at: Sequence[Measured]) -> dict[str, Predictor]:
    """Each probe of the cells, in the order that they name them."""
    drawn = {(row.model, row.bench, row.probe): row for row in at}
    found = {}
    for name in dict.fromkeys(name for cell in cells for name in cell.probes):
        all_rows = as_array(cell.probes.get(name) for cell in cells)
        rows = [drawn.get((*_name(cell), name)) for cell in cells]
        values = as_array(row.mean if row else None for row in rows)
        lacking = np.isnan(values) & ~np.isnan(all_rows)
        if not lacking.any():
            found[name] = Predictor("matched", values, all_rows, None)
            continue
        why = next(
            (row.note for row, lost in zip(rows, lacking, strict=True) if row and lost and row.note), None
        )
        because = why or "the cells do not say how many rows they have"
        found[name] = Predictor("all", all_rows, all_rows, because)
    return found


def null_predictors(cells: Sequence[Cell]) -> dict[str, Float[np.ndarray, " n"]]:
    """What knows nothing of geometry, and may predict H all the same."""
    return {
        "dim": as_array(cell.embeddings.get("dim") for cell in cells),
        "n_rows": as_array(cell.embeddings.get("n_text") for cell in cells),
        "log_n_items": np.log(as_array(cell.n_items for cell in cells)),
        "parameters": as_array(cell.extra.get("parameters") for cell in cells),
    }


def as_array(values: Iterable[float | int | None]) -> Float[np.ndarray, " n"]:
    """Numbers as an array, NaN for None."""
    return np.array([defined(value) for value in values], dtype=np.float64)


def _name(cell: Cell) -> tuple[str, str]:
    return cell.model, cell.bench


class Entry(NamedTuple):
    """A row of correlations_long.csv."""

    score: str
    bench: str  # or POOLED
    rows: str | None  # of the probe: "matched" or "all"; None for a null predictor
    row: Row


def correlated(
    cells: Sequence[Cell], probes: Mapping[str, Predictor], *, protocol: str, seed: int
) -> list[Entry]:
    """Every predictor with every score, pooled over benchmarks and for each of them, by every coefficient.

    A probe at matched N stands there over all rows as well. Corrections are over the probes of one score, benchmark and
    coefficient.
    """
    benches = dict.fromkeys(cell.bench for cell in cells)
    groups = {POOLED: np.ones(len(cells), dtype=bool)}
    if len(benches) > 1:
        groups |= {bench: np.array([cell.bench == bench for cell in cells]) for bench in benches}
    found = []
    for score, values in scores(cells, protocol=protocol).items():
        for bench, inside in groups.items():
            chosen = [cell for cell, chose in zip(cells, inside, strict=True) if chose]
            common: dict[str, Any] = {
                "scores": values[inside],
                "models": [cell.model for cell in chosen],
                "benches": [cell.bench for cell in chosen],
                "score_name": score,
                "seed": seed,
                "draws": DRAWS if (score, bench) == HEADLINE else LONG_DRAWS,
            }
            main = correlation_rows(
                {name: one.values[inside] for name, one in probes.items()},
                nulls=null_predictors(chosen),
                **common,
            )
            found += [
                Entry(score, bench, probes[row.name].rows if row.kind == "probe" else None, row)
                for row in main
            ]
            drawn = [name for name, one in probes.items() if one.rows == "matched"]
            if all(np.array_equal(one.values, one.all_rows, equal_nan=True) for one in probes.values()):
                again = main
            else:
                again = correlation_rows(
                    {name: one.all_rows[inside] for name, one in probes.items()}, **common
                )
            found += [
                Entry(score, bench, "all", row) for row in again if row.kind == "probe" and row.name in drawn
            ]
    return found


def scores(cells: Sequence[Cell], *, protocol: str) -> dict[str, Float[np.ndarray, " n"]]:
    """H, F and G under one ``protocol`` for all cells, then those of the others, and the pair assignment."""
    found = {
        name: as_array(score(cell, name, protocol=protocol) for cell in cells) for name in ("H", "F", "G")
    }
    columns = [
        {**score_columns(cell), "pair_assignment": defined(cell.extra.get("pair_assignment"))}
        for cell in cells
    ]
    names = dict.fromkeys(
        name for row in columns for name in row if not name.startswith(("H_", f"{protocol}_"))
    )
    found |= {name: as_array(row.get(name) for row in columns) for name in names}
    return {name: values for name, values in found.items() if not np.isnan(values).all()}


def score(cell: Cell, name: str, *, protocol: str) -> float | None:
    """F, G or H of a cell under ``protocol``, which need not be its own."""
    if cell.protocol == protocol:
        return cell.scores.get(name)
    return ((cell.protocols.get(protocol) or {}).get(name) or {}).get("value")


def wide(entries: Iterable[Entry], probes: Mapping[str, Predictor]) -> list[dict[str, Any]]:
    """The rows of correlations.csv: with H over all cells, one for each predictor, its coefficients side by side.

    ``note`` says all that a reader has to know of a row; ``undefined`` and ``all_rows_because`` are parts of it.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    notes: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        if (entry.score, entry.bench) != HEADLINE:
            continue
        row, values = entry.row, entry.row._asdict()
        key = (row.kind, row.name)
        record = found.setdefault(
            key,
            {
                "kind": row.kind,
                "probe": row.name,
                "rows": entry.rows,
                "n": row.n,
                "n_models": row.n_models,
                "note": None,
                "undefined": None,
                "all_rows_because": probes[row.name].because if row.kind == "probe" else None,
            },
        )
        if row.coefficient not in record:
            notes.setdefault(key, []).extend(row.notes)
            if row.value is None:
                record["undefined"] = record["undefined"] or row.note
            record[row.coefficient] = row.value
            record |= {f"{row.coefficient}_{name}": values[name] for name in EVIDENCE}
        if entry.rows == "all":
            record[f"{row.coefficient}_all_rows"] = row.value
    for key, record in found.items():
        because = record["all_rows_because"]
        told = [*notes[key], *([f"over all rows: {because}"] if because else [])]
        record["note"] = "; ".join(dict.fromkeys(told)) or None
    return list(found.values())


def long(entries: Iterable[Entry]) -> Rows:
    """correlations_long.csv: a row for each score, benchmark, kind of rows, predictor and coefficient."""
    return Rows(
        LONG_COLUMNS,
        [
            {
                "score": one.score,
                "bench": one.bench,
                "rows": one.rows,
                **one.row._asdict(),
                "note": one.row.note,
            }
            for one in entries
        ],
    )
