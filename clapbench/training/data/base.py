"""Pairs to train on, as a LightningDataModule: batches that know rank, epoch and position.

Batch k of a training depends on (seed, k) and the processes alone: a training that goes on reads on where it stopped.
``n`` processes share each batch of numbered pairs, so that they train as one does.
"""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from clapbench import kinds
from clapbench.benchmarks.tables import first_names
from clapbench.encoders.base import Hearing
from clapbench.running.batches import cores, started_by
from clapbench.sound.waves import ClipError
from clapbench.training import processes

log = logging.getLogger(__name__)

STREAM = 11  # keeps the shuffling apart from other draws of one seed


@dataclass(frozen=True)
class Pair:
    """A clip and a caption of it. ``clip`` names the sound: pairs with one name share it.

    ``meaning`` is one for captions that say the same (default: the words of the caption); ``swapped`` is the caption
    with two things exchanged, ``swapped_meaning`` what that says.
    """

    clip: str
    caption: str
    meaning: str | None = None
    swapped: str | None = None
    swapped_meaning: str | None = None


@dataclass
class PairBatch:
    """``n`` clips with captions, and the swapped captions of those ``m`` pairs that have one.

    ``waves`` are mono at the encoder's rate; empty where a store holds what the encoder makes of a clip, none at all
    where it holds that of all ``clips``. Equal numbers in ``clip_id`` are one clip, in ``caption_id`` and
    ``swapped_id`` captions that mean the same. ``left_out`` holds the clips of this batch that could not be read.
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
        moved: dict[str, Any] = {name: getattr(self, name).to(device) for name in tensors}
        return replace(self, waves=[wave.to(device) for wave in self.waves], **moved)


def number_of(text: str) -> int:
    """The same number for the same text in every process and run; others for others, but by a chance of 2^-63."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def words_of(caption: str) -> str:
    """What captions share that differ in case, spaces or a final mark alone.

    >>> words_of("A  dog barks."), words_of("a dog barks")
    ('a dog barks', 'a dog barks')
    """
    return " ".join(caption.casefold().split()).rstrip(".!?。 ")


def batch_of(pairs: Sequence[Pair], waves: Sequence[Tensor], *, left_out: Sequence[str] = ()) -> PairBatch:
    """Pairs as a batch; ``waves`` one for each pair, or none at all."""
    swapped = [(row, pair) for row, pair in enumerate(pairs) if pair.swapped is not None]
    return PairBatch(
        clips=[pair.clip for pair in pairs],
        waves=list(waves),
        captions=[pair.caption for pair in pairs],
        clip_id=torch.tensor([number_of(pair.clip) for pair in pairs], dtype=torch.long),
        caption_id=torch.tensor(
            [number_of(pair.meaning or words_of(pair.caption)) for pair in pairs], dtype=torch.long
        ),
        swapped=[str(pair.swapped) for _, pair in swapped],
        swapped_of=torch.tensor([row for row, _ in swapped], dtype=torch.long),
        swapped_id=torch.tensor(
            [number_of(pair.swapped_meaning or words_of(str(pair.swapped))) for _, pair in swapped],
            dtype=torch.long,
        ),
        left_out=list(left_out),
    )


Row = tuple[Pair, Tensor | ClipError | None]  # a clip that cannot be read is an error in its wave's place


