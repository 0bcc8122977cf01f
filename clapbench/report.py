"""From the cells of a sweep to its summary: tables, correlations of geometry with H, and a wandb summary run.

Reads cell.json files and nothing else, so it can be run at any time: ``python -m clapbench.report outputs/NAME``.
It covers the cells that sweep.json lists (those of the last sweep), or all there are where there is no such file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from rich import box
from rich.markup import escape
from rich.table import Table

from clapbench import cache, published
from clapbench.cells import Sweep, defined, frame, read
from clapbench.console import console
from clapbench.correlate import COEFFICIENTS, MIN_PAIRS, few
from clapbench.correlate import table as correlation_rows
from clapbench.schema import Cell, null_undefined

# What correlations.csv says of each coefficient beside its value (see `correlate.Row`).
EVIDENCE = ["p", "p_exact", "p_exact_min", "p_within", "p_joint", "p_joint_min", "p_holm", "p_bh"]
EVIDENCE += ["ci95_low", "ci95_high", "without_one_low", "without_one_high", "partial", "cells_needed"]
COLUMNS = ["kind", "probe", "n", "n_models"]
COLUMNS += [f"{name}{what}" for name in COEFFICIENTS for what in ("", *(f"_{part}" for part in EVIDENCE))]
COLUMNS += ["note"]


def correlations(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Each probe, and each null predictor, with H over the finished cells, pooled: the rows of correlations.csv."""
    scored = [cell for cell in cells if cell.scores.get("H") is not None]
    if not scored:
        return []
    wide: dict[tuple[str, str], dict[str, Any]] = {}
    for row in correlation_rows(
        {name: as_array(cell.probes.get(name) for cell in scored) for name in probe_names(scored)},
        as_array(cell.scores["H"] for cell in scored),
        models=[cell.model for cell in scored],
        benches=[cell.bench for cell in scored],
        nulls=null_predictors(scored),
        score_name="H",
    ):
        found = wide.setdefault(
            (row.kind, row.name),
            {"kind": row.kind, "probe": row.name, "n": row.n, "n_models": row.n_models, "note": row.note},
        )
        values = row._asdict()
        found[row.coefficient] = row.value
        found |= {f"{row.coefficient}_{name}": values[name] for name in EVIDENCE}
    return list(wide.values())


def probe_names(cells: Sequence[Cell]) -> list[str]:
    return list(dict.fromkeys(name for cell in cells for name in cell.probes))


def null_predictors(cells: Sequence[Cell]) -> dict[str, Float[np.ndarray, " n"]]:
    """What knows nothing of geometry, and may predict H all the same."""
    rows = as_array(cell.embeddings.get("n_text") for cell in cells)
    return {
        "dim": as_array(cell.embeddings.get("dim") for cell in cells),
        "n_rows": rows,
        "log_n_items": np.log(as_array(cell.n_items for cell in cells)),
    }


def as_array(values: Iterable[float | int | None]) -> Float[np.ndarray, " n"]:
    return np.array([defined(value) for value in values], dtype=np.float64)


def tables(sweep: Sweep) -> dict[str, pd.DataFrame]:
    """The summary's two tables: ``cells``, a row per cell; ``correlations``, a row per probe."""
    return {
        "cells": frame(sweep.cells),
        "correlations": pd.DataFrame(correlations(sweep.cells), columns=COLUMNS),
    }


def build(folder: Path) -> Sweep:
    """Writes cells.csv, correlations.csv and summary.json into the sweep's folder."""
    sweep = read(folder)
    for name, content in tables(sweep).items():
        cache.write_text(folder / f"{name}.csv", content.to_csv(index=False, lineterminator="\n"))
    text = json.dumps(null_undefined(summary(sweep)), indent=1, allow_nan=False) + "\n"
    cache.write_text(folder / "summary.json", text)
    return sweep


