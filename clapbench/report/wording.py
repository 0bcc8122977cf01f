"""Numbers, p values, legends and notes as words, the same on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clapbench.schema import Cell
from clapbench.statistics.bootstrap import MIN_MODELS
from clapbench.study.correlations import READS_LABELS
from clapbench.study.summary import Summary


def without_h(summary: Summary) -> list[str]:
    """What cells without H are known by."""
    return [
        f"{cell.model} × {cell.bench}: "
        + ", ".join(f"{name} {number(value, digits=3)}" for name, value in cell.headline.items())
        for cell in summary.sweep.finished
        if cell.headline and "H" not in cell.headline
    ]


def at_floor(summary: Summary) -> list[str]:
    """What is to be read beside an H that lies below the chance of independent similarities: assignment and margin."""
    found = []
    for cell in summary.sweep.scored:
        h, extra = cell.score("H"), cell.extra
        if not h or h["ci95"][1] >= h["chance"] or extra.get("mean_margin") is None:
            continue
        told = [f"pair assignment {number(extra['pair_assignment'], digits=3)}"]
        if bounds := extra.get("pair_assignment_ci95"):
            told[0] += f" ({' to '.join(number(bound, digits=3) for bound in bounds)}; chance .500)"
        margin = f"mean margin {number(extra['mean_margin'], digits=4, sign=True)}"
        if bounds := extra.get("mean_margin_ci95"):
            margin += f" ({' to '.join(number(bound, digits=4, sign=True) for bound in bounds)}; chance 0)"
        told.append(margin)
        found.append(f"{cell.model} × {cell.bench}: H is at the floor, so read {', '.join(told)} with it.")
    return found


def notes(summary: Summary) -> list[str]:
    """What a reader of the correlations has to know."""
    found = [
        f"n: cells, of {summary.n_models} models. exact p: over orders of the cells; Holm: that p, corrected for the "
        f"probes tried; models p: over orders of the models, the unit that was sampled, not corrected. min: the "
        f"smallest p that these cells could have given. Null predictors know nothing of geometry "
        f"(docs/correlations.md)."
    ]
    if summary.differs and summary.size:
        found.append(
            f"Probes enter at matched N, rows that every cell has: {summary.size.audio} clips and {summary.size.text} "
            f"captions, means of {summary.sweep.matching.draws} draws of whole items where a cell has more."
        )
    undefined = dict.fromkeys(
        row["undefined"] for row in summary.probes if row["spearman"] is None and row["undefined"]
    )
    found += [f"– {reason}" for reason in list(undefined)[:UNDEFINED]]
    if len(undefined) > UNDEFINED:
        found.append(f"– and {len(undefined) - UNDEFINED} more: note in correlations.csv")
    reasons = dict.fromkeys(
        row["all_rows_because"] for row in summary.correlations if row["rows"] == "all" and summary.size
    )
    found += [f"* over all rows: {reason}" for reason in reasons if reason]
    if any(row["probe"] in READS_LABELS for row in summary.correlations):
        found.append("† reads the labels that H is made of: its correlation with H is no evidence.")
    if summary.n_models < MIN_MODELS:
        found.append(f"No intervals: they need at least {MIN_MODELS} models, there are {summary.n_models}.")
    if summary.power:
        found.append(f"Power, for the largest coefficient: {summary.power}")
    return found


UNDEFINED = 3  # reasons that are told in full


def interval_and_p(cell: Cell) -> tuple[str, str]:
    """The interval of H and its label-swap p, as the table shows them."""
    h = cell.score("H")
    if not h:
        return "–", "–"
    low, high = (number(bound, digits=2) for bound in h["ci95"])
    p = h["p_swap"]
    return f"{low}-{high}", p_value(p)


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
    if lines:
        lines.append(
            "swap p: exact, the right labels against exchanged clips; unlike chance, fair to a model with hubs "
            "(docs/scores.md)."
        )
    if any(cell.dropped_items for cell in cells):
        lines.append("n (-k): k items were left out, their clips are missing or broken.")
    return lines


def marked(row: dict[str, Any], summary: Summary) -> str:
    """A predictor's name with the marks that `notes` explains."""
    if row["kind"] == "null predictor":
        return f"null: {row['probe']}"
    reads_labels = "†" if row["probe"] in READS_LABELS else ""
    return row["probe"] + ("*" if row["rows"] == "all" and summary.size else "") + reads_labels


def with_least(row: dict[str, Any], name: str) -> str:
    """A p, and in brackets the smallest that these cells could have given."""
    p, least = row[name], row[f"{name}_min"]
    return "–" if p is None else f"{p_value(p)} ({p_value(least)})"


def p_value(p: float | None) -> str:
    """A p of three digits, or that it is below .001."""
    return "<.001" if p is not None and p < 0.0005 else number(p, digits=3)


def number(value: float | None, *, digits: int, sign: bool = False) -> str:
    """A number for a table, without the zero before its point; a dash where there is none."""
    if value is None:
        return "–"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 and digits > 1 else text
