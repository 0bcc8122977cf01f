"""CompA-Order and CompA-Attribute, from the released archives or a folder that somebody has unpacked.

The archives carry ``__MACOSX`` and folders with spaces in their names, and people move things about: so the CSV is
found by its columns and rows, and the clips' folder by the files that the CSV names.

Source: Ghosh et al. 2024 (CompA: Addressing the Gap in Compositional Reasoning in Audio-Language Models), section 3;
https://github.com/Sreyan88/CompA.
"""

from __future__ import annotations

import csv
import logging
import os
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock

from clapbench.benchmarks.compositional import CAPTIONS, FILES, NONE, Compositional, columns_of, read_pairs
from clapbench.benchmarks.tables import Speaker, column_names, composed, nearest, read_table, spellings
from clapbench.console import brief
from clapbench.files import sha256_of
from clapbench.kinds import Count, File, Name, Place, Text
from clapbench.schema import Case
from clapbench.sources import downloads
from clapbench.sources.archives import unpack, what_it_is
from clapbench.sources.source import NotHereError, Source, cache_folder, current

log = logging.getLogger(__name__)

Places = dict[Path, dict[str, Path]]  # folder -> name in the CSV -> file, of the clips that lie there


class Compa(Compositional):
    """One of the two benchmarks of CompA, of ``items`` items as released; another number is said, not refused.

    ``root`` is an unpacked folder or an archive; None fetches the archive of ``source``. An archive is unpacked once,
    in the cache. ``csv`` names the CSV where its content leaves a doubt.
    """

    def __init__(
        self,
        *,
        name: Name,
        items: Count,
        source: Text | None = None,
        root: Place | None = None,
        csv: File | None = None,
        protocol: str = "official",
        allow_missing: bool = False,
    ) -> None:
        if root is None and source is None:
            raise ValueError(f"bench {name!r}: needed a root or a source, got neither. Set bench.root=DIR.")
        self.given = None if root is None else Path(root).expanduser()
        super().__init__(name=name, root=self.given or ".", protocol=protocol, allow_missing=allow_missing)
        self.items, self.source = items, source
        self.csv = None if csv is None else Path(csv).expanduser()

    def downloads(self) -> tuple[str, ...]:
        """The archive, unless a folder is given."""
        return () if self.given is not None or self.source is None else (self.source,)

    def preparation(self) -> str | None:
        """Raises `downloads.NotHereError` where the archive would have to be fetched, and may not be."""
        if self.given is not None and not self.given.is_file():
            return None
        archive = self.given or self.fetched()
        if archive is None:
            return f"fetch {', '.join(map(file_of, self.downloads()))}"
        return None if unpacked(archive).is_dir() else f"unpack {archive.name}"

    def read_cases(self) -> list[Case]:
        """The cases of the table found in the folder."""
        folder = self.folder()
        files = list(walk(folder))
        table = self.csv or self.find_csv(folder, files)
        named = names_of(read_table(table, speaker=Speaker.bench(self.name), columns=(*CAPTIONS, *FILES)))
        places = find_places(named, files, root=folder)
        self.root = self.find_clips(places, count=len(named), table=table) if places else folder
        cases = read_pairs(table, name=self.name, clips=self.files)
        if len(cases) != self.items:
            log.warning(
                "bench %r: %s holds %d items, as released %d. Is it this benchmark?",
                self.name,
                brief(table),
                len(cases),
                self.items,
            )
        return cases

    def fetched(self) -> Path | None:
        """The archive of ``source`` where it is here already; None where it may be fetched."""
        (source,) = self.downloads()
        archive = downloads.find_local(source)
        if archive is None and not current().allowed:
            origin = Source.parse(source).origin
            raise NotHereError(
                f"bench {self.name!r}: {file_of(source)} is not on this machine, and download=false. It comes from "
                f"{origin}: set download=true, fetch it ahead with `python -m clapbench.fetch bench={self.name}`, or "
                f"set bench.root=DIR to its unpacked folder, or checkpoint_dir=DIR to the archive's.",
                what=f"{file_of(source)} from {origin}",
            )
        return archive

    def folder(self) -> Path:
        """What ``root`` names, or the unpacked archive."""
        who = f"bench {self.name!r}"
        if self.given is None:
            self.fetched()
            archive = downloads.fetch(self.source or "", who=who, key="bench.root")
        elif self.given.is_dir():
            return self.given
        elif not self.given.exists():
            raise FileNotFoundError(
                f"{who}: there is no folder {self.given}. Set bench.root=DIR to the unpacked archive, or "
                f"bench.root=null to fetch it, or run bench=synth_order to try the pipeline without a download."
            )
        elif not zipfile.is_zipfile(self.given):
            raise ValueError(
                f"{who}: needed a folder or a zip archive, {self.given} {what_it_is(self.given)} Set bench.root=DIR."
            )
        else:
            archive = self.given
        folder = unpacked(archive)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):  # two cells of a sweep may want one benchmark
            if not folder.is_dir():
                log.info("%s: unpacking %s to %s", who, archive, folder)
                unpack(archive, folder, who=who)
        return folder

    def find_csv(self, folder: Path, files: Sequence[Path]) -> Path:
        """The CSV with the format's columns; of several that with ``items`` rows, then that with most clips here.

        Where none has ``items`` rows, several whose clips are here are a doubt: they may be of both benchmarks.
        """
        tables = [file for file in files if file.suffix.lower() == ".csv"]
        fitting = [table for table in tables if not lacking(table)]
        if not fitting:
            found = "; ".join(map(lacks, tables)) or "no CSV"
            raise ValueError(
                f"bench {self.name!r}: needed a CSV below {brief(folder)} with the columns "
                f"{', '.join((*CAPTIONS, *FILES))}, found {found}. Set bench.root=DIR, or bench.csv=FILE."
            )
        if len(fitting) > 1:
            as_released = [table for table in fitting if rows_of(table) == self.items]
            here = {table: share_here(table, files, root=folder) for table in as_released or fitting}
            enough = max(here.values()) if as_released else min(0.5, max(here.values()))
            fitting = [table for table, share in here.items() if share >= enough]
        if len(fitting) > 1:
            raise ValueError(
                f"bench {self.name!r}: needed one CSV below {brief(folder)}, found {len(fitting)} that could be it: "
                f"{', '.join(map(brief, fitting))}. Set bench.csv=FILE."
            )
        return fitting[0]

    def find_clips(self, places: Places, *, count: int, table: Path) -> Path:
        """The folder of the clips: the one that holds most of ``count``, which is also the nearest to the CSV.

        Both benchmarks count their clips from 1. So where they share a root, a folder that holds more clips but lies
        further from the CSV is a doubt, and so is another as near that holds as many.
        """
        held = {folder: len(files) for folder, files in places.items()}
        distance = {folder: (steps(table.parent, folder), -shared_words(table, folder)) for folder in places}
        could = [folder for folder in places if 2 * held[folder] > count]
        if not could:  # the clips are missing, and that is told next
            return min(places, key=lambda folder: (-held[folder], distance[folder]))
        near, *others = sorted(could, key=lambda folder: (distance[folder], -held[folder]))
        doubt = [
            folder
            for folder in others
            if held[folder] > held[near] or (distance[folder], held[folder]) == (distance[near], held[near])
        ]
        if doubt:
            told = ", ".join(f"{brief(folder)} holds {held[folder]}" for folder in (near, *doubt))
            raise ValueError(
                f"bench {self.name!r}: needed one folder with the {count} clips of {brief(table)}; {told}. "
                f"Set bench.root=FOLDER and bench.csv={brief(table)}."
            )
        return near


