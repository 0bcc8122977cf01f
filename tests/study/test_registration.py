"""Studies and their locks: what a lock holds, what breaks it, what is no study."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT, yamls

from clapbench.report.study import main
from clapbench.study import names
from clapbench.study.registration import lock, lock_of, read, registered

TEXT = """
question: Does rank tell H?
correlations:
  probes: { rankme_text: positive }
"""


def study(folder: Path, text: str = TEXT) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", yamls("studies"))
def test_a_shipped_study_is_as_it_was_locked(name: str) -> None:
    assert registered(ROOT / "conf" / "studies" / f"{name}.yaml").fits


def test_comments_and_order_of_keys_do_not_matter_and_content_does(tmp_path: Path) -> None:
    path = study(tmp_path)
    first = lock(path)
    study(
        tmp_path, "# a word\ncorrelations: {probes: {rankme_text: positive}}\nquestion: Does rank tell H?\n"
    )
    assert lock(path) == first
    study(tmp_path, TEXT.replace("positive", "negative"))
    with pytest.raises(ValueError, match=r"was locked on .* with other content. Restore that, or give"):
        lock(path)
    assert not registered(path).fits


def test_only_what_was_made_after_the_lock_was_registered(tmp_path: Path) -> None:
    path = study(tmp_path)
    assert "is not locked: all of it is exploratory" in registered(path).words([], what="cells")
    lock(path)
    later, earlier = "2126-01-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00"
    found = registered(path)
    assert found.came_first([later, later])
    assert not found.came_first([later, earlier])
    assert not found.came_first([later, None])
    assert "before the first of the 2 cells" in found.words([later, later], what="cells")
    assert "when 1 of 2 cells were there: all of it is exploratory" in found.words(
        [later, earlier], what="cells"
    )
    study(tmp_path, TEXT.replace("positive", "negative"))
    assert "was changed after it was locked" in registered(path).words([later], what="cells")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("question: Why?\n", "it names no test"),
        ("- a\n", "dictionary|mapping|instance"),
        (TEXT.replace("positive", "up"), r"correlations.probes.rankme_text: Input should be 'positive'"),
        (TEXT + "note: x\n", "note: Extra inputs"),
        ("question: Why?\nslopes: [{dose: a, number: H, sign: none}]\n", "sign: none goes with a margin"),
        ("question: [\n", "needed a yaml file"),
        (TEXT + "question: Why?\n", "duplicate key"),
        (TEXT + "  score: h\n", "correlations.score: String should match"),
        (
            "question: Why?\nslopes: [{dose: a, number: H, sign: either, doses: [1, 0]}]\n",
            "smaller to the larger",
        ),
        (
            "question: Why?\nslopes: [{dose: a, number: H, sign: either, doses: [null, 0]}]\n",
            "slopes.0.doses.0",
        ),
        ("question: Why?\nslopes: [{dose: a, number: H, sign: none, margin: .inf}]\n", "finite number"),
        (
            "question: Why?\ncontrasts: [{objective: both, against: a, number: H, sign: either}]\n",
            "two objectives",
        ),
    ],
)
def test_what_is_no_study_is_refused_by_its_name(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=rf"mine.yaml: .*({words})"):
        read(study(tmp_path, text))


def test_a_damaged_lock_is_no_lock(tmp_path: Path) -> None:
    path = study(tmp_path)
    lock(path)
    whole = lock_of(path).read_text(encoding="utf-8")
    for text in ("sha256: 1\n", whole.replace("+00:00", "")):  # a date without its zone
        lock_of(path).write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=r"mine\.lock is damaged"):
            registered(path)


def test_the_command_locks_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = study(tmp_path)
    assert main(["lock", str(path)]) == 0
    assert registered(path).study.sha256 in capsys.readouterr().out
    assert main(["lock", str(tmp_path / "none.yaml")]) == 1
    assert main(["lock", "regularizer_studdy"]) == 1
    assert "regularizer_study" in capsys.readouterr().err


SLOPE = "question: Why?\nslopes: [{dose: centroid, number: H, sign: either}]\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            TEXT.replace("rankme_text", "rankme_txt"),
            "probe 'rankme_txt' is not there. Did you mean 'rankme_text'",
        ),
        (
            SLOPE.replace("centroid", "centriod"),
            "regulariser 'centriod' is not there. Did you mean 'centroid'",
        ),
        (SLOPE.replace("number: H", "number: h1"), "number 'h1' is not there"),
        (SLOPE.replace("sign", "objective: infonse, sign"), "objective 'infonse' is not there"),
    ],
)
def test_a_study_of_what_is_not_there_is_not_locked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    path = study(tmp_path, text)
    assert main(["lock", str(path)]) == 1
    assert words in " ".join(capsys.readouterr().err.split())
    assert not lock_of(path).exists()


def test_what_a_command_cannot_test_of_a_study_is_said_before_it_runs(tmp_path: Path) -> None:
    found = registered(study(tmp_path, TEXT + "  bench: order\n"))
    measured = {"probes": ["rankme_text"], "benches": ["order", "attribute"]}
    assert names.not_measured(found, **measured) is None
    told = names.not_measured(found, **measured | {"probes": ["rankme_audio"], "benches": ["ordre"]})
    assert str(told).startswith("Study mine registers rankme_text, order, which this command does not have")
    found = registered(study(tmp_path, SLOPE.replace("H,", "twonn_text, bench: order,")))
    names.check_trainings(found, probes=["twonn_text"], benches=["order"])
    with pytest.raises(ValueError, match="study mine: number 'twonn_text' is not there"):
        names.check_trainings(found, probes=["rankme_text"], benches=["order"])
    with pytest.raises(ValueError, match="study mine: benchmark 'order' is not there"):
        names.check_trainings(found, probes=["twonn_text"], benches=["attribute"])
