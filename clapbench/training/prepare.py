"""Before training on a set of clips: what does not move is computed once for each clip and caption, and kept.

Several processes share the work. After it the data need not decode.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from torch import distributed as dist
from torch.utils.data import DataLoader, Subset

from clapbench.console import console, shown
from clapbench.running.batches import chunks, started_by
from clapbench.running.progress import Rate
from clapbench.sound.waves import ClipError
from clapbench.training import processes
from clapbench.training.data.base import NumberedPairs, NumberedSet, Parcel
from clapbench.training.features import Features

AT_ONCE = 32  # clips or captions encoded together
UNITS = {"audio": "clip", "text": "caption"}


def prepare(features: Features, data: NumberedPairs, *, swapped: bool) -> set[str]:
    """Fills the stores of ``features`` with all of ``data``, which has an end; nothing where nothing can be kept.

    What a tower that moves hears is not computed ahead: it takes no model, and is kept as it comes up, for later
    trainings too.

    ``swapped``: with the swapped captions. Returns the names of clips that cannot be read, which ``data`` must leave
    out from here on, where it skips them; raises `ClipError` for the first where it does not, and ValueError where the
    rows would fill the disk. What was computed before an error, or Ctrl-C, is kept.
    """
    start, before = time.perf_counter(), {side: len(store) for side, store in features.stores.items()}
    left_out: set[str] = set()
    try:
        if "audio" in features.stores:
            first = first_of(data)
            features.sounds = {clip: data.identity(number) for clip, number in first.items()}
            if features.cuts["audio"] != "heard":
                left_out = prepare_clips(features, data, first)
        if "text" in features.stores:
            prepare_captions(features, data, swapped=swapped)
    finally:
        features.flush()
    made = {side: len(store) - before[side] for side, store in features.stores.items()}
    if any(made.values()) and processes.rank() == 0:
        told = " and ".join(f"{n} {UNITS[side]}s" for side, n in made.items())
        console.say(f"[dim]kept what does not move of {told}, {time.perf_counter() - start:.0f} s[/]")
    return left_out


def first_of(data: NumberedPairs) -> dict[str, int]:
    """The number of the first pair of each distinct clip."""
    assert data.n_pairs is not None, "pairs without end cannot be prepared"
    first: dict[str, int] = {}
    for number in range(data.n_pairs):
        first.setdefault(data.pair(number).clip, number)
    return first


def prepare_clips(features: Features, data: NumberedPairs, first: dict[str, int]) -> set[str]:
    """Each distinct clip once. ``data`` stops to decode; returns the clips that cannot be read."""
    left_out: set[str] = set()

    def encode(clips: Sequence[str], n: int) -> None:
        filling = Filling(features, side="audio", n=n)
        for read, broken in clip_batches(data, [first[clip] for clip in clips]):
            filling.add([features.key(clip) for clip in read], list(read.values()))
            left_out.update(broken)

    data.decodes = True
    shared(features, "audio", {features.key(clip): clip for clip in first}, encode=encode)
    data.decodes = False
    return left_out


def prepare_captions(features: Features, data: NumberedPairs, *, swapped: bool) -> None:
    """Each distinct caption once, those of similar length together, so that little is padded."""
    assert data.n_pairs is not None, "pairs without end cannot be prepared"
    captions: dict[str, str] = {}
    for number in range(data.n_pairs):
        pair = data.pair(number)
        for caption in (pair.caption, pair.swapped if swapped else None):
            if caption is not None:
                captions[caption] = caption

    def encode(given: Sequence[str], n: int) -> None:
        filling = Filling(features, side="text", n=n)
        order = sorted(given, key=lambda caption: (len(caption.split()), caption))
        with bar("captions", total=len(given)) as advance:
            for batch in chunks(order, size=AT_ONCE):
                filling.add(batch, batch)
                advance(len(batch))

    shared(features, "text", captions, encode=encode)


def shared(
    features: Features, side: str, names: dict[str, str], *, encode: Callable[[Sequence[str], int], None]
) -> None:
    """Has what is missing of ``names``, by key, encoded: by each process its share, where they read one folder.

    A share depends on the names alone, since another process may write while this one looks. Then each encodes whatever
    no other has written where this one reads.
    """
    store = features.stores[side]
    n = sum(key not in store for key in names)
    together = processes.world() > 1 and store.folder is not None
    step = processes.world() if together else 1
    own = list(names.items())[processes.rank() if together else 0 :: step]
    if missing := [name for key, name in own if key not in store]:
        encode(missing, n)
    if together:
        store.flush()
        dist.barrier()
        store.reload()
        if missing := [name for key, name in names.items() if key not in store]:
            encode(missing, len(missing))


def clip_batches(
    data: NumberedPairs, numbers: Sequence[int]
) -> Iterator[tuple[dict[str, torch.Tensor], list[str]]]:
    """Waves by clip, and the clips that cannot be read, in batches; raises `ClipError` where none may be left out."""
    workers = min(data.num_workers, -(-len(numbers) // AT_ONCE))
    loader: DataLoader[Any] = DataLoader(
        Subset(NumberedSet(data), numbers),
        batch_size=AT_ONCE,
        num_workers=workers,
        multiprocessing_context=started_by(workers),
        collate_fn=Parcel.of,
        generator=torch.Generator(),  # training draws the same whether or not there was something to prepare
    )
    with bar("clips", total=len(numbers)) as advance:
        for parcel in loader:
            batch = parcel.rows()
            broken = {pair.clip: wave for pair, wave in batch if isinstance(wave, ClipError)}
            if broken and data.broken == "fail":
                raise next(iter(broken.values()))
            yield {pair.clip: wave for pair, wave in batch if pair.clip not in broken}, list(broken)
            advance(len(batch))


class Filling:
    """Rows that go to the store of a side; the first batch tells whether there is room for all ``n``."""

    def __init__(self, features: Features, *, side: str, n: int) -> None:
        self.features, self.side, self.n = features, side, n
        self.looked = False

    def add(self, keys: Sequence[str], given: Sequence[Any]) -> None:
        """Computes and keeps a batch. ValueError where there is no room."""
        if not keys:
            return
        rows, store = self.features.before_cut(self.side, given), self.features.stores[self.side]
        if not self.looked:
            what = f"training: what is kept of each {UNITS[self.side]}"
            store.check_room(self.n, row_bytes=sum(row.nbytes for row in rows) / len(rows), what=what)
            self.looked = True
        store.put(dict(zip(keys, rows, strict=True)))


@contextmanager
def bar(unit: str, *, total: int) -> Iterator[Callable[[int], None]]:
    """A bar that counts what is encoded before training, on a terminal."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        console=console,
        transient=True,
        disable=not console.is_terminal or processes.rank() > 0,
    )
    with progress:
        task = progress.add_task(f"before training: {shown(unit)}", total=total, unit=unit)
        yield lambda n: progress.advance(task, n)
