"""A sweep with a study: what was registered stands apart, is tested on its side, and is corrected alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sweep_folders

from clapbench import report
from clapbench.report import tables
from clapbench.results.sweep import read
from clapbench.study.correlations import NOTHING_STATED, POOLED
from clapbench.study.foretold import findings, foretold
from clapbench.study.matched import matched_size
from clapbench.study.registration import Registered, Study, as_record, lock, of_record, registered
from clapbench.study.summary import Summary

PROBES = ("rankme_text", "rankme_audio", "gap_angle_deg")


def swept(folder: Path, *, locked: str = "2020-01-01T00:00:00+00:00", **stated: Any) -> Path:
    """A sweep of 5 models on 2 benchmarks with a study of its text rank."""
    found = sweep_folders.study(folder / "s", models=5, probes=PROBES)
    for cell in found.glob("*/*/cell.json"):
        record = json.loads(cell.read_text(encoding="utf-8"))
        cell.write_text(json.dumps({**record, "created": "2026-01-01T00:00:00+00:00"}), encoding="utf-8")
    sweep_folders.listed(found, draws=4)
    path = folder / "mine.yaml"
    correlations = {"probes": {"rankme_text": "positive"}, **stated}
    path.write_text(json.dumps({"question": "Does it?", "correlations": correlations}), encoding="utf-8")
    lock(path)
    record = as_record(registered(path))
    record["lock"]["locked"] = locked
    listing = json.loads((found / "sweep.json").read_text(encoding="utf-8"))
    (found / "sweep.json").write_text(json.dumps({**listing, "study": record}), encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return report.build(swept(tmp_path_factory.mktemp("foretold")))


def test_registered_and_exploratory_are_corrected_apart(
    found: Summary, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {row["probe"]: row for row in found.probes}
    assert [rows[name]["part"] for name in PROBES] == ["registered", "exploratory", "exploratory"]
    assert rows["rankme_text"]["alternative"] == "positive"
    assert rows["rankme_text"]["spearman_p_maxt"] == rows["rankme_text"]["spearman_p_joint"]  # one test alone
    (finding,) = found.findings
    assert (finding.probe, finding.p) == ("rankme_text", rows["rankme_text"]["spearman_p_maxt"])
    assert [table.title for table in tables.correlations(found)] == [
        "registered with H, over cells",
        "exploratory with H, over cells",
    ]
    report.show(found)
    printed = " ".join(capsys.readouterr().out.split())
    sentence = "Study mine was locked on 2020-01-01 00:00 UTC, before the first of the 10 cells."
    page = (found.sweep.folder / "report/index.html").read_text(encoding="utf-8")
    for text in (printed, page):
        assert sentence in text
        assert text.index("registered with H") < text.index("exploratory with H")
    summary = json.loads((found.sweep.folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["study"]["words"] == sentence
    assert (found.sweep.folder / "registered.csv").is_file()


def test_other_scores_stay_as_they_are(found: Summary) -> None:
    parts = {(one.score, one.bench): one.row.part for one in found.entries if one.row.name == "rankme_text"}
    assert {key for key, part in parts.items() if part == "registered"} == {("H", "pooled")}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"locked": "2026-06-01T00:00:00+00:00"}, "when 10 of 10 cells were there: all of it is exploratory"),
        ({"protocol": "single"}, "it is of the protocol single, and these cells are of official"),
        ({"n": 8}, "it is of 8 rows of each side, and matched N is"),
    ],
)
def test_what_was_not_registered_so_is_exploratory(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    sweep = read(swept(tmp_path, **given))
    study = foretold(sweep, size=matched_size(sweep))
    assert study is not None
    assert words in study.words
    assert study.stated(PROBES) == NOTHING_STATED
    assert findings(study, []) == []


def test_a_probe_that_no_cell_has_is_said_to_be_lacking(tmp_path: Path) -> None:
    sweep = read(swept(tmp_path, probes={"twonn_text": "either"}))
    (finding,) = findings(foretold(sweep, size=matched_size(sweep)), [])
    assert (finding.value, finding.note) == (None, "no cell has this probe")


def test_a_cell_that_is_written_anew_was_there_before(tmp_path: Path) -> None:
    """Adding a probe stamps a cell with the time of that; what counts is when its scores could be looked at."""
    folder = swept(tmp_path, locked="2026-06-01T00:00:00+00:00")
    path = next(folder.glob("*/*/cell.json"))
    for cell in folder.glob("*/*/cell.json"):
        record = json.loads(cell.read_text(encoding="utf-8")) | {"created": "2026-07-01T00:00:00+00:00"}
        if cell == path:
            record["first_scored"] = "2026-01-01T00:00:00+00:00"
        cell.write_text(json.dumps(record), encoding="utf-8")
    study = foretold(read(folder), size=None)
    assert study is not None
    assert "when 1 of 10 cells were there" in study.words


def test_a_study_of_the_only_benchmark_is_tested_on_the_pooled_table(tmp_path: Path) -> None:
    folder = swept(tmp_path, bench="small")
    for cell in folder.glob("*/large/cell.json"):
        cell.unlink()
    sweep = read(folder)
    study = foretold(sweep, size=matched_size(sweep))
    assert study is not None
    assert study.table == ("H", POOLED)


def test_what_is_over_all_rows_is_no_test_of_what_was_registered_at_n(found: Summary) -> None:
    whole = [one._replace(rows="all") for one in found.entries]
    study = found.foretold
    assert study is not None
    stated = study.registered.study.correlations
    assert stated is not None
    at_n = study.registered.study.model_copy(update={"correlations": stated.model_copy(update={"n": 8})})
    study = study._replace(registered=study.registered.model_copy(update={"study": at_n}))
    (finding,) = findings(study, whole)
    assert (finding.p, finding.holds) == (None, None)
    assert str(finding.note).startswith("it was registered at 8 rows")
    (lost,) = findings(study._replace(table=("H", "elsewhere")), whole)
    assert str(lost.note).startswith("there is no correlation with H on")


def test_a_damaged_record_is_one_error(tmp_path: Path) -> None:
    folder = swept(tmp_path)
    listing = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    listing["study"]["study"]["question"] = 1
    (folder / "sweep.json").write_text(json.dumps(listing), encoding="utf-8")
    with pytest.raises(ValueError, match=r"the study in its sweep.json is damaged. Type the sweep's command"):
        foretold(read(folder), size=None)


def test_a_record_comes_back_as_it_was() -> None:
    study = Study.model_validate({"question": "?", "correlations": {"probes": {"a": "either"}, "n": 8}})
    found = Registered(name="x", study=study, lock=None)
    assert of_record(json.loads(json.dumps(as_record(found)))).study.sha256 == study.sha256
