"""Two processes of one training, as a user starts them: the weights and the curve of one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import Compose
from trainings import BRIEF, weights

from clapbench import sheets
from clapbench.training import fit, launch


@pytest.mark.slow
def test_two_processes_train_as_one(composed: Compose, tmp_path: Path) -> None:
    shared = (
        *BRIEF,
        "data.batch_size=9",
        "objective=negclip",
        "regularizer=[variance]",
        f"outputs={tmp_path}",
    )
    one = fit.fit(composed("train", *shared, "name=one"))
    typed = [key for key in shared if key != "trainer=cpu"]
    two = fit.fit(composed("train", *typed, "trainer=ddp", "trainer.accelerator=cpu", "name=two"))
    for key, value in weights(one).items():
        torch.testing.assert_close(
            weights(two)[key], value, rtol=0, atol=2e-4
        )  # AdamW divides small gradients
    curves = [sheets.read(path.parent / "curve.csv") for path in (one, two)]
    for single, double in zip(*curves, strict=True):
        for name, value in single.items():
            numbers = [float(text or "nan") for text in (double[name], value)]
            assert numbers == pytest.approx(numbers[::-1], rel=2e-3, abs=1e-3, nan_ok=True), name


@pytest.mark.parametrize(
    ("told", "kind", "words"),
    [
        ("...\nclapbench.config.conf.ConfigError: data: no pairs.\n", ValueError, "data: no pairs."),
        (
            "...\nclapbench.training.learn.NotFiniteError: step 3: the term x.\n",
            ValueError,
            "step 3: the term x.",
        ),
        ("...\nKeyError: 'x'\n", RuntimeError, "KeyError: 'x'"),
    ],
)
def test_a_mistake_in_a_process_keeps_its_words(told: str, kind: type[Exception], words: str) -> None:
    raised = launch.raised_there(told)
    assert type(raised) is kind
    assert words in str(raised)
