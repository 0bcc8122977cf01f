"""Learning rates over the steps of a training; any schedule of torch serves as well, through conf/schedule."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from clapbench.kinds import Whole

MOST_REHEARSED = 100_000  # steps


def warmup_cosine(optimizer: torch.optim.Optimizer, *, total_steps: int, warmup_steps: Whole) -> LambdaLR:
    """Linear from 0 over ``warmup_steps``, then half a cosine that reaches 0 after ``total_steps``.

    Source: Loshchilov and Hutter 2017 (SGDR), eq. 5, without restarts. ValueError for a warm-up that leaves no step.
    """
    if warmup_steps >= total_steps:
        raise ValueError(
            f"schedule.warmup_steps: needed fewer than the {total_steps} steps of the training, got {warmup_steps}. "
            f"Set schedule.warmup_steps={total_steps // 10}, or train longer."
        )

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = (step - warmup_steps) / (total_steps - warmup_steps)
        return 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))

    return LambdaLR(optimizer, factor)


def schedule_of(
    make: Callable[..., LRScheduler], optimizer: torch.optim.Optimizer, *, total_steps: int
) -> LRScheduler:
    """The schedule of a configuration; one that takes ``total_steps`` is given how many Lightning will make.

    ValueError where the learning rates are 0 before the last step: what follows would train nothing.
    """
    known = inspect.signature(make).parameters
    given = {"total_steps": total_steps} if "total_steps" in known else {}
    with rehearsal(optimizer) as dummy:
        schedule = make(dummy, **given)
        for step in range(min(total_steps, MOST_REHEARSED)):
            if not any(group["lr"] > 0 for group in dummy.param_groups):
                raise ValueError(
                    f"schedule: the learning rate is 0 from step {step} on, and the training has {total_steps}. "
                    f"Lengthen the schedule, or set trainer.max_steps={max(step, 1)}."
                )
            dummy.step()
            try:
                schedule.step()
            except TypeError as error:
                raise ValueError(
                    f"schedule: needed one that steps by itself, {type(schedule).__name__} does not ({error}). "
                    f"Choose another."
                ) from error
    return make(optimizer, **given)


@contextmanager
def rehearsal(optimizer: torch.optim.Optimizer) -> Iterator[torch.optim.Optimizer]:
    """An optimizer with the learning rates of another, and nothing to train."""
    groups: list[dict[str, Any]] = [
        {"params": [torch.zeros(1)], "lr": group["lr"]} for group in optimizer.param_groups
    ]
    with catch_warnings():
        simplefilter("ignore")  # torch says that a schedule ends
        yield torch.optim.SGD(groups)