def file_of(source: str) -> str:
    """The file that a source URI names."""
    return Source.parse(source).file


def unpacked(archive: Path) -> Path:
    """Where the cache holds this archive's content, once it is unpacked."""
    return cache_folder() / sha256_of(archive)[:8] / archive.stem


def walk(root: Path) -> Iterator[Path]:
    """The files below ``root`` in order of their names, through links; without hidden ones and ``__MACOSX``."""
    seen = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if name != "__MACOSX" and not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files) if not name.startswith("."))


def lacking(table: Path) -> list[str]:
    """Which columns of the format a CSV does not have; all for a file that is no CSV."""
    with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        try:
            names = column_names(next(csv.reader(file), []))
        except csv.Error:
            names = []
    return [column for column in (*CAPTIONS, *FILES) if column not in names]


def lacks(table: Path) -> str:
    """A CSV that is not in the format, in words: what it lacks, and what else it may be."""
    try:
        has = list(read_table(table, speaker=Speaker.bench(""), columns=())[0])
    except ValueError as error:
        also = str(error).partition(f"{brief(table)} ")[2].rstrip(".")
    else:
        near = {column: nearest(column, (*CAPTIONS, *FILES)) for column in has}
        also = ", ".join(f"has {brief(column)}" for column, of in near.items() if of in lacking(table))
    return f"{brief(table)} lacks {', '.join(lacking(table))}{f' ({also})' if also else ''}"


def rows_of(table: Path) -> int:
    """How many rows a CSV has; 0 where it cannot be read."""
    try:
        return len(read_table(table, speaker=Speaker.bench(""), columns=()))
    except ValueError:
        return 0


def share_here(table: Path, files: Sequence[Path], *, root: Path) -> float:
    """Which share of a CSV's clips lies in one folder; 0 where it cannot be read."""
    try:
        named = names_of(read_table(table, speaker=Speaker.bench(""), columns=FILES))
    except ValueError:
        return 0.0
    most = max(map(len, find_places(named, files, root=root).values()), default=0)
    return most / len(named) if named else 0.0


def names_of(rows: Sequence[dict[str, str]]) -> list[str]:
    """The names of clips in a CSV, each once, as they are written there."""
    names = [row.get(column, "") for row in rows for column in columns_of(row).clips]
    return list(dict.fromkeys(name for name in names if name.strip() not in NONE))


def find_places(names: Sequence[str], files: Sequence[Path], *, root: Path) -> Places:
    """The folders, ``root`` or below it, in which clips of these names lie, in any spelling that `Clips` finds."""
    wanted = defaultdict(list)
    for name in names:
        for path in dict.fromkeys(map(composed, spellings(name))):
            wanted[path.rpartition("/")[2]].append((name, path.split("/")))
    places: Places = defaultdict(dict)
    for file in files:
        parts = composed(file.relative_to(root).as_posix()).split("/")
        for name, tail in wanted.get(parts[-1], ()):
            if parts[-len(tail) :] == tail:
                places[file.parents[len(tail) - 1]].setdefault(name, file)
    return dict(places)


def steps(start: Path, end: Path) -> int:
    """How many folders one goes up and down from one to the other."""
    return len(Path(os.path.relpath(end, start)).parts)


def shared_words(table: Path, folder: Path) -> int:
    """How many words the names of a table and of a folder have in common."""
    one, other = (set(re.findall("[a-z]+", path.stem.lower())) for path in (table, folder))
    return len(one & other)
