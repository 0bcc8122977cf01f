"""The pointers of a diagnosis, one rule at a time, on the same items and the same draws."""

from __future__ import annotations

import numpy as np
import pytest

from clapbench.study.diagnosis import NOT_SEPARABLE, diagnose
from clapbench.study.evidence import Draws, Evidence

N = 200
NOISE = np.random.default_rng(0).permutation(
    np.linspace(-1.7, 1.7, 40)
)  # what a draw of items does to every model


def draws(*means: float, spread: float = 0.1, own: int = 1, most: int = 64) -> Draws:
    """40 draws of half of the items, a row for each seed: noise that all models share, and a little of their own."""
    rng = np.random.default_rng(own)
    rows = [mean + 5 * spread * NOISE + spread * rng.standard_normal(40) for mean in means]
    return Draws(np.array(rows), 0.5, 200, most)


RANK, ANGLE = draws(40), draws(20)


def model(
    name: str, *hits: float, rank: Draws | None = RANK, angle: Draws | None = ANGLE, **other
) -> Evidence:
    """One with so many shares of the items right, a share for each seed; the first of them."""
    rows = np.stack([np.arange(N) < round(share * N) for share in hits])
    about = {"bench": "b", "items": "i", "chance": 1 / 6, "low": min(hits) - 0.04, "high": max(hits) + 0.04}
    found = {"hits": rows, "h": float(rows.mean()), **about, **other}
    return Evidence(model=name, rank=rank, angle=angle, **found)


@pytest.mark.parametrize(
    ("rank", "angle", "verdict", "words"),
    [
        (draws(30, own=2), ANGLE, "text encoder", "text rank 30.0 is lower than its 40.0 (-10.0, -10"),
        (draws(30, own=2), ANGLE, "text encoder", "modality angle 20.0 is level with its 20.0 ("),
        (
            draws(30, own=2),
            draws(60),
            "text encoder",
            "text encoder, and the joint alignment may share in it.",
        ),
        (draws(30, own=2), draws(5), "text encoder", "is narrower than its"),
        (draws(50, own=2), draws(60), "joint alignment", "is higher than its 4"),
        (draws(40.5, own=2), draws(60), "joint alignment", "is level with its"),
        (draws(41, own=2, spread=60), draws(60), "joint alignment", "the text encoder is not ruled out."),
        (draws(41, own=2, spread=60), ANGLE, "not separable", "is not resolved from its"),
        (draws(50, own=2), draws(5), "not separable", NOT_SEPARABLE),
        (None, ANGLE, "no evidence", "were not drawn for both"),
    ],
)
def test_a_low_model_is_pointed_at_by_what_sets_it_apart(rank, angle, verdict, words):
    low, best = diagnose([model("low", 0.4, rank=rank, angle=angle), model("best", 0.9)])
    assert (low.model, low.bench, low.verdict, low.against) == ("low", "b", verdict, "best")
    assert low.words.startswith("H .400 (.360 to .440) is below best's .900: -.500 (-.5")
    assert words in low.words
    assert best.verdict == "reference"
    assert (best.against, best.difference) == (None, None)


def test_the_same_draws_are_compared_one_by_one():
    """What a draw of items does to both goes out: unpaired, these two ranks would not be told apart."""
    near = model("low", 0.4, rank=draws(39, own=2, spread=0.5))
    far = model("best", 0.9, rank=draws(44, spread=0.5))
    assert far.rank.values.std() > 2
    assert diagnose([near, far])[0].verdict == "text encoder"
    shuffled = far.rank._replace(values=far.rank.values[:, ::-1])
    low = diagnose([near, far._replace(rank=shuffled)])[0]
    assert low.verdict == "not separable"


def test_models_of_the_same_items_right_are_level_whatever_the_rank():
    found = diagnose([model("near", 0.9, rank=draws(10), angle=draws(90)), model("best", 0.9)])
    assert [one.verdict for one in found] == ["reference", "level"]
    assert (
        "is level with near's .900: .000 (-.019 to .019; p 1.000), within .050 either way." in found[1].words
    )


def test_what_is_neither_below_nor_level_is_not_told_apart():
    """Twelve items that one alone gets right, ten the other."""
    near, best = model("near", 0.5), model("best", 0.51)
    hits = best.hits.copy()
    hits[0, :20], hits[0, 180:] = False, True
    found = diagnose([near, best._replace(hits=hits)])[0]
    assert found.verdict == "not separable"
    assert found.p_holm > 0.05
    assert found.low < -0.05
    assert found.words.endswith(f"), {NOT_SEPARABLE}.")


def test_holm_counts_every_pair_of_models():
    hits = [0.5, 0.535, 0.535, 0.535]  # seven items apart: p .016
    two = diagnose([model("a", hits[0]), model("b", hits[1])])[0]
    four = diagnose([model(name, share) for name, share in zip("abcd", hits, strict=True)])[0]
    assert two.p == four.p == pytest.approx(0.0156, abs=1e-4)
    assert two.p_holm == two.p
    assert four.p_holm == pytest.approx(6 * four.p)
    assert "after Holm over 6 pairs of models" in four.words
    assert four.verdict == "not separable"


def test_the_verdict_is_the_same_from_either_side():
    one, other = model("one", 0.4), model("other", 0.9)
    assert [found.verdict for found in diagnose([one, other])] == [
        found.verdict for found in reversed(diagnose([other, one]))
    ]


def test_ranks_of_different_dimension_are_shares_of_the_most_there_can_be():
    small = model("small", 0.4, rank=draws(40, own=2, most=64))
    large = model("large", 0.9, rank=draws(100, most=200))
    found = diagnose([small, large])[0]
    assert "text rank 0.6" in found.words
    assert "is higher than its 0.5" in found.words
    assert "of the most there can be at 200 rows" in found.words
    assert diagnose([small, large._replace(rank=draws(100, most=64))])[0].verdict == "text encoder"


def test_seeds_of_one_recipe_are_no_rivals():
    recipe = model(
        "vicreg", 0.5, 0.6, 0.7, rank=draws(39, 40, 41), angle=draws(20, 20, 20), seeds=tuple("abc")
    )
    best = model("plain", 0.9)
    found = diagnose([recipe, best])[0]
    assert found.words.startswith(
        "H .600, mean of 3 seeds of one recipe, no rivals (.460 to .740) is below plain's"
    )
    assert found.low < -0.3 < found.high < 0
    apart = diagnose([model("vicreg", 0.3, 0.6, 0.9, seeds=tuple("abc")), best])[0]
    assert apart.verdict == "not separable"  # its seeds differ more than it does from the other


def test_models_are_compared_on_the_same_items_of_one_benchmark_alone():
    found = diagnose(
        [model("a", 0.9, bench="x"), model("b", 0.4), model("c", 0.9), model("d", 0.4, items="j")]
    )
    assert [one.verdict for one in found[::2]] == ["no evidence", "reference"]
    assert "the only model on this benchmark" in found[0].words
    assert found[1].against == "c"
    assert found[3].verdict == "no evidence"


def test_a_model_without_its_items_is_told():
    found = diagnose([model("a", 0.4, hits=None), model("b", 0.9), model("c", 0.4)])
    assert found[0].verdict == "no evidence"
    assert "items of this model or of b are not at hand" in found[0].words
    assert found[2].against == "b"


def test_the_best_model_is_told_when_it_is_below_chance():
    found = diagnose([model("a", 0.05), model("b", 0.03)])
    words = "the highest of 2 models, and below the chance of independent similarities (.167)"
    assert words in found[0].words
    assert "chance" not in diagnose([model("a", 0.9), model("b", 0.4)])[0].words
