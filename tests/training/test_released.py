"""Every model of full size: its heads are trained on a CSV, nothing else changes, and the printed command evaluates it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import fixtures
import pytest
import torch
from conftest import Compose
from hydra.core.global_hydra import GlobalHydra
from trainings import weights

from clapbench import cli, config
from clapbench.encoders.base import Encoder
from clapbench.results import sweep
from clapbench.training import fit, result

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("model", ["laion", "laion_unfused", "mga", "m2d", "m2d_2024"])
def test_the_heads_of_a_released_model(
    model: str,
    composed: Compose,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    items = [one.replace("bench.", "validation.items.") for one in fixtures.pairs_folder(tmp_path)]
    clips = fixtures.captioned_clips(tmp_path)
    csv = next(one.partition("=")[2] for one in clips if one.startswith("bench.csv="))
    released = fixtures.overrides("model", model, tmp_path)
    typed = [
        *released,
        *(
            "data=csv",
            f"data.csv={csv}",
            "finetune=projection",
            "trainer.max_steps=2",
            "schedule.warmup_steps=0",
        ),
        *("~validation.order", "~validation.attribute", "+bench@validation.items=pairs", *items),
        *("logger=none", "trainer=cpu", "name=tuned", f"outputs={tmp_path / 'outputs'}"),
    ]
    cfg = composed("train", *typed)
    before: Encoder = config.build(cfg.model)
    heads = tuple(name for side in before.heads.values() for name in side)
    path = fit.fit(cfg)
    after = weights(path)
    moved = {key for key, value in before.state_dict().items() if not torch.equal(value, after[key])}
    assert moved
    assert all(key.startswith(heads) for key in moved)

    record = result.read(path.parent)
    assert record is not None
    _, _, *line = shlex.split(record["evaluation"])
    line = [one if not one.startswith("model=") else f"model={model}" for one in line]
    places = [one for one in released if one.startswith(("model.tokenizer",))]
    bench = ["bench=pairs", *fixtures.pairs_folder(tmp_path)]
    more = ["logger=none", "trainer=cpu", "sweep=again", f"outputs={tmp_path / 'outputs'}"]
    monkeypatch.setattr(sys, "argv", ["evaluate.py"])
    GlobalHydra.instance().clear()
    assert cli.run("evaluate", [*line, *places, *bench, *more], program="evaluate.py") == 0
    cell = sweep.cell_in(tmp_path / "outputs" / "again", ("tuned", "pairs"))
    assert cell.status == "ok"
    for name in ("rankme_audio", "gap_l2"):
        assert cell.probes[name] == pytest.approx(record["after"][f"items/{name}"], rel=1e-3)
