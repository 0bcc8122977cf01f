"""Each objective against its formula in plain loops; masks, gradients, temperatures, the order of pairs."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn
from training_clouds import cast, cloud, clouds, collapsed, leaves, of_pairs

from clapbench.training.objectives.base import Objective
from clapbench.training.objectives.infonce import InfoNce, infonce
from clapbench.training.objectives.negclip import NegClip, negclip
from clapbench.training.objectives.own_negatives import OwnNegatives, own_negatives
from clapbench.training.objectives.sigmoid import Sigmoid, sigmoid_loss
from clapbench.training.objectives.swapped_choice import SwappedChoice, two_way_choice


def objectives() -> list[Objective]:
    return [
        InfoNce(),
        NegClip(),
        SwappedChoice(weight=0.5),
        OwnNegatives(),
        Sigmoid(bias=-10.0),
    ]


every = pytest.mark.parametrize("objective", objectives(), ids=lambda one: type(one).__name__)


def logits(n: int = 6, m: int = 0) -> Tensor:
    return 5.0 * torch.randn(n, n + m, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def groups(*numbers: int) -> Tensor:
    return torch.tensor(numbers).unsqueeze(0) == torch.tensor(numbers).unsqueeze(1)


def plain(s: Tensor, same: Tensor, extra: list[list[int]]) -> float:
    """Both directions in loops; clip i chooses among the columns ``extra[i]`` too."""
    n, total = len(s), 0.0
    for i in range(n):
        others = [j for j in range(n) if j == i or not same[i, j]]
        by_clip = sum(math.exp(s[i, j]) for j in [*others, *extra[i]])
        by_caption = sum(math.exp(s[j, i]) for j in others)
        total += 2.0 * float(s[i, i]) - math.log(by_clip) - math.log(by_caption)
    return -total / (2 * n)


MASKS = [groups(0, 1, 2, 3, 4, 5), groups(0, 0, 2, 3, 2, 2), groups(7, 7, 7, 7, 7, 7)]


@pytest.mark.parametrize("same", MASKS)
def test_infonce_is_the_formula(same: Tensor) -> None:
    expected = plain(logits(), same, [[]] * 6)
    assert infonce(logits(), same).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("same", MASKS)
def test_negclip_is_the_formula(same: Tensor) -> None:
    s, swapped_same = logits(m=3), torch.zeros(6, 3, dtype=torch.bool)
    swapped_same[2, 0] = swapped_same[4, 1] = True
    extra = [[6 + k for k in range(3) if not swapped_same[i, k]] for i in range(6)]
    assert negclip(s, same, swapped_same).item() == pytest.approx(plain(s, same, extra), abs=1e-12)


@pytest.mark.parametrize("same", MASKS)
def test_own_negatives_is_the_formula(same: Tensor) -> None:
    s, of = logits(m=4), torch.tensor([4, 0, 4, 2])
    swapped_same = torch.zeros(6, 4, dtype=torch.bool)
    swapped_same[2, 3] = True
    extra = [[7], [], [], [], [6, 8], []]
    found = own_negatives(s, of, same, swapped_same).item()
    assert found == pytest.approx(plain(s, same, extra), abs=1e-12)


@pytest.mark.parametrize("same", MASKS)
def test_sigmoid_is_the_formula(same: Tensor) -> None:
    s, total = logits(), 0.0
    for i in range(6):
        for j in range(6):
            if i == j or not same[i, j]:
                total += math.log(1.0 / (1.0 + math.exp(-(1 if i == j else -1) * s[i, j])))
    assert sigmoid_loss(s, same).item() == pytest.approx(-total / 6, abs=1e-12)


def test_swapped_choice_is_infonce_and_two_way_choices() -> None:
    batch, scale = clouds(), 1 / 0.07

    def cosine(a: Tensor, b: Tensor) -> float:
        return float(a @ b / a.norm() / b.norm())

    costs = [
        math.log1p(math.exp(scale * (cosine(batch.audio[i], wrong) - cosine(batch.audio[i], batch.text[i]))))
        for i, wrong in zip(batch.swapped_of.tolist(), batch.swapped, strict=True)
    ]
    expected = InfoNce()(batch).item() + 0.5 * sum(costs) / 4
    assert SwappedChoice(weight=0.5)(batch).item() == pytest.approx(expected, abs=1e-6)


def test_captions_that_cannot_be_told_apart_cost_log_2() -> None:
    text = cloud(4, seed=2)
    loss = two_way_choice(cloud(4, seed=1), text, text.clone(), torch.tensor(14.0))
    assert loss.item() == pytest.approx(math.log(2.0))


def test_a_swapped_caption_that_means_the_same_is_no_choice() -> None:
    batch = clouds()
    same = dataclasses.replace(batch, swapped_caption=batch.caption[batch.swapped_of])
    assert torch.equal(SwappedChoice(weight=1.0)(same), InfoNce()(same))


def test_own_negatives_agree_with_the_published_mask_where_all_logits_are_positive() -> None:
    """The published code multiplies by -100000, which hides a candidate only if its logit is above 0."""
    s, of = logits(m=3).abs() + 0.1, torch.tensor([4, 0, 2])
    factors = torch.ones_like(s)
    factors[:, 6:] = -100000.0
    factors[of, 6 + torch.arange(3)] = 1.0
    target = torch.arange(6)

    def published(given: Tensor) -> Tensor:
        by_clip = nn.functional.cross_entropy(given * factors, target)
        return (by_clip + nn.functional.cross_entropy(given[:, :6].T, target)) / 2

    torch.testing.assert_close(own_negatives(s, of), published(s))
    assert published(-s) > 1000.0 > own_negatives(-s, of)


def test_without_swapped_captions_there_is_infonce() -> None:
    batch = clouds(swapped_of=())
    expected = InfoNce()(batch)
    for objective in (NegClip(), OwnNegatives(), SwappedChoice(weight=3.0)):
        torch.testing.assert_close(objective(batch), expected)


def test_what_means_the_same_moves_nothing() -> None:
    s, same = logits(4, 2), groups(0, 0, 1, 2)
    swapped_same = torch.zeros(4, 2, dtype=torch.bool)
    swapped_same[1, 0] = swapped_same[0, 1] = True
    changed = s.clone()
    changed[0, 1], changed[1, 0], changed[1, 4], changed[0, 5] = 50.0, -50.0, 70.0, -70.0
    of = torch.tensor([1, 0])
    torch.testing.assert_close(infonce(s[:, :4], same), infonce(changed[:, :4], same))
    torch.testing.assert_close(sigmoid_loss(s[:, :4], same), sigmoid_loss(changed[:, :4], same))
    torch.testing.assert_close(negclip(s, same, swapped_same), negclip(changed, same, swapped_same))
    torch.testing.assert_close(
        own_negatives(s, of, same, swapped_same), own_negatives(changed, of, same, swapped_same)
    )


def test_clouds_know_what_is_no_negative() -> None:
    same, swapped_same = clouds().same, clouds().swapped_same
    assert (same & ~torch.eye(12, dtype=torch.bool)).nonzero().tolist() == [[1, 2], [2, 1], [4, 5], [5, 4]]
    assert swapped_same.nonzero().tolist() == [[6, 2]]


def test_perfect_logits_cost_nothing_and_a_batch_of_one_meaning_teaches_nothing() -> None:
    s = torch.cat([1000.0 * torch.eye(5), torch.zeros(5, 2)], dim=1)
    assert infonce(s[:, :5]) == negclip(s) == own_negatives(s, torch.tensor([0, 3])) == 0
    assert sigmoid_loss(1000.0 * torch.eye(5) - 500.0) == 0
    alone, given = groups(1, 1, 1), logits(3).requires_grad_()
    infonce(given, alone).backward()
    assert infonce(given, alone) == negclip(given, alone) == 0
    assert given.grad is not None
    assert not given.grad.any()


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["spread", "collapsed", "one meaning", "one pair"])
def test_gradients_are_finite(objective: Objective, dtype: torch.dtype, kind: str) -> None:
    batch = cast(clouds(), dtype)
    if kind == "collapsed":
        batch = collapsed(batch)
    elif kind == "one meaning":
        batch = dataclasses.replace(batch, caption=torch.zeros_like(batch.caption))
    elif kind == "one pair":
        batch = of_pairs(batch, [7])
    batch = leaves(batch)
    objective.zero_grad()
    loss = objective(batch)
    assert loss.dtype == dtype
    assert loss.isfinite()
    loss.backward()
    gradients = [batch.audio.grad, batch.text.grad, *(one.grad for one in objective.parameters())]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert batch.swapped.grad is None or batch.swapped.grad.isfinite().all()


@every
def test_the_order_of_pairs_does_not_matter(objective: Objective) -> None:
    shuffled = torch.randperm(12, generator=torch.Generator().manual_seed(4)).tolist()
    torch.testing.assert_close(objective(of_pairs(clouds(), shuffled)), objective(clouds()))


@every
def test_swapped_captions_are_read_where_it_is_said(objective: Objective) -> None:
    batch = leaves(clouds())
    objective(batch).backward()
    moved = batch.swapped.grad is not None and bool(batch.swapped.grad.any())
    assert moved == objective.reads_swapped


@every
def test_half_precision_ends_before_the_loss(objective: Objective) -> None:
    short = cast(clouds(), torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = objective(short)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, objective(cast(short, torch.float32)))


@every
def test_the_scale_is_learned_and_held(objective: Objective) -> None:
    objective.zero_grad()
    objective(clouds()).backward()
    assert objective.log_scale.grad is not None
    assert objective.log_scale.grad != 0
    with torch.no_grad():
        objective.log_scale.fill_(9.0)
    objective.hold()
    assert objective.scale.item() == pytest.approx(100.0)
    with torch.no_grad():
        objective.log_scale.fill_(-math.log(objective.fresh_temperature))
    objective.hold()
    assert objective.scale.item() == pytest.approx(1 / objective.fresh_temperature)


def test_the_temperature_is_the_configurations_or_the_weights_or_a_common_one() -> None:
    def scale(temperature: float | None, weights: float | None) -> float:
        objective = InfoNce(temperature=temperature)
        objective.start(weights)
        return objective.scale.item()

    assert scale(0.05, 33.0) == pytest.approx(20.0)
    assert scale(None, 33.0) == pytest.approx(33.0)
    assert scale(None, None) == pytest.approx(1 / 0.07)


def test_sigmoid_starts_where_the_paper_does() -> None:
    for temperature, expected in ((None, 10.0), (0.05, 20.0)):
        objective = Sigmoid(bias=-10.0, temperature=temperature)
        objective.start(33.0)
        assert objective.scale.item() == pytest.approx(expected)
        assert objective.bias.item() == -10.0
    batch = clouds()
    objective(batch).backward()
    assert objective.bias.grad is not None
    assert objective.bias.grad != 0


def test_a_pair_drawn_twice_is_no_negative_of_itself() -> None:
    """Two pairs, one of them twice: the other pair sees it twice, the two see each other not at all."""
    both = of_pairs(clouds(swapped_of=()), [0, 0, 8])
    s = InfoNce().logits(both)
    a = s[0, 2] - s[0, 0], s[2, 0] - s[0, 0]  # by clip and by caption
    b = s[2, 0] - s[2, 2], s[0, 2] - s[2, 2]
    expected = sum(2 * torch.log1p(x.exp()) + torch.log1p(2 * y.exp()) for x, y in zip(a, b, strict=True)) / 6
    torch.testing.assert_close(InfoNce()(both), expected)
