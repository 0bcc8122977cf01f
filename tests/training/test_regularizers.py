"""Each regulariser against its paper's formula in numpy; gradients, weights and sides of the terms."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from clapbench.training.regularizers.base import Clouds, Regularizer
from clapbench.training.regularizers.centroid import Centroid, centroid_distance
from clapbench.training.regularizers.covariance import Covariance, off_diagonal_covariance
from clapbench.training.regularizers.swapped_captions import SwappedCaptions, swapped_caption_loss
from clapbench.training.regularizers.variance import EPSILON, Variance, variance_hinge


def cloud(n: int = 12, d: int = 5, *, seed: int = 0, requires_grad: bool = False) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scales = torch.linspace(0.2, 2.0, d, dtype=torch.float64)
    rows = torch.randn(n, d, generator=generator, dtype=torch.float64) * scales + 0.3
    return rows.requires_grad_(requires_grad)


def clouds(*, m: int = 4, requires_grad: bool = False) -> Clouds:
    return Clouds(
        audio=cloud(seed=1, requires_grad=requires_grad),
        text=cloud(seed=2, requires_grad=requires_grad),
        swapped=cloud(m, seed=3, requires_grad=requires_grad),
        swapped_of=torch.tensor([7, 0, 3, 11][:m], dtype=torch.long),
        scale=torch.tensor(14.0, dtype=torch.float64, requires_grad=requires_grad),
    )


def terms(*, weight: float = 1.0) -> list[Regularizer]:
    return [
        Variance(weight=weight, side="text", target=1.0),
        Covariance(weight=weight, side="text"),
        Centroid(weight=weight),
        SwappedCaptions(weight=weight),
    ]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("target", [0.5, 1.0, 3.0])
def test_variance_is_vicreg_equation_1(target: float) -> None:
    z = cloud().numpy()
    shortfall = [max(0.0, target - np.sqrt(np.var(column, ddof=1) + EPSILON)) for column in z.T]
    assert float(variance_hinge(cloud(), target)) == pytest.approx(np.mean(shortfall), abs=1e-12)


def test_covariance_is_vicreg_equation_4() -> None:
    z = cloud().numpy()
    n, d = z.shape
    c = sum(np.outer(row - z.mean(axis=0), row - z.mean(axis=0)) for row in z) / (n - 1)
    expected = sum(c[i, j] ** 2 for i in range(d) for j in range(d) if i != j) / d
    assert float(off_diagonal_covariance(cloud())) == pytest.approx(expected, abs=1e-12)


def test_centroid_is_one_minus_the_cosine_of_mean_unit_rows() -> None:
    a, t = cloud(seed=1).numpy(), cloud(seed=2).numpy()
    means = [np.mean([row / np.linalg.norm(row) for row in rows], axis=0) for rows in (a, t)]
    expected = 1.0 - cosine(*means)
    assert float(centroid_distance(cloud(seed=1), cloud(seed=2))) == pytest.approx(expected, abs=1e-12)


def test_swapped_captions_is_a_two_way_choice() -> None:
    a, t, s = (cloud(4, seed=seed).numpy() for seed in (1, 2, 3))
    wrong = [14.0 * (cosine(x, z) - cosine(x, y)) for x, y, z in zip(a, t, s, strict=True)]
    expected = np.mean([np.log1p(np.exp(margin)) for margin in wrong])
    found = swapped_caption_loss(
        cloud(4, seed=1), cloud(4, seed=2), cloud(4, seed=3), torch.tensor(14.0, dtype=torch.float64)
    )
    assert float(found) == pytest.approx(expected, abs=1e-9)


def test_captions_that_cannot_be_told_apart_cost_log_2() -> None:
    text = cloud(4, seed=2)
    loss = swapped_caption_loss(cloud(4, seed=1), text, text.clone(), torch.tensor(14.0))
    assert float(loss) == pytest.approx(np.log(2.0))


def test_swapped_captions_belong_to_their_pairs() -> None:
    batch = clouds()
    one_by_one = [
        swapped_caption_loss(batch.audio[i : i + 1], batch.text[i : i + 1], row.unsqueeze(0), batch.scale)
        for i, row in zip(batch.swapped_of.tolist(), batch.swapped, strict=True)
    ]
    torch.testing.assert_close(SwappedCaptions(weight=1.0)(batch), torch.stack(one_by_one).mean())


def test_no_swapped_caption_costs_nothing() -> None:
    assert float(SwappedCaptions(weight=1.0)(clouds(m=0))) == 0.0


@pytest.mark.parametrize("term", terms(), ids=lambda term: type(term).__name__)
@pytest.mark.parametrize("collapsed", [False, True])
def test_gradients_are_finite(term: Regularizer, collapsed: bool) -> None:
    batch = clouds(requires_grad=True)
    if collapsed:
        audio, text = (torch.ones(12, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
        batch = dataclasses.replace(batch, audio=audio, text=text)
    term(batch).backward()
    grads = [tensor.grad for tensor in (batch.audio, batch.text, batch.swapped, batch.scale)]
    assert any(grad is not None for grad in grads)
    assert all(torch.isfinite(grad).all() for grad in grads if grad is not None)


@pytest.mark.parametrize("number", range(4))
def test_the_weight_multiplies_and_zero_adds_nothing(number: int) -> None:
    batch = clouds()
    assert float(terms(weight=0.0)[number](batch)) == 0.0
    once = float(terms()[number](batch))
    assert once > 0.0
    assert float(terms(weight=2.5)[number](batch)) == pytest.approx(2.5 * once)


def test_a_side_reads_its_own_cloud() -> None:
    batch = clouds()
    for side in ("audio", "text"):
        own = batch.audio if side == "audio" else batch.text
        assert torch.equal(Variance(weight=1.0, side=side, target=1.0)(batch), variance_hinge(own))
        assert torch.equal(Covariance(weight=1.0, side=side)(batch), off_diagonal_covariance(own))


def test_another_side_is_refused() -> None:
    with pytest.raises(ValueError, match="Covariance: side must be 'audio' or 'text', got 'both'"):
        Covariance(weight=1.0, side="both")
    with pytest.raises(ValueError, match="Variance: side"):
        Variance(weight=1.0, side="Audio", target=1.0)


def test_a_collapsed_cloud_costs_more_variance_than_a_spread_one() -> None:
    assert variance_hinge(torch.ones(8, 3)) > variance_hinge(3.0 * torch.eye(8)[:, :3])
    assert (
        float(variance_hinge(100.0 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0)))) == 0.0
    )
