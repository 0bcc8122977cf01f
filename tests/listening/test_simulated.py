"""Simulated listeners say so, find what they were told, and some of them do not listen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clapbench.listening import read_mushra, simulate

QUALITIES = {"a": 80.0, "b": 65.0, "c": 50.0, "d": 30.0}


def test_what_is_simulated_is_labelled_also_after_a_file(tmp_path: Path) -> None:
    found = simulate(QUALITIES)
    assert found.simulated
    assert found.preferences().simulated
    assert found.notes[0] == "the listeners are simulated: they say nothing of how anything sounds"
    (tmp_path / "x.csv").write_text(found.to_csv(), encoding="utf-8")
    again = read_mushra(tmp_path / "x.csv")
    assert again.simulated
    assert (again.mean, again.notes) == (found.mean, found.notes)


def test_the_qualities_come_back() -> None:
    found = simulate(QUALITIES, listeners=200, trials=40, seed=1)
    for name, quality in {**QUALITIES, "anchor70": 40.0}.items():
        assert found.mean[name] == pytest.approx(quality, abs=2.5)
    assert found.rejected == {}
    assert found.notes == ("the listeners are simulated: they say nothing of how anything sounds",)


def test_the_careless_are_rejected_and_nobody_else() -> None:
    found = simulate(QUALITIES, listeners=24, careless=4, seed=2)
    assert list(found.rejected) == ["simulated_21", "simulated_22", "simulated_23", "simulated_24"]


def test_more_noise_is_less_reliable_and_wider() -> None:
    calm, loud = (simulate(QUALITIES, noise=noise, seed=3) for noise in (2.0, 30.0))
    assert calm.reliability.single.value > loud.reliability.single.value
    width = [one.interval["b"].high - one.interval["b"].low for one in (calm, loud)]
    assert width[0] < width[1]


def test_the_seed_decides() -> None:
    assert (simulate(QUALITIES, seed=4).ratings == simulate(QUALITIES, seed=4).ratings).all()
    assert not np.array_equal(simulate(QUALITIES, seed=4).ratings, simulate(QUALITIES, seed=5).ratings)


@pytest.mark.parametrize(
    ("qualities", "options", "words"),
    [
        ({}, {}, "needed qualities"),
        ({"a": 101.0}, {}, "needed qualities from 0 to 100"),
        ({"reference": 90.0}, {}, "not called reference"),
        (QUALITIES, {"listeners": 3, "careless": 3}, "more listeners than careless ones"),
        (QUALITIES, {"noise": -1.0}, "deviations of at least 0"),
    ],
)
def test_refusals(qualities: dict[str, float], options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        simulate(qualities, **options)
