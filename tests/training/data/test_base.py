"""Batches of numbered pairs: each pair once, over processes and workers, from any position; what cannot be read."""

from __future__ import annotations

import logging
import pickle
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from training_data import HEARING, Numbers, Processes, batches, clips

from clapbench.sound.waves import ClipError
from clapbench.training import processes
from clapbench.training.data.base import (
    Batches,
    Pair,
    Parcel,
    batch_of,
    counted,
    number_of,
    read_batch,
    words_of,
)


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> Processes:
    return Processes(monkeypatch)


class TestBatches:
    @pytest.mark.parametrize("world", [1, 3])
    @pytest.mark.parametrize(
        ("n", "size", "group"), [(20, 6, 1), (23, 6, 1), (24, 6, 2), (26, 7, 2), (5, 8, 1), (9, 8, 1)]
    )
    def test_each_pair_once_in_an_epoch(
        self, several: Processes, n: int, size: int, group: int, world: int
    ) -> None:
        for epoch in (0, 1):
            length = len(Batches(n, size=size, group=group, seed=3, done=int))
            every = Batches(n, size=size, group=group, seed=3, done=lambda done=epoch * length: done)
            parts = [list(every) for _ in several.each(world)]
            assert {len(part) for part in parts} == {len(every)}
            whole = [sorted(chain.from_iterable(batch)) for batch in zip(*parts, strict=True)]
            assert sorted(chain.from_iterable(whole)) == list(range(n))
            sizes = [len(batch) for batch in whole]
            assert max(sizes) <= max(size, 3)
            assert max(sizes) - min(sizes) <= group
            assert all(max(map(len, batch)) - min(map(len, batch)) <= 1 for batch in zip(*parts, strict=True))
            for batch in whole:
                assert {number ^ 1 for number in batch} == set(batch) or group == 1

    def test_none_holds_a_single_pair(self) -> None:
        for n in range(2, 12):
            assert min(map(len, Batches(n, size=2, seed=0, done=lambda: 0))) >= 2

    def test_another_epoch_and_another_seed_have_another_order(self) -> None:
        def order(seed: int, done: int) -> list[int]:
            return list(chain.from_iterable(Batches(40, size=8, seed=seed, done=lambda: done)))

        assert order(0, 0) == order(0, 0)
        assert len({tuple(order(*each)) for each in ((0, 0), (0, 5), (1, 0))}) == 3

    def test_goes_on_where_it_stopped(self) -> None:
        def after(done: int) -> list[list[int]]:
            return list(Batches(23, size=6, seed=0, done=lambda: done))

        assert [after(done) for done in range(4)] == [after(0)[done:] for done in range(4)]
        assert after(6) == after(4)[2:] != after(2)

    def test_without_end_in_order(self, several: Processes) -> None:
        endless = Batches(None, size=5, group=2, seed=0, done=lambda: 3)
        parts = [list(islice(endless, 2)) for _ in several.each(2)]
        assert parts == [[[12, 14], [16, 18]], [[13, 15], [17, 19]]]  # whole groups: 4 at a time
        with pytest.raises(TypeError):
            len(endless)


