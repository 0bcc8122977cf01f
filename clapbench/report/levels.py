"""The tables of a sweep's levels that people read: over seeds, share of variance, over benchmarks, prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clapbench.grid import Column, Line, Table
from clapbench.report.wording import number
from clapbench.study.summary import Summary

# The probes beside H; the rest are in seeds.csv and levels.csv.
SHOWN = ("rankme_text", "rankme_audio", "gap_angle_deg")


def over_seeds(summary: Summary) -> Table | None:
    """H of each recipe on each benchmark, with its interval over seeds; None where no recipe has two."""
    if not summary.levels.seeded:
        return None
    rows = {(row["recipe"], row["bench"], row["name"]): row for row in summary.level_rows["seeds"].records}
    probes = [name for name in SHOWN if any(key[2] == name for key in rows)]
    columns = [
        Column("recipe", name=True),
        Column("bench", name=True),
        Column("seeds", keep=6),
        Column("H", keep=9),
        Column("95 % over seeds", keep=8),
        Column("range", keep=7),
        *(Column(f"{name}\n± sd", keep=3) for name in probes),
    ]
    lines = []
    for recipe, bench in dict.fromkeys((recipe, bench) for recipe, bench, _ in rows):
        h = rows.get((recipe, bench, "H"))
        if h is None:
            continue
        cells = [recipe, bench, str(h["n"]), number(h["mean"], digits=3)]
        cells += [_between(h, "low", "high", digits=2), _between(h, "least", "most", digits=3)]
        cells += [_with_sd(rows.get((recipe, bench, name))) for name in probes]
        lines.append(Line(cells))
    caption = [
        "95 %: Student's interval of the recipe's mean over its seeds, which three seeds leave wide; it says nothing "
        "of other items. One row is one unit of the correlations (docs/levels.md)."
    ]
    return Table(columns, lines, title="recipes over their seeds", caption=caption, file="seeds.csv")


def reliability(summary: Summary) -> Table | None:
    """ICC(1) of H and of each probe on each benchmark; None where no recipe has two seeds."""
    rows = summary.level_rows["levels"].records
    if not summary.levels.seeded:
        return None
    benches = list(dict.fromkeys(row["bench"] for row in rows))
    columns = [Column("", name=True)]
    for bench in benches:
        columns += [Column(f"{bench}: ICC", keep=5), Column("95 %", keep=4, label=f"{bench}: 95 %")]
    known = {(row["bench"], row["name"]): row for row in rows}
    lines = []
    for name in dict.fromkeys(row["name"] for row in rows):
        found = [known.get((bench, name), {}) for bench in benches]
        cells = [(number(row.get("icc"), digits=2), _between(row, "low", "high", digits=2)) for row in found]
        lines.append(Line([name, *(text for both in cells for text in both)]))
    return Table(columns, lines, title="share of variance between recipes", file="levels.csv")


def over_benches(summary: Summary) -> Table | None:
    """Spearman's coefficient with H over benchmarks; None for one benchmark."""
    rows = [row for row in summary.level_rows["meta"].records if row["coefficient"] == "spearman"]
    rows = [row for row in rows if row.get("r") is not None]
    if not rows:
        return None
    columns = [Column(title, name=title == "probe") for title in ("probe", "benches", "Spearman", "95 %")]
    columns += [Column("next benchmark, 95 %"), Column("tau")]
    lines = [
        Line(
            [
                _name(row),
                str(row["benches"]),
                number(row["r"], digits=2, sign=True),
                _between(row, "low", "high", digits=2, sign=True),
                _between(row, "predicted_low", "predicted_high", digits=2, sign=True),
                number(row["tau2"] ** 0.5, digits=2),
            ],
            style="" if row["kind"] == "probe" else "dim",
        )
        for row in rows
    ]
    return Table(columns, lines, title="each probe with H, over benchmarks", file="meta.csv")


def prediction(summary: Summary) -> Table | None:
    """Rank error and regret of each predictor with a recipe, a family, a benchmark left out; None for too few."""
    rows = [row for row in summary.level_rows["prediction"].records if row["rank_error"] is not None]
    if not rows:
        return None
    schemes = list(dict.fromkeys(row["left_out"] for row in rows))
    known = {(row["left_out"], row["kind"], row["probe"]): row for row in rows}
    columns = [Column("predictor", name=True)]
    for scheme in schemes:
        columns += [
            Column(f"{scheme} out:\nrank error", keep=5, label=f"rank error, {scheme} left out"),
            Column("regret", keep=4, label=f"regret, {scheme} left out"),
        ]
    lines = []
    for kind, name in dict.fromkeys((row["kind"], row["probe"]) for row in rows):
        found: list[Mapping[str, Any]] = [known.get((scheme, kind, name), {}) for scheme in schemes]
        cells = [
            (number(row.get("rank_error"), digits=2), number(row.get("regret"), digits=3)) for row in found
        ]
        label = _name({"kind": kind, "probe": name})
        lines.append(
            Line([label, *(text for both in cells for text in both)], style="" if kind == "probe" else "dim")
        )
    caption = [
        "Of recipes, families and benchmarks that the line was not fitted on. rank error: places between predicted and "
        "true H, over n - 1. regret: H lost by choosing the recipe that it puts first (docs/levels.md)."
    ]
    return Table(columns, lines, title="prediction of H, left out", caption=caption, file="prediction.csv")


def sections(summary: Summary) -> Sequence[tuple[str, Table]]:
    """The tables of the page under their headings."""
    found = [
        ("Over seeds", over_seeds(summary)),
        ("Is it of the recipe, or of the seed?", reliability(summary)),
        ("Over benchmarks", over_benches(summary)),
        ("Does geometry predict what it has not seen?", prediction(summary)),
    ]
    return [(heading, table) for heading, table in found if table is not None]


def _name(row: Mapping[str, Any]) -> str:
    return row["probe"] if row["kind"] == "probe" else f"null: {row['probe']}"


def _between(row: Mapping[str, Any], low: str, high: str, *, digits: int, sign: bool = False) -> str:
    if row.get(low) is None:
        return "–"
    return f"{number(row[low], digits=digits, sign=sign)} to {number(row[high], digits=digits, sign=sign)}"


def _with_sd(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "–"
    sd = f" ± {number(row['sd'], digits=1)}" if row["sd"] is not None else ""
    return f"{number(row['mean'], digits=1)}{sd}"
