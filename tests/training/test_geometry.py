"""What validation keeps, and the word where a side collapses."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from clapbench.training.geometry import Curve, Geometry
from clapbench.training.learn import mean_cosine


def test_a_curve_goes_on_from_a_step(tmp_path: Path) -> None:
    curve = Curve(tmp_path / "curve.csv")
    curve.start(until=None)
    for step in (0, 2, 4):
        curve.add(step, {"order/H": step / 7, "=odd": 1.0})
    again = Curve(tmp_path / "curve.csv")
    again.start(until=2)
    assert sorted(again.steps) == [0, 2]
    assert again.steps[2] == {"order/H": 2 / 7, "=odd": 1.0}
    again.add(4, {"train/loss": 1.0})
    assert (again.before["order/H"], again.after) == (0.0, {"train/loss": 1.0})
    anew = Curve(tmp_path / "curve.csv")
    anew.start(until=None)
    assert not anew.steps


@pytest.mark.parametrize(("cosine", "told"), [(0.999, 1), (0.5, 0)])
def test_a_side_in_one_direction_is_told_once(
    cosine: float, told: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    geometry = Geometry(held_out={}, probes={}, curve=Curve(tmp_path / "curve.csv"))
    with caplog.at_level(logging.WARNING):
        for step in (30, 40):
            geometry.look({"audio": 0.1, "text": cosine}, step=step)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == told
    assert all("step 30: the text side is collapsing" in line for line in lines)


def test_mean_cosine_is_of_different_rows() -> None:
    rows = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    unit = rows / rows.norm(dim=1, keepdim=True)
    cosines = unit @ unit.T
    expected = (cosines.sum() - cosines.trace()) / (7 * 6)
    torch.testing.assert_close(mean_cosine(rows), expected)
    assert float(mean_cosine(torch.ones(4, 2))) == pytest.approx(1.0)
