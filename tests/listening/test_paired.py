"""Paired preferences: webMUSHRA's file and plain tables, strengths, and refusals."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from listening_studies import WEB_PAIRED, written

from clapbench.listening import read_paired
from clapbench.listening.paired import is_paired
from clapbench.statistics.preferences import bradley_terry

TRUE = {"a_net": 1.0, "b_net": 0.0, "c_net": -1.0}
HEADER = ("listener", "trial", "a", "b", "winner")


def answers(*, listeners: int = 12, trials: int = 5, seed: int = 0) -> list[tuple[str, str, str, str, str]]:
    rng = np.random.default_rng(seed)
    found = []
    for listener in range(listeners):
        for trial in range(trials):
            for a, b in (("a_net", "b_net"), ("c_net", "a_net"), ("b_net", "c_net")):
                wins = rng.random() < 1 / (1 + np.exp(TRUE[b] - TRUE[a]))
                found.append((f"u{listener:02d}", f"t{trial}", a, b, a if wins else b))
    return found


def test_strengths_are_those_of_the_counted_wins(tmp_path: Path) -> None:
    rows = answers()
    found = read_paired(written(tmp_path / "x.csv", HEADER, rows))
    names = sorted(TRUE)
    wins = np.array(
        [[sum({a, b} == {i, j} and w == i for _, _, a, b, w in rows) * 1.0 for j in names] for i in names]
    )
    assert list(found.strength.values()) == pytest.approx(
        bradley_terry(wins * ~np.eye(3, dtype=bool)), abs=1e-12
    )
    assert found.answers == len(rows)
    assert sorted(found.strength, key=found.strength.__getitem__) == ["c_net", "b_net", "a_net"]
    for name in names:
        assert found.interval[name].low < TRUE[name] < found.interval[name].high
        won = [w == name for _, _, a, b, w in rows if name in (a, b)]
        assert found.share[name] == pytest.approx(np.mean(won))


def test_the_words_for_a_choice(tmp_path: Path) -> None:
    rows = [(who, a, b, "A" if won == a else "second") for who, _, a, b, won in answers(trials=1)]
    rows[0] = (*rows[0][:3], "tie")
    found = read_paired(written(tmp_path / "x.csv", ("rater", "left", "right", "preferred"), rows))
    expected = read_paired(written(tmp_path / "y.csv", HEADER, answers(trials=1)))
    assert np.abs(found.wins - expected.wins).sum() == pytest.approx(1.0)  # half a win moved to the other
    assert found.answers == expected.answers


def test_webmushras_file_without_ids(tmp_path: Path) -> None:
    """A new listener begins where a pair comes again; "unknown" is no answer."""
    words = ["correct", "incorrect", "undecided", "unknown"]
    rows = [
        ["study", 30, trial, "reference", stimulus, words[(i + j + k) % 4], 900]
        for i in range(3)
        for j, trial in enumerate(("t1", "t2"))
        for k, stimulus in enumerate(("c1", "c2"))
    ]
    path = written(tmp_path / "paired_comparison.csv", ("session_test_id", "age", *WEB_PAIRED), rows)
    found = read_paired(path)
    assert len(found.listeners) == 3
    assert found.stimuli == ("c1", "c2", "reference")
    given = [row for row in rows if row[5] != "unknown"]
    assert found.answers == len(given)
    won = sum({"correct": 1, "incorrect": 0, "undecided": 0.5}[str(row[5])] for row in given)
    assert found.wins.sum(axis=0)[2].sum() == won
    assert f"{len(rows) - len(given)} of {len(rows)} answers are 'unknown' and left out" in found.notes


def test_a_key_tells_what_a_pages_reference_is(tmp_path: Path) -> None:
    key = written(
        tmp_path / "key.csv",
        ("trial", "stimulus", "system", "clip"),
        [
            ("t1", "reference", "a_net", "x"),
            ("t1", "c1", "b_net", "x"),
            ("t2", "reference", "b_net", "x"),
            ("t2", "c1", "c_net", "x"),
        ],
    )
    rows = [["study", f"{i}", t, "reference", "c1", "correct", 9] for i in range(2) for t in ("t1", "t2")]
    path = written(tmp_path / "p.csv", ("session_test_id", "name", *WEB_PAIRED), rows)
    found = read_paired(path, key=key)
    assert found.stimuli == ("a_net", "b_net", "c_net")
    assert found.strength["a_net"] > found.strength["b_net"] > found.strength["c_net"]


def test_what_a_file_holds_is_seen_by_its_columns(tmp_path: Path) -> None:
    for header, paired in (
        (("session_test_id", *WEB_PAIRED), True),
        (HEADER, True),
        (("listener", "trial", "stimulus", "score"), False),
        (("session_test_id", "answer", "trial_id", "rating_stimulus", "rating_score"), False),
    ):
        assert is_paired(written(tmp_path / "x.csv", header, [["x"] * len(header)])) is paired


def test_one_listener_has_strengths_and_no_interval(tmp_path: Path) -> None:
    found = read_paired(written(tmp_path / "x.csv", HEADER, answers(listeners=1)))
    assert set(found.interval.values()) == {None}
    assert set(found.strength) == set(TRUE)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("u", "t", "x", "y", "z")], "line 2: needed x, y or tie as the preferred one, got 'z'"),
        ([("u", "t", "x", "x", "x")], "line 2: needed two different stimuli, got x twice"),
        (
            [("u", "t", "x", "y", "x"), ("u", "t", "y", "x", "x")],
            "line 3: needed one answer of listener u to y and x in trial t, got another in line 2",
        ),
        (
            [("u", "t", "x", "y", "x"), ("u", "t", "v", "w", "v")],
            "needed pairs that link all stimuli, got none between v, w and x, y",
        ),
        ([("u", "t", "x", "y", "")], "line 2: needed a choice, got an empty cell"),
    ],
)
def test_refusals_name_the_line(rows: list[tuple[str, ...]], words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        read_paired(written(tmp_path / "x.csv", HEADER, rows))


def test_webmushras_own_refusals(tmp_path: Path) -> None:
    header = ("session_test_id", *WEB_PAIRED)
    for word, words in (
        ("maybe", "line 2: needed correct, incorrect, undecided, unknown, got 'maybe'"),
        ("unknown", "needed an answer, got 1 that are 'unknown'"),
    ):
        with pytest.raises(ValueError, match=words):
            read_paired(written(tmp_path / "x.csv", header, [["s", "t", "reference", "c1", word, 9]]))
