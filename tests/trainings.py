"""Trainings small enough for a test: a random mini on a handful of scenes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from clapbench.training.learn import Learn

BRIEF = (
    "logger=none",
    "trainer=cpu",
    "trainer.max_steps=3",
    "trainer.val_check_interval=3",
    "validation.order.n=10",
    "validation.attribute.n=10",
    "data.neutral=2",
    "data.varied=1",
    "data.batch_size=8",
    "data.pool=null",
    "model.pretrained=false",
    "schedule.warmup_steps=1",
)


def weights(path: Path) -> dict[str, torch.Tensor]:
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


class Killed(BaseException):
    """What leaves a process that is killed: nothing more is written."""


@contextmanager
def interrupted(monkeypatch: pytest.MonkeyPatch, *, step: int, by: signal.Signals) -> Iterator[None]:
    """Within the block a training gets a signal in the step after ``step``."""
    begin = Learn.on_train_batch_start

    def interrupting(self: Learn, batch: object, batch_idx: int) -> None:
        begin(self, batch, batch_idx)  # type: ignore[arg-type]
        if self.trainer.global_step == step:
            if by is signal.SIGKILL:
                raise Killed
            os.kill(os.getpid(), by)

    with monkeypatch.context() as patch:
        patch.setattr(Learn, "on_train_batch_start", interrupting)
        yield
