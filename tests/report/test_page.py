"""The report's page and figures: what stands in them, and when they are drawn."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import sweep_folders
from conftest import FEW_DRAWS
from matplotlib.image import imread

from clapbench import files, report
from clapbench.report import figures, page
from clapbench.results import sweep
from clapbench.study import summary


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sweep_folders.study(tmp_path / "s")


class Tags(HTMLParser):
    """Tags that are open, and text by the tag that it stands in."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text.setdefault(self.open[-1], []).append(data)


def test_the_page_is_whole_and_says_what_a_reader_must_know(folder: Path) -> None:
    report.build(folder)
    html = (folder / "report/index.html").read_text(encoding="utf-8")
    found = Tags(html)
    assert found.open == []
    assert found.text["h2"] == [
        "Scores",
        "Does geometry predict H?",
        "Does geometry predict what it has not seen?",
        "Rank grows with the rows",
        "Where a low H may come from",
    ]
    assert any(text.startswith("ONLY 6 CELLS") for text in found.text["p"])
    assert any(f"120 clips and 120 captions, means of {FEW_DRAWS} draws" in text for text in found.text["p"])
    assert any("No intervals: they need at least 5 models, there are 3." in text for text in found.text["p"])
    cells_of = found.text["td"]
    assert {"m0", "large", "rankme_text", "null: parameters"} <= set(cells_of)
    assert html.count("data:image/png;base64,") == 2
    assert "http" not in html  # nothing is fetched to read it


def test_figures_lie_beside_the_page(folder: Path) -> None:
    report.build(folder)
    for name in ("rankme_n", "probes_h"):
        pixels = imread(folder / f"report/{name}.png")
        assert min(pixels.shape[:2]) > 400
        assert np.std(pixels[..., :3]) > 0.02


def test_the_curve_shows_the_numbers_of_curve_csv(folder: Path) -> None:
    found = summary.summarize(sweep.read(folder))
    figure = figures.rank_over_rows(found)
    axes = figure.axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) > 2]
    assert len(lines) == 6
    own = [row for row in found.curve if (row.model, row.bench, row.probe) == ("m0", "large", "rankme_text")]
    assert any(
        list(line.get_xdata()) == [row.n_text for row in own]
        and list(line.get_ydata()) == [row.mean for row in own]
        for line in lines
    )


def test_the_panels_show_probes_at_matched_n(folder: Path) -> None:
    found = summary.summarize(sweep.read(folder))
    axes = next(a for a in figures.h_over_probes(found).axes if a.get_xlabel() == "RankMe of the captions")
    points = {(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axes.lines}
    assert points == {
        (found.at_matched(cell, "rankme_text").mean, cell.scores["H"]) for cell in found.sweep.scored
    }


def test_the_page_is_written_anew_when_anything_in_it_has_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report.build(folder)
    calls = []
    monkeypatch.setattr(page, "write", lambda *a, **k: calls.append(a))
    report.build(folder)
    assert calls == []
    path = folder / "m0/large/cell.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["protocols"]["official"]["H"]["p_swap"] = 0.0123  # in the table of cells alone
    path.write_text(json.dumps(record), encoding="utf-8")
    report.build(folder)
    assert len(calls) == 1
    (folder / "report/index.html").unlink()
    report.build(folder)
    assert len(calls) == 2


def test_names_are_escaped_and_failures_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    sweep_folders.write_cell(folder, model="<b>&m", bench="b", n_items=20, h=0.5, seed=0)
    record = json.loads((folder / "<b>&m/b/cell.json").read_text(encoding="utf-8"))
    record |= {
        "model": "bad",
        "status": "failed",
        "error": "ValueError: <clip> & co",
        "scores": {},
        "probes": {},
    }
    files.write_text(folder / "bad/b/cell.json", json.dumps(record))
    report.build(folder)
    html = (folder / "report/index.html").read_text(encoding="utf-8")
    assert Tags(html).open == []
    assert "&lt;b&gt;&amp;m" in html
    assert "<b>&m" not in html
    assert "failed: bad × b: ValueError: &lt;clip&gt; &amp; co" in html
    assert "Correlations need 4 finished cells with H; there are 1." in html
    assert not (folder / "report/probes_h.png").exists()
