"""Through a Trainer: each clip and canonical caption once, back in order, every row and case scored once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from jaxtyping import Float, Int
from torch import Tensor

from clapbench.benchmarks.compositional import Compositional
from clapbench.encoders.base import Encoder
from clapbench.running import batches, certificate
from clapbench.running.batches import ClipBatch, EncodingPlan, in_order, row_loader
from clapbench.schema import Case, Embeddings
from clapbench.sound.waves import ClipError

DIAGONAL = ((True, False), (False, True))


class Letters(Encoder):
    """Counts what it reads: a caption is its sorted letters, a clip its length and sum."""

    recipe, sample_rate, window = 1, 16_000, 0.5

    def __init__(self) -> None:
        super().__init__()
        self.read: Counter[str] = Counter()

    def audio_features(self, waves: list[Float[Tensor, " _"]]) -> Float[Tensor, "n d"]:
        return torch.stack([torch.tensor([len(wave), float(wave.sum()), 1.0]) for wave in waves])

    def tokenize(self, captions: list[str]) -> tuple[Int[Tensor, "n l"], Int[Tensor, "n l"]]:
        self.read.update(captions)
        counts = torch.tensor([[caption.count(letter) for letter in "abc"] for caption in captions])
        return counts, torch.ones_like(counts)

    def token_features(
        self, input_ids: Int[Tensor, "n l"], attention_mask: Int[Tensor, "n l"]
    ) -> Float[Tensor, "n d"]:
        return input_ids.float()

    def canonical(self, caption: str) -> str:
        return "".join(sorted(caption.replace(" ", "")))


class Listed(Compositional):
    """Cases as given; clips are written with a level of their own."""

    def __init__(self, root: Path, cases: list[Case]) -> None:
        super().__init__(name="listed", root=root, protocol="official")
        self.listed = cases
        for number, clip in enumerate(sorted({clip for case in cases for clip in case.clips})):
            soundfile.write(root / clip, np.full(4000 + 1500 * number, 0.01 * (number + 1)), 16_000)

    def read_cases(self) -> list[Case]:
        return self.listed


def bench(root: Path) -> Listed:
    pairs = [("c", "a", "abc a", "b"), ("b", "a", "aabc", "a c"), ("d", "c", "ca", "b")]
    return Listed(
        root,
        [Case(clips=(f"{p}.wav", f"{r}.wav"), captions=(x, y), match=DIAGONAL) for p, r, x, y in pairs],
    )


def encoded(plan: EncodingPlan, encoder: Encoder, *, batch_size: int, num_workers: int = 0) -> Embeddings:
    clips, captions = plan.loaders(batch_size=batch_size, num_workers=num_workers)
    return plan.embeddings(
        audio=[(batch.index, encoder.embed_audio(batch.waves)) for batch in clips],
        text=[(batch.index, encoder.embed_text(batch.captions)) for batch in captions],
    )


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_rows_come_back_in_order_and_each_canonical_caption_is_read_once(
    tmp_path: Path, batch_size: int
) -> None:
    encoder, benchmark = Letters(), bench(tmp_path)
    plan = EncodingPlan(encoder=encoder, benchmark=benchmark)
    found = encoded(plan, encoder, batch_size=batch_size)
    assert encoder.read == {"abc a": 1, "b": 1, "a c": 1}
    assert found.audio_id == benchmark.clips() == ("c.wav", "a.wav", "b.wav", "d.wav")
    assert found.text_id == benchmark.captions() == ("abc a", "b", "aabc", "a c", "ca")
    direct = Letters()
    np.testing.assert_array_equal(found.text, direct.embed_text(list(found.text_id)).numpy())
    for row, clip in zip(found.audio, found.audio_id, strict=True):
        wave = torch.from_numpy(soundfile.read(tmp_path / clip, dtype="float32")[0])[:8000]
        torch.testing.assert_close(torch.from_numpy(row), direct.embed_audio([wave])[0])


def test_captions_go_from_short_to_long_and_clips_arrive_cropped(tmp_path: Path) -> None:
    plan = EncodingPlan(encoder=Letters(), benchmark=bench(tmp_path))
    clips, captions = plan.loaders(batch_size=2, num_workers=0)
    lengths = [len(caption.split()) for batch in captions for caption in batch.captions]
    assert lengths == sorted(lengths)
    assert max(len(wave) for batch in clips for wave in batch.waves) == 8000


def test_a_worker_gives_the_same_clips(tmp_path: Path) -> None:
    plan = EncodingPlan(encoder=Letters(), benchmark=bench(tmp_path))
    here, there = (list(plan.loaders(batch_size=3, num_workers=workers)[0]) for workers in (0, 1))
    assert [len(batch.waves) for batch in here] == [3, 1]
    for one, other in zip(here, there, strict=True):
        assert isinstance(other, ClipBatch)
        assert torch.equal(one.index, other.index)
        assert all(torch.equal(a, b) for a, b in zip(one.waves, other.waves, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_clip_is_raised_here_with_its_file_and_reason(tmp_path: Path, workers: int) -> None:
    plan = EncodingPlan(encoder=Letters(), benchmark=bench(tmp_path))
    (tmp_path / "b.wav").write_bytes((tmp_path / "b.wav").read_bytes()[:-4000])
    with pytest.raises(ClipError, match=r"^bench 'listed' row \d: clip .*b\.wav: is cut off") as caught:
        list(plan.loaders(batch_size=2, num_workers=workers)[0])
    assert caught.value.path == tmp_path / "b.wav"
    assert caught.value.reason.startswith("is cut off: its header declares 0.34 s, 0.22 s are there")
    with pytest.raises(ClipError, match=r"b\.wav: is cut off"):
        certificate.loaders(plan)
    (tmp_path / "b.wav").unlink()
    with pytest.raises(ClipError, match=r"b\.wav: no such file"):
        list(plan.loaders(batch_size=2, num_workers=workers)[0])


def test_in_order_sorts_across_batches() -> None:
    rows = torch.arange(10.0).reshape(5, 2)
    place = torch.tensor([3, 0, 4, 1, 2])
    assert torch.equal(in_order([(place[:2], rows[place[:2]]), (place[2:], rows[place[2:]])]), rows)


def embeddings(*, n_audio: int = 5, n_text: int = 8) -> Embeddings:
    rng = np.random.default_rng(0)
    return Embeddings(
        audio=rng.standard_normal((n_audio, 4)).astype(np.float32),
        audio_id=tuple(f"{index}.wav" for index in range(n_audio)),
        text=rng.standard_normal((n_text, 4)).astype(np.float32),
        text_id=tuple(f"caption {index}" for index in range(n_text)),
    )


def cases() -> list[Case]:
    """Pairs, with a case of another shape between them."""
    triple = tuple(tuple(row == column for column in range(3)) for row in range(3))
    return [
        Case(clips=("0.wav", "3.wav"), captions=("caption 7", "caption 0"), match=DIAGONAL),
        Case(
            clips=("4.wav", "0.wav", "1.wav"), captions=("caption 1", "caption 2", "caption 3"), match=triple
        ),
        Case(clips=("2.wav", "1.wav"), captions=("caption 4", "caption 5"), match=DIAGONAL[::-1]),
        Case(clips=("0.wav", "3.wav"), captions=("caption 7", "caption 0"), match=DIAGONAL),
    ]


@pytest.mark.parametrize("at_once", [1, 2, 1024])
def test_every_row_is_probed_once(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(batches, "ROWS_AT_ONCE", at_once)
    given = embeddings()
    rows = list(row_loader(given))
    assert all(max(len(batch.audio), len(batch.text)) <= at_once for batch in rows)
    audio_index = torch.cat([batch.audio_index for batch in rows])
    text_index = torch.cat([batch.text_index for batch in rows])
    assert audio_index.tolist() == list(range(5))
    assert text_index.tolist() == list(range(8))
    np.testing.assert_array_equal(torch.cat([batch.audio for batch in rows]).numpy(), given.audio)
    np.testing.assert_array_equal(torch.cat([batch.text for batch in rows]).numpy(), given.text)


def test_batches_move_whole() -> None:
    device = torch.device("meta")
    for batch in row_loader(embeddings()):
        assert all(tensor.device == device for tensor in vars(batch.to(device)).values())
