"""Walks every yaml of conf/data and holds the contract of training data, without being told its name."""

from __future__ import annotations

import json
import pickle
from itertools import chain
from pathlib import Path

import pytest
from conftest import ROOT, yamls
from fixtures import overrides
from hydra.utils import get_object
from omegaconf import OmegaConf
from training_data import Processes, batches, clips

from clapbench import config
from clapbench.config.check import signature_kinds
from clapbench.encoders.base import Hearing
from clapbench.training.data.base import PairLoader, TrainingData

RATE = 8000


@pytest.fixture(params=yamls("data"))
def data(request: pytest.FixtureRequest, tmp_path: Path) -> TrainingData:
    """What conf/data/NAME.yaml builds, as a training does."""
    _, *given = overrides("data", request.param, tmp_path)
    root = OmegaConf.create(
        {"seed": 3, "data": OmegaConf.load(ROOT / "conf" / "data" / f"{request.param}.yaml")}
    )
    node = OmegaConf.merge(root, OmegaConf.from_dotlist(given)).data
    built = config.build(node, hearing=Hearing(RATE, 1.0), num_workers=0)
    assert isinstance(built, TrainingData)
    return built


def test_an_epoch_has_the_same_batches_each_time_and_from_any_position(data: TrainingData) -> None:
    whole = batches(data)
    assert isinstance(data.train_dataloader(), PairLoader)
    assert len(whole) == data.n_batches
    assert clips(batches(data)) == clips(whole)
    assert clips(batches(data, done=1)) in (clips(whole)[1:], clips(batches(data, done=data.n_batches)))
    assert clips(batches(pickle.loads(pickle.dumps(data)))) == clips(whole)


def test_batches_are_whole(data: TrainingData) -> None:
    for batch in batches(data):
        n, m = len(batch.clips), len(batch.swapped)
        assert n >= 1
        assert len(batch.waves) == len(batch.captions) == len(batch.clip_id) == len(batch.caption_id) == n
        assert len(batch.swapped_of) == len(batch.swapped_id) == m
        assert all(0 < len(wave) <= RATE and wave.isfinite().all() for wave in batch.waves)
        assert all(caption.strip() for caption in chain(batch.captions, batch.swapped))
        assert m == 0 or data.has_swapped


def test_processes_share_an_epoch(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sorted(chain.from_iterable(clips(batches(data))))
    data.batch_size = 4
    assert data.n_batches in (1, 2)
    parts = [clips(batches(data)) for _ in Processes(monkeypatch).each(2)]
    assert sorted(chain.from_iterable(chain.from_iterable(parts))) == whole


def test_the_content_is_for_a_card(data: TrainingData) -> None:
    assert json.loads(json.dumps(data.content)) == data.content
    assert data.content["pairs"] > 0


@pytest.mark.parametrize("name", yamls("data"))
def test_every_argument_has_a_kind_and_every_kind_a_key(name: str) -> None:
    node = OmegaConf.load(ROOT / "conf" / "data" / f"{name}.yaml")
    kinds = signature_kinds(get_object(node._target_))
    assert kinds.keys() - {"hearing", "num_workers"} == {str(key) for key in node} - {"_target_"}
