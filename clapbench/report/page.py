"""A sweep's report as one page that people can read and pass on: report/index.html, figures inside and beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from clapbench import files
from clapbench.report import figures
from clapbench.report.terminal import SHOWN
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
from clapbench.schema import Cell
from clapbench.statistics.coefficients import MIN_PAIRS
from clapbench.study.correlations import POOLED
from clapbench.study.summary import Summary

STYLE = """
body { font: 15px/1.55 system-ui, sans-serif; color: #1d1d1f; max-width: 80rem; margin: 2.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; }
p { margin: .5rem 0; }
.dim { color: #6b6b70; font-size: .88rem; }
.few { background: #fff4d6; border-left: 4px solid #e0a800; padding: .6rem .9rem; font-weight: 600; }
.bad { color: #b00020; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th { text-align: right; vertical-align: bottom; border-bottom: 1.5px solid #1d1d1f; padding: .25rem .55rem; }
td { text-align: right; white-space: nowrap; border-bottom: 1px solid #ececee; padding: .18rem .55rem; }
th.name, td.name { text-align: left; }
tr.null td { color: #8a8a90; }
.wide { overflow-x: auto; }
img { max-width: 100%; height: auto; }
.bar { display: inline-block; position: relative; width: 7rem; height: .8rem; background: #f1f1f3; }
.bar b { position: absolute; inset: 0 auto 0 0; background: #0072B2; opacity: .85; }
.bar i { position: absolute; top: .3rem; height: .2rem; background: #1d1d1f; }
.bar u { position: absolute; top: 0; bottom: 0; border-left: 1.5px dashed #D55E00; }
ul { padding-left: 1.1rem; }
li { margin: .3rem 0; }
"""
FILES = ("cells", "correlations", "correlations_long", "matched", "curve", "diagnosis")


def write(summary: Summary, folder: Path, *, content: str) -> None:
    """index.html with its figures, which lie beside it as PNG too; it ends with the comment ``content``."""
    drawn = {
        "rankme_n": figures.rank_over_rows(summary),
        "probes_h": figures.h_over_probes(summary),
    }
    images = {name: _png(figure) for name, figure in drawn.items() if figure is not None}
    for name in drawn:
        path = folder / f"{name}.png"
        if name in images:
            with files.replacing(path) as temporary:
                temporary.write_bytes(images[name])
        else:
            path.unlink(missing_ok=True)  # of an earlier sweep
    files.write_text(folder / "index.html", page(summary, images) + content + "\n")


def page(summary: Summary, images: dict[str, bytes]) -> str:
    """The page, self-contained; ``images`` are PNG files by name."""
    sweep = summary.sweep
    parts = [
        f"<h1>{escape(sweep.folder.name)}</h1>",
        "<p class='dim'>Compositional retrieval, embedding geometry, and how the two correlate. "
        f"Covers {escape(sweep.covers)}.</p>",
    ]
    if summary.n >= MIN_PAIRS:
        parts += [f"<p class='few'>{escape(sentence)}</p>" for sentence in summary.warnings]
    for cell in sweep.failed:
        parts.append(f"<p class='bad'>failed: {escape(f'{cell.model} × {cell.bench}: {cell.error}')}</p>")
    for model, bench in sweep.absent:
        parts.append(f"<p class='bad'>absent: {escape(f'{model} × {bench}')}: no cell.json was written</p>")
    parts += ["<h2>Scores</h2>", _cells(summary), *_lines(legend(sweep.finished))]
    parts += [f"<p>{escape(line)}</p>" for line in without_h(summary)]
    parts.append("<h2>Does geometry predict H?</h2>")
    if summary.n < MIN_PAIRS:
        parts.append(
            f"<p>Correlations need {MIN_PAIRS} finished cells with H; there are {len(sweep.scored)}.</p>"
        )
    else:
        parts += [
            _image(images, "probes_h", "H against each probe"),
            _correlations(summary),
            *_lines(notes(summary)),
        ]
        parts += _by_bench(summary)
    if "rankme_n" in images:
        parts += [
            "<h2>Rank grows with the rows</h2>",
            "<p>The same cloud has a higher RankMe when more of it is drawn, so benchmarks of different size are "
            "compared at the dotted line. Bands: 95 % of the draws.</p>",
            _image(images, "rankme_n", "RankMe over the number of rows"),
        ]
    if summary.diagnoses:
        told = [
            f"<li><b>{escape(one.model)}</b> × {escape(one.bench)}: {escape(one.words)}</li>"
            for one in summary.diagnoses
        ]
        parts += [
            "<h2>Where a low H may come from</h2>",
            "<p class='dim'>Against the highest H of the same benchmark; 95 % intervals in brackets. A pointer is a "
            "place to look, not a cause.</p>",
            f"<ul>{''.join(told)}</ul>",
        ]
    files = ", ".join(f"{name}.csv" for name in FILES)
    parts.append(f"<p class='dim'>The numbers: {files} and summary.json, beside this folder.</p>")
    title = f"<title>{escape(sweep.folder.name)} - clapbench</title>"
    head = f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'>{title}<style>{STYLE}</style>"
    return (
        f"<!doctype html><html lang='en'><head>{head}</head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _cells(summary: Summary) -> str:
    shown = {n: head for n, head in SHOWN.items() if any(n in cell.probes for cell in summary.sweep.cells)}
    heads = ["model", "bench", "n", "F", "G", "H", "chance dashed", "95 %", "swap p"]
    for head, grows in shown.values():
        heads.append(head.replace("\n", " "))
        if grows and summary.differs and summary.size:
            heads.append(f"at {summary.size.text}")
    rows = []
    for cell in summary.sweep.finished:
        numbers = [number(cell.scores.get(name), digits=3) for name in ("F", "G", "H")]
        row = [cell.model, cell.bench, str(cell.n_items), *numbers, _bar(cell), *interval_and_p(cell)]
        for name, (_, grows) in shown.items():
            row.append(number(cell.probes.get(name), digits=1))
            if grows and summary.differs:
                at = summary.at_matched(cell, name)
                row.append(number(at.mean if at else None, digits=1))
        rows.append(row)
    return _table(heads, rows, names=2)


def _bar(cell: Cell) -> str:
    """H with its interval and, dashed, its chance."""
    h = cell.score("H")
    if not h:
        return ""
    low, high = (100 * bound for bound in h["ci95"])
    return (
        f"<span class='bar'><b style='width:{100 * h['value']:.1f}%'></b>"
        f"<i style='left:{low:.1f}%;width:{high - low:.1f}%'></i>"
        f"<u style='left:{100 * h['chance']:.1f}%'></u></span>"
    )


def _correlations(summary: Summary) -> str:
    at = f" at {summary.size.text}" if summary.differs and summary.size else ""
    heads = ["probe", "n", *(["Spearman, all rows"] if at else []), f"Spearman{at}", "exact p (min)", "Holm"]
    heads += [
        "models p (min)",
        "95 %",
        "without one model",
        "given the benchmark",
        "Pearson",
        "exact p (min)",
    ]
    rows, classes = [], []
    for row in summary.correlations:
        rows.append(
            [
                marked(row, summary),
                str(row["n"]),
                *([_signed(row.get("spearman_all_rows"))] if at else []),
                _signed(row["spearman"]),
                with_least(row, "spearman_p_exact"),
                p_value(row["spearman_p_holm"]),
                with_least(row, "spearman_p_joint"),
                _between(row, "spearman_ci95"),
                _between(row, "spearman_without_one"),
                _signed(row["spearman_partial"]),
                _signed(row["pearson"]),
                with_least(row, "pearson_p_exact"),
            ]
        )
        classes.append(row["kind"])
    return _table(heads, rows, names=1, classes=classes)


def _by_bench(summary: Summary) -> list[str]:
    """Spearman with H on each benchmark alone."""
    chosen = summary.long[(summary.long["score"] == "H") & (summary.long["coefficient"] == "spearman")]
    chosen = chosen[chosen["bench"] != POOLED]
    chosen = chosen.drop_duplicates(["bench", "kind", "name"])  # matched N comes first
    benches = list(dict.fromkeys(chosen["bench"]))
    if chosen["value"].isna().all():
        return []
    heads = ["probe", *(text for bench in benches for text in (f"{bench}: n", "Spearman", "exact p (min)"))]
    lines: dict[tuple[str, str], list[str]] = {}
    for row in _records(chosen):
        line = lines.setdefault((row["kind"], row["name"]), [marked({**row, "probe": row["name"]}, summary)])
        line += [str(row["n"]), _signed(row["value"]), with_least(row, "p_exact")]
    classes = [kind for kind, _ in lines]
    return ["<h2>On each benchmark alone</h2>", _table(heads, list(lines.values()), names=1, classes=classes)]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A dictionary for each row, None where it holds nothing."""
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def _signed(value: float | None) -> str:
    return number(value, digits=2, sign=True)


def _between(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "–" if low is None else f"{_signed(low)} to {_signed(high)}"


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, names: int, classes: Sequence[str] | None = None
) -> str:
    """The first ``names`` columns are text, the rest numbers; cells that begin with a tag are taken as they are."""
    side = ["name" if column < names else "" for column in range(len(heads))]
    head = "".join(f"<th class='{kind}'>{escape(text)}</th>" for kind, text in zip(side, heads, strict=True))
    body = []
    for row, of in zip(rows, classes or [""] * len(rows), strict=True):
        cells = (
            f"<td class='{kind}'>{text if text.startswith('<span') else escape(text)}</td>"
            for kind, text in zip(side, row, strict=True)
        )
        body.append(f"<tr class='{of}'>{''.join(cells)}</tr>")
    return (
        f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _lines(sentences: Iterable[str]) -> list[str]:
    return [f"<p class='dim'>{'<br>'.join(map(escape, sentences))}</p>"]


def _image(images: dict[str, bytes], name: str, alt: str) -> str:
    if name not in images:
        return ""
    return f"<p><img alt='{escape(alt)}' src='data:image/png;base64,{base64.b64encode(images[name]).decode()}'></p>"


def _png(figure: Figure) -> bytes:
    content = BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
