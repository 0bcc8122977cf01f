"""F, G and H against a plain double loop, exact ties, chance, sums over batches and bad input."""

from __future__ import annotations

import doctest
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from clapbench import scores
from clapbench.scores import CHANCE, CompositionalRetrieval, chance, official, similarity_block

PAIR = torch.eye(2, dtype=torch.bool)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def by_loop(s: list[list[float]], match: list[list[bool]]) -> tuple[bool, bool]:
    """F and G of one block, comparison by comparison."""
    f = g = True
    for c, row in enumerate(match):
        for t, fits in enumerate(row):
            if not fits:
                continue
            for other, other_fits in enumerate(row):
                f &= other_fits or s[c][t] > s[c][other]
            for other in range(len(match)):
                g &= match[other][t] or s[c][t] > s[other][t]
    return f, g


def block(*rows: list[float]) -> Tensor:
    return torch.tensor([rows], dtype=torch.float64)


@pytest.mark.parametrize(
    "match",
    [
        PAIR,
        torch.eye(3, dtype=torch.bool),
        torch.tensor([[True, True, False, False], [False, False, True, True]]),
        torch.tensor([[True, False, True], [True, True, False], [False, True, False]]),
    ],
    ids=["pair", "triplet", "two captions each", "shared captions"],
)
def test_official_is_what_a_plain_loop_says(match):
    similarity = torch.randint(0, 4, (500, *match.shape), generator=generator(0)).double()  # full of ties
    outcome = official(similarity, match.expand(500, *match.shape))
    expected = [by_loop(s, match.tolist()) for s in similarity.tolist()]
    assert outcome.F.tolist() == [f for f, _ in expected]
    assert outcome.G.tolist() == [g for _, g in expected]
    assert outcome.H.tolist() == [f and g for f, g in expected]
    assert 0 < outcome.F.sum() < 500


@pytest.mark.parametrize(
    ("similarity", "f", "g"),
    [
        (block([0.9, 0.1], [0.1, 0.9]), True, True),
        (block([0.9, 0.1], [0.3, 0.2]), False, True),  # clip r prefers caption p
        (block([0.9, 0.3], [0.1, 0.2]), True, False),  # caption r prefers clip p
        (block([0.1, 0.9], [0.9, 0.1]), False, False),
    ],
)
def test_direction_of_f_and_g(similarity, f, g):
    outcome = official(similarity, PAIR[None])
    assert (outcome.F.item(), outcome.G.item(), outcome.H.item()) == (f, g, f and g)
    assert scores.DIRECTIONS["official"]["F"] == "clip->caption"
    assert scores.DIRECTIONS["official"]["G"] == "caption->clip"


def test_transposing_a_block_swaps_f_and_g():
    similarity = torch.rand(200, 3, 3, generator=generator(1), dtype=torch.float64)
    match = torch.eye(3, dtype=torch.bool).expand(200, 3, 3)
    there, back = official(similarity, match), official(similarity.mT, match.mT)
    assert torch.equal(there.F, back.G)
    assert torch.equal(there.G, back.F)


def test_a_tie_is_a_miss_and_is_counted():
    tied = official(block([0.5, 0.5], [0.1, 0.9]), PAIR[None])  # clip p cannot tell
    assert (tied.F.item(), tied.G.item()) == (False, True)
    assert (tied.ties.item(), tied.near_ties.item()) == (1, 1)
    blind = official(block([0.5, 0.5], [0.5, 0.5]), PAIR[None])
    assert (blind.ties.item(), blind.near_ties.item()) == (4, 4)


def test_near_ties_include_ties_and_end_at_a_millionth():
    near = official(block([0.5, 0.5 - 0.9e-6], [0.5, 0.5 + 1.2e-6]), PAIR[None])
    assert near.H.item() is False  # caption p has equal clips
    assert (near.ties.item(), near.near_ties.item()) == (1, 2)


@pytest.mark.parametrize("d", [1, 3, 7, 64, 513, 768])
def test_equal_rows_tie_bitwise_wherever_they_stand(d):
    for seed in range(20):
        rows = generator(seed)
        audio = torch.nn.functional.normalize(torch.randn(6, 5, d, generator=rows), dim=-1)
        text = torch.nn.functional.normalize(torch.randn(6, 4, d, generator=rows), dim=-1)
        text[:, 3] = text[:, 0]
        audio[:, 4] = audio[:, 1]
        similarity = similarity_block(audio, text)
        assert torch.equal(similarity[:, :, 3], similarity[:, :, 0])
        assert torch.equal(similarity[:, 4], similarity[:, 1])
        alone = similarity_block(audio[5:, 4:], text[5:, 3:])
        assert alone.item() == similarity[5, 1, 0].item()
        assert similarity.numpy() == pytest.approx((audio.double() @ text.double().mT).numpy(), abs=1e-14)


