"""Pairs to train on, as a LightningDataModule: numbered pairs, cut into batches that know rank, epoch and position.

Batch k of a training depends on (seed, k) alone: a training that goes on reads on where it stopped, and n processes
share each batch, so that they train as one does.
"""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from clapbench import kinds
from clapbench.encoders.base import Hearing
from clapbench.running.batches import cores
from clapbench.sound.waves import ClipError
from clapbench.training import processes

log = logging.getLogger(__name__)

STREAM = 11  # keeps the shuffling apart from other draws of one seed


@dataclass(frozen=True)
class Pair:
    """A clip and a caption of it. ``clip`` names the sound: pairs with one name share it.

    ``meaning`` is one for captions that say the same (default: the caption itself); ``swapped`` is the caption with two
    things exchanged, ``swapped_meaning`` what that says.
    """

    clip: str
    caption: str
    meaning: str | None = None
    swapped: str | None = None
    swapped_meaning: str | None = None


@dataclass
class PairBatch:
    """``n`` clips with captions, and the swapped captions of those ``m`` pairs that have one.

    ``waves`` are mono at the encoder's rate; none where a store holds what the encoder makes of ``clips``. Equal
    numbers in ``clip_id`` are one clip, in ``caption_id`` and ``swapped_id`` captions that mean the same.
    ``left_out`` holds the clips of this batch that could not be read.
    """

    clips: list[str]
    waves: list[Float[Tensor, " _"]]
    captions: list[str]
    clip_id: Int[Tensor, " n"]
    caption_id: Int[Tensor, " n"]
    swapped: list[str]
    swapped_of: Int[Tensor, " m"]
    swapped_id: Int[Tensor, " m"]
    left_out: list[str] = field(default_factory=list)

    def to(self, device: torch.device) -> PairBatch:
        """The batch with its tensors on ``device``."""
        tensors = ("clip_id", "caption_id", "swapped_of", "swapped_id")
        moved = {name: getattr(self, name).to(device) for name in tensors}
        others = {"clips": self.clips, "captions": self.captions, "swapped": self.swapped}
        waves = [wave.to(device) for wave in self.waves]
        return PairBatch(waves=waves, left_out=self.left_out, **others, **moved)


