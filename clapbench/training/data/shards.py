"""Clips and captions in webdataset's shards to train on: tar archives whose files of one name are a pair.

LAION's layout: NAME.flac (or wav, mp3, ogg, ...) and NAME.json with ``text``, a caption or a list of them, of which
each epoch draws one; or NAME.txt or NAME.cap with a caption. Beside the shards ``sizes.json`` may say how many pairs
each holds, as {"000.tar": 512}; else they are counted, from the headers alone.

Each epoch shuffles the shards and deals them to the processes and their workers, so that each gets about as many pairs.
A reader draws from the pairs that come next in its shards (``shuffle``). Every reader gives its part of each batch, in
proportion to what it has: so all processes have the same number of batches, no pair is lost and none comes twice.

Files are grouped as webdataset does it; where they lie in a shard is found from its headers, and they are read when a
pair's turn has come. So a training goes on in mid-epoch without reading what lies before.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from braceexpand import braceexpand
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from webdataset.filters import shuffle as drawn_from
from webdataset.tariterators import group_by_keys

from clapbench.benchmarks.tables import first_names
from clapbench.console import brief
from clapbench.encoders.base import Hearing
from clapbench.kinds import Files, Pairs, Seed, Whole
from clapbench.running.batches import started_by
from clapbench.sound.containers import Held
from clapbench.sound.waves import ClipError, load_wave
from clapbench.swapping import swap as swapped_by_rules
from clapbench.training import processes
from clapbench.training.data.base import STREAM, Pair, Parcel, Row, TrainingData, number_of

log = logging.getLogger(__name__)

SOUNDS = ("flac", "wav", "mp3", "ogg", "opus", "m4a", "aac", "aiff", "aif", "webm")
TEXTS = ("json", "txt", "cap")
REMOTE = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # as in https://, s3://, pipe:
MOST_SHARDS = 100_000
UNEVEN = 1.5  # times as many pairs: processes' parts that people should know of
SIZES = "sizes.json"
META = re.compile(r"__[^/]*__($|/)")  # webdataset's own entries
MEND = "Mend the shard, or set data.broken=skip to leave such pairs out."


class Shard(NamedTuple):
    """A tar archive: its file, its name in those of clips, and how many pairs it holds."""

    path: Path
    name: str
    n: int


class Extent(NamedTuple):
    """Where a file lies in a shard."""

    start: int  # byte
    size: int  # bytes


class Sample(NamedTuple):
    """The files of one name in a shard by their endings; an error instead where the shard is cut off."""

    shard: Shard
    key: str
    files: dict[str, Extent] | ClipError


class ShardPairs(TrainingData):
    """Pairs of local shards, each once in an epoch. ``shards``: a path with braces (``DIR/{000..003}.tar``), or a list.

    ``shuffle`` is how many pairs a reader draws from at once. Captions are swapped by rules, or not at all (``swap``).
    """

    def __init__(
        self,
        *,
        shards: Files,
        batch_size: Pairs,
        seed: Seed,
        hearing: Hearing,
        shuffle: Whole = 1000,
        swap: Literal["rules", "none"] = "rules",
        broken: Literal["fail", "skip"] = "fail",
        num_workers: int | None = 0,
    ) -> None:
        super().__init__(
            batch_size=batch_size, seed=seed, hearing=hearing, num_workers=num_workers, broken=broken
        )
        self.paths = paths_of([shards] if isinstance(shards, str) else list(shards))
        self.may_lower = num_workers is None
        self.shuffle, self.swap = shuffle, swap

    @cached_property
    def shards(self) -> list[Shard]:
        """The shards with their pairs counted. ValueError where there are too few."""
        sizes = {folder: sizes_of(folder) for folder in dict.fromkeys(path.parent for path in self.paths)}
        unknown = {path for path in self.paths if path.name not in sizes[path.parent]}
        if unknown:
            log.info("data: counts the pairs of %d shards; a %s spares it.", len(unknown), SIZES)
        skip = self.broken == "skip"
        counts = [
            count(path, skip=skip) if path in unknown else sizes[path.parent][path.name]
            for path in self.paths
        ]
        if sum(counts) < 2:
            raise ValueError(
                f"data.shards: needed 2 pairs or more to tell apart, the {len(counts)} shards have {sum(counts)}. "
                f"Add shards."
            )
        names = names_of(self.paths)
        return [Shard(*each) for each in zip(self.paths, names, counts, strict=True)]

    @property
    def n_pairs(self) -> int:
        """How many there are."""
        return sum(shard.n for shard in self.shards)

    @property
    def n_batches(self) -> int:
        """The batches of an epoch."""
        return max(1, min(-(-self.n_pairs // self.batch_size), self.n_pairs // 2))

    @property
    def has_swapped(self) -> bool:
        """Whether captions are swapped where that can be."""
        return self.swap == "rules"

    @property
    def content(self) -> dict[str, Any]:
        """How many shards and pairs, and a hash of the shards' names and sizes."""
        sizes = [[shard.name, shard.path.stat().st_size, shard.n] for shard in self.shards]
        return {
            "shards": len(sizes),
            "bytes": sum(size for _, size, _ in sizes),
            "pairs": self.n_pairs,
            "names_and_sizes_sha256": hashlib.sha256(json.dumps(sizes).encode()).hexdigest(),
        }

    @property
    def forks(self) -> bool:
        """Whether processes of their own read, which pays where they decode."""
        return self.num_workers > 0 and self.decodes

    @property
    def readers(self) -> int:
        """How many read at a time, for this process."""
        return self.num_workers if self.forks else 1

    def check_processes(self) -> None:
        """ValueError where there are fewer shards than processes and workers read, or too few pairs for each."""
        world = processes.world()
        if self.may_lower:
            self.num_workers = min(self.num_workers, len(self.shards) // world)
        if len(self.shards) < world * self.readers:
            raise ValueError(
                f"data.shards: needed a shard or more for each of {world} processes x {self.readers} workers, got "
                f"{len(self.shards)}. Set loader.num_workers={len(self.shards) // world}, or make more, smaller shards."
            )
        self.deal(0)

    def say(self) -> None:
        """Where an epoch is one batch, and where the processes' parts of one differ."""
        if self.n_batches == 1:
            log.info("data: each epoch is one batch of all %d pairs.", self.n_pairs)
        held = self.deal(0).held
        if max(held) > UNEVEN * min(held):
            log.warning(
                "data: the processes' parts of a batch differ in size, from %d to %d pairs, as the shards that they "
                "read do.",
                min(held) // self.n_batches,
                max(held) // self.n_batches,
            )

    def deal(self, epoch: int) -> Deal:
        """Which reader reads which shards in an epoch; the readers of a process follow each other.

        The largest are dealt first, so that how many pairs each reader has is the same in every epoch.
        """
        rng = np.random.default_rng([self.seed, STREAM, epoch])
        order = rng.permutation(len(self.shards)).tolist()
        hands: list[list[Shard]] = [[] for _ in range(processes.world() * self.readers)]
        held = np.zeros(len(hands), dtype=np.int64)
        for number in sorted(order, key=lambda number: -self.shards[number].n):
            poorest = int(held.argmin())
            hands[poorest].append(self.shards[number])
            held[poorest] += self.shards[number].n
        hands = [[hand[place] for place in rng.permutation(len(hand))] for hand in hands]
        dealt = Deal(hands, n_batches=self.n_batches, readers=self.readers)
        dealt.check()
        return dealt

    def rows(self) -> Iterator[list[Row]]:
        """This process's rows of each batch."""
        epoch, first = divmod(self.batches_done(), self.n_batches)
        dealt = self.deal(epoch)
        stream = ShardStream(self, dealt, epoch=epoch, first=first, rank=processes.rank())
        workers = self.readers if self.forks else 0
        parts = iter(
            DataLoader(
                stream,
                batch_size=None,
                num_workers=workers,
                collate_fn=as_it_is,
                multiprocessing_context=started_by(workers),
            )
        )
        for _ in range(first, self.n_batches):
            rows: list[Row] = []
            for part in islice(parts, self.readers):  # of each in turn
                if isinstance(part, ValueError):
                    raise part
                rows += part.rows() if isinstance(part, Parcel) else part
            yield rows

    def row(self, sample: Sample, *, epoch: int) -> Row:
        """A pair with its wave, or with what is wrong with it."""
        shard, key, files = sample
        clip = f"{shard.name}/{key}"
        if isinstance(files, ClipError):
            return Pair(clip, ""), files
        try:
            caption = self.caption(sample, files, epoch=epoch)
            swapped = swapped_by_rules(caption) if self.swap == "rules" else None
            pair = Pair(clip=clip, caption=caption, swapped=swapped)
            return pair, self.wave(sample, files) if self.decodes else None
        except ClipError as error:
            return Pair(clip, ""), error

    def caption(self, sample: Sample, files: dict[str, Extent], *, epoch: int) -> str:
        """The caption of a pair; of several that which (seed, epoch, key) draw. `ClipError` where there is none."""
        ending = next((ending for ending in TEXTS if ending in files), None)
        if ending is None:
            raise broken(sample, f"has no caption: needed {' or '.join(TEXTS)} next to {endings(files)}")
        text = read(sample.shard, files[ending])
        try:
            told = captions_of(text) if ending == "json" else text.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise broken(sample, f"has no caption: its {ending} is no UTF-8", ending=ending) from None
        except ValueError as error:
            raise broken(sample, f"has no caption: its {ending} {error}", ending=ending) from None
        texts = [told] if isinstance(told, str) else told
        texts = [text.strip() for text in texts if text.strip()]
        if not texts:
            raise broken(sample, f"has no caption: that in its {ending} is empty", ending=ending)
        return texts[number_of(f"{self.seed} {epoch} {sample.shard.name}/{sample.key}") % len(texts)]

    def wave(self, sample: Sample, files: dict[str, Extent]) -> Float[Tensor, " _"]:
        """The sound of a pair, decoded. `ClipError` where there is none, or it cannot be read."""
        ending = next((ending for ending in SOUNDS if ending in files), None)
        if ending is None:
            raise broken(
                sample, f"has no sound: needed {', '.join(SOUNDS[:4])}, ... next to {endings(files)}"
            )
        rate, window = self.hearing
        held = Held(path_of(sample, ending), read(sample.shard, files[ending]))
        try:
            return load_wave(held, sample_rate=rate, window=window)
        except ClipError as error:
            raise broken(sample, error.reason, ending=ending) from error


@dataclass(frozen=True)
class Deal:
    """The shards of each reader in an epoch, and how its pairs are spread over the batches.

    Of N pairs reader i has n_i, and with those before it N_i. It gives batch k of B its pairs from b_i(k) to
    b_i(k + 1), where b_i(k) = floor(k N_i / B) - floor(k N_(i - 1) / B): a batch has floor(N / B) pairs or one more.
    """

    hands: list[list[Shard]]
    n_batches: int
    readers: int  # of each process

    @cached_property
    def sums(self) -> list[int]:
        """Pairs of all readers before each, and of all."""
        sums = [0]
        for hand in self.hands:
            sums.append(sums[-1] + sum(shard.n for shard in hand))
        return sums

    def begin(self, reader: int, batch: int) -> int:
        """How many pairs a reader has given before a batch."""
        before, until = self.sums[reader], self.sums[reader + 1]
        return batch * until // self.n_batches - batch * before // self.n_batches

    @property
    def held(self) -> list[int]:
        """The pairs of each process."""
        ends = self.sums[:: self.readers]
        return [end - start for start, end in pairwise(ends)]

    def check(self) -> None:
        """ValueError where a process would have an empty part of some batch."""
        held, world = self.held, len(self.hands) // self.readers
        least = min(end - start for start, end in pairwise(self.sums))
        if least < self.n_batches or (world > 1 and min(held) < 2 * self.n_batches):
            raise ValueError(
                f"data: needed pairs for {self.n_batches} batches from each of {world} processes x {self.readers} "
                f"workers, one has {least} and a process {min(held)}. Set a larger data.batch_size, fewer workers, or "
                f"make shards of the same size."
            )


class ShardStream(IterableDataset[Any]):
    """A reader's part of each batch of an epoch, from batch ``first`` on: rows, or a ValueError that ends it."""

    def __init__(self, data: ShardPairs, dealt: Deal, *, epoch: int, first: int, rank: int) -> None:
        self.data, self.dealt, self.epoch, self.first, self.rank = data, dealt, epoch, first, rank

    def __iter__(self) -> Iterator[list[Row] | Parcel | ValueError]:
        worker = get_worker_info()
        if worker is None:
            yield from self.parts(0)
            return
        for part in self.parts(worker.id):
            yield Parcel.of(part) if isinstance(part, list) else part

    def parts(self, worker: int) -> Iterator[list[Row] | ValueError]:
        """The parts that a worker of this process gives."""
        reader = self.rank * self.dealt.readers + worker
        samples = self.samples(reader)
        try:
            for _ in range(self.dealt.begin(reader, self.first)):
                next(samples)
            for batch in range(self.first, self.dealt.n_batches):
                size = self.dealt.begin(reader, batch + 1) - self.dealt.begin(reader, batch)
                part = [self.data.row(sample, epoch=self.epoch) for sample in islice(samples, size)]
                if batch == self.dealt.n_batches - 1:
                    next(samples, None)  # where the last shard holds more than it is said to, that shows here
                yield part
        except ValueError as error:
            yield error
        except OSError as error:
            yield ValueError(f"data.shards: {error}")

    def samples(self, reader: int) -> Iterator[Sample]:
        """What a reader reads, drawn from those that come next."""
        given = (sample for shard in self.dealt.hands[reader] for sample in samples_of(shard))
        if not self.data.shuffle:
            return given
        rng = random.Random(number_of(f"{self.data.seed} {self.epoch} {reader}"))
        drawn: Iterator[Sample] = drawn_from(self.data.shuffle, initial=self.data.shuffle, rng=rng)(given)
        return drawn


def samples_of(shard: Shard) -> Iterator[Sample]:
    """The pairs of a shard, as many as it is said to hold; errors in place of those behind its end where it is cut off.

    ValueError where it holds more or fewer.
    """
    seen, key = 0, ""
    try:
        for seen, (key, files) in enumerate(grouped(shard.path), start=1):
            if seen > shard.n:
                break
            yield Sample(shard, key, files)
    except tarfile.TarError as error:
        reason = f"is cut off behind {key!r}, {seen} of {shard.n} pairs are there ({error})"
        lost = ClipError(shard.path, reason, "Get it again, or set data.broken=skip.", "data.shards")
        for number in range(seen, shard.n):
            yield Sample(shard, f"(pair {number + 1})", lost)
        return
    if seen != shard.n:
        raise ValueError(
            f"data.shards: {brief(shard.path)} was to hold {shard.n} pairs, and holds "
            f"{'more' if seen > shard.n else seen}. Correct {SIZES} beside it, or delete that."
        )


def grouped(path: Path) -> Iterator[tuple[str, dict[str, Extent]]]:
    """The files of a shard by key and ending, as webdataset groups those that follow each other.

    ``tarfile.TarError`` where it is no tar archive, or cut off.
    """

    def members() -> Iterator[dict[str, Any]]:
        with tarfile.open(path, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep all of them
                if member.isreg() and not META.match(member.name):
                    extent = Extent(member.offset_data, member.size)
                    yield {"fname": member.name, "data": extent, "__url__": str(path)}

    try:
        for sample in group_by_keys(members()):
            yield sample["__key__"], {name: each for name, each in sample.items() if name[:2] != "__"}
    except ValueError as error:
        twice = str(error.args[0]).partition(": duplicate")[0]
        raise ValueError(
            f"data.shards: {brief(path)} holds two files {brief(twice)}. Give each pair a name of its own."
        ) from error


def count(path: Path, *, skip: bool) -> int:
    """How many pairs a shard holds. ValueError for what is no whole tar archive; with ``skip`` those before its end."""
    n = 0
    try:
        for _ in grouped(path):
            n += 1
    except (tarfile.TarError, OSError) as error:
        told = f"data.shards: {brief(path)} is no whole, uncompressed tar archive ({error}; {n} pairs can be read)"
        if n == 0 or not skip:
            raise ValueError(f"{told}. Get it again, or take it out.") from error
        log.warning("%s.", told)
    return n


def paths_of(patterns: Sequence[str]) -> list[Path]:
    """The files that paths with braces stand for. ValueError for what is no file on this machine, and for one twice."""
    found: list[Path] = []
    for pattern in patterns:
        try:
            names = (
                [pattern] if Path(pattern).is_file() else list(islice(braceexpand(pattern), MOST_SHARDS + 1))
            )
        except ValueError as error:
            raise ValueError(
                f"data.shards: needed as many {{ as }}, got {brief(pattern)}. Write DIR/{{000..003}}.tar."
            ) from error
        found += [Path(name).expanduser() for name in names]
    if not found or len(found) > MOST_SHARDS:
        raise ValueError(
            f"data.shards: needed 1 to {MOST_SHARDS} shards, got {len(found) or 'none'}. Correct it."
        )
    absent = [path for path in found if not path.is_file()]
    if absent:
        first = str(absent[0])
        if REMOTE.match(first):
            raise ValueError(
                f"data.shards: needed files on this machine, got {brief(first)}. Shards elsewhere, and commands "
                f"(pipe:), are not read: download them first."
            )
        if absent[0].is_dir():
            raise ValueError(
                f"data.shards: {brief(first)} is a folder. Name its shards, as {brief(first)}/{{000..003}}.tar."
            )
        raise FileNotFoundError(
            f"data.shards: {len(absent)} of {len(found)} shards are missing "
            f"(first: {first_names([str(path) for path in absent])}). Correct the path."
        )
    places = [path.resolve() for path in found]
    twice = next((path for number, path in enumerate(places) if path in places[:number]), None)
    if twice is not None:
        raise ValueError(f"data.shards: {brief(twice)} stands twice. Take one out.")
    return found


def names_of(paths: Sequence[Path]) -> list[str]:
    """Each file's path below the folder that all lie in."""
    places = [path.absolute() for path in paths]
    above = os.path.commonpath([place.parent for place in places])
    return [place.relative_to(above).as_posix() for place in places]


def sizes_of(folder: Path) -> dict[str, int]:
    """How many pairs the shards of a folder hold, where a file there says so. ValueError for another file."""
    path = folder / SIZES
    if not path.is_file():
        return {}
    try:
        sizes = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"data.shards: {brief(path)} is no JSON ({error}). Correct or delete it.") from error
    is_whole = isinstance(sizes, dict) and all(type(n) is int and n >= 0 for n in sizes.values())
    if not is_whole:
        raise ValueError(
            f'data.shards: needed numbers of pairs by shard in {brief(path)}, as {{"000.tar": 512}}. '
            f"Correct or delete it."
        )
    return dict(sizes)


def as_it_is(part: list[Row] | Parcel | ValueError) -> list[Row] | Parcel | ValueError:
    """For a DataLoader that gives what its data set gives."""
    return part


def read(shard: Shard, extent: Extent) -> bytes:
    """The bytes of a file in a shard."""
    with shard.path.open("rb") as file:
        file.seek(extent.start)
        return file.read(extent.size)


def captions_of(content: bytes) -> str | list[str]:
    """A caption, or several, from a JSON with ``text``. ValueError tells what else it is."""
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON ({error})") from error
    if not isinstance(record, dict) or "text" not in record:
        has = brief(", ".join(record)) if isinstance(record, dict) else type(record).__name__
        raise ValueError(f"lacks text, it has {has or 'nothing'}")
    text = record["text"]
    if isinstance(text, str) or (isinstance(text, list) and all(isinstance(one, str) for one in text)):
        return text
    raise ValueError(f"has a text that is neither a caption nor a list of them: {brief(repr(text))}")


def broken(sample: Sample, reason: str, *, ending: str | None = None) -> ClipError:
    """What is wrong with a pair, with its shard and key."""
    return ClipError(path_of(sample, ending), reason, MEND, "data.shards")


def path_of(sample: Sample, ending: str | None) -> Path:
    """A file in a shard, as if the shard were a folder."""
    return sample.shard.path / (sample.key if ending is None else f"{sample.key}.{ending}")


def endings(files: dict[str, Extent]) -> str:
    """The endings that a pair has files with."""
    return ", ".join(sorted(files)) or "no file"
