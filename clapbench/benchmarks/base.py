"""What every benchmark is: cases of clips against captions, clips on disk, a fingerprint, a judgement of rows."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from clapbench.benchmarks.tables import Clips, first_names
from clapbench.console import brief
from clapbench.files import sha256_of
from clapbench.schema import Case, Embeddings, Judgement
from clapbench.sound.decoding import LIBSNDFILE, decoder_of

log = logging.getLogger(__name__)

TOLD = 3  # broken clips that an error names


class Benchmark(ABC):
    """Cases to score and the clips to encode for them.

    A subclass gives ``read_cases`` and ``judge``; ``root`` is the folder that clip ids are relative to, known once
    ``cases`` has been called. With ``allow_missing`` a case whose clips are not all on disk is left out and counted in
    ``dropped``, else it is an error; so is one with a clip that `leave_out` names.
    """

    protocols: tuple[str, ...] = ("official",)  # that ``protocol`` may choose from

    def __init__(self, *, name: str, root: str | Path, protocol: str, allow_missing: bool = False) -> None:
        if protocol not in self.protocols:
            raise ValueError(
                f"bench {name!r}: needed a protocol out of {', '.join(self.protocols)}; got {protocol!r}. "
                f"Set bench.protocol."
            )
        self.name = name
        self.root = Path(root)
        self.protocol = protocol
        self.allow_missing = allow_missing
        self.dropped = 0  # cases without clips, known after `cases`
        self.missing = 0  # clips that are not on disk, likewise
        self.broken: dict[str, str] = {}  # clips that cannot be read, with why
        self._files = Clips(self.root)
        self._read: list[Case] | None = None  # as ``read_cases`` gave them
        self._cases: list[Case] | None = None

    @abstractmethod
    def read_cases(self) -> list[Case]:
        """The cases, before anybody has looked whether their clips exist."""

    @abstractmethod
    def judge(self, embeddings: Embeddings) -> Judgement:
        """What rows of these clips and captions are worth. Pure: the same rows, the same judgement."""

    def preparation(self) -> str | None:
        """What has to be made before there are clips to read, in words; None when nothing has."""
        return None

    def downloads(self) -> tuple[str, ...]:
        """The sources (see `clapbench.sources.downloads`) of what this benchmark needs and does not make itself."""
        return ()

    def cases(self) -> list[Case]:
        """The cases in the benchmark's order. Raises ``FileNotFoundError`` when clips are missing."""
        if self._cases is None:
            self._cases = self.with_clips(self.all_cases())
        return list(self._cases)

    def all_cases(self) -> list[Case]:
        """What `read_cases` read, once."""
        if self._read is None:
            self._read = self.read_cases()
        return list(self._read)

    def leave_out(self, broken: Mapping[str, str]) -> None:
        """Takes out the cases with a clip that cannot be read, given with the reason.

        Raises ``ValueError`` that tells of all of them, unless ``allow_missing``.
        """
        told = f"{len(broken)} of {len(self.clips())} clips cannot be read: {self.reasons(broken)}"
        if not self.allow_missing:
            raise ValueError(
                f"bench {self.name!r}: {told}. Mend them, take their items out of the CSV, or set "
                f"bench.allow_missing=true to leave their items out."
            )
        self.broken, self._cases = dict(broken), None
        before = self.dropped
        self.cases()
        log.warning("bench %r: %s. %d items left out.", self.name, told, self.dropped - before)

    def reasons(self, broken: Mapping[str, str]) -> str:
        """The first clips that cannot be read, each with its row and why."""
        told = []
        for clip, reason in list(broken.items())[:TOLD]:
            row = self.where(clip).removeprefix(f"bench {self.name!r}").strip()
            who = f"{clip} ({row})" if row else clip
            told.append(f"{who}: {reason.removesuffix('.')}")
        return "; ".join([*told, *([f"and {len(broken) - TOLD} more"] if len(broken) > TOLD else [])])

    @property
    def n_items(self) -> int:
        """How many items are scored."""
        return len(self.cases())

    def clips(self) -> tuple[str, ...]:
        """Distinct clip ids, as first seen."""
        return tuple(dict.fromkeys(clip for case in self.cases() for clip in case.clips))

    def captions(self) -> tuple[str, ...]:
        """Distinct captions, as first seen."""
        return tuple(dict.fromkeys(caption for case in self.cases() for caption in case.captions))

    @property
    def files(self) -> Clips:
        """The clips below ``root``, which some benchmarks know only when they have looked for it."""
        if self._files.root != self.root:
            self._files = Clips(self.root)
        return self._files

    def audio_path(self, clip_id: str) -> Path:
        """Where a clip lies."""
        return self.files.file(clip_id)

    def where(self, clip_id: str) -> str:
        """Who names the clip, as errors about its file begin."""
        return f"bench {self.name!r}"

    def with_clips(self, cases: list[Case]) -> list[Case]:
        """The cases whose clips are all on disk and not `broken`; others are an error unless ``allow_missing``."""
        clips = dict.fromkeys(clip for case in cases for clip in case.clips)
        missing = [clip for clip in clips if not os.path.isfile(self.audio_path(clip))]
        gone = {*missing, *self.broken}
        if not gone:
            return cases
        whole = [case for case in cases if gone.isdisjoint(case.clips)]
        if missing and not (self.allow_missing and whole):
            raise FileNotFoundError(
                f"bench {self.name!r}: {len(missing)} of {len(clips)} clips are missing under {brief(self.root)} "
                f"(first: {first_names(missing)}). Set bench.root=PATH, bench.allow_missing=true to leave out their "
                f"items, or run bench=synth_order to try the pipeline without a download."
            )
        if not whole:
            raise ValueError(
                f"bench {self.name!r}: no item is left, {len(self.broken)} of {len(clips)} clips cannot be read: "
                f"{self.reasons(self.broken)}. Mend them, or set bench.root=PATH."
            )
        self.dropped, self.missing = len(cases) - len(whole), len(missing)
        if self.broken:
            return whole  # what is missing was said before
        log.warning(
            "bench %r: %d of %d items left out, their clips are missing (first: %s).",
            self.name,
            self.dropped,
            len(cases),
            first_names(missing),
        )
        return whole

    def fingerprint(self) -> str:
        """SHA-256 (hex) over each distinct clip's id and bytes, and every case's ids, captions and match.

        A clip that libsndfile does not read by itself counts with its decoder, whose versions may differ in samples.
        """
        digest = hashlib.sha256()
        for clip in self.clips():
            path = self.audio_path(clip)
            content = [clip, sha256_of(path)]
            decoder = decoder_of(path)
            digest.update(json.dumps(content if decoder == LIBSNDFILE else [*content, decoder]).encode())
        for case in self.cases():
            digest.update(json.dumps([case.clips, case.captions, case.match]).encode())
        return digest.hexdigest()
