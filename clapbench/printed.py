"""A sweep's summary for the terminal: the tables that people read, and the words beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from clapbench.coefficients import MIN_PAIRS
from clapbench.console import console
from clapbench.relations import READS_LABELS
from clapbench.resampling import MIN_MODELS
from clapbench.schema import Cell
from clapbench.summary import Summary


def show(summary: Summary) -> None:
    """Prints the tables, with n beside every coefficient, the diagnosis, and what failed."""
    sweep = summary.sweep
    console.print(cells_table(summary))
    for line in without_height(summary):
        console.print(escape(line), highlight=False, soft_wrap=True)
    if summary.n >= MIN_PAIRS:
        for sentence in summary.warnings:
            console.print(f"\n[bold yellow]{escape(sentence)}[/]", soft_wrap=True)
        console.print(correlations_table(summary))
        for sentence in notes(summary):
            console.print(f"[dim]{escape(sentence)}[/]", highlight=False, soft_wrap=True)
    else:
        console.print(
            f"[dim]no correlations: they need {MIN_PAIRS} finished cells with H, there are {len(sweep.scored)}.[/]"
        )
    if any(one.verdict not in ("reference", "no evidence") for one in summary.diagnoses):
        console.print("\n[bold]Where a low H may come from[/] [dim](docs/correlations.md)[/]")
        for one in summary.diagnoses:
            console.print(escape(f"{one.model} × {one.bench}: {one.words}"), highlight=False, soft_wrap=True)
    for cell in sweep.failed:
        console.print(
            f"[red]failed[/] {escape(f'{cell.model} × {cell.bench}: {cell.error}')}", soft_wrap=True
        )
    for model, bench in sweep.absent:
        console.print(f"[red]absent[/] {escape(f'{model} × {bench}')}: no cell.json was written")


def without_height(summary: Summary) -> list[str]:
    """What cells without H are known by."""
    return [
        f"{cell.model} × {cell.bench}: "
        + ", ".join(f"{name} {number(value, digits=3)}" for name, value in cell.headline.items())
        for cell in summary.sweep.finished
        if cell.headline and "H" not in cell.headline
    ]


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
        row["note"] for row in summary.probes if row["spearman"] is None and row["note"]
    )
    found += [f"– {reason}" for reason in list(undefined)[:UNDEFINED]]
    if len(undefined) > UNDEFINED:
        found.append(f"– and {len(undefined) - UNDEFINED} more: note in correlations.csv")
    reasons = dict.fromkeys(
        row["note"].partition("over all rows: ")[2]
        for row in summary.correlations
        if row["rows"] == "all" and row["note"] and summary.size
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

# Probe name to its two-line head, and whether its number grows with the rows; the rest of the probes are in cells.csv.
SHOWN = {
    "rankme_text": ("RankMe\ntext", True),
    "twonn_text": ("Two-NN\ntext", True),
    "gap_angle_deg": ("gap\ndeg", False),
}


def cells_table(summary: Summary) -> Table:
    """The cells, with probes over all rows and, where cells differ in their number, at matched N."""
    sweep = summary.sweep
    table = Table(
        title=f"{escape(sweep.folder.name)}: compositional retrieval and geometry",
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
    for name in ("n", "F", "G", "H", "H\n95 %", "swap\np"):
        table.add_column(name, justify="right")
    for head, grows in shown.values():
        table.add_column(head, justify="right")
        if grows and summary.differs and summary.size:
            table.add_column(f"at\n{summary.size.text}", justify="right")
    for cell in sweep.cells:
        if cell.status == "ok":
            scores = [number(cell.scores.get(name), digits=3) for name in ("F", "G", "H")]
            probes = []
            for name, (_, grows) in shown.items():
                probes.append(number(cell.probes.get(name), digits=1))
                if grows and summary.differs:
                    at = summary.at_matched(cell, name)
                    probes.append(number(at.mean if at else None, digits=1))
            dropped = f" (-{cell.dropped_items})" if cell.dropped_items else ""
            table.add_row(
                escape(cell.model),
                escape(cell.bench),
                f"{cell.n_items}{dropped}",
                *scores,
                *evidence(cell),
                *probes,
            )
        else:
            table.add_row(escape(cell.model), escape(cell.bench), "[red]failed[/]")
    return table


def evidence(cell: Cell) -> tuple[str, str]:
    """The interval of H and its label-swap p, as the table shows them."""
    height = (cell.protocols.get(cell.protocol) or {}).get("H")
    if not height:
        return "–", "–"
    low, high = (number(bound, digits=2) for bound in height["ci95"])
    p = height["p_swap"]
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
        lines.append("swap p: exact, the right labels against exchanged clips; unlike chance,")
        lines.append("fair to a model with hubs (docs/scores.md).")
    if any(cell.dropped_items for cell in cells):
        lines.append("n (-k): k items were left out, their clips are missing.")
    return lines


def correlations_table(summary: Summary) -> Table:
    """Each predictor with H over the cells; every exact p with the smallest that could have been had."""
    found = Table(
        title="each probe with H, over cells",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        show_edge=False,
    )
    found.add_column("probe", no_wrap=True)
    found.add_column("n", justify="right")
    if summary.differs:
        found.add_column("Spearman\nall rows", justify="right")
    head = f"at {summary.size.text}" if summary.differs and summary.size else ""
    for name in (
        f"Spearman\n{head}",
        "exact p\n(min)",
        "Holm",
        "models p\n(min)",
        "Pearson",
        "exact p\n(min)",
    ):
        found.add_column(name, justify="right")
    for row in summary.correlations:
        both = [number(row.get("spearman_all_rows"), digits=2, sign=True)] if summary.differs else []
        name = marked(row, summary)
        found.add_row(
            name if row["kind"] == "probe" else f"[dim]{name}[/]",
            str(row["n"]),
            *both,
            number(row["spearman"], digits=2, sign=True),
            with_least(row, "spearman_p_exact"),
            p_value(row["spearman_p_holm"]),
            with_least(row, "spearman_p_joint"),
            number(row["pearson"], digits=2, sign=True),
            with_least(row, "pearson_p_exact"),
        )
    return found


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
    return "<.001" if p is not None and p < 0.0005 else number(p, digits=3)


def number(value: float | None, *, digits: int, sign: bool = False) -> str:
    """A number for a table, without the zero before its point; a dash where there is none."""
    if value is None:
        return "–"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 and digits > 1 else text
