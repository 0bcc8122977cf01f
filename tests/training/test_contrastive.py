"""The contrastive loss against its formula in a plain loop, torch's cross-entropy, and its mask."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from clapbench.training.contrastive import contrastive_loss


def logits(n: int = 6) -> Tensor:
    return 5.0 * torch.randn(n, n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def plain(s: Tensor, meaning: list[int]) -> float:
    n, total = len(s), 0.0
    for i in range(n):
        others = [j for j in range(n) if j == i or meaning[j] != meaning[i]]
        by_clip = sum(math.exp(s[i, j]) for j in others)
        by_caption = sum(math.exp(s[j, i]) for j in others)
        total += 2.0 * float(s[i, i]) - math.log(by_clip) - math.log(by_caption)
    return -total / (2 * n)


@pytest.mark.parametrize("meaning", [[0, 1, 2, 3, 4, 5], [0, 0, 2, 3, 2, 2], [7] * 6])
def test_it_is_the_formula(meaning: list[int]) -> None:
    loss = contrastive_loss(logits(), torch.tensor(meaning))
    assert float(loss) == pytest.approx(plain(logits(), meaning), abs=1e-12)


def test_without_meanings_it_is_the_mean_of_two_cross_entropies() -> None:
    s, target = logits(), torch.arange(6)
    expected = (nn.functional.cross_entropy(s, target) + nn.functional.cross_entropy(s.T, target)) / 2
    torch.testing.assert_close(contrastive_loss(s), expected)
    torch.testing.assert_close(contrastive_loss(s, target), expected)
    torch.testing.assert_close(contrastive_loss(s), contrastive_loss(s.T))


def test_a_pair_that_means_the_same_moves_nothing() -> None:
    s, meaning = logits(4), torch.tensor([0, 0, 1, 2])
    changed = s.clone()
    changed[0, 1], changed[1, 0] = 50.0, -50.0
    torch.testing.assert_close(contrastive_loss(s, meaning), contrastive_loss(changed, meaning))


@pytest.mark.parametrize(
    "meaning", [None, torch.tensor([0, 0, 2, 3, 2, 2]), torch.zeros(6, dtype=torch.long)]
)
def test_gradients_are_finite(meaning: Tensor | None) -> None:
    s = (20.0 * logits()).float().requires_grad_()
    contrastive_loss(s, meaning).backward()
    assert s.grad is not None
    assert torch.isfinite(s.grad).all()


def test_perfect_logits_cost_nothing_and_a_batch_of_one_meaning_teaches_nothing() -> None:
    assert float(contrastive_loss(1000.0 * torch.eye(5))) == 0.0
    assert float(contrastive_loss(logits(), torch.zeros(6, dtype=torch.long))) == 0.0
