"""The determinism certificate: what it tries, what it finds in a model that cheats, and where it is kept."""

from __future__ import annotations

import pytest
import torch

from clapbench.running import certificate


def run(embed) -> dict[str, float]:
    """The drift of a function from positions to rows."""
    return certificate.drift([embed(batch) for batch in certificate.batches(7)])


def honest(batch: list[int]) -> torch.Tensor:
    return torch.eye(7)[batch]


def test_a_model_that_reads_each_input_alone_does_not_drift() -> None:
    assert run(honest) == {"again": 0.0, "shuffled": 0.0, "alone": 0.0}


def test_a_row_that_depends_on_its_batch_is_found() -> None:
    def centred(batch: list[int]) -> torch.Tensor:
        rows = honest(batch)
        return rows - rows.mean(dim=0)

    found = run(centred)
    assert found["again"] == 0.0
    assert found["shuffled"] < 1e-6
    assert found["alone"] == pytest.approx((6 / 7) ** 0.5)  # alone, every row becomes 0


def test_a_row_that_depends_on_its_place_is_found() -> None:
    def by_place(batch: list[int]) -> torch.Tensor:
        return honest(batch) * torch.arange(1.0, len(batch) + 1).unsqueeze(1)

    found = run(by_place)
    assert found["again"] == 0.0
    assert found["shuffled"] > 0.5
    assert found["alone"] == pytest.approx(6.0)


def test_a_model_that_rolls_dice_is_found() -> None:
    generator = torch.Generator().manual_seed(0)

    def noisy(batch: list[int]) -> torch.Tensor:
        return honest(batch) + 0.01 * torch.randn(len(batch), 7, generator=generator)

    assert all(value > 1e-3 for value in run(noisy).values())


@pytest.mark.parametrize("n", [1, 2, 16, 17, 800])
def test_the_sample_is_distinct_and_within(n: int) -> None:
    chosen = certificate.sample(n)
    assert len(set(chosen)) == len(chosen) == min(n, certificate.SAMPLE)
    assert chosen[0] == 0
    assert max(chosen) == n - 1
