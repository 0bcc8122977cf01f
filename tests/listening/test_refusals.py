"""What is no listening study is refused in one sentence, with the file and the line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from listening_studies import Rating, long, ratings, web, written

from clapbench.listening import read_mushra, read_paired

ROWS = ratings()


def changed(place: int, **to: object) -> list[Rating]:
    listener, trial, stimulus, score = ROWS[place]
    new = {"listener": listener, "trial": trial, "stimulus": stimulus, "score": score, **to}
    return [*ROWS[:place], tuple(new.values()), *ROWS[place + 1 :]]  # type: ignore[list-item]


def refused(path: Path, **options: object) -> str:
    with pytest.raises(ValueError, match=re.escape(path.name)) as error:
        read_mushra(path, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_no_hidden_reference_says_which_stimuli_there_are(tmp_path: Path) -> None:
    rows = [(*row[:2], "original" if row[2] == "reference" else row[2], row[3]) for row in ROWS]
    told = refused(long(tmp_path / "x.csv", rows))
    assert (
        "line 2: needed a hidden reference among the stimuli, got anchor35, anchor70, original, sys_a, sys_b."
        in told
    )
    assert "reference=NAME" in told
    assert "needed reference= one of the stimuli" in refused(tmp_path / "x.csv", reference="nobody")
    two = [(*row[:2], "Reference" if row[2] == "sys_a" else row[2], row[3]) for row in ROWS]
    assert "needed one reference, got Reference and reference" in refused(long(tmp_path / "x.csv", two))


@pytest.mark.parametrize("score", [-1, 100.5, "nan", "inf", "good", "85,5"])
def test_scores_outside_of_the_scale(score: object, tmp_path: Path) -> None:
    told = refused(long(tmp_path / "x.csv", changed(6, score=score)))
    assert f"line 8: needed a score from 0 to 100, got '{score}' of listener u0, trial t1, stimulus" in told


def test_a_rating_that_is_there_twice_names_both_lines(tmp_path: Path) -> None:
    for write in (long, web):
        told = refused(write(tmp_path / "x.csv", [*ROWS, ROWS[3]]))
        assert (
            f"line {len(ROWS) + 2}: needed one score of listener u0, trial t0, stimulus {ROWS[3][2]}, got another"
            in told
        )
        assert "in line 5" in told


def test_a_session_that_was_sent_twice_without_an_id(tmp_path: Path) -> None:
    path = web(tmp_path / "x.csv", ROWS, own=("age",), uuid=False)
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([*lines, *lines[1:16]]) + "\n", encoding="utf-8")
    assert "line 62: needed different listeners, got lines 62 to 76 the same as those from line 2" in refused(
        path
    )


def test_gaps_name_the_listener_and_what_lacks(tmp_path: Path) -> None:
    told = refused(long(tmp_path / "x.csv", [row for row in ROWS if row[:3] != ("u1", "t2", "sys_b")]))
    assert "line 17: needed a score of each stimulus in each trial from each listener" in told
    assert "got none of listener u1, trial t2, stimulus sys_b; 1 of 60 lack. Take this listener out." in told
    told = refused(long(tmp_path / "x.csv", [row for row in ROWS if row[1:3] != ("t2", "sys_b")]))
    assert "(nor from anybody); 4 of 60 lack. If the study is blind, give its key" in told


def test_all_listeners_rejected(tmp_path: Path) -> None:
    rows = [(*row[:3], 50 if row[2] == "reference" else row[3]) for row in ROWS]
    told = refused(long(tmp_path / "x.csv", rows))
    assert (
        "needed a listener whom post-screening keeps, got 4 that it rejects (u0: hidden reference below 90 in 3"
        in told
    )
    assert (
        read_mushra(tmp_path / "x.csv", post_screening=False)
        .notes[0]
        .startswith("no post-screening: it would reject 4")
    )
    small = [(*row[:3], float(row[3]) / 100) for row in ROWS]  # type: ignore[arg-type]
    assert "The largest score is 1: the scale goes to 100." in refused(long(tmp_path / "x.csv", small))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "got an empty file"),
        (b" \n\n", "got an empty file"),
        (b"listener,trial,stimulus,score\n", "got a header and 0 rows"),
        (b"listener,trial,stimulus,score\nJ\xfcrgen,t,s,3\n", "line 2 holds the byte 0xfc"),
        (
            "listener,trial,stimulus,score\na,t,s,3\n".encode("utf-16"),
            "line 1 begins with the mark of UTF-16",
        ),
        (b"PK\x03\x04xx", "begins as a zip archive or an Excel workbook does"),
        (b"a,b\n1,2\n", "line 1: needed the columns listener, trial, stimulus, score, or webMUSHRA's"),
        (b"listener,trial,score\na,t,3\n", "It lacks: stimulus."),
        (b"listener,rater,trial,stimulus,score\na,b,t,s,3\n", "needed a hidden reference"),
        (
            b"rater,user,trial,stimulus,score\na,b,t,s,3\n",
            "needed one column for the listener, got rater and user",
        ),
        (b"listener,trial,stimulus,score\na,t,s\n", "line 2: needed 4 cells, as the header has, got 3"),
        (b"listener,trial,stimulus,score\na,t,s,3\n,t,s,4\n", "line 3: needed a listener, got an empty cell"),
        (b'listener,trial,stimulus,score\na,t,s,3\nb,"t" x,s,4\n', "line 3: is no CSV"),
    ],
)
def test_files_that_are_no_results(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    assert words in refused(tmp_path / "x.csv")


def test_a_questionnaire_that_changed_between_participants(tmp_path: Path) -> None:
    path = web(tmp_path / "x.csv", ROWS)
    later = web(tmp_path / "y.csv", [("v", *row[1:]) for row in ROWS if row[0] == "u0"], own=("email",))
    path.write_text(path.read_text("utf-8") + later.read_text("utf-8").split("\n", 1)[1], encoding="utf-8")
    assert "line 62: needed 9 cells, as the header has, got 8. Did the questionnaire change" in refused(path)


def test_pages_of_another_type_alone(tmp_path: Path) -> None:
    header = ["wm_type", "questionaire_uuid", "wm_id", "responses_stimulus", "responses_score"]
    path = written(tmp_path / "x.csv", header, [["bs1116", "u", "t", "s", 3]])
    assert "got a header and 0 rows of pages of type mushra" in refused(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    for read in (read_mushra, read_paired):
        with pytest.raises(FileNotFoundError, match="no such file"):
            read(tmp_path / "none.csv")
    with pytest.raises(FileNotFoundError, match=r"key .*no such file"):
        read_mushra(long(tmp_path / "x.csv", ROWS), key=tmp_path / "none.csv")


def test_a_key_of_another_study(tmp_path: Path) -> None:
    path, key = long(tmp_path / "x.csv", ROWS), tmp_path / "key.csv"
    header = ("trial", "stimulus", "system", "clip")
    written(key, header, [("t0", "sys_a", "mine", "clip"), ("t0", "reference", "reference", "clip")])
    told = refused(path, key=key)
    assert "needed what" in told
    assert "has sys_a, reference. Give the key of this study." in told
    written(key, header, [("t9", "sys_a", "mine", "clip")])
    assert "lacks that trial" in refused(path, key=key)
    written(key, header, [("t0", "c1", "mine", "clip")] * 2)
    with pytest.raises(ValueError, match=r"key\.csv line 3: needed each stimulus of a trial once"):
        read_mushra(path, key=key)
    for content, words in (
        ("a,b\n1,2\n", "needed the columns trial, stimulus, system, clip"),
        ("", "it is empty"),
    ):
        key.write_text(content)
        with pytest.raises(ValueError, match=words):
            read_mushra(path, key=key)
