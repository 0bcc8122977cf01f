"""Clips and captions of a CSV to train on: Clotho, AudioCaps, or your own; a pair for each clip and caption."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from clapbench.benchmarks.captioned import Captioned, read_captioned
from clapbench.benchmarks.tables import Clips, Row, Speaker, first_names
from clapbench.console import brief
from clapbench.encoders.base import Hearing
from clapbench.files import sha256_of
from clapbench.kinds import File, Folder, Pairs, Seed, Text
from clapbench.sound.waves import ClipError, load_wave
from clapbench.swapping import swap as swapped_by_rules
from clapbench.training.data.base import NumberedPairs, Pair, counted, words_of

log = logging.getLogger(__name__)

SPEAKER = Speaker("data", group="data")
SWAPPED = "swapped"  # the column of swapped captions, where it is not named
MEND = "Put it there, take its row out of the CSV, or set data.broken=skip."


class CsvPairs(NumberedPairs):
    """Pairs of a CSV, in shuffled epochs. Columns and patterns: see `read_captioned`; ``root`` None: the CSV's folder.

    ``swapped`` is a column of captions with two things exchanged; None takes a column of that name where there is one.
    A caption without one is swapped by rules, or not at all (``swap``).
    """

    def __init__(
        self,
        *,
        csv: File,
        root: Folder | None = None,
        batch_size: Pairs,
        seed: Seed,
        hearing: Hearing,
        file: Text | None = None,
        caption: Text | None = None,
        swapped: Text | None = None,
        swap: Literal["rules", "none"] = "rules",
        broken: Literal["fail", "skip"] = "fail",
        num_workers: int | None = 0,
    ) -> None:
        super().__init__(
            batch_size=batch_size, seed=seed, hearing=hearing, num_workers=num_workers, broken=broken
        )
        self.csv = Path(csv).expanduser()
        self.clips = Clips(self.csv.parent if root is None else Path(root).expanduser(), key="data.root")
        self.file, self.caption, self.swapped, self.swap = file, caption, swapped, swap
        self.pairs: list[Pair] = []
        self.places: list[str] = []  # of the pairs in the CSV
        self.missing: dict[str, str] = {}  # clips that are not there, and the place that names each first
        self.repeated = 0  # captions that stand more than once for a clip
        self.read()

    def read(self) -> None:
        """Fills ``pairs``. ValueError names the row of what is no pair, `ClipError` that of a missing clip."""
        seen: set[tuple[str, str]] = set()
        given = read_captioned(
            self.csv, clips=self.clips, speaker=SPEAKER, file=self.file, caption=self.caption
        )
        for captioned in given:
            column = self.column_of_swapped(captioned)
            for caption in captioned.captions:
                if (captioned.clip, caption) in seen:
                    self.repeated += 1
                    continue
                seen.add((captioned.clip, caption))
                self.add(captioned, caption, column=column)
        self.refuse_missing()
        distinct = {
            "clips": len({pair.clip for pair in self.pairs}),
            "captions": len({words_of(pair.caption) for pair in self.pairs}),
        }
        for what, n in distinct.items():
            if n < 2:
                raise ValueError(
                    f"data: needed 2 pairs or more to tell apart, {brief(self.csv)} has {n} different {what}. Add rows."
                )

    def add(self, captioned: Captioned, caption: str, *, column: str | None) -> None:
        """Takes a pair in, unless its clip is not there."""
        row, clip = captioned.row, captioned.clip
        if clip in self.missing or not os.path.isfile(self.clips.file(clip)):
            self.missing.setdefault(clip, row.place)
            return
        swapped = row[column].strip() if column is not None else ""
        if swapped and swapped == caption.strip():
            raise ValueError(
                f"{SPEAKER.of(self.csv, row.place)}: needed a swapped caption that differs from its caption, "
                f"{column} has the same. Correct it, or leave it empty."
            )
        if not swapped and self.swap == "rules":
            swapped = swapped_by_rules(caption) or ""
        self.pairs.append(Pair(clip=clip, caption=caption, swapped=swapped or None))
        self.places.append(row.place)

    def column_of_swapped(self, captioned: Captioned) -> str | None:
        """The column that holds swapped captions, if any. ValueError where it is not there, or of which caption."""
        row: Row = captioned.row
        if self.swapped is None and SWAPPED not in row:
            return None
        column = self.swapped or SWAPPED
        if column not in row:
            raise ValueError(
                f"{SPEAKER.of(self.csv)} needs the column {column} of swapped captions; it has "
                f"{brief(', '.join(row))}. Set data.swapped to one of them, or to null."
            )
        if len(captioned.captions) > 1:
            raise ValueError(
                f"{SPEAKER.of(self.csv)} has {len(captioned.captions)} columns of captions and one of swapped ones, "
                f"{column}: of which? Set data.caption=COLUMN, or rename {column}."
            )
        return column

    def refuse_missing(self) -> None:
        """`ClipError` for the first missing clip, unless they are left out; ValueError where there is no other."""
        clips = list(self.missing)
        if clips and not self.pairs:
            raise ValueError(
                f"data: none of the {len(clips)} clips of {brief(self.csv)} is under {brief(self.clips.root)} "
                f"(first: {first_names(clips)}). Set data.root=PATH."
            )
        if clips and self.broken == "fail":
            others = f" ({len(clips)} are missing)" if len(clips) > 1 else ""
            path, where = self.clips.file(clips[0]), self.where(self.missing[clips[0]])
            raise ClipError(path, f"no such file{others}", MEND, where)

    def say(self) -> None:
        """What was left out, and how many captions have a swapped one."""
        super().say()
        if self.repeated:
            log.warning(
                "data: %d captions of %s stand more than once for one clip, and count once.",
                self.repeated,
                brief(self.csv),
            )
        if self.missing:
            log.warning("data: left out %s, which are missing.", counted(list(self.missing)))
        if self.swap == "rules":
            log.info(
                "data: %d of %d captions have a swapped one; in the others there is nothing to swap.",
                self.n_swapped,
                len(self.pairs),
            )

    def where(self, place: str) -> str:
        """Who names a clip, as errors begin."""
        return f"data {place}"

    @property
    def n_pairs(self) -> int:
        """How many there are."""
        return len(self.pairs)

    @property
    def n_swapped(self) -> int:
        """How many have a swapped caption."""
        return sum(pair.swapped is not None for pair in self.pairs)

    @property
    def has_swapped(self) -> bool:
        """Whether some pair has a swapped caption."""
        return any(pair.swapped is not None for pair in self.pairs)

    @property
    def content(self) -> dict[str, Any]:
        """The CSV's hash, and how many there are of what."""
        return {
            "csv": self.csv.name,
            "csv_sha256": sha256_of(self.csv),
            "pairs": len(self.pairs),
            "clips": len({pair.clip for pair in self.pairs}),
            "captions": len({pair.caption for pair in self.pairs}),
            "swapped": self.n_swapped,
            "not_swapped": len(self.pairs) - self.n_swapped,
            "missing": len(self.missing),
        }

    def identity(self, number: int) -> str:
        """The file of a pair's clip: its path, size and time."""
        file = self.clips.file(self.pairs[number].clip).absolute()
        state = file.stat()
        return f"{file} {state.st_size} {state.st_mtime_ns}"

    def leave_out(self, clips: Collection[str]) -> None:
        """Takes the pairs of these clips out; ValueError where too few stay."""
        kept = [number for number, pair in enumerate(self.pairs) if pair.clip not in clips]
        self.pairs, self.places = [self.pairs[one] for one in kept], [self.places[one] for one in kept]
        self.left_out.update(clips)
        if len(self.pairs) < 2:
            raise ValueError(
                f"data: needed 2 pairs or more whose clips can be read, {brief(self.csv)} has {len(self.pairs)}. "
                f"Mend the files."
            )

    def pair(self, number: int) -> Pair:
        """The pair of a number, in the order of the CSV."""
        return self.pairs[number]

    def wave(self, number: int) -> Float[Tensor, " _"]:
        """The clip of a pair, decoded. `ClipError` names its row."""
        path, where = self.clips.file(self.pairs[number].clip), self.where(self.places[number])
        rate, window = self.hearing
        try:
            return load_wave(path, sample_rate=rate, window=window)
        except ClipError as error:
            remedy = f"{error.remedy.rstrip('.')}, or set data.broken=skip."
            raise ClipError(path, error.reason, remedy, where) from error
        except FileNotFoundError:
            raise ClipError(path, "no such file", MEND, where) from None