class TrainingData(pl.LightningDataModule, ABC):
    """Pairs to train on. ``batch_size`` counts the pairs of an optimizer step's batch over all processes.

    ``hearing`` is what of a clip reaches the encoder, ``num_workers`` how many processes decode (None: every core but
    one, at most 4). ``broken`` says what a clip that cannot be read does: end the training, or be left out and counted.
    ``validation`` makes the loaders that Lightning validates by.
    """

    keeps_heard = False  # True where what the audio tower hears of each clip is worth keeping
    decodes = True  # False where a store holds what the encoder makes of each clip

    def __init__(
        self,
        *,
        batch_size: kinds.Pairs,
        seed: kinds.Seed,
        hearing: Hearing,
        num_workers: int | None = 0,
        broken: Literal["fail", "skip"] = "fail",
    ) -> None:
        super().__init__()
        self.batch_size, self.seed, self.hearing = batch_size, seed, hearing
        self.num_workers = max(0, min(4, cores() - 1)) if num_workers is None else num_workers
        self.broken = broken
        self.validation: Callable[[], list[DataLoader[Any]]] = list
        self.is_kept: Callable[[str], bool] = nothing_kept  # of a clip: what the encoder makes of it
        self.resumed = 0  # batches that lie before this run
        self.left_out: Counter[str] = Counter()  # clips that could not be read, by this process
        self._said = 0  # of them

    @property
    @abstractmethod
    def has_swapped(self) -> bool:
        """Whether some pair has a swapped caption."""

    @property
    def content(self) -> dict[str, Any]:
        """What the data are, in numbers and hashes, for the model card."""
        return {}

    @property
    @abstractmethod
    def n_batches(self) -> int | None:
        """The batches of an epoch, the same for every process; None: no end."""

    @abstractmethod
    def rows(self) -> Iterator[list[Row]]:
        """This process's rows of each batch, from `batches_done` to the end of that epoch."""

    def check_processes(self) -> None:
        """ValueError where the processes that train together are too many for these data."""

    def say(self) -> None:
        """Says once, before the training, what people should know of the data."""

    def train_dataloader(self) -> PairLoader:
        """This process's part of each batch, from where the training stands."""
        self.check_processes()
        self.say()
        return PairLoader(self)

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """The loaders of the held-out benchmarks."""
        return self.validation()

    def teardown(self, stage: str) -> None:
        """Says what the last epoch left out."""
        if stage == "fit":
            self.say_left_out()

    def say_left_out(self) -> None:
        """Says once which clips could not be read since it was said last."""
        if len(self.left_out) > self._said:
            log.warning("data: left out %s, which cannot be read.", counted(list(self.left_out)))
            self._said = len(self.left_out)

    def batches_done(self) -> int:
        """Batches of all epochs that the trainer has trained on, those before a resume included."""
        trained = self.trainer.fit_loop.total_batch_idx + 1 if self.trainer is not None else 0
        return max(self.resumed, trained)  # a trainer's loops learn of a resume after they asked for data

    def state_dict(self) -> dict[str, Any]:
        """The position."""
        return {"batches": self.batches_done(), "left_out": sorted(self.left_out)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where a checkpoint was written."""
        self.resumed = int(state_dict["batches"])
        self.left_out.update(state_dict["left_out"])

    def __getstate__(self) -> dict[str, Any]:
        """What a worker needs: neither the trainer nor what validates."""
        return {**self.__dict__, "trainer": None, "validation": list, "is_kept": nothing_kept}


def nothing_kept(clip: str) -> bool:
    """No store holds anything."""
    return False


class PairLoader:
    """The batches of this process, from where the training stands to the end of its epoch.

    Raises here what a worker could not read. Not a DataLoader, into which Lightning would put a sampler of its own. It
    takes a state as a sign that a loader can go on in mid-epoch; the trainer itself knows the position.
    """

    def __init__(self, data: TrainingData) -> None:
        self.data = data

    def __len__(self) -> int:
        if self.data.n_batches is None:
            raise TypeError("pairs without end have no number of batches")
        return self.data.n_batches

    def __iter__(self) -> Iterator[PairBatch]:
        self.data.say_left_out()
        for rows in self.data.rows():
            batch = read_batch(rows, skip=self.data.broken == "skip")
            self.data.left_out.update(batch.left_out)
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the trainer counts batches."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing: the trainer counts batches."""


def read_batch(rows: Sequence[Row], *, skip: bool) -> PairBatch:
    """The batch of some rows; with ``skip`` without the clips that cannot be read, else the first `ClipError`."""
    broken = [wave for _, wave in rows if isinstance(wave, ClipError)]
    if broken and (not skip or len(broken) == len(rows)):
        few = "" if len(broken) < len(rows) or len(rows) == 1 else f" (as all {len(rows)} of its batch)"
        first = broken[0]
        raise ClipError(first.path, first.reason + few, first.remedy, first.where)
    kept = [(pair, wave) for pair, wave in rows if not isinstance(wave, ClipError)]
    if broken and len(kept) == 1:
        raise ValueError(
            f"data: needed two pairs or more of a batch, {len(broken)} of {len(rows)} clips cannot be read (first: "
            f"{broken[0]}). Mend the files, or set a larger data.batch_size."
        )
    waves = [torch.zeros(0) if wave is None else wave for _, wave in kept]
    return batch_of(
        [pair for pair, _ in kept],
        waves if any(wave is not None for _, wave in kept) else [],
        left_out=[pair.clip for pair, wave in rows if isinstance(wave, ClipError)],
    )


@dataclass
class Parcel:
    """Rows on their way from a worker, their waves in one tensor: every tensor that is sent keeps a file open."""

    pairs: list[Pair]
    waves: Float[Tensor, " _"]
    lengths: list[int]
    others: dict[int, ClipError | None]  # places of rows without a wave

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Parcel:
        """The rows, packed."""
        waves = [wave for _, wave in rows if isinstance(wave, Tensor)]
        return cls(
            pairs=[pair for pair, _ in rows],
            waves=torch.cat(waves) if waves else torch.zeros(0),
            lengths=[len(wave) for wave in waves],
            others={place: wave for place, (_, wave) in enumerate(rows) if not isinstance(wave, Tensor)},
        )

    def rows(self) -> list[Row]:
        """The rows, unpacked."""
        waves = iter(self.waves.split(self.lengths))
        return [
            (pair, self.others[place] if place in self.others else next(waves))
            for place, pair in enumerate(self.pairs)
        ]


class NumberedPairs(TrainingData):
    """Pairs with numbers: all of them once in each epoch, in another order; or without end, in order.

    ``group`` pairs in a row stay together. The batches of an epoch differ in size by one group at most, and none holds
    a single pair.
    """

    group = 1

    @property
    @abstractmethod
    def n_pairs(self) -> int | None:
        """How many there are, a multiple of ``group``; None: no end."""

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

    def leave_out(self, clips: Collection[str]) -> None:
        """Takes the pairs of these clips, which cannot be read, out of the set."""

    @property
    def batches(self) -> Batches:
        """Which pairs make which batch."""
        return Batches(
            self.n_pairs, size=self.batch_size, group=self.group, seed=self.seed, done=self.batches_done
        )

    @property
    def n_batches(self) -> int | None:
        """The batches of an epoch."""
        return self.batches.n_batches

    def check_processes(self) -> None:
        """ValueError where a batch has less than a pair for each process."""
        n, world, batches = self.n_pairs, processes.world(), self.batches
        smallest = batches.size
        if n is not None and batches.n_batches is not None:
            smallest = n // self.group // batches.n_batches * self.group
        if smallest < world:
            raise ValueError(
                f"data: needed a pair in each batch for each of {world} processes, got batches of {smallest}. "
                f"Set trainer.devices=1, or a larger data.batch_size."
            )

    def say(self) -> None:
        """Where an epoch is one batch."""
        if self.n_pairs is not None and self.n_pairs < self.batch_size:
            log.info(
                "data: each epoch is one batch of all %d pairs, fewer than data.batch_size=%d.",
                self.n_pairs,
                self.batch_size,
            )

    def rows(self) -> Iterator[list[Row]]:
        """This process's rows of each batch."""
        workers = self.num_workers if self.decodes else 0
        read: Iterable[list[Row] | Parcel] = DataLoader(
            NumberedSet(self),
            batch_sampler=self.batches,
            collate_fn=Parcel.of if workers else list,
            num_workers=workers,
            multiprocessing_context=started_by(workers),
        )
        for rows in read:
            yield rows.rows() if isinstance(rows, Parcel) else rows


class NumberedSet(Dataset[Row]):
    """Pairs with their waves, by number."""

    def __init__(self, data: NumberedPairs) -> None:
        self.data = data

    def __getitem__(self, number: int) -> Row:
        pair = self.data.pair(number)
        if not self.data.decodes or self.data.is_kept(pair.clip):
            return pair, None
        try:
            return pair, self.data.wave(number)
        except ClipError as error:
            return pair, error


class Batches(Sampler[list[int]]):
    """The numbers of this process's pairs in each batch. ``done()`` tells how many batches lie behind."""

    def __init__(
        self, n: int | None, *, size: int, group: int = 1, seed: int, done: Callable[[], int]
    ) -> None:
        self.n, self.group, self.seed, self.done = n, group, seed, done
        self.size = size // group * group
        self.n_batches = None if n is None else max(1, min(-(-n // self.size), n // max(group, 2)))

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
        epoch, first = divmod(batch, self.n_batches)
        for numbers in self.epoch(epoch)[first:]:
            yield numbers[rank::world].tolist()

    def epoch(self, epoch: int) -> list[Int[np.ndarray, " _"]]:
        """The batches of an epoch over all processes."""
        assert self.n is not None
        assert self.n_batches is not None
        order = np.random.default_rng([self.seed, STREAM, epoch]).permutation(self.n // self.group)
        return [
            (groups[:, None] * self.group + np.arange(self.group)).ravel()
            for groups in np.array_split(order, self.n_batches)
        ]


def counted(names: Sequence[str]) -> str:
    """``3 clips (a.wav, b.wav, ...)``, for a message."""
    distinct = list(Counter(names))
    return f"{len(distinct)} clip{'s' if len(distinct) != 1 else ''} ({first_names(distinct)})"
