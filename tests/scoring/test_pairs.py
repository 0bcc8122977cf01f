"""F, G and H under the four protocols: against plain loops, by hand, with ties, and their chance by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from oracles import by_loop

from clapbench.schema import Case, Embeddings
from clapbench.scoring import pairs, similarity
from clapbench.scoring.pairs import Items


def benchmark(
    n: int, *, d: int = 6, third: int = 0, seed: int = 0, levels: int = 0
) -> tuple[Embeddings, list[Case]]:
    """Random unit rows of ``n`` items; ``third`` of them have a third pair; few ``levels`` make cosines tie."""
    rng = np.random.default_rng(seed)
    cases, clips, captions = [], [], []
    for item in range(n):
        k = 3 if item < third else 2
        own_clips = tuple(f"{item}_{way}.wav" for way in "prt"[:k])
        own_captions = tuple(f"{item} {way}" for way in "prt"[:k])
        clips += own_clips
        captions += own_captions
        match = tuple(tuple(i == j for j in range(k)) for i in range(k))
        cases.append(Case(clips=own_clips, captions=own_captions, match=match))

    def rows(count: int) -> np.ndarray:
        if levels:  # few directions, so that many cosines are bitwise equal
            return np.eye(d, dtype=np.float32)[rng.integers(levels, size=count)]
        x = rng.standard_normal((count, d))
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    embeddings = Embeddings(
        audio=rows(len(clips)), audio_id=tuple(clips), text=rows(len(captions)), text_id=tuple(captions)
    )
    return embeddings, cases


@pytest.mark.parametrize(("levels", "seed"), [(0, 0), (0, 1), (3, 2), (5, 3)])
def test_every_protocol_is_a_plain_loop_over_its_definition(levels: int, seed: int) -> None:
    embeddings, cases = benchmark(60, third=25, seed=seed, levels=levels)
    judgement = pairs.judge(embeddings, cases, protocol="official")
    expected = by_loop(embeddings, cases)
    for protocol, values in expected.items():
        found = {name: judgement.protocols[protocol][name]["value"] for name in pairs.NAMES}
        assert found == values, protocol
    assert judgement.scores == expected["official"]
    assert (judgement.ties > 0) == bool(levels)


@pytest.mark.parametrize("protocol", pairs.PROTOCOLS)
def test_the_protocol_chooses_the_scores_and_the_items(protocol: str) -> None:
    embeddings, cases = benchmark(30, third=10)
    judgement = pairs.judge(embeddings, cases, protocol=protocol)
    assert judgement.scores == by_loop(embeddings, cases)[protocol]
    rows = [row for row in judgement.items if row["F"] is not None]
    assert len(judgement.items) == 30
    assert len(rows) == (10 if protocol == "triplet" else 30)
    for name in pairs.NAMES:
        assert sum(row[name] for row in rows) / len(rows) == judgement.scores[name]
    assert all((row["margin_F"] > 0) == row["F"] for row in rows)


def test_a_protocol_without_items_is_none() -> None:
    embeddings, cases = benchmark(10)
    judgement = pairs.judge(embeddings, cases, protocol="triplet")
    assert judgement.protocols["triplet"] is None
    assert judgement.scores == {"F": None, "G": None, "H": None}


def test_items_carry_their_similarities_and_their_own_columns() -> None:
    embeddings = Embeddings(
        audio=np.eye(2, dtype=np.float32),
        audio_id=("p.wav", "r.wav"),
        text=np.array([[0.6, 0.8], [1.0, 0.0]], dtype=np.float32),
        text_id=("P", "R"),
    )
    case = Case(
        clips=("p.wav", "r.wav"),
        captions=("P", "R"),
        match=((True, False), (False, True)),
        about={"axis": "order"},
    )
    (row,) = pairs.judge(embeddings, [case], protocol="official").items
    # s_tc: caption t, clip c
    assert row["s_pp"] == pytest.approx(0.6)
    assert row["s_pr"] == pytest.approx(0.8)
    assert row["s_rp"] == 1.0
    assert row["s_rr"] == 0.0
    assert (row["F"], row["G"], row["H"]) == (0, 0, 0)
    assert row["margin_F"] == pytest.approx(min(0.6 - 1.0, 0.0 - 0.8))
    assert row["margin_G"] == pytest.approx(min(0.6 - 0.8, 0.0 - 1.0))
    assert row["axis"] == "order"
    assert list(row)[:5] == ["item", "caption_p", "caption_r", "clip_p", "clip_r"]


def independent(n: int, *, clips: int, captions: int, seed: int = 0) -> Items:
    """``n`` items with independent similarities in a pool of so many clips and captions."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=rng, dtype=torch.float64)

    return Items(
        pair=draw(n, 2, 2),
        rival_clip=draw(n, clips - 2).amax(dim=1),
        n_rival_clips=torch.full((n,), clips - 2),
        rival_caption=draw(n, 2, captions - 2).amax(dim=2),
        n_rival_captions=torch.full((n, 2), captions - 2),
        triplet=draw(n, 3, 3),
    )


