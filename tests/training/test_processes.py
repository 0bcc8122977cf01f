"""Two processes with unequal parts of a batch find the loss and, by DDP's mean, the gradients of one with all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import two_processes
from conftest import yamls
from two_processes import PAIRS

from clapbench.training import processes


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    """One test, so that the processes start once: every objective and regulariser of conf/, and the clouds."""
    torch.multiprocessing.spawn(two_processes.run, args=(str(tmp_path),), nprocs=len(PAIRS))
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in range(len(PAIRS))]
    whole = two_processes.batch_of([row for part in PAIRS for row in part])
    alone = two_processes.steps(whole)
    assert len(alone) == len(yamls("objective")) + len(yamls("regularizer"))
    for name, wanted in alone.items():
        assert_as_one([rank["steps"][name] for rank in ranks], wanted, name=name)
        assert any(wanted[key].any() for key in wanted.keys() - {"loss"}), name
    for rank in ranks:
        assert_equal(rank["clouds"], vars(whole))


def assert_as_one(ranks: list[two_processes.Step], wanted: two_processes.Step, *, name: str) -> None:
    """Each process has the loss, and the mean of their gradients is the gradient."""

    def say(words: str) -> str:
        return f"{name}: {words}"

    for rank in ranks:
        assert rank.keys() == wanted.keys()
        torch.testing.assert_close(rank["loss"], wanted["loss"], rtol=0, atol=1e-6, msg=say)
    for key in wanted.keys() - {"loss"}:
        mean = torch.stack([rank[key] for rank in ranks]).mean(dim=0)
        torch.testing.assert_close(mean, wanted[key], rtol=0, atol=1e-6, msg=say)


def assert_equal(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Every field of gathered clouds, in the order of ranks."""
    assert found.keys() == wanted.keys()
    for field, value in found.items():
        torch.testing.assert_close(value, wanted[field], rtol=0, atol=0, msg=field)


def test_the_processes_have_unequal_parts() -> None:
    parts = [two_processes.batch_of(part) for part in PAIRS]
    assert [len(part.audio) for part in parts] == [7, 5]
    assert [len(part.swapped) for part in parts] == [3, 0]
    whole = two_processes.batch_of([row for part in PAIRS for row in part])
    between = whole.same[:7, 7:]
    assert between.sum() == 2  # equal clips, equal meanings
    assert whole.swapped_same[7:].any()


def test_alone_rows_stay_as_they_are() -> None:
    rows = torch.ones(3, 2, requires_grad=True)
    everyone, counts = processes.gathered(rows)
    assert everyone is rows
    assert counts == [3]
    assert (processes.rank(), processes.world()) == (0, 1)