def summary(sweep: Sweep) -> dict[str, Any]:
    """What summary.json holds. It depends on the cells alone, so an unchanged sweep has an unchanged summary."""
    done = sweep.finished
    rows = correlations(sweep.cells)
    return {
        "schema": 1,
        "sweep": sweep.folder.name,
        "covers": sweep.covers,
        "n_cells": len(sweep.cells) + len(sweep.absent),
        "n_ok": len(done),
        "failed": [{"model": c.model, "bench": c.bench, "error": c.error} for c in sweep.failed],
        "absent": [{"model": model, "bench": bench} for model, bench in sweep.absent],
        "cells": [{"model": c.model, "bench": c.bench, "n_items": c.n_items, **c.scores} for c in done],
        "correlation_with": "H, pooled over benchmarks",
        "correlations": {row["probe"]: {k: v for k, v in row.items() if k != "probe"} for row in rows},
    }


def headline(sweep: Sweep) -> dict[str, float]:
    """The sweep in flat numbers, for a run's summary: each cell's H, each probe's coefficients."""
    numbers = {f"H/{cell.model}/{cell.bench}": cell.scores["H"] for cell in sweep.finished}
    for row in correlations(sweep.cells):
        numbers |= {f"{name}/{row['probe']}": row[name] for name in ("spearman", "pearson")}
    return {name: value for name, value in numbers.items() if value is not None}


def show(sweep: Sweep) -> None:
    """Prints both tables, with n beside every coefficient, and what failed."""
    console.print(cells_table(sweep))
    rows = correlations(sweep.cells)
    n = max((row["n"] for row in rows), default=0)
    if n >= MIN_PAIRS:
        console.print(correlations_table(rows))
        models = len({cell.model for cell in sweep.finished if cell.scores.get("H") is not None})
        console.print(
            f"[dim]n: cells, from {models} models. exact p: over orders of the cells; Holm: that p, corrected for the "
            f"probes tried; models p: over orders of the models, the unit that was sampled, with the smallest that "
            f"can be had. Null predictors know nothing of geometry (docs/correlations.md).[/]",
            highlight=False,
            soft_wrap=True,
        )
        if warning := few(n):
            console.print(f"[yellow]{warning}[/]")
    else:
        console.print(f"[dim]no correlations: they need {MIN_PAIRS} finished cells, there are {n}.[/]")
    for cell in sweep.failed:
        console.print(
            f"[red]failed[/] {cell.model} × {cell.bench}: {escape(str(cell.error))}", soft_wrap=True
        )
    for model, bench in sweep.absent:
        console.print(f"[red]absent[/] {model} × {bench}: no cell.json was written")
    console.print(
        f"[dim]{sweep.folder}: cells.csv, correlations.csv and summary.json cover {sweep.covers}.[/]",
        soft_wrap=True,
    )


# Probe name to its two-line head; the rest of the probes are in cells.csv.
SHOWN = {"rankme_text": "RankMe\ntext", "twonn_text": "Two-NN\ntext", "gap_angle_deg": "gap\ndeg"}


def cells_table(sweep: Sweep) -> Table:
    table = Table(
        title=f"{sweep.folder.name}: compositional retrieval and geometry",
        caption="\n".join(legend(sweep.finished)),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        show_edge=False,
    )
    shown = {name: head for name, head in SHOWN.items() if any(name in cell.probes for cell in sweep.cells)}
    for name in ("model", "bench"):
        table.add_column(name, no_wrap=True)
    for name in ("n", "F", "G", "H", "H\n95 %", "swap\np", *shown.values()):
        table.add_column(name, justify="right")
    for cell in sweep.cells:
        if cell.status == "ok":
            scores = [number(cell.scores.get(name), digits=3) for name in ("F", "G", "H")]
            probes = [number(cell.probes.get(name), digits=1) for name in shown]
            dropped = f" (-{cell.dropped_items})" if cell.dropped_items else ""
            table.add_row(
                cell.model, cell.bench, f"{cell.n_items}{dropped}", *scores, *evidence(cell), *probes
            )
        else:
            table.add_row(cell.model, cell.bench, "[red]failed[/]")
    return table


