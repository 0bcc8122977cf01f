"""The tables that people read of a sweep, once for the terminal and the page: heads, rows, and what goes first where
there is little room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clapbench.grid import Column, Line, Table
from clapbench.report.wording import factor, interval_and_p, legend, marked, number, p_value, with_least
from clapbench.schema import Cell
from clapbench.study.correlations import POOLED
from clapbench.study.foretold import REGISTERED
from clapbench.study.summary import Summary


class Html(str):
    """Markup of our own for the page, where every other text is escaped."""


# Probe name to its two-line head, and whether its number grows with the rows; the rest of the probes are in cells.csv.
SHOWN = {
    "rankme_text": ("RankMe\ntext", True),
    "twonn_text": ("Two-NN\ntext", True),
    "gap_angle_deg": ("gap\ndeg", False),
}


def cells(summary: Summary) -> Table:
    """The cells, with probes over all rows and, where cells differ in their number, at matched N."""
    sweep = summary.sweep
    probes = {name: head for name, head in SHOWN.items() if any(name in cell.probes for cell in sweep.cells)}
    columns = [
        Column("model", name=True),
        Column("bench", name=True),
        Column("n", keep=6),
        Column("F", keep=7),
        Column("G", keep=7),
        Column("H", keep=9),
        Column("chance dashed", page_only=True),
        Column("H\n95 %", keep=8),
        Column("swap\np", keep=5),
    ]
    for name, (head, grows) in probes.items():
        keep = 3 if name == "rankme_text" else 2
        columns.append(Column(head, keep=keep))
        if grows and summary.differs and summary.size:
            columns.append(
                Column(f"at\n{summary.size.text}", keep=keep, label=f"{head} at {summary.size.text}")
            )
    lines = []
    for cell in sweep.cells:
        if cell.status != "ok":
            lines.append(Line([cell.model, cell.bench, cell.status, *[""] * (len(columns) - 3)], style="red"))
            continue
        dropped = f" (-{cell.dropped_items})" if cell.dropped_items else ""
        row = [cell.model, cell.bench, f"{cell.n_items}{dropped}"]
        row += [number(cell.scores.get(name), digits=3) for name in ("F", "G", "H")]
        row += [bar(cell), *interval_and_p(cell)]
        for name, (_, grows) in probes.items():
            row.append(number(cell.probes.get(name), digits=1))
            if grows and summary.differs and summary.size:
                at = summary.at_matched(cell, name)
                row.append(number(at.mean if at else None, digits=1))
        lines.append(Line(row))
    title = f"{sweep.folder.name}: compositional retrieval and geometry"
    return Table(columns, lines, title=title, caption=legend(sweep.finished), file="cells.csv")


def bar(cell: Cell) -> Html:
    """H with its interval and, dashed, its chance."""
    h = cell.score("H")
    if not h:
        return Html("")
    low, high = (100 * bound for bound in h["ci95"])
    return Html(
        f"<span class='bar'><b style='width:{100 * h['value']:.1f}%'></b>"
        f"<i style='left:{low:.1f}%;width:{high - low:.1f}%'></i>"
        f"<u style='left:{100 * h['chance']:.1f}%'></u></span>"
    )


def correlations(summary: Summary) -> list[Table]:
    """Each predictor with H over the cells: what was registered, then what was not, each corrected apart."""
    parts = list(dict.fromkeys(row["part"] for row in summary.probes))
    parts.sort(key=lambda part: part != REGISTERED)
    return [_correlations(summary, part=part, last=part == parts[-1]) for part in parts]


def _correlations(summary: Summary, *, part: str | None, last: bool) -> Table:
    """The p corrected for the probes first, with the least that could be had; null predictors in the last table."""
    at = f"at {summary.size.text}" if summary.differs and summary.size else ""
    floor = any(row["controls"] for row in summary.correlations)
    columns = [
        Column("probe", name=True),
        Column("n", keep=5),
        *([Column("Spearman\nall rows", keep=2)] if summary.differs else []),
        Column(f"Spearman\n{at}", keep=9),
        Column("corrected p\n(min)", keep=8),
        Column("models\np", keep=7),
        Column("no effect\nbeyond", keep=4),
        Column("BF10", keep=5),
        *([Column("without\ncontrols", keep=6)] if floor else []),
        Column("Pearson", keep=3),
        Column("corrected p (min)", page_only=True, label="Pearson's corrected p"),
        Column("95 %", page_only=True),
        Column("exact p (min)", page_only=True),
        Column("without one model", page_only=True),
        Column("most influential", page_only=True),
        Column("without outliers", page_only=True),
        Column("without noise in H", page_only=True),
        Column("given the benchmark", page_only=True),
    ]
    lines = []
    for row in summary.correlations:
        if row["part"] != part if row["kind"] == "probe" else not last:
            continue
        cells = [
            marked(row, summary),
            str(row["n"]),
            *([_signed(row.get("spearman_all_rows"))] if summary.differs else []),
            _signed(row["spearman"]),
            with_least(row, "spearman_p_maxt"),
            p_value(row["spearman_p_joint"]),
            number(row["spearman_equivalence_bound"], digits=2),
            factor(row["spearman_bf10"]),
            *([_signed(row["spearman_without_controls"])] if floor else []),
            _signed(row["pearson"]),
            with_least(row, "pearson_p_maxt"),
            _between(row, "spearman_ci95"),
            with_least(row, "spearman_p_exact"),
            _between(row, "spearman_without_one"),
            _without(row, "most_influential", "without_most_influential"),
            _without(row, "outliers", "without_outliers"),
            _signed(row["spearman_disattenuated"]),
            _signed(row["spearman_partial"]),
        ]
        lines.append(Line(cells, style="" if row["kind"] == "probe" else "dim"))
    return Table(columns, lines, title=f"{part or 'each probe'} with H, over cells", file="correlations.csv")


def by_bench(summary: Summary) -> Table | None:
    """Spearman with H on each benchmark alone; None where no coefficient is defined there."""
    chosen: dict[tuple[str, str, str], dict[str, Any]] = {}
    for entry in summary.entries:
        row = entry.row
        if (entry.score, row.coefficient) == ("H", "spearman") and entry.bench != POOLED:
            record = {**row._asdict(), "probe": row.name, "rows": entry.rows}
            chosen.setdefault((entry.bench, row.kind, row.name), record)  # matched N comes first
    if all(row["value"] is None for row in chosen.values()):
        return None
    benches = list(dict.fromkeys(bench for bench, _, _ in chosen))
    columns = [Column("probe", name=True)]
    for bench in benches:
        columns += [
            Column(f"{bench}: n"),
            Column("Spearman"),
            Column("corrected p (min)"),
            Column("models p"),
        ]
    lines = []
    for kind, name in dict.fromkeys((kind, name) for _, kind, name in chosen):
        rows = [chosen[bench, kind, name] for bench in benches]
        numbers = [
            [str(row["n"]), _signed(row["value"]), with_least(row, "p_maxt"), p_value(row["p_joint"])]
            for row in rows
        ]
        line = [marked(rows[0], summary), *(text for four in numbers for text in four)]
        lines.append(Line(line, style="" if kind == "probe" else "dim"))
    return Table(columns, lines)


def unfinished(summary: Summary) -> list[tuple[str, str]]:
    """Cells without a result: what became of each, and its name with the reason."""
    sweep = summary.sweep
    found = [
        (cell.status, f"{cell.model} × {cell.bench}: {cell.error}")
        for cell in (*sweep.failed, *sweep.damaged)
    ]
    return found + [
        ("absent", f"{model} × {bench}: no cell.json was written") for model, bench in sweep.absent
    ]


def published(rows: Sequence[Any], *, source: str) -> Table:
    """The published study's table 4, as printed and as recomputed."""
    columns = [
        Column("probe", name=True),
        Column("Spearman", keep=9),
        Column("printed", keep=8),
        Column("p", keep=3, label="Spearman's p"),
        Column("exact p", keep=7),
        Column("Holm", keep=6),
        Column("Pearson", keep=5),
        Column("printed", keep=5, label="Pearson as printed"),
        Column("p", keep=3, label="Pearson's p"),
        Column("agrees", keep=8),
    ]
    lines = [
        Line(
            [
                row.probe,
                _signed(row.spearman),
                _signed(row.printed_spearman),
                *(number(p, digits=3) for p in (row.spearman_p, row.spearman_p_exact, row.spearman_p_holm)),
                _signed(row.pearson),
                _signed(row.printed_pearson),
                number(row.pearson_p, digits=3),
                "yes" if row.agrees else "no",
            ],
            style="" if row.agrees else "red",
        )
        for row in rows
    ]
    title = f"{source}: table 4, recomputed from tables 2 and 3"
    return Table(columns, lines, title=title, file="correlations.csv")


def _signed(value: float | None) -> str:
    return number(value, digits=2, sign=True)


def _between(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "–" if low is None else f"{_signed(low)} to {_signed(high)}"


def _without(row: dict[str, Any], who: str, what: str) -> str:
    """A coefficient without some models, and who they are."""
    names = row[f"spearman_{who}"]
    return "–" if names is None else f"{_signed(row[f'spearman_{what}'])} ({names})"
