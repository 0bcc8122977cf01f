"""Schedules get the number of steps that Lightning will make; one that ends early is refused."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR, PolynomialLR

from clapbench.training.schedules import schedule_of, warmup_cosine


def rates(schedule: LRScheduler, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


@pytest.fixture
def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)


def test_a_warm_up_then_half_a_cosine(optimizer: torch.optim.Optimizer) -> None:
    schedule = schedule_of(partial(warmup_cosine, warmup_steps=4), optimizer, total_steps=12)
    found = rates(schedule, optimizer, 12)
    assert found[:5] == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0])
    assert found[8] == pytest.approx(1.0)
    assert found == sorted(found[:4]) + sorted(found[4:], reverse=True)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)


def test_a_warm_up_that_leaves_no_step_is_refused(optimizer: torch.optim.Optimizer) -> None:
    with pytest.raises(
        ValueError, match=r"warmup_steps: needed fewer than the 12 steps of the training, got 12"
    ):
        schedule_of(partial(warmup_cosine, warmup_steps=12), optimizer, total_steps=12)


def test_torchs_own_schedules_serve(optimizer: torch.optim.Optimizer) -> None:
    schedule = schedule_of(partial(OneCycleLR, max_lr=2.0), optimizer, total_steps=9)  # takes total_steps
    assert max(rates(schedule, optimizer, 9)) > 1.9
    schedule_of(partial(ConstantLR, factor=1.0), optimizer, total_steps=9)


def test_a_schedule_that_is_0_early_is_refused(optimizer: torch.optim.Optimizer) -> None:
    with pytest.raises(ValueError, match=r"the learning rate is 0 from step 5 on, and the training has 9"):
        schedule_of(partial(PolynomialLR, total_iters=5), optimizer, total_steps=9)
    assert optimizer.param_groups[0]["lr"] == 2.0  # nothing was rehearsed on the optimizer itself
