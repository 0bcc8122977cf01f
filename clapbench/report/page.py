"""A sweep's report as one page that people can read and pass on: report/index.html, figures inside and beside it."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Iterable
from html import escape
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from clapbench import files
from clapbench.grid import Table
from clapbench.report import figures, levels, seal, tables
from clapbench.report.tables import Html
from clapbench.report.wording import at_floor, notes, study, units, without_h
from clapbench.statistics.coefficients import MIN_PAIRS
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
tr.dim td { color: #8a8a90; }
.wide { overflow-x: auto; }
img { max-width: 100%; height: auto; }
.bar { display: inline-block; position: relative; width: 7rem; height: .8rem; background: #f1f1f3; }
.bar b { position: absolute; inset: 0 auto 0 0; background: #0072B2; opacity: .85; }
.bar i { position: absolute; top: .3rem; height: .2rem; background: #1d1d1f; }
.bar u { position: absolute; top: 0; bottom: 0; border-left: 1.5px dashed #D55E00; }
tr.red td { color: #b00020; }
ul { padding-left: 1.1rem; }
li { margin: .3rem 0; }
"""


def write(summary: Summary, folder: Path, *, content: str) -> None:
    """index.html with its figures, which lie beside it as PNG too, under the seal of ``content`` (see `seal`)."""
    drawn = {
        "rankme_n": figures.rank_over_rows(summary),
        "probes_h": figures.h_over_probes(summary),
    }
    images = {name: _png(figure) for name, figure in drawn.items() if figure is not None}
    for name in seal.FIGURES:
        path = folder / f"{name}.png"
        if name in images:
            with files.replacing(path) as temporary:
                temporary.write_bytes(images[name])
        else:
            path.unlink(missing_ok=True)  # of an earlier sweep
    html = page(summary, images)
    files.write_text(folder / "index.html", html + seal.line(content, html=html, images=images))


def page(summary: Summary, images: dict[str, bytes]) -> str:
    """The page, self-contained; ``images`` are PNG files by name."""
    sweep, cells = summary.sweep, tables.cells(summary)
    parts = [
        f"<h1>{escape(sweep.folder.name)}</h1>",
        "<p class='dim'>Compositional retrieval, embedding geometry, and how the two correlate. "
        f"Covers {escape(sweep.covers)}.</p>",
    ]
    if summary.n >= MIN_PAIRS:
        parts += [f"<p class='few'>{escape(sentence)}</p>" for sentence in summary.warnings]
    for status, words in tables.unfinished(summary):
        parts.append(f"<p class='bad'>{status}: {escape(words)}</p>")
    parts += ["<h2>Scores</h2>", _table(cells), *_lines(cells.caption)]
    parts += [f"<p>{escape(line)}</p>" for line in [*without_h(summary), *at_floor(summary)]]
    parts.append("<h2>Does geometry predict H?</h2>")
    if summary.n < MIN_PAIRS:
        parts.append(
            f"<p>Correlations need {MIN_PAIRS} {units(summary)}; there are "
            f"{len(summary.levels.recipes.cells)}.</p>"
        )
    else:
        parts += [
            _image(images, "probes_h", "H against each probe"),
            *(f"<p>{escape(sentence)}</p>" for sentence in study(summary)),
            *(f"<h3>{escape(table.title)}</h3>{_table(table)}" for table in tables.correlations(summary)),
            *_lines(notes(summary)),
        ]
        alone = tables.by_bench(summary)
        parts += ["<h2>On each benchmark alone</h2>", _table(alone)] if alone else []
    for heading, table in levels.sections(summary):
        parts += [f"<h2>{heading}</h2>", _table(table), *_lines(table.caption)]
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
            "<p class='dim'>Against the highest H of the same benchmark, item by item and draw by draw; 95 % intervals "
            "of the difference in brackets. A pointer is a place to look, not a cause.</p>",
            f"<ul>{''.join(told)}</ul>",
        ]
    names = ", ".join(f"{name}.csv" for name in summary.rows)
    parts.append(f"<p class='dim'>The numbers: {names} and summary.json, beside this folder.</p>")
    title = f"<title>{escape(sweep.folder.name)} - clapbench</title>"
    head = f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'>{title}<style>{STYLE}</style>"
    return (
        f"<!doctype html><html lang='en'><head>{head}</head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _table(table: Table) -> str:
    """All columns of a table; every text in it is escaped, unless it is markup of our own."""
    side = ["name" if column.name else "" for column in table.columns]
    head = "".join(
        f"<th class='{kind}'>{escape(column.title)}</th>"
        for kind, column in zip(side, table.columns, strict=True)
    )
    body = []
    for line in table.lines:
        row = (
            f"<td class='{kind}'>{text if isinstance(text, Html) else escape(text)}</td>"
            for kind, text in zip(side, line.cells, strict=True)
        )
        body.append(f"<tr class='{line.style}'>{''.join(row)}</tr>")
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
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # names in scripts that the font lacks
        figure.savefig(content, format="png")
    return content.getvalue()