def number_of(text: str) -> int:
    """The same number for the same text in every process and run; others for others, but by a chance of 2^-63."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def batch_of(pairs: Sequence[Pair], waves: Sequence[Tensor], *, left_out: Sequence[str] = ()) -> PairBatch:
    """Pairs as a batch; ``waves`` one for each pair, or none at all."""
    swapped = [(row, pair) for row, pair in enumerate(pairs) if pair.swapped is not None]
    return PairBatch(
        clips=[pair.clip for pair in pairs],
        waves=list(waves),
        captions=[pair.caption for pair in pairs],
        clip_id=torch.tensor([number_of(pair.clip) for pair in pairs], dtype=torch.long),
        caption_id=torch.tensor(
            [number_of(pair.meaning or pair.caption) for pair in pairs], dtype=torch.long
        ),
        swapped=[str(pair.swapped) for _, pair in swapped],
        swapped_of=torch.tensor([row for row, _ in swapped], dtype=torch.long),
        swapped_id=torch.tensor(
            [number_of(pair.swapped_meaning or str(pair.swapped)) for _, pair in swapped], dtype=torch.long
        ),
        left_out=list(left_out),
    )


class TrainingData(pl.LightningDataModule, ABC):
    """Pairs to train on. ``batch_size`` counts the pairs of an optimizer step's batch over all processes.

    ``hearing`` is what of a clip reaches the encoder, ``num_workers`` how many processes decode (None: every core but
    one, at most 4). ``validation`` makes the loaders that Lightning validates by.
    """

    keeps_heard = False  # True where what the audio tower hears of each clip is worth keeping
    decodes = True  # False where a store holds what the encoder makes of each clip

    def __init__(
        self, *, batch_size: kinds.Pairs, seed: kinds.Seed, hearing: Hearing, num_workers: int | None = 0
    ) -> None:
        super().__init__()
        self.batch_size, self.seed, self.hearing = batch_size, seed, hearing
        self.num_workers = max(0, min(4, cores() - 1)) if num_workers is None else num_workers
        self.validation: Callable[[], list[DataLoader[Any]]] = list
        self.resumed = 0  # batches that lie before this run

    @property
    @abstractmethod
    def has_swapped(self) -> bool:
        """Whether some pair has a swapped caption."""

    @property
    def content(self) -> dict[str, Any]:
        """What the data are, in numbers and hashes, for the model card."""
        return {}

    @abstractmethod
    def train_dataloader(self) -> DataLoader[PairBatch]:
        """This process's part of each batch."""

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """The loaders of the held-out benchmarks."""
        return self.validation()

    def batches_done(self) -> int:
        """Batches of all epochs that the trainer has trained on, those before a resume included."""
        trained = self.trainer.fit_loop.total_batch_idx + 1 if self.trainer is not None else 0
        return max(self.resumed, trained)  # the loops of a trainer learn of a resume after they asked for data

    def state_dict(self) -> dict[str, Any]:
        """The position."""
        return {"batches": self.batches_done()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where a checkpoint was written."""
        self.resumed = int(state_dict["batches"])


class NumberedPairs(TrainingData):
    """Pairs with numbers: all of them once in each epoch, in another order; or without end, in order.

    The batches of an epoch differ in size by one pair at most, so that none is left over. ``group`` pairs in a row stay
    together.
    """

    group = 1

    @property
    @abstractmethod
    def n_pairs(self) -> int | None:
        """How many there are; None: no end."""

    @abstractmethod
    def pair(self, number: int) -> Pair:
        """The pair of a number."""

    @abstractmethod
    def wave(self, number: int) -> Float[Tensor, " _"]:
        """The clip of a pair: mono, at the encoder's rate, its window. Raises `ClipError` where it cannot be read."""

    def identity(self, number: int) -> str:
        """What tells the sound of a pair's clip from all others, of other data too; by default the clip's name.

        Of a file its path, size and time, so that what is kept of a sound is not taken for another's.
        """
        return self.pair(number).clip

    @property
    def skips_broken(self) -> bool:
        """Whether a clip that cannot be read is left out and counted, where it otherwise ends the training."""
        return False

    def train_dataloader(self) -> DataLoader[PairBatch]:
        """This process's part of each batch, from where the training stands."""
        return PairLoader(
            NumberedSet(self),
            batch_sampler=Batches(
                self.n_pairs, size=self.batch_size, group=self.group, seed=self.seed, done=self.batches_done
            ),
            collate_fn=Collate(skip=self.skips_broken),
            num_workers=self.num_workers if self.decodes else 0,
            persistent_workers=False,
        )


class NumberedSet(Dataset[Any]):
    """Pairs with their waves; a clip that cannot be read is a `ClipError` in its place."""

    def __init__(self, data: NumberedPairs) -> None:
        self.data = data

    def __getitem__(self, number: int) -> tuple[Pair, Tensor | ClipError | None]:
        pair = self.data.pair(number)
        if not self.data.decodes:
            return pair, None
        try:
            return pair, self.data.wave(number)
        except ClipError as error:
            return pair, error


@dataclass(frozen=True)
class Collate:
    """Rows to a `PairBatch`; with ``skip`` without the clips that cannot be read, else the first `ClipError`."""

    skip: bool

    def __call__(self, rows: list[tuple[Pair, Tensor | ClipError | None]]) -> PairBatch | ClipError:
        """The batch of some rows."""
        broken = [wave for _, wave in rows if isinstance(wave, ClipError)]
        if broken and not self.skip:
            return broken[0]
        left_out = [pair.clip for pair, wave in rows if isinstance(wave, ClipError)]
        kept = [(pair, wave) for pair, wave in rows if not isinstance(wave, ClipError)]
        waves = [wave for _, wave in kept if wave is not None]
        return batch_of([pair for pair, _ in kept], waves, left_out=left_out)


class PairLoader(DataLoader[PairBatch]):
    """Raises what a worker could not read here. Lightning takes its state as a sign that it can be resumed; the trainer
    itself knows the position.
    """

    def __iter__(self) -> Iterator[PairBatch]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, ClipError):
                raise batch
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the trainer counts batches."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing: the trainer counts batches."""


class Batches(Sampler[list[int]]):
    """The numbers of this process's pairs in each batch. ``done()`` tells how many batches lie behind."""

    def __init__(
        self, n: int | None, *, size: int, group: int, seed: int, done: Callable[[], int]
    ) -> None:
        self.n, self.size, self.group, self.seed, self.done = n, size, group, seed, done
        self.n_batches = None if n is None else max(1, min(-(-n // size), n // 2))  # none of one pair

    def __len__(self) -> int:
        if self.n_batches is None:
            raise TypeError("pairs without end have no number of batches")
        return self.n_batches

    def __iter__(self) -> Iterator[list[int]]:
        rank, world = processes.rank(), processes.world()
        batch = self.done()
        if self.n_batches is None:
            while True:
                yield list(range(batch * self.size, (batch + 1) * self.size))[rank::world]
                batch += 1
        assert self.n is not None
        if self.n // self.n_batches < world:
            raise ValueError(
                f"data: needed a pair in each batch for each of {world} processes, the {self.n} pairs make batches of "
                f"{self.n // self.n_batches}. Set trainer.devices=1, or give more pairs."
            )
        epoch, first = divmod(batch, self.n_batches)
        for numbers in self.epoch(epoch)[first:]:
            yield numbers[rank::world].tolist()

    def epoch(self, epoch: int) -> list[Int[np.ndarray, " _"]]:
        """The batches of an epoch over all processes."""
        assert self.n is not None and self.n_batches is not None
        order = np.random.default_rng([self.seed, STREAM, epoch]).permutation(-(-self.n // self.group))
        numbers = (order[:, None] * self.group + np.arange(self.group)).ravel()
        return np.array_split(numbers[numbers < self.n], self.n_batches)


def counted(names: Sequence[str]) -> str:
    """``3 clips (a.wav, b.wav, ...)``, for a message."""
    distinct = list(Counter(names))
    shown = ", ".join(distinct[:3]) + (", ..." if len(distinct) > 3 else "")
    return f"{len(distinct)} clip{'s' if len(distinct) != 1 else ''} ({shown})"
