"""A sweep's summary for the terminal: the tables that people read, and the words beside them."""

from __future__ import annotations

from rich import box
from rich.markup import escape
from rich.table import Table

from clapbench.console import console
from clapbench.report.wording import (
    interval_and_p,
    legend,
    marked,
    notes,
    number,
    p_value,
    with_least,
    without_h,
)
from clapbench.statistics.coefficients import MIN_PAIRS
from clapbench.study.summary import Summary


def show(summary: Summary) -> None:
    """Prints the tables, with n beside every coefficient, the diagnosis, and what failed."""
    sweep = summary.sweep
    console.print(cells_table(summary))
    for line in without_h(summary):
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
    if any(one.verdict not in ("reference", "no interval_and_p") for one in summary.diagnoses):
        console.print("\n[bold]Where a low H may come from[/] [dim](docs/correlations.md)[/]")
        for one in summary.diagnoses:
            console.print(escape(f"{one.model} × {one.bench}: {one.words}"), highlight=False, soft_wrap=True)
    for cell in sweep.failed:
        console.print(
            f"[red]failed[/] {escape(f'{cell.model} × {cell.bench}: {cell.error}')}", soft_wrap=True
        )
    for model, bench in sweep.absent:
        console.print(f"[red]absent[/] {escape(f'{model} × {bench}')}: no cell.json was written")


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
                *interval_and_p(cell),
                *probes,
            )
        else:
            table.add_row(escape(cell.model), escape(cell.bench), "[red]failed[/]")
    return table


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
