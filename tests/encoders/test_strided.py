"""Convolutions as products: torch's own numbers and gradients, clip by clip."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from clapbench.encoders.strided import Halvings


def halvings(dtype: torch.dtype = torch.float64) -> Halvings:
    torch.manual_seed(0)
    return Halvings(
        nn.Conv1d(3, 4, kernel_size=5, stride=2, padding=2),
        nn.GELU(),
        nn.Conv1d(4, 5, kernel_size=5, stride=2, padding=2),
        nn.GELU(),
        nn.Conv1d(5, 6, kernel_size=3, stride=2, padding=1),
    ).to(dtype)


def clips(n: int, tokens: int) -> Tensor:
    made = torch.randn(
        n, 8 * (tokens + 1), 3, generator=torch.Generator().manual_seed(n), dtype=torch.float64
    )
    made[:, -2:] = 0
    return made


def by_torch(layers: Halvings, given: Tensor) -> Tensor:
    return nn.Sequential(*layers)(given.transpose(1, 2)).transpose(1, 2)


@pytest.mark.parametrize(("n", "tokens"), [(1, 1), (1, 7), (4, 1), (5, 3)])
def test_rows_and_gradients_are_those_of_torch(n: int, tokens: int) -> None:
    layers, given = halvings(), clips(n, tokens)
    found = []
    for run in (layers, lambda x: by_torch(layers, x)):
        layers.zero_grad()
        x = given.clone().requires_grad_()
        rows = run(x)[:, :tokens]
        (rows * torch.linspace(-1, 1, rows.numel(), dtype=rows.dtype).view(rows.shape)).sum().backward()
        found.append([rows, x.grad[:, :-2], *(parameter.grad for parameter in layers.parameters())])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_a_clip_knows_nothing_of_its_neighbours() -> None:
    layers, given = halvings(), clips(3, 4)
    alone = torch.cat([layers(clip[None]) for clip in given])
    torch.testing.assert_close(layers(given)[:, :4], alone[:, :4], rtol=0, atol=1e-12)


def test_an_adapter_in_the_place_of_a_layer_is_run() -> None:
    class Adapted(nn.Conv1d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + 1.0

    layers = halvings()
    adapted = copy.deepcopy(layers)
    adapted[4].__class__ = Adapted
    torch.testing.assert_close(adapted(clips(2, 3))[:, :3], layers(clips(2, 3))[:, :3] + 1.0)


def test_lower_precision_is_left_to_torch() -> None:
    layers, given = halvings(torch.float32), clips(2, 3).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rows = layers(given)
    assert rows.dtype == torch.bfloat16
    torch.testing.assert_close(rows[:, :3].float(), layers(given)[:, :3], rtol=0.05, atol=0.05)