def test_a_model_deaf_to_order_scores_nothing():
    row = torch.nn.functional.normalize(torch.randn(10, 1, 96, generator=generator(2)), dim=-1)
    audio = torch.nn.functional.normalize(torch.randn(10, 2, 96, generator=generator(3)), dim=-1)
    outcome = official(similarity_block(audio, row.expand(10, 2, 96)), PAIR.expand(10, 2, 2))
    assert not outcome.F.any()
    assert outcome.ties.tolist() == [2] * 10


def test_chance_is_derived_and_agrees_with_simulation():
    assert CHANCE["official"] == (Fraction(1, 4), Fraction(1, 4), Fraction(1, 6))
    assert chance(official) == CHANCE["official"]
    n = 100_000
    outcome = official(
        torch.randn(n, 2, 2, generator=generator(4), dtype=torch.float64), PAIR.expand(n, 2, 2)
    )
    for hits, expected in zip(outcome[:3], CHANCE["official"], strict=True):
        assert hits.double().mean().item() == pytest.approx(float(expected), abs=0.006)  # 4 standard errors


def test_batches_add_up():
    similarity = torch.randint(0, 5, (50, 2, 2), generator=generator(5)).double()
    match = PAIR.expand(50, 2, 2)
    whole = official(similarity, match)
    metric = CompositionalRetrieval()
    for part in (slice(30, 50), slice(0, 29), slice(29, 30)):
        metric.update(similarity[part], match[part])
    got = metric.compute()
    assert tuple(hits.double().mean() for hits in whole[:3]) == (got.F, got.G, got.H)
    assert (got.n, got.ties, got.near_ties) == (50, whole.ties.sum(), whole.near_ties.sum())
    metric.reset()
    metric.update(block([0.9, 0.1], [0.1, 0.9]), PAIR[None])
    assert [value.item() for value in metric.compute()] == [1, 1, 1, 1, 0, 0]


def test_blocks_of_different_shapes_share_one_metric():
    metric = CompositionalRetrieval()
    metric.update(block([0.9, 0.1], [0.1, 0.9]), PAIR[None])
    metric.update(-torch.eye(3, dtype=torch.float64)[None], torch.eye(3, dtype=torch.bool)[None])
    assert metric.compute().H.item() == 0.5


def test_two_processes_add_up():
    metric = CompositionalRetrieval()
    metric.distributed_available_fn = lambda: True
    metric.dist_sync_fn = lambda state, group: [state, state]
    metric.update(block([0.9, 0.1], [0.3, 0.2]), PAIR[None])
    got = metric.compute()
    assert (got.F.item(), got.G.item(), got.n.item()) == (0, 1, 2)


@pytest.mark.parametrize(
    ("similarity", "match", "message"),
    [
        (torch.zeros(1, 2, 2), PAIR[None], "official: needs float64 similarities"),
        (block([0.1, torch.nan], [0.1, 0.2]), PAIR[None], "block 0 has one that is not"),
        (block([0.1, 0.2]), torch.tensor([[[True, True]]]), "block 0, clip 0 has no mismatch"),
        (block([0.1, 0.2]), torch.tensor([[[False, False]]]), "block 0, clip 0 has no match"),
        (block([0.1, 0.2]), torch.tensor([[[True, False]]]), "caption 1 has no match"),
    ],
)
def test_bad_blocks_are_refused(similarity, match, message):
    with pytest.raises(ValueError, match=message):
        CompositionalRetrieval().update(similarity, match)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_blocks_and_unknown_protocols_are_refused():
    with pytest.raises(ValueError, match="needs at least 1 block, got 0"):
        CompositionalRetrieval().compute()
    with pytest.raises(ValueError, match=r"protocol must be one of \['official'\], got 'best'"):
        CompositionalRetrieval(protocol="best")


def test_examples_in_docstrings_are_right():
    result = doctest.testmod(scores)
    assert result.attempted > 0
    assert result.failed == 0
