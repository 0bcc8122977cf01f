"""Small data to train on: tones in files, in shards and by number; processes that are only said to be there."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from webdataset.writer import TarWriter

from clapbench.encoders.base import Hearing
from clapbench.sound.waves import ClipError
from clapbench.training import processes
from clapbench.training.data.base import NumberedPairs, Pair, PairBatch, TrainingData

RATE = 8000
HEARING = Hearing(RATE, 1.0)


def tone(number: int = 0, *, seconds: float = 0.05) -> np.ndarray:
    """A tone that no other number has."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.1 * np.sin(2 * np.pi * (200 + 7 * number) * time)).astype(np.float32)


def clips_in(folder: Path, names: Sequence[str]) -> Path:
    """A tone in a file for each name."""
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, tone(number), RATE, format="WAV")
    return folder


def encoded(number: int, *, form: str = "FLAC") -> bytes:
    """The bytes of a sound file with a tone."""
    file = io.BytesIO()
    soundfile.write(file, tone(number), RATE, format=form)
    return file.getvalue()


def caption_of(number: int) -> str:
    return f"Bell {number} rings before dog {number} barks"


def sample(number: int, **files: Any) -> dict[str, Any]:
    """A pair as LAION's layout has it; ``files`` in place of its files, None takes one out."""
    given = {"flac": encoded(number), "json": json.dumps({"text": caption_of(number)}).encode(), **files}
    return {"__key__": f"{number:03d}", **{name: each for name, each in given.items() if each is not None}}


def shard(path: Path, samples: Sequence[Mapping[str, Any]]) -> Path:
    """A shard as webdataset writes it, of files that are bytes already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TarWriter(str(path), encoder=False) as writer:
        for each in samples:
            writer.write(dict(each))
    return path


def shards_in(folder: Path, sizes: Sequence[int]) -> str:
    """Shards of so many pairs, whose numbers go on from one to the next; the pattern that names them."""
    number = 0
    for place, size in enumerate(sizes):
        shard(folder / f"{place:03d}.tar", [sample(number + each) for each in range(size)])
        number += size
    return f"{folder}/{{000..{len(sizes) - 1:03d}}}.tar"


class Numbers(NumberedPairs):
    """Pair i has a wave of i; those in ``lost`` cannot be read."""

    has_swapped = False

    def __init__(self, n: int | None, *, group: int = 1, lost: Sequence[int] = (), **arguments: Any) -> None:
        super().__init__(**{"batch_size": 4, "seed": 0, "hearing": HEARING, **arguments})
        self.n, self.group, self.lost = n, group, lost

    @property
    def n_pairs(self) -> int | None:
        return self.n

    def pair(self, number: int) -> Pair:
        return Pair(clip=f"{number}.wav", caption=f"Number {number}")

    def wave(self, number: int) -> torch.Tensor:
        if number in self.lost:
            raise ClipError(Path(f"{number}.wav"), "is silent", where=f"data row {number}")
        return torch.full((1 + number,), float(number))


class Processes:
    """``world`` processes, of which one is this one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def each(self, world: int) -> Iterator[int]:
        """Takes the place of one after the other."""
        for rank in range(world):
            self.monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
            self.monkeypatch.setattr(processes, "world", lambda: world)
            yield rank


def batches(data: TrainingData, *, done: int = 0) -> list[PairBatch]:
    """What this process gets of the epoch in which ``done`` batches lie behind."""
    data.resumed = done
    return list(data.train_dataloader())


def clips(given: Sequence[PairBatch]) -> list[list[str]]:
    """The clips of each batch."""
    return [batch.clips for batch in given]
