"""What goes through a Trainer: clips and captions to encode, rows to probe."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from clapbench.benchmarks.base import Benchmark
from clapbench.encoders.base import Encoder
from clapbench.schema import Embeddings
from clapbench.sound.waves import ClipError, load_wave

T = TypeVar("T")
ROWS_AT_ONCE = 1024  # in one batch of probing
Indexed = tuple[Tensor, Tensor]  # positions [n] and rows [n d]


# Batches are not frozen: Lightning writes their tensors in another precision.
@dataclass
class ClipBatch:
    """Clips to encode, with their positions."""

    index: Int[Tensor, " n"]  # positions among the benchmark's distinct clips
    waves: list[Float[Tensor, " _"]]

    def to(self, device: torch.device) -> ClipBatch:
        """The batch with its waves on ``device``."""
        return ClipBatch(index=self.index, waves=[wave.to(device) for wave in self.waves])


@dataclass
class CaptionBatch:
    """Captions to encode, with their positions."""

    index: Int[Tensor, " n"]  # positions among the distinct canonical captions
    captions: list[str]

    def to(self, device: torch.device) -> CaptionBatch:
        """The batch as it is: captions have no device."""
        return self


@dataclass
class RowBatch:
    """Rows of both sides with their positions; either side may have none."""

    audio: Float[Tensor, "a d"]
    audio_index: Int[Tensor, " a"]
    text: Float[Tensor, "t d"]
    text_index: Int[Tensor, " t"]

    def to(self, device: torch.device) -> RowBatch:
        """The batch with its rows and positions on ``device``."""
        return RowBatch(
            audio=self.audio.to(device),
            audio_index=self.audio_index.to(device),
            text=self.text.to(device),
            text_index=self.text_index.to(device),
        )


Row = tuple[int, Tensor] | ClipError


class Clips(Dataset[Row]):
    """Decoded waves of a benchmark's clips, in the order of their ids.

    A clip that cannot be read is a `ClipError` in its row's place: raised in a worker, it would come back as a
    traceback in words.
    """

    def __init__(
        self, benchmark: Benchmark, clips: Sequence[str], *, sample_rate: int, window: float | None
    ) -> None:
        self.benchmark, self.clips = benchmark, clips
        self.sample_rate, self.window = sample_rate, window

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> Row:
        clip = self.clips[index]
        path = self.benchmark.audio_path(clip)
        try:
            return index, load_wave(path, sample_rate=self.sample_rate, window=self.window)
        except ClipError as error:
            return ClipError(path, error.reason, error.remedy, self.benchmark.where(clip))
        except FileNotFoundError:
            where = self.benchmark.where(clip)
            return ClipError(path, "no such file", "Check bench.root and the paths in the CSV.", where)


class ClipLoader(DataLoader[ClipBatch]):
    """Raises what the workers could not read here, in the process that iterates."""

    def __iter__(self) -> Iterator[ClipBatch]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, ClipError):
                raise batch
            yield batch


class EncodingPlan:
    """What of a benchmark goes through an encoder: each distinct clip and canonical caption once."""

    def __init__(self, *, encoder: Encoder, benchmark: Benchmark) -> None:
        self.benchmark = benchmark
        self.sample_rate, self.window = encoder.sample_rate, encoder.window
        self.clips = benchmark.clips()
        self.captions = benchmark.captions() if "text" in encoder.sides else ()
        forms = [encoder.canonical(caption) for caption in self.captions]
        first: dict[str, str] = {}
        for form, caption in zip(forms, self.captions, strict=True):
            first.setdefault(form, caption)
        self.encoded = tuple(first.values())  # one caption for each canonical form
        place = {form: row for row, form in enumerate(first)}
        self.row = [place[form] for form in forms]  # of each caption among the encoded
        self.about = {
            "parameters": encoder.parameter_count,
            **(encoder.coverage(list(self.captions)) if self.captions else {}),
        }

    def loaders(
        self, *, batch_size: int, num_workers: int | None, share: tuple[int, int] = (0, 1)
    ) -> tuple[DataLoader[ClipBatch], DataLoader[CaptionBatch]]:
        """Clips, then captions: the latter in batches of similar length, so that little is padded.

        ``num_workers`` processes decode clips while the model computes; None takes every core but one, at most 4,
        and none for a single batch. ``share`` (k, n) loads the k-th of n parts.
        """
        part, parts = share
        if num_workers is None:
            batches = -(-len(self.clips) // batch_size)
            num_workers = max(0, min(4, cores() - 1, batches - 1))
        clips = Clips(
            self.benchmark,
            self.clips,
            sample_rate=self.sample_rate,
            window=self.window,
        )
        order = sorted(range(len(self.encoded)), key=lambda row: (len(self.encoded[row].split()), row))
        captions = [
            CaptionBatch(index=torch.tensor(chunk), captions=[self.encoded[row] for row in chunk])
            for chunk in chunks(order[part::parts], size=batch_size)
        ]
        own = range(part, len(self.clips), parts)
        return (
            ClipLoader(
                clips,  # type: ignore[arg-type]
                sampler=own,
                batch_size=batch_size,
                num_workers=num_workers,
                collate_fn=collate_clips,
            ),
            DataLoader(captions, batch_size=None),  # type: ignore[arg-type]
        )

    def embeddings(self, *, audio: Sequence[Indexed], text: Sequence[Indexed]) -> Embeddings:
        """The encoded batches of both loaders, put back in the order of clips and captions."""
        rows = in_order(audio)
        return Embeddings(
            audio=rows.numpy(),
            audio_id=self.clips,
            text=(in_order(text)[self.row] if text else rows[:0]).numpy(),
            text_id=self.captions,
            about=self.about,
        )


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def collate_clips(rows: list[Row]) -> ClipBatch | ClipError:
    """A batch, or the first error among its rows."""
    read: list[tuple[int, Tensor]] = []
    for row in rows:
        if isinstance(row, ClipError):
            return row
        read.append(row)
    index, waves = zip(*read, strict=True)
    return ClipBatch(index=torch.tensor(index), waves=list(waves))


def in_order(batches: Sequence[Indexed]) -> Float[Tensor, "n d"]:
    """Rows of all batches, sorted by their positions."""
    index, rows = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return rows[index.argsort()]


def row_loader(embeddings: Embeddings) -> DataLoader[RowBatch]:
    """All rows once, with their positions."""
    audio, text = torch.from_numpy(embeddings.audio), torch.from_numpy(embeddings.text)
    batches = []
    for start in range(0, max(len(audio), len(text)), ROWS_AT_ONCE):
        audio_index = torch.arange(len(audio))[start : start + ROWS_AT_ONCE]
        text_index = torch.arange(len(text))[start : start + ROWS_AT_ONCE]
        batches.append(
            RowBatch(
                audio=audio[audio_index],
                audio_index=audio_index,
                text=text[text_index],
                text_index=text_index,
            )
        )
    return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]


def chunks(items: Sequence[T], *, size: int) -> Iterator[Sequence[T]]:
    """``items`` in pieces of ``size``, the last one shorter."""
    return (items[start : start + size] for start in range(0, len(items), size))
