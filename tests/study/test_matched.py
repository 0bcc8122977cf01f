"""Probes at matched N, from cells on disk: whose rows are drawn, what is drawn again, what cannot be."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import sweep_folders
from conftest import FEW_DRAWS
from sweep_folders import PROBES

from clapbench import config, files, report
from clapbench.results import sweep
from clapbench.schema import Size
from clapbench.study import draws, matched, summary
from clapbench.study.drawn import Measured
from clapbench.study.summary import Summary


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return sweep_folders.study(tmp_path / "s")


def summarized(folder: Path) -> Summary:
    return summary.summarize(sweep.read(folder))


def rows(found: Summary, *, bench: str, probe: str) -> list[Measured]:
    return [row for row in found.matched if (row.bench, row.probe) == (bench, probe)]


def test_every_cell_gives_as_many_rows_as_the_smallest_has(folder: Path) -> None:
    found = summarized(folder)
    assert found.size == Size(120, 120)
    assert found.differs
    assert len(found.matched) == 6 * len(PROBES)
    for row in found.matched:
        assert (row.n_audio, row.n_text) == (120, 120)
        if row.bench == "small":
            assert (row.mean, row.low, row.draws) == (row.all_rows, None, 0)
            assert row.ci95_low < row.mean < row.ci95_high
        else:
            assert row.draws == FEW_DRAWS
            assert row.low < row.mean < row.high
            assert row.ci95_low < row.mean < row.ci95_high
            assert row.mean != row.all_rows
            assert (row.n_audio_all, row.n_text_all) == (200, 200)


def test_ranks_of_one_distribution_differ_by_size_alone_and_not_at_matched_n(tmp_path: Path) -> None:
    found = summarized(sweep_folders.study(tmp_path / "wide", d=192))
    large, small = (rows(found, bench=bench, probe="rankme_text") for bench in ("large", "small"))
    for one, other in zip(large, small, strict=True):
        assert one.all_rows > 1.2 * other.all_rows
        assert one.mean == pytest.approx(other.mean, rel=0.02)
    raw = [row.all_rows for row in (*large, *small)]
    assert min(raw[:3]) > max(
        raw[3:]
    )  # by size alone the larger benchmark, which has the higher H, ranks higher


def test_the_curve_climbs_to_all_rows(folder: Path) -> None:
    found = summarized(folder)
    own = [row for row in found.curve if (row.model, row.bench, row.probe) == ("m0", "large", "rankme_text")]
    assert [row.n_text for row in own] == [30, 60, 120, 200]
    assert [row.mean for row in own] == sorted(row.mean for row in own)
    assert own[-1].mean == own[-1].all_rows
    at = next(row for row in rows(found, bench="large", probe="rankme_text") if row.model == "m0")
    assert own[2].mean == at.mean
    assert {row.probe for row in found.curve} == {"rankme_audio", "rankme_text", "gap_angle_deg"}


def test_a_probe_with_another_argument_is_drawn_with_it(folder: Path) -> None:
    """The cell keeps the node of a probe that conf/ does not hold as it is."""
    plain = {row.model: row.mean for row in rows(summarized(folder), bench="large", probe="rankme_text")}
    for path in folder.glob("*/*/cell.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        nodes = config.probe_configs(["rankme_text"], {"rankme_text": {"center": True}})
        record["extra"]["probe_nodes"] = config.probe_changes(nodes)
        record["extra"]["probe_keys"]["rankme_text"] = config.probe_key(nodes["rankme_text"])
        path.write_text(json.dumps(record), encoding="utf-8")
    found = rows(summarized(folder), bench="large", probe="rankme_text")
    assert {row.note for row in found} == {None}
    assert all(row.mean is not None and row.mean != plain[row.model] for row in found)


def test_what_was_drawn_once_is_not_drawn_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = report.build(folder)
    before = {path: path.read_bytes() for path in folder.glob("*.csv")}
    calls: list[int] = []
    real = draws.measure
    monkeypatch.setattr(draws, "measure", lambda *a, **k: calls.append(1) or real(*a, **k))
    again = report.build(folder)
    assert not calls
    assert again.matched == first.matched
    assert {path: path.read_bytes() for path in folder.glob("*.csv")} == before
    (folder / "draws.csv").write_text("nonsense\n", encoding="utf-8")
    assert report.build(folder).curve == first.curve
    assert calls
    calls.clear()
    sweep_folders.write_cell(folder, model="m0", bench="large", n_items=100, h=0.6, seed=7)
    report.build(folder)
    assert len(calls) == 3  # matched N, and the two steps of the curve below it, of that cell alone


def test_what_was_drawn_outlives_the_embeddings(folder: Path) -> None:
    first = report.build(folder)
    for path in (folder.parent / "cache").rglob("*.npz"):
        path.unlink()
    other = report.build(folder, n=50)
    assert {row.note for row in other.matched if row.mean is None} != {None}
    assert report.build(folder).matched == first.matched


def test_other_settings_draw_anew(folder: Path) -> None:
    first = summarized(folder)
    sweep_folders.listed(folder, n=80, draws=10, seed=1)
    found = summarized(folder)
    assert found.size == Size(80, 80)
    assert {row.draws for row in found.matched} == {10}
    assert {row.key for row in first.matched}.isdisjoint(row.key for row in found.matched)
    assert report.build(folder, n=None, draws=12).matched[0].draws == 12
    sweep_folders.listed(folder, n=121, draws=10, seed=1)
    with pytest.raises(ValueError, match=r"matched\.n: needed at most 120, the fewest rows among the cells"):
        summarized(folder)


def test_without_embeddings_the_probes_stand_over_all_rows_and_it_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (folder.parent / "cache").rglob("m1-large-*.npz"):
        path.unlink()
    found = report.build(folder)
    assert {row["rows"] for row in found.correlations if row["kind"] == "probe"} == {"all"}
    assert "m1 × large: its embeddings are not at" in found.correlations[0]["note"]
    report.show(found)
    assert "* over all rows:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.unlink(), "its items are not at"),
        (
            lambda path: path.write_text(path.read_text().replace("\n3,6,", "\n3,x6,")),
            "got 'x6', which is none of their",
        ),
        (lambda path: path.write_text(path.read_text().replace("clip_p", "clip")), "it lacks clip_p"),
    ],
)
def test_items_that_do_not_fit_cost_the_cell_its_draws_alone(folder: Path, change, words: str) -> None:
    change(folder / "m1/large/items.csv")
    found = report.build(folder)
    notes = {row.note for row in found.matched if row.note}
    assert len(notes) == 1
    assert words in notes.pop()
    assert {row["rows"] for row in found.correlations if row["kind"] == "probe"} == {"all"}
    assert (folder / "cells.csv").is_file()


def test_cells_of_one_content_under_two_names_stay_two(folder: Path) -> None:
    record = json.loads((folder / "m0/large/cell.json").read_text(encoding="utf-8"))
    twin = folder / "twin/large"
    files.write_text(twin / "cell.json", json.dumps(record | {"model": "twin"}))
    files.write_text(twin / "items.csv", (folder / "m0/large/items.csv").read_text(encoding="utf-8"))
    first = report.build(folder)
    assert report.build(folder).matched == first.matched
    assert {row.model for row in first.matched} == {"m0", "m1", "m2", "twin"}


def test_a_probe_of_another_configuration_is_not_mixed_in(folder: Path) -> None:
    path = folder / "m2/large/cell.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["extra"]["probe_keys"]["rankme_text"] = "another"
    path.write_text(json.dumps(record), encoding="utf-8")
    found = summarized(folder)
    told = {row["probe"]: (row["rows"], row["note"]) for row in found.correlations}
    assert told["rankme_text"][0] == "all"
    assert told["rankme_audio"][0] == "matched"
    assert "over all rows" not in (told["rankme_audio"][1] or "")
    assert (
        "m2 × large: rankme_text was computed by a configuration of that probe which is not the one"
        in told["rankme_text"][1]
    )


def test_cells_of_one_size_need_no_draws(tmp_path: Path) -> None:
    for number in range(4):
        sweep_folders.write_cell(
            tmp_path / "s", model=f"m{number}", bench="b", n_items=20, h=0.2 * number, seed=number
        )
    found = summarized(tmp_path / "s")
    assert not found.differs
    assert {(row.draws, row.mean == row.all_rows) for row in found.matched} == {(0, True)}
    assert {row["rows"] for row in found.correlations if row["kind"] == "probe"} == {"matched"}


def test_matched_csv_has_the_probe_of_every_cell(folder: Path) -> None:
    report.build(folder)
    table = list(csv.DictReader((folder / "matched.csv").read_text(encoding="utf-8").splitlines()))
    assert list(table[0]) == list(Measured._fields[:-1])
    assert len(table) == 6 * len(PROBES)
    sizes = [matched.ladder(Size(394, 394), all_rows=Size(n, n)) for n in (394, 400, 1600)]
    assert [[step.text for step in steps] for steps in sizes] == [
        [49, 98, 197, 394],
        [49, 98, 197, 394, 400],
        [49, 98, 197, 394, 788, 1576, 1600],
    ]
    assert matched.ladder(Size(400, 600), all_rows=Size(400, 800))[-2:] == [Size(400, 600), Size(400, 800)]
    assert matched.ladder(Size(400, 400), all_rows=Size(500, 2000))[3:] == [
        Size(400, 400),
        Size(500, 800),
        Size(500, 1600),
        Size(500, 2000),
    ]
    assert matched.ladder(Size(40, 20), all_rows=Size(40, 20)) == [Size(40, 20)]
