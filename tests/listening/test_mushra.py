"""MUSHRA results: golden numbers, other seeds by plain loops, the forms that files come in, and post-screening."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path

import numpy as np
import pytest
from listening_studies import STIMULI, Rating, long, ratings, web, written

from clapbench.listening import read_mushra
from clapbench.listening.mushra import judged
from clapbench.listening.screening import screen

REFERENCE = Path(__file__).parents[1] / "reference" / "generation"
CSV = REFERENCE / "mushra.csv"
GOLDEN = json.loads((REFERENCE / "listening_golden.json").read_text("utf-8"))


def test_golden_rejections_and_scores_are_exact() -> None:
    found = read_mushra(CSV)
    assert found.rejected == {
        "uuid-03": "hidden reference below 90 in 2 of 8 trials (25 %; at most 15 %)",
        "uuid-07": "hidden reference below 90 in 5 of 8 trials (62.5 %; at most 15 %)",
        "uuid-09": "mid anchor above 90 in 2 of 8 trials (25 %; at most 15 %)",
    }
    assert {
        listener: why[: len(GOLDEN["rejected"][listener])] for listener, why in found.rejected.items()
    } == (GOLDEN["rejected"])
    assert (found.mean, found.median, found.iqr) == (GOLDEN["mean"], GOLDEN["median"], GOLDEN["iqr"])
    assert read_mushra(CSV, post_screening=False).mean == GOLDEN["mean_all_listeners"]
    assert found.ratings.shape == (14, 8, 8)
    assert found.systems == ("sys_a", "sys_b", "sys_c", "sys_d", "sys_e")
    assert (found.reference, found.anchors) == ("reference", ("anchor35", "anchor70"))
    assert found.notes == ("11 listeners: fewer than 20, the number that BS.1534-3 calls often sufficient",)
    assert not found.simulated


def test_golden_reliability_and_preferences() -> None:
    found = read_mushra(CSV)
    icc = GOLDEN["icc_systems_by_listeners"]
    assert found.reliability.single.value == pytest.approx(icc["icc2"], abs=1e-9)
    assert found.reliability.mean.value == pytest.approx(icc["icc2k"], abs=1e-9)
    assert found.reliability.alpha.value == pytest.approx(GOLDEN["krippendorff_interval"], abs=1e-9)
    for figure in (found.reliability.single, found.reliability.mean, found.reliability.alpha):
        assert figure.ci95.low < figure.value < figure.ci95.high
    paired = found.preferences()
    wins = paired.wins.sum(axis=0) + 0.5 * ~np.eye(5, dtype=bool)
    assert wins.tolist() == GOLDEN["wins_plus_half"]
    assert paired.strength == pytest.approx(GOLDEN["bradley_terry"], abs=1e-9)
    assert paired.answers == 11 * 8 * 10


@pytest.mark.parametrize("seed", range(3))
def test_other_seeds_by_plain_loops(seed: int, tmp_path: Path) -> None:
    rows = ratings(listeners=5, trials=4, seed=seed)
    found = read_mushra(web(tmp_path / "mushra.csv", rows))
    for stimulus in STIMULI:
        scores = [float(score) for _, _, one, score in rows if one == stimulus]
        assert found.mean[stimulus] == pytest.approx(statistics.fmean(scores), abs=1e-12)
        assert found.median[stimulus] == statistics.median(scores)
        low, _, high = statistics.quantiles(scores, n=4, method="inclusive")
        assert found.iqr[stimulus] == pytest.approx(high - low, abs=1e-12)
        assert found.interval[stimulus].low <= found.mean[stimulus] <= found.interval[stimulus].high
    better = sum(
        a > b
        for who in {row[0] for row in rows}
        for trial in {row[1] for row in rows}
        for a in [float(r[3]) for r in rows if r[:3] == (who, trial, "sys_a")]
        for b in [float(r[3]) for r in rows if r[:3] == (who, trial, "sys_b")]
    )
    assert np.floor(found.preferences().wins.sum(axis=0)[0, 1]) == better


def test_the_order_of_rows_and_the_seed_of_draws_decide_no_score(tmp_path: Path) -> None:
    rows = ratings()
    found = read_mushra(long(tmp_path / "a.csv", rows))
    turned = [rows[place] for place in np.random.default_rng(1).permutation(len(rows))]
    again = read_mushra(long(tmp_path / "b.csv", turned))
    assert (again.ratings == found.ratings).all()
    assert (again.mean, again.interval, again.reliability) == (found.mean, found.interval, found.reliability)
    other = read_mushra(tmp_path / "a.csv", seed=1, draws=500)
    assert other.mean == found.mean
    assert other.interval != found.interval
    assert other.resampled.shape == (500, 5)


def test_a_difference_is_surer_than_its_sides_where_listeners_differ_as_a_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x = np.tile([95.0, 60.0, 50.0], (12, 6, 1))
    x[..., 1:] += rng.normal(0, 8, (12, 1, 1)) + rng.normal(0, 2, (12, 6, 2))
    found = judged(
        x, listeners=[f"l{i}" for i in range(12)], trials=[f"t{i}" for i in range(6)], stimuli=["reference", "a", "b"],
        reference="reference",
    )  # fmt: skip
    gap = found.difference("a", "b")
    assert gap.value == pytest.approx(found.mean["a"] - found.mean["b"])
    assert gap.ci95.high - gap.ci95.low < 0.5 * (found.interval["a"].high - found.interval["a"].low)
    with pytest.raises(KeyError, match="needed a stimulus"):
        found.difference("a", "nobody")


# ---- the forms that files come in


def same(path: Path, expected: list[Rating], **options: object) -> None:
    found = read_mushra(path, **options)
    scores = {stimulus: [float(row[3]) for row in expected if row[2] == stimulus] for stimulus in STIMULI}
    assert found.mean == pytest.approx(
        {one: sum(held) / len(held) for one, held in scores.items()}, abs=1e-12
    )


def test_own_columns_may_be_called_anything(tmp_path: Path) -> None:
    rows = ratings()
    for own in ((), ("email",), ("listener", "score", "trial"), ("rater", "stimulus", "system", "test")):
        same(web(tmp_path / "mushra.csv", rows, own=own), rows)


def test_older_files_have_no_session_uuid(tmp_path: Path) -> None:
    """By their own columns; and with none, or the same answers of all, by where a rating comes again."""
    rows = ratings(listeners=4, trials=2)
    for own in (("email", "age"), ()):
        path = web(tmp_path / "mushra.csv", rows, own=own, uuid=False)
        same(path, rows)
        found = read_mushra(path)
        assert found.listeners == ("lines 12 to 21", "lines 2 to 11", "lines 22 to 31", "lines 32 to 41")
        assert "no column session_uuid: 4 listeners are told apart" in found.notes[0]


def test_missing_session_ids_are_filled_by_the_rows(tmp_path: Path) -> None:
    rows = ratings(listeners=3, trials=2)
    blank = [("" if row[0] == "u1" else row[0], *row[1:]) for row in rows]
    path = web(tmp_path / "mushra.csv", [(row[0], *row[1:]) for row in blank], own=())
    found = read_mushra(path)
    assert found.listeners == ("lines 12 to 21", "u0", "u2")
    assert "no session id in 10 rows: 1 listeners" in found.notes[0]
    same(path, rows)


def test_test_ids_that_differ_in_case_are_one_and_others_are_chosen(tmp_path: Path) -> None:
    rows = ratings(listeners=2)
    path = web(tmp_path / "a.csv", rows, test="My Study")
    more = web(tmp_path / "b.csv", [(f"{row[0]}b", *row[1:]) for row in rows], test="my-study").read_text(
        "utf-8"
    )
    path.write_text(path.read_text("utf-8") + more, encoding="utf-8")
    found = read_mushra(path)
    assert len(found.listeners) == 4
    assert "its header stands 2 times, as in files that were joined" in found.notes
    other = web(tmp_path / "c.csv", [(f"{row[0]}c", *row[1:]) for row in rows], test="pilot").read_text(
        "utf-8"
    )
    path.write_text(path.read_text("utf-8") + other, encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.csv line 64: needed one test, got 2: My Study, pilot"):
        read_mushra(path)
    assert len(read_mushra(path, test="my study").listeners) == 4
    assert len(read_mushra(path, test="PILOT").listeners) == 2
    with pytest.raises(ValueError, match="needed a test of the file"):
        read_mushra(path, test="third")


def test_pymushras_semicolons_and_names(tmp_path: Path) -> None:
    rows = ratings()
    lines = [["mushra", "study", who, 30, trial, stimulus, score] for who, trial, stimulus, score in rows]
    lines.append(["paired_comparison", "study", "u0", 30, "pc", "", ""])
    header = ["wm_type", "wm_testId", "questionaire_uuid", "questionaire_age", "wm_id", "responses_stimulus"]
    same(written(tmp_path / "p.csv", [*header, "responses_score"], lines, separator=";"), rows)


@pytest.mark.parametrize(
    "header",
    [
        ("participant", "item", "condition", "rating"),
        ("Subject", "Trial", "Stimulus", "Score"),
        ("assessor", "trial_id", "system", "score"),
    ],
)
def test_plain_tables_with_other_names(header: tuple[str, ...], tmp_path: Path) -> None:
    rows = ratings()
    same(long(tmp_path / "long.csv", rows, header=header), rows)


def test_marks_line_ends_and_empty_rows_are_read(tmp_path: Path) -> None:
    rows = ratings()
    text = long(tmp_path / "long.csv", rows).read_text("utf-8").replace("\r\n", "\n").replace("u1", '"u,1"')
    for content in (
        "\ufeff" + text.replace("\n", "\r\n"),
        text.replace("\n", "\n\n"),
        text.replace(",", "\t"),
    ):
        content = content.replace('"u\t1"', '"u,1"')
        (tmp_path / "x.csv").write_bytes(content.encode())
        same(tmp_path / "x.csv", rows)
        assert "u,1" in read_mushra(tmp_path / "x.csv").listeners


def test_the_practice_page_is_no_rating(tmp_path: Path) -> None:
    rows = ratings()
    practice = [(row[0], "training", row[2], 0) for row in rows if row[1] == "t0"]
    path = web(tmp_path / "mushra.csv", [*practice, *rows])
    same(path, rows)
    assert "the trial 'training' is left out" in read_mushra(path).notes


def test_reference_and_anchors_by_name(tmp_path: Path) -> None:
    rows = ratings()
    names = {"reference": "original", "anchor70": "narrow", "anchor35": "dull"}
    path = long(tmp_path / "x.csv", [(*row[:2], names.get(row[2], row[2]), row[3]) for row in rows])
    found = read_mushra(path, reference="original", mid_anchor="narrow", low_anchor="dull")
    assert (found.reference, found.anchors, found.systems) == (
        "original",
        ("dull", "narrow"),
        ("sys_a", "sys_b"),
    )
    bare = read_mushra(path, reference="original")
    assert bare.systems == ("dull", "narrow", "sys_a", "sys_b")
    assert (
        "no mid anchor (7 kHz) among the stimuli: post-screening is by the hidden reference alone"
        in bare.notes
    )
    known = {"reference": "Hidden Reference", "anchor70": "mid-anchor", "anchor35": "LP 3.5"}
    found = read_mushra(long(path, [(*row[:2], known.get(row[2], row[2]), row[3]) for row in rows]))
    assert (found.reference, found.anchors) == ("Hidden Reference", ("LP 3.5", "mid-anchor"))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    found = read_mushra(CSV)
    (tmp_path / "long.csv").write_text(found.to_csv(), encoding="utf-8")
    again = read_mushra(tmp_path / "long.csv")
    assert (again.mean, again.rejected, again.listeners) == (found.mean, found.rejected, found.listeners)
    with (tmp_path / "long.csv").open(encoding="utf-8") as file:
        assert next(csv.reader(file)) == ["listener", "trial", "stimulus", "score"]


# ---- post-screening


def test_fifteen_percent_is_within_the_limit_and_more_is_not() -> None:
    reference = np.full((3, 20), 95.0)
    reference[0, :3], reference[1, :4], reference[2] = 89, 89, 90
    assert screen(reference).rejected == {
        1: "hidden reference below 90 in 4 of 20 trials (20 %; at most 15 %)"
    }


def test_both_rules_are_told() -> None:
    reference, mid = np.full((5, 4), 95.0), np.full((5, 4), 40.0)
    reference[2, 0] = 10
    mid[2, 1] = 91
    mid[3] = 90
    (reason,) = screen(reference, mid).rejected.values()
    assert reason == (
        "hidden reference below 90 in 1 of 4 trials (25 %; at most 15 %); mid anchor above 90 in 1 of 4 trials (25 %; "
        "at most 15 %)"
    )


def test_a_trial_in_which_many_take_the_anchor_for_the_reference_does_not_count() -> None:
    reference, mid = np.full((8, 4), 95.0), np.full((8, 4), 40.0)
    mid[:2, 0] = 95  # 25 %: it counts
    assert sorted(screen(reference, mid).rejected) == [0, 1]
    mid[2, 0] = 95  # 37.5 %
    assert screen(reference, mid) == ({}, (0,))
    mid[5, 1] = 95  # of the other three trials one
    found = screen(reference, mid)
    assert found.rejected == {5: "mid anchor above 90 in 1 of 3 trials (33.3 %; at most 15 %)"}
    mid[:] = 95
    assert screen(reference, mid) == ({}, (0, 1, 2, 3))


def test_waived_trials_are_told(tmp_path: Path) -> None:
    rows = [(*row[:3], 95 if row[1:3] == ("t1", "anchor70") else row[3]) for row in ratings()]
    found = read_mushra(long(tmp_path / "x.csv", rows))
    assert found.rejected == {}
    assert any("above 90 for more than 25 % of the listeners in t1" in note for note in found.notes)


def test_notes_warn_of_few_listeners_and_of_a_reference_that_is_not_at_the_top(tmp_path: Path) -> None:
    rows = [(*row[:3], 100 if row[2] == "sys_a" else row[3]) for row in ratings(listeners=20)]
    (note,) = read_mushra(long(tmp_path / "x.csv", rows)).notes
    assert note.startswith("the hidden reference is not at the top: sys_a has 100.0, it has 9")


def test_one_listener_or_trial_has_scores_and_no_interval(tmp_path: Path) -> None:
    for listeners, trials in ((1, 3), (3, 1)):
        found = read_mushra(long(tmp_path / "x.csv", ratings(listeners=listeners, trials=trials)))
        assert set(found.interval.values()) == {None}
        assert found.resampled is None
        assert found.difference("sys_a", "sys_b").ci95 is None
        assert found.reliability.note is not None
