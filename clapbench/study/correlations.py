"""Probes of a sweep's cells, and null predictors, with the cells' scores: the rows of its correlation tables.

A probe enters at matched N where every cell could be drawn from (`matched`); its coefficient over all rows stands by.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pkgutil import resolve_name
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from clapbench.results.rows import Rows, defined, score_columns
from clapbench.schema import Cell
from clapbench.statistics.attenuation import share_variance
from clapbench.statistics.coefficients import COEFFICIENTS
from clapbench.statistics.correlation import Row
from clapbench.statistics.correlation import table as correlation_rows
from clapbench.statistics.permutation import DRAWS
from clapbench.study.drawn import Measured

# What correlations.csv says of each coefficient beside its value (see `statistics.correlation.Row`).
EVIDENCE = ["p_maxt", "p_maxt_min", "p_joint", "p_joint_min", "tests"]
EVIDENCE += ["p_exact", "p_exact_min", "p_exact_sampled", "p_within", "p_within_min", "p"]
EVIDENCE += ["ci95_low", "ci95_high", "equivalence_bound", "bf10", "without_one_low", "without_one_high"]
EVIDENCE += [
    "most_influential",
    "without_most_influential",
    "outliers",
    "without_outliers",
    "without_controls",
]
EVIDENCE += ["disattenuated", "partial", "cells_needed"]
ALIKE = ["part", "alternative", "n", "n_models", "orders", "controls", "reliability"]  # for every coefficient
COLUMNS = ["kind", "probe", "rows", *ALIKE]
COLUMNS += [
    f"{name}{what}" for name in COEFFICIENTS for what in ("", "_all_rows", *(f"_{part}" for part in EVIDENCE))
]
COLUMNS += ["note", "undefined", "all_rows_because"]
LONG_COLUMNS = ["score", "bench", "rows", *(name for name in Row._fields if name != "notes"), "note"]
LONG_DRAWS = 1000  # sampled orders and resamples of correlations_long.csv, where there are many tables
CO_PRIMARY = ("pair_assignment", "mean_margin")  # where H is at the floor, these still tell models apart
POOLED = "pooled"
HEADLINE = ("H", POOLED)  # score and benchmark of correlations.csv


class Stated(NamedTuple):
    """What was stated of probes beforehand, for the one table that it is of: families to correct apart, and signs.

    ``parts`` and ``signs`` as in `statistics.correlation.table`.
    """

    parts: Mapping[str, str] = {}
    signs: Mapping[str, str] = {}
    table: tuple[str, str] = HEADLINE

    def of(self, probes: Collection[str], *, table: tuple[str, str]) -> dict[str, Mapping[str, str]]:
        """The arguments for ``probes`` in a ``table``: none in another than was stated."""
        if table != self.table:
            return {}
        return {
            "parts": {name: part for name, part in self.parts.items() if name in probes},
            "signs": {name: sign for name, sign in self.signs.items() if name in probes},
        }


NOTHING_STATED = Stated()


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


def reads_matches(cells: Sequence[Cell]) -> frozenset[str]:
    """The probes that are made of what H is made of: their correlation with H is no evidence.

    As the cells record it; for those of earlier versions, which do not, as the classes in conf/probe say.
    """
    found = {name for cell in cells for name in cell.extra.get("reads_matches", ())}
    unsaid = {name for cell in cells if "reads_matches" not in cell.extra for name in cell.probes}
    if unsaid:
        from clapbench import config  # with Hydra and torchmetrics: seconds, spared where the cells say it

        nodes = config.shipped_probes()
        found |= {
            name for name in unsaid & nodes.keys() if resolve_name(nodes[name]["_target_"]).reads_matches
        }
    return frozenset(found)


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
    cells: Sequence[Cell],
    probes: Mapping[str, Predictor],
    *,
    protocol: str,
    seed: int,
    stated: Stated = NOTHING_STATED,
) -> list[Entry]:
    """Every predictor with every score, pooled over benchmarks and for each of them, by every coefficient.

    A probe at matched N stands there over all rows as well. Corrections are over the probes of one score, benchmark,
    coefficient and part; what was ``stated`` beforehand holds for the one table that it is of.
    """
    floor = controls(cells, protocol=protocol)
    benches = dict.fromkeys(cell.bench for cell in cells)
    groups = {POOLED: np.ones(len(cells), dtype=bool)}
    if len(benches) > 1:
        groups |= {bench: np.array([cell.bench == bench for cell in cells]) for bench in benches}
    found = []
    for score, values in scores(cells, protocol=protocol).items():
        noise = as_array(_variance(cell, score, protocol=protocol) for cell in cells)
        for bench, inside in groups.items():
            chosen = [cell for cell, chose in zip(cells, inside, strict=True) if chose]
            common: dict[str, Any] = {
                "scores": values[inside],
                "models": [cell.model for cell in chosen],
                "benches": [cell.bench for cell in chosen],
                "score_name": score,
                "score_variance": None if np.isnan(noise).all() else noise[inside],
                "controls": floor,
                **stated.of(probes, table=(score, bench)),
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
    """H, F and G under one ``protocol`` for all cells, then those of the others, then `CO_PRIMARY`."""
    found = {
        name: as_array(score(cell, name, protocol=protocol) for cell in cells) for name in ("H", "F", "G")
    }
    columns = [
        {**score_columns(cell), **{name: defined(cell.extra.get(name)) for name in CO_PRIMARY}}
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


def controls(cells: Sequence[Cell], *, protocol: str) -> list[str]:
    """Models that cannot do the task: the 95 % interval of H ends below chance in all of their cells."""
    below: dict[str, list[bool]] = {}
    for cell in cells:
        if h := cell.score("H", protocol):
            below.setdefault(cell.model, []).append(h["ci95"][1] < h["chance"])
    return [model for model, found in below.items() if all(found)]


def _variance(cell: Cell, name: str, *, protocol: str) -> float | None:
    """What the sampling of items adds to the variance of a score that is a share of them; None: not known."""
    under, _, letter = name.rpartition("_")
    found = cell.score(letter, under or protocol) if letter in ("F", "G", "H") else None
    if not found or found["value"] is None:
        return None
    return found["noise"] if "noise" in found else share_variance(found["value"], found["n"])


def out_of_reach(rows: Iterable[Mapping[str, Any]]) -> str | None:
    """The sentence to print above correlations none of which could have had a corrected p of 5 %."""
    least = {row["spearman_p_maxt_min"]: row for row in rows if row["spearman_p_maxt_min"] is not None}
    if not least or min(least) <= 0.05:
        return None
    row = least[min(least)]
    return (
        f"NO PROBE CAN PASS: {row['n_models']} models change places in {row['orders']} ways, so that no corrected p is "
        f"below {min(least):.3f}, whatever the data. It takes more models."
    )


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
                **{name: values[name] for name in ALIKE},
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