class TestLoader:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_rows_come_whole_and_in_order(self, workers: int) -> None:
        data = Numbers(11, num_workers=workers)
        expected = [[f"{number}.wav" for number in numbers] for numbers in data.batches]
        given = batches(data)
        assert len(given) == len(data.train_dataloader()) == data.n_batches == 3
        assert clips(given) == expected
        for batch in given:
            assert [f"{len(wave) - 1}.wav" for wave in batch.waves] == batch.clips
            assert all((wave == len(wave) - 1).all() for wave in batch.waves)

    def test_many_waves_take_one_open_file(self) -> None:
        rows = [(Pair(f"{n}", "x"), torch.full((n + 1,), float(n))) for n in range(3)]
        error = ClipError(Path("b"), "is silent")
        parcel = pickle.loads(pickle.dumps(Parcel.of([*rows, (Pair("b", "x"), error), rows[0]])))
        back = parcel.rows()
        assert [pair for pair, _ in back] == [*(pair for pair, _ in rows), Pair("b", "x"), rows[0][0]]
        assert str(back[3][1]) == str(error)
        for (_, wave), (_, expected) in zip([*back[:3], back[4]], [*rows, rows[0]], strict=True):
            assert torch.equal(wave, expected)
        assert Parcel.of([(Pair("b", "x"), error)]).rows()[0][0].clip == "b"

    def test_a_store_needs_no_waves(self) -> None:
        data = Numbers(4, lost=range(4), num_workers=2)
        data.decodes = False
        (batch,) = batches(data)
        assert (len(batch.clips), batch.waves, batch.left_out) == (4, [], [])

    def test_a_worker_gets_neither_trainer_nor_validation(self) -> None:
        data = Numbers(4)
        data.trainer, data.validation = pl.Trainer(logger=False, enable_checkpointing=False), lambda: []
        copy = pickle.loads(pickle.dumps(data))
        assert copy.trainer is None
        assert copy.wave(3).tolist() == [3.0] * 4

    def test_processes_without_a_pair_in_some_batch_are_refused(self, several: Processes) -> None:
        for _ in several.each(3):
            assert len(batches(Numbers(9, batch_size=3))) == 3
            with pytest.raises(
                ValueError, match=r"each of 3 processes, got batches of 2. Set trainer.devices=1"
            ):
                Numbers(8, batch_size=3).train_dataloader()
            with pytest.raises(ValueError, match="got batches of 2"):
                Numbers(None, batch_size=2).train_dataloader()

    def test_an_epoch_of_one_batch_is_said(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        assert clips(batches(Numbers(3, batch_size=100)))[0] == clips(batches(Numbers(3, batch_size=3)))[0]
        assert caplog.messages == [
            "data: each epoch is one batch of all 3 pairs, fewer than data.batch_size=100."
        ]


class TestBroken:
    @pytest.mark.parametrize("workers", [0, 1])
    def test_the_first_ends_the_training(self, workers: int) -> None:
        with pytest.raises(ClipError, match=r"data row \d: clip \d.wav: is silent"):
            batches(Numbers(8, lost=[2, 5], num_workers=workers))

    def test_or_is_left_out_and_said_once(self, caplog: pytest.LogCaptureFixture) -> None:
        data = Numbers(8, lost=[2, 5], broken="skip")
        given = batches(data)
        assert sorted(chain.from_iterable(clips(given))) == [f"{n}.wav" for n in (0, 1, 3, 4, 6, 7)]
        assert sorted(chain.from_iterable(batch.left_out for batch in given)) == ["2.wav", "5.wav"]
        assert all(len(batch.waves) == len(batch.caption_id) == len(batch.clips) for batch in given)
        batches(data, done=2)
        data.teardown("fit")
        assert [line.partition(" (")[0] for line in caplog.messages] == ["data: left out 2 clips"]
        assert data.left_out == {"2.wav": 2, "5.wav": 2}

    def test_a_batch_without_any_is_an_error_all_the_same(self) -> None:
        with pytest.raises(ClipError, match=r"is silent \(as all 4 of its batch\)"):
            batches(Numbers(8, lost=range(8), broken="skip"))


class TestBatch:
    def test_numbers_are_equal_where_sounds_and_meanings_are(self) -> None:
        batch = batch_of(
            [
                Pair("a", "A dog barks."),
                Pair("b", "a  dog barks", swapped="Rain"),
                Pair("a", "Rain", meaning="wet"),
                Pair("c", "Wet", meaning="wet", swapped="x", swapped_meaning="rain"),
            ],
            [torch.zeros(1)] * 4,
        )
        assert batch.clip_id.unique(return_inverse=True)[1].bincount().tolist() in (
            [2, 1, 1],
            [1, 2, 1],
            [1, 1, 2],
        )
        assert batch.clip_id[0] == batch.clip_id[2]
        assert batch.caption_id[0] == batch.caption_id[1]
        assert batch.caption_id[2] == batch.caption_id[3] != batch.caption_id[0]
        assert (batch.swapped, batch.swapped_of.tolist()) == (["Rain", "x"], [1, 3])
        assert batch.swapped_id.tolist() == [number_of("rain")] * 2
        assert batch.to(torch.device("cpu")).clips == batch.clips

    def test_no_swapped_captions_are_an_empty_list(self) -> None:
        batch = batch_of([Pair("a", "x")], [])
        assert (batch.swapped, batch.swapped_of.shape, batch.swapped_id.dtype) == ([], (0,), torch.long)

    def test_words(self) -> None:
        assert words_of(" A\tDOG barks!?") == "a dog barks"
        assert words_of("雨。") == words_of("雨") != words_of("犬")

    def test_a_number_is_the_same_in_every_run(self) -> None:
        assert number_of("a dog barks") == 5070216098622259608
        assert (
            0
            <= min(number_of(str(n)) for n in range(500))
            < max(number_of(str(n)) for n in range(500))
            < 2**63
        )

    def test_clips_are_told_by_their_first(self) -> None:
        assert counted(["a"]) == "1 clip (a)"
        assert counted(list("aabcde")) == "5 clips (a, b, c, ...)"

    def test_rows_without_waves(self) -> None:
        assert read_batch([(Pair("a", "x"), None)], skip=False).waves == []


class Recorder(pl.LightningModule):
    """Remembers what it was trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[list[str]] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.seen.append(batch.clips)
        return self.weight.square().sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Nothing to see."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trained(
    data: Numbers, *, steps: int, start: Path | None = None, save: Path | None = None
) -> list[list[str]]:
    module = Recorder()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    trainer.fit(module, datamodule=data, ckpt_path=start, weights_only=True)
    if save is not None:
        trainer.save_checkpoint(save)
    return module.seen


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*no `val_dataloader`")
@pytest.mark.parametrize("stop", [2, 3, 7])
@pytest.mark.parametrize("n", [11, None])
def test_a_training_that_goes_on_sees_what_it_would_have_seen(
    tmp_path: Path, stop: int, n: int | None
) -> None:
    whole = trained(Numbers(n), steps=9)
    assert len(whole) == 9
    assert whole[:3] == clips(list(islice(Numbers(n).train_dataloader(), 3)))
    before = trained(Numbers(n), steps=stop, save=tmp_path / "last.ckpt")
    after = trained(Numbers(n), steps=9, start=tmp_path / "last.ckpt")
    assert before + after == whole


def test_hearing_is_what_the_encoder_hears() -> None:
    assert Numbers(4).hearing == HEARING
    assert processes.world() == 1
    assert np.isfinite(Numbers(4, num_workers=None).num_workers)