@pytest.mark.parametrize("protocol", pairs.PROTOCOLS)
def test_chance_agrees_with_a_simulation(protocol: str) -> None:
    n = 100_000
    items = independent(n, clips=9, captions=7)
    margins, level = pairs.RULES[protocol](items), pairs.chance(protocol, items)
    for name in pairs.NAMES:
        share, expected = float((getattr(margins, name) > 0).double().mean()), level[name]
        assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / n), name


def test_chance_has_the_known_values() -> None:
    items = independent(5, clips=9, captions=7)
    assert pairs.chance("official", items) == pytest.approx({"F": 1 / 4, "G": 1 / 4, "H": 1 / 6})
    assert pairs.chance("single", items) == pytest.approx({"F": 1 / 2, "G": 1 / 2, "H": 1 / 3})
    assert pairs.chance("pool", items) == pytest.approx({"F": 1 / 9, "G": 1 / 7, "H": 1 / 15})
    triplet = pairs.chance("triplet", items)
    assert triplet["F"] == triplet["G"] == pytest.approx(1 / 27)
    assert 1 / 27**2 < triplet["H"] < 1 / 27


def test_a_model_deaf_to_captions_sits_below_chance_and_the_swap_test_is_not_fooled() -> None:
    """Both captions of an item are alike, so one wins for both clips: F is near 0 and yet no label is preferred."""
    rng = torch.Generator().manual_seed(0)
    n = 400
    caption_hub = torch.randn(n, 1, 2, generator=rng, dtype=torch.float64)
    pair = caption_hub + 0.01 * torch.randn(n, 2, 2, generator=rng, dtype=torch.float64)
    items = independent(n, clips=3, captions=3)._replace(pair=pair)
    found = pairs.judged("official", items)
    assert found is not None
    assert found["F"]["value"] < 0.05
    assert found["F"]["p_chance"] < 1e-6
    assert found["F"]["p_swap"] > 0.05
    assert found["H"]["p_swap"] > 0.05


def test_the_swap_test_sees_a_model_that_tells_clips_apart() -> None:
    items = independent(200, clips=3, captions=3)
    better = items._replace(pair=items.pair + 0.3 * torch.eye(2, dtype=torch.float64))
    found = pairs.judged("official", better)
    assert found is not None
    assert found["H"]["p_swap"] < 1e-6
    wrong = pairs.judged("official", better.swapped)
    assert wrong is not None
    assert wrong["H"]["value"] < found["H"]["value"]
    assert wrong["H"]["p_swap"] == found["H"]["p_swap"]


def test_swapping_twice_is_nothing() -> None:
    items = independent(5, clips=4, captions=4)
    for one, other in zip(items, items.swapped.swapped, strict=True):
        assert torch.equal(one, other)


def test_assignment_and_hubs_by_hand() -> None:
    pair = torch.tensor(
        [
            [[0.9, 0.1], [0.2, 0.8]],  # right for all
            [
                [0.9, 0.5],
                [0.8, 0.6],
            ],  # caption p is closer to both clips: F lost to it, assignment right; G right
            [[0.1, 0.9], [0.8, 0.2]],  # wrong for all
        ],
        dtype=torch.float64,
    )
    items = independent(3, clips=3, captions=3)._replace(pair=pair)
    found = pairs.assignment(items)
    assert found["pair_assignment"] == pytest.approx(2 / 3)
    assert found["hub_captions"] == pytest.approx(1 / 2)  # of the two items without F, one
    assert found["hub_clips"] == 0.0  # of the one item without G, none
    f = float((pairs.official(items).F > 0).double().mean())
    assert found["hub_captions"] == pytest.approx((2 / 3 - f) / (1 - f))


def test_a_caption_that_describes_two_clips_is_no_rival_in_the_pool() -> None:
    embeddings = Embeddings(
        audio=np.eye(4, dtype=np.float32)[[0, 1, 0, 2]],  # clips a and c are the same sound
        audio_id=("a", "b", "c", "d"),
        text=np.eye(4, dtype=np.float32)[[0, 1, 2]],
        text_id=("A", "B", "D"),
    )
    match = ((True, False), (False, True))
    cases = [
        Case(clips=("a", "b"), captions=("A", "B"), match=match),
        Case(clips=("c", "d"), captions=("A", "D"), match=match),
    ]
    judgement = pairs.judge(embeddings, cases, protocol="pool")
    assert judgement.scores["F"] == 1.0  # c ties with a for caption A, and matches it
    assert pairs.chance("pool", pairs.read_items(embeddings, cases))["F"] == pytest.approx(1 / 3)


def test_equal_rows_tie_wherever_they_stand() -> None:
    generator = torch.Generator().manual_seed(0)
    row = torch.nn.functional.normalize(torch.randn(1, 300, generator=generator), dim=1)
    clips = torch.nn.functional.normalize(torch.randn(5, 300, generator=generator), dim=1)
    for count in (2, 7, 64):
        found = similarity.similarities(clips, row.expand(count, -1).clone())
        assert (found == found[:, :1]).all()


def test_ties_are_counted_and_miss() -> None:
    pair = torch.tensor([[[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5 - 1e-8], [0.1, 0.9]]], dtype=torch.float64)
    items = independent(2, clips=3, captions=3)._replace(pair=pair)
    assert pairs.ties(items) == (4, 5)
    found = pairs.judged("official", items)
    assert found is not None
    assert found["F"]["value"] == 0.5
