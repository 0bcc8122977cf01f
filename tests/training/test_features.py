"""Features of a cut encoder: those of the whole one, each frozen stage computed once, and the same gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from omegaconf import OmegaConf
from small_encoder import CAPTIONS, OwnHeads, Small, applied, waves
from torch import Tensor

from clapbench.encoders.base import Hearing
from clapbench.encoders.mini import MiniClap
from clapbench.sound.waves import ClipError
from clapbench.training import prepare as module
from clapbench.training import processes, store
from clapbench.training.data.base import NumberedPairs, Pair, PairBatch
from clapbench.training.features import Features, digest
from clapbench.training.prepare import prepare
from clapbench.training.store import RowStore

SOURCE = OmegaConf.load(ROOT / "conf" / "model" / "mini.yaml").source
CLIPS = [f"{number}.wav" for number in range(5)]
NAMES = ["all", "text", "audio", "projection", "lora"]


class Listed(NumberedPairs):
    """Clips with two captions each, the second one swapped; those of ``broken`` cannot be read."""

    has_swapped = True

    def __init__(
        self, n: int = 5, *, broken: set[str] = frozenset(), skips: bool = False, **arguments: Any
    ) -> None:
        what = "skip" if skips else "fail"
        super().__init__(batch_size=4, seed=0, hearing=Hearing(8_000, None), broken=what, **arguments)
        self.clips, self.silent = CLIPS[:n], broken
        self.decoded: list[str] = []

    @property
    def n_pairs(self) -> int:
        return 2 * len(self.clips)

    def pair(self, number: int) -> Pair:
        clip, second = divmod(number, 2)
        swapped = f"{CAPTIONS[clip]} swapped" if second else None
        return Pair(clip=self.clips[clip], caption=CAPTIONS[(clip + second) % 5], swapped=swapped)

    def wave(self, number: int) -> Tensor:
        clip = self.pair(number).clip
        self.decoded.append(clip)
        if clip in self.silent:
            raise ClipError(Path(clip), "holds no samples")
        return waves()[number // 2]


def both(features: Features) -> list[Tensor]:
    return [features.audio(waves(), CLIPS), features.text(CAPTIONS)]


def whole(encoder: Small) -> list[Tensor]:
    return [encoder.audio_features(waves()), encoder.text_features(CAPTIONS)]


def gradients(encoder: Small, rows: list[Tensor]) -> dict[str, Tensor]:
    encoder.zero_grad()
    (rows[0] - rows[1]).square().sum().backward()
    return {key: one.grad for key, one in encoder.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("kind", [Small, OwnHeads])
@pytest.mark.parametrize("name", NAMES)
def test_features_and_gradients_are_those_of_the_whole_encoder(name: str, kind: type[Small]) -> None:
    encoder, _ = applied(name, kind())
    expected = gradients(encoder, whole(encoder))
    features = Features(encoder, keep_heard=True)
    for _ in range(2):  # computed, then kept
        for found, row in zip(both(features), whole(encoder), strict=True):
            torch.testing.assert_close(found, row)
        found = gradients(encoder, both(features))
        assert found.keys() == expected.keys()
        for key, gradient in expected.items():
            torch.testing.assert_close(found[key], gradient)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_of_ours_is_cut_as_it_says(name: str) -> None:
    encoder = MiniClap(name="mini", source=SOURCE)
    given = [0.1 * torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in (9_000, 30_000)]
    captions = ["A bell ringing before rain falling", "A dog barking"]
    expected = [encoder.audio_features(given), encoder.text_features(captions)]
    _, chosen = applied(name, encoder, gradient_checkpointing=name not in ("projection",))
    features = Features(encoder, keep_heard=True)
    for _ in range(2):
        found = [features.audio(given, ["a", "b"]), features.text(captions)]
        for row, other in zip(found, expected, strict=True):
            torch.testing.assert_close(row, other, atol=1e-5, rtol=1e-5)
    assert {side for side, row in zip(("audio", "text"), found, strict=True) if row.requires_grad} == (
        chosen.moving_sides(encoder)
    )
    for row in found:
        if row.requires_grad:
            row.sum().backward()
    moves = [one for one in encoder.parameters() if one.requires_grad]
    assert all(one.grad is not None for one in moves)
    assert sum(one.numel() for group in chosen.groups(encoder) for one in group["params"]) == sum(
        one.numel() for one in moves
    )


STAGES = {  # of OwnHeads, how often each is computed in 3 steps of 5 clips and 5 captions
    "all": {"heard": 5, "audio": 15, "text": 15},
    "text": {"heard": 5, "audio": 5, "text": 15},
    "audio": {"heard": 5, "audio": 15, "text": 5},
    "projection": {"heard": 5, "audio": 5, "text": 5},
    "lora": {"heard": 5, "audio": 5, "text": 15},
}


@pytest.mark.parametrize("name", NAMES)
def test_each_frozen_stage_is_computed_once_for_each_clip_and_caption(name: str) -> None:
    encoder, _ = applied(name)
    features = Features(encoder, keep_heard=True)
    for _ in range(3):
        both(features)
    assert dict(encoder.calls) == STAGES[name]
    if "audio" in features.stores:
        assert features.audio([], CLIPS[::-1]).shape == (5, 8)


def test_what_is_heard_and_what_has_no_name_is_not_kept() -> None:
    encoder, _ = applied("audio")
    features = Features(encoder)
    for _ in range(2):
        features.audio(waves(), CLIPS)
    assert encoder.calls["heard"] == 10
    encoder, _ = applied("text")
    features = Features(encoder)
    for _ in range(2):
        features.audio(waves())
    assert encoder.calls["audio"] == 10


def test_a_clip_that_was_not_prepared_is_kept_for_this_training_alone(tmp_path: Path) -> None:
    for computed in (3 + 5, 5):
        encoder, _ = applied("text")
        features = Features(encoder, content={}, folder=tmp_path)
        prepare(features, Listed(3), swapped=False)
        for _ in range(2):
            features.audio(waves()[:3], CLIPS[:3])
            features.audio(waves()[::-1], [f"validation {number}" for number in range(5)])
        features.flush()
        assert encoder.calls["audio"] == computed
        assert len(RowStore(features.stores["audio"].folder)) == 3


def test_clips_without_end_do_not_fill_the_memory(tmp_path: Path) -> None:
    encoder, _ = applied("text")
    features = Features(encoder, content={}, folder=tmp_path)
    features.passing = RowStore(most=3 * 8 * 4)
    for _ in range(2):
        rows = features.audio(waves(), CLIPS)
        torch.testing.assert_close(rows, encoder.audio_features(waves()))
    assert len(features.passing) == 3


def test_a_clip_of_a_batch_is_computed_once() -> None:
    encoder, _ = applied("projection")
    rows = Features(encoder).audio([waves()[0]] * 4, [CLIPS[0]] * 4)
    assert encoder.calls["audio"] == 1
    assert torch.equal(rows[0], rows[3])


def test_a_clip_that_is_neither_given_nor_kept_is_refused() -> None:
    encoder, _ = applied("text")
    features = Features(encoder)
    features.audio(waves()[:2], CLIPS[:2])
    with pytest.raises(
        ValueError, match=r"nothing is kept of 3 of 5 clips.*2\.wav.*Type the same command again"
    ):
        features.audio([], CLIPS)


def test_rows_are_float32_and_exact_under_half_precision(tmp_path: Path) -> None:
    encoder, _ = applied("projection")
    features = Features(encoder, content={}, folder=tmp_path)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        both(features)
    plain = Features(applied("projection")[0])
    both(plain)
    pairs = [(features.passing, plain.stores["audio"], features.key(clip)) for clip in CLIPS]
    pairs += [(features.stores["text"], plain.stores["text"], caption) for caption in CAPTIONS]
    for kept, exact, key in pairs:
        assert kept.get(key).dtype == torch.float32
        assert torch.equal(kept.get(key), exact.get(key))


def test_frozen_stages_run_in_evaluation_and_moving_ones_in_their_mode() -> None:
    encoder, _ = applied("text", mode="train")
    features = Features(encoder)
    before = encoder.audio_tower.norm.running_mean.clone(), encoder.text_tower.norm.running_mean.clone()
    rows = both(features)
    encoder.eval()
    assert torch.equal(rows[0], encoder.audio_features(waves()))
    assert not torch.equal(rows[1], encoder.text_features(CAPTIONS))
    assert torch.equal(encoder.audio_tower.norm.running_mean, before[0])
    assert not torch.equal(encoder.text_tower.norm.running_mean, before[1])


@pytest.mark.parametrize("name", NAMES)
def test_prepare_leaves_nothing_to_decode_that_does_not_move(name: str, tmp_path: Path) -> None:
    encoder, _ = applied(name)
    features, data = Features(encoder, content={}, folder=tmp_path), Listed()
    assert prepare(features, data, swapped=True) == set()
    kept = name in ("text", "projection", "lora")
    assert data.decodes != kept
    assert data.decoded == (CLIPS if kept else [])
    batch: PairBatch = next(iter(data.train_dataloader()))
    calls = encoder.calls.copy()
    rows = [features.audio(batch.waves, batch.clips), features.text([*batch.captions, *batch.swapped])]
    fresh = applied(name)[0]
    given = [waves()[CLIPS.index(clip)] for clip in batch.clips]
    expected = [fresh.audio_features(given), fresh.text_features([*batch.captions, *batch.swapped])]
    for found, row in zip(rows, expected, strict=True):
        torch.testing.assert_close(found, row)
    if kept:
        assert encoder.calls["audio"] == calls["audio"]
    if features.cuts["text"] != "heard":
        assert encoder.calls["text"] == calls["text"]

    again, _ = applied(name)
    data = Listed()
    prepare(Features(again, content={}, folder=tmp_path), data, swapped=True)
    assert not again.calls
    assert data.decodes != kept


def test_swapped_captions_are_prepared_where_something_reads_them() -> None:
    for swapped in (False, True):
        encoder, _ = applied("audio")
        prepare(Features(encoder), Listed(), swapped=swapped)
        assert encoder.calls["text"] == (10 if swapped else 5)


def test_what_is_heard_is_kept_as_it_comes_and_does_not_depend_on_its_batch() -> None:
    encoder, _ = applied("all")
    features, data = Features(encoder, keep_heard=True), Listed()
    prepare(features, data, swapped=False)
    assert data.decodes
    assert not any(map(features.is_kept, CLIPS))
    features.audio(waves()[:2], CLIPS[:2])
    empty = [torch.zeros(0)] * 2
    features.audio([*empty, *waves()[2:]], CLIPS)
    assert all(map(features.is_kept, CLIPS))
    assert encoder.calls["heard"] == 5
    data.is_kept = features.is_kept
    assert next(iter(data.train_dataloader())).waves == []
    assert data.decoded == []


def test_what_is_heard_serves_later_trainings_whatever_their_weights(tmp_path: Path) -> None:
    for seed, heard in ((0, 5), (1, 0)):
        encoder, _ = applied("all")
        with torch.no_grad():
            for weight in encoder.parameters():
                weight.add_(seed)
        features, data = Features(encoder, content={}, folder=tmp_path, keep_heard=True), Listed()
        prepare(features, data, swapped=False)
        data.is_kept = features.is_kept
        rows = features.audio(next(iter(data.train_dataloader())).waves if seed else waves(), CLIPS)
        assert rows.requires_grad
        assert encoder.calls["heard"] == heard
        features.flush()


def test_broken_clips_are_raised_or_left_out(tmp_path: Path) -> None:
    encoder, _ = applied("text")
    features = Features(encoder, content={}, folder=tmp_path)
    with pytest.raises(ClipError, match=r"3\.wav: holds no samples"):
        prepare(features, Listed(broken={"3.wav"}), swapped=False)
    data = Listed(broken={"1.wav", "3.wav"}, skips=True)
    assert prepare(features, data, swapped=False) == {"1.wav", "3.wav"}
    assert [features.key(clip) in features.stores["audio"] for clip in CLIPS] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_what_was_computed_before_an_error_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    encoder, _ = applied("text")
    with pytest.raises(ClipError):
        prepare(Features(encoder, content={}, folder=tmp_path), Listed(broken={"3.wav"}), swapped=False)
    again, _ = applied("text")
    prepare(Features(again, content={}, folder=tmp_path), Listed(), swapped=False)
    assert again.calls["audio"] == 3


def test_rows_that_would_fill_the_disk_are_refused_after_the_first_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    usage = store.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: usage._replace(free=200))
    encoder, _ = applied("text")
    data = Listed()
    with pytest.raises(ValueError, match=r"what is kept of each clip would take .* \(5 of 0.00 MB\)"):
        prepare(Features(encoder, content={}, folder=tmp_path), data, swapped=False)
    assert encoder.calls["audio"] == 2


def test_preparing_draws_no_random_numbers() -> None:
    encoder, _ = applied("projection")
    state = torch.get_rng_state()
    prepare(Features(encoder), Listed(), swapped=True)
    assert torch.equal(torch.get_rng_state(), state)


class Versioned(Listed):
    """Its sounds have changed under their names."""

    def identity(self, number: int) -> str:
        return f"{super().identity(number)} of today"


def test_a_row_belongs_to_weights_content_side_and_sound(tmp_path: Path) -> None:
    def computed(encoder: Small, *, content: dict[str, Any], data: Listed | None = None) -> int:
        prepare(Features(encoder, content=content, folder=tmp_path), data or Listed(), swapped=False)
        return encoder.calls["audio"]

    def fresh(name: str = "text", seed: int = 0) -> Small:
        return applied(name, OwnHeads(seed=seed))[0]

    assert computed(fresh(), content={"recipe": 1}) == 5
    assert computed(fresh("lora"), content={"recipe": 1}) == 0  # of the audio side the same
    assert computed(fresh(), content={"recipe": 2}) == 5
    assert computed(fresh(seed=1), content={"recipe": 1}) == 5
    assert computed(fresh(), content={"recipe": 1}, data=Versioned()) == 5
    assert computed(fresh("projection"), content={"recipe": 1}) == 5
    moved = fresh("projection")
    with torch.no_grad():
        moved.audio_projection[0].weight.add_(1.0)
    assert computed(moved, content={"recipe": 1}) == 0  # its head is behind the cut
    assert digest(fresh(), side="audio") != digest(fresh(), side="text")


def test_processes_share_the_work_and_read_each_others_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process runs where the first one waits for it."""
    encoders = [applied("text")[0] for _ in range(2)]
    features = [Features(encoder, content={}, folder=tmp_path) for encoder in encoders]
    data = [Listed(broken={"1.wav"}, skips=True) for _ in range(2)]
    at = [0]
    monkeypatch.setattr(processes, "world", lambda: 2)
    monkeypatch.setattr(processes, "rank", lambda: at[0])

    def wait_for_the_second() -> None:
        if at == [0]:
            at[0] = 1
            prepare(features[1], data[1], swapped=False)
            at[0] = 0

    monkeypatch.setattr(module.dist, "barrier", wait_for_the_second)
    assert prepare(features[0], data[0], swapped=False) == {"1.wav"}
    assert [encoder.calls["audio"] for encoder in encoders] == [3, 1]
    assert data[0].decoded == ["0.wav", "2.wav", "4.wav", "1.wav"]
    assert torch.equal(features[0].audio([], ["3.wav"]), features[1].audio([], ["3.wav"]))