def evidence(cell: Cell) -> tuple[str, str]:
    """The interval of H and its label-swap p, as the table shows them."""
    height = (cell.protocols.get(cell.protocol) or {}).get("H")
    if not height:
        return "–", "–"
    low, high = (number(bound, digits=2) for bound in height["ci95"])
    p = height["p_swap"]
    return f"{low}-{high}", "<.001" if p < 0.001 else number(p, digits=3)


def legend(cells: Sequence[Cell]) -> list[str]:
    """What F, G and H mean under each protocol of ``cells``, and their chance."""
    lines = []
    for protocol in dict.fromkeys(cell.protocol for cell in cells):
        judged = [
            found for cell in cells if cell.protocol == protocol and (found := cell.protocols.get(protocol))
        ]
        if not judged:
            continue
        levels = {
            tuple(number(found[name]["chance"], digits=3) for name in ("F", "G", "H")) for found in judged
        }
        told = ", ".join(f"{name} {level}" for name, level in zip("FGH", levels.pop(), strict=True))
        lines.append(f"{protocol}: F {judged[0]['F']['direction']}, G {judged[0]['G']['direction']}, H both.")
        lines.append(
            f"Chance of independent similarities: {told}."
            if not levels
            else "Chance differs: H_chance in cells.csv."
        )
    lines.append("swap p: exact, the right labels against exchanged clips; unlike chance,")
    lines.append("fair to a model with hubs (docs/scores.md).")
    if any(cell.dropped_items for cell in cells):
        lines.append("n (-k): k items were left out, their clips are missing.")
    return lines


def correlations_table(rows: Sequence[dict[str, Any]]) -> Table:
    found = Table(
        title="each probe with H, over cells",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        show_edge=False,
    )
    found.add_column("probe", no_wrap=True)
    for head in ("n", "Spearman", "exact\np", "Holm", "models\np (min)", "Pearson", "exact\np"):
        found.add_column(head, justify="right")
    for row in rows:
        joint, least = (number(row[f"spearman_p_joint{what}"], digits=3) for what in ("", "_min"))
        found.add_row(
            row["probe"] if row["kind"] == "probe" else f"[dim]null: {row['probe']}[/]",
            str(row["n"]),
            number(row["spearman"], digits=2, sign=True),
            number(row["spearman_p_exact"], digits=3),
            number(row["spearman_p_holm"], digits=3),
            f"{joint} ({least})",
            number(row["pearson"], digits=2, sign=True),
            number(row["pearson_p_exact"], digits=3),
        )
    return found


def number(value: float | None, *, digits: int, sign: bool = False) -> str:
    """A number for a table, without the zero before its point; a dash where there is none."""
    if value is None:
        return "–"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 and digits > 1 else text


def show_published(folder: Path) -> None:
    """Writes the published study's table 4, recomputed, into ``folder``, and prints it with its audit."""
    table = Table(
        title=f"{published.SOURCE}: table 4, recomputed from tables 2 and 3",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("probe", no_wrap=True)
    for name in ("Spearman", "printed", "p", "exact p", "Holm", "Pearson", "printed", "p", "agrees"):
        table.add_column(name, justify="right")
    for row in published.write(folder):
        rank = number(row.spearman, digits=2, sign=True), number(row.printed_spearman, digits=2, sign=True)
        linear = number(row.pearson, digits=2, sign=True), number(row.printed_pearson, digits=2, sign=True)
        p = [number(p, digits=3) for p in (row.spearman_p, row.spearman_p_exact, row.spearman_p_holm)]
        table.add_row(
            row.probe,
            *rank,
            *p,
            *linear,
            number(row.pearson_p, digits=3),
            "yes" if row.agrees else "[red]no[/]",
        )
    console.print(table)
    for sentence in published.audit():
        console.print(sentence, highlight=False)
    console.print(f"[dim]{folder}: correlations.csv, audit.txt.[/]")


USAGE = """usage: python -m clapbench.report outputs/NAME   rebuilds and prints the summary of a sweep
       python -m clapbench.report published      recomputes the published study's table 4: outputs/published"""


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    if arguments[0] == "published":
        show_published(Path("outputs", "published"))
        return 0
    try:
        show(build(Path(arguments[0])))
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
