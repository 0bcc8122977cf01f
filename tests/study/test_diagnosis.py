"""The pointers of a diagnosis, one rule at a time."""

from __future__ import annotations

import pytest

from clapbench.study.diagnosis import NOT_SEPARABLE, Evidence, Span, diagnose

HIGH, LOW = Span(0.9, 0.85, 0.94), Span(0.4, 0.35, 0.45)
RANK, ANGLE = Span(40, 39, 41), Span(20, 19, 21)


def cell(model: str, height: Span, rank: Span | None = RANK, angle: Span | None = ANGLE, **other) -> Evidence:
    return Evidence(
        **{"bench": "b", "n_items": 50, "chance": 1 / 6, "n_text": 200} | other,
        model=model,
        h=height,
        rank=rank,
        angle=angle,
    )


@pytest.mark.parametrize(
    ("rank", "angle", "verdict", "words"),
    [
        (
            Span(30, 29, 31),
            ANGLE,
            "text encoder",
            "text rank 30.0 (29.0 to 31.0) is lower than its 40.0 (39.0 to 41.0) at 200 rows",
        ),
        (Span(30, 29, 31), Span(60, 58, 62), "text encoder", "so the joint alignment may share in it"),
        (Span(50, 49, 51), Span(60, 58, 62), "joint alignment", "is higher than its 40.0"),
        (
            Span(40, 38, 42),
            Span(60, 58, 62),
            "joint alignment",
            "text rank 40.0 (38.0 to 42.0) is level with its 40.0",
        ),
        (Span(38, 36, 39.5), Span(20, 18, 22), "not separable", NOT_SEPARABLE),
        (
            Span(50, 49, 51),
            Span(10, 9, 11),
            "not separable",
            "modality angle 10.0 (9.0 to 11.0) is narrower than its 20.0",
        ),
        (None, ANGLE, "no evidence", "were not drawn"),
    ],
)
def test_a_low_cell_is_pointed_at_by_what_sets_it_apart(rank, angle, verdict, words):
    low, best = diagnose([cell("low", LOW, rank, angle), cell("best", HIGH)])
    assert (low.model, low.bench, low.verdict) == ("low", "b", verdict)
    assert low.words.startswith("H .400 (.350 to .450) is below best's .900 (.850 to .940)")
    assert words in low.words
    assert best.verdict == "reference"


def test_heights_whose_intervals_overlap_are_not_told_apart_whatever_the_rank():
    near = cell("near", Span(0.84, 0.79, 0.88), rank=Span(10, 9, 11), angle=Span(90, 89, 91))
    found = diagnose([near, cell("best", HIGH)])[0]
    assert found.verdict == "not separable"
    assert found.words.endswith(f"overlaps best's .900 (.850 to .940): {NOT_SEPARABLE}.")


def test_cells_are_compared_within_their_benchmark_alone():
    found = diagnose([cell("a", HIGH, bench="x"), cell("b", LOW, bench="y"), cell("c", HIGH, bench="y")])
    assert [one.verdict for one in found] == ["no evidence", found[1].verdict, "reference"]
    assert "the only model on this benchmark" in found[0].words
    assert "c's .900" in found[1].words


def test_another_number_of_items_is_another_benchmark():
    found = diagnose([cell("a", HIGH), cell("b", LOW, n_items=51), cell("c", LOW)])
    assert [one.verdict for one in found] == ["reference", "no evidence", "not separable"]


def test_the_best_cell_is_told_when_it_is_below_chance():
    found = diagnose([cell("a", Span(0.05, 0.03, 0.08)), cell("b", Span(0.03, 0.02, 0.05))])
    assert (
        "the highest of 2 models, and below the chance of independent similarities (.167)" in found[0].words
    )
    assert "chance" not in diagnose([cell("a", HIGH), cell("b", LOW)])[0].words
