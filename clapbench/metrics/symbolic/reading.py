"""Files -> scores: MIDI by symusic, MusicXML by partitura (extra ``music``), a folder of both.

Of MIDI the library reads formats 0 and 1 with ticks a beat; channel 10 is drums; a note that never ends is left out.
What MusicXML means is in `musicxml`.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clapbench.console import brief
from clapbench.metrics.symbolic import musicxml
from clapbench.metrics.symbolic.score import Score, score_of

log = logging.getLogger(__name__)

MOST_BYTES = 16 * 2**20  # of a file, and of what a compressed one holds
TOLD = 3  # broken files that an error names
MEND = "Write it again, or leave it out."


class ScoreError(ValueError):
    """A file that is no piece: ``reason`` says why without the path, so that several can be told together."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)  # what pickle builds it from again
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"score {brief(self.path)}: {self.reason}. {MEND}"


def read_midi(path: str | Path) -> Score:
    """The piece in a MIDI file (.mid, .midi).

    Raises FileNotFoundError, and `ScoreError` that names the file: where it is no MIDI file, is cut off or damaged,
    counts time in film frames, holds a time signature or tempo that nobody can play, or is too large (`MOST_BYTES`,
    `MOST_NOTES`, `MOST_BARS`).
    """
    return _read(Path(path), _midi)


def read_musicxml(path: str | Path) -> Score:
    """The piece in a MusicXML file (.musicxml, .xml, compressed .mxl), as written: repeats are not played out.

    Raises FileNotFoundError, ImportError where partitura is not installed, and `ScoreError` that names the file.
    """
    return _read(Path(path), lambda content: musicxml.parsed(content, most_bytes=MOST_BYTES))


READERS: dict[str, Callable[[str | Path], Score]] = {
    ".mid": read_midi,
    ".midi": read_midi,
    ".musicxml": read_musicxml,
    ".mxl": read_musicxml,
    ".xml": read_musicxml,
}


def read_score(path: str | Path) -> Score:
    """The piece in a file, read by its suffix; see `read_midi` and `read_musicxml` for what is raised."""
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ScoreError(path, f"needed a file of {', '.join(READERS)}, got {path.suffix or 'no suffix'}")
    return reader(path)


class Pieces(NamedTuple):
    """The pieces of a folder in the order of their paths, and the files that are none, each with why."""

    scores: tuple[Score, ...]
    broken: dict[str, str]  # path relative to the folder -> reason


def read_folder(path: str | Path, *, allow_missing: bool = False) -> Pieces:
    """Every piece below a folder; hidden files and those with other suffixes are passed over.

    Raises FileNotFoundError where there is no folder, or no piece in it; ValueError that tells of all broken files
    together, unless ``allow_missing`` leaves them out with a warning, and where none is left.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"read_folder: needed a folder of pieces, found no folder {brief(folder)}.")
    names = sorted(_names(folder))
    if not names:
        raise FileNotFoundError(
            f"read_folder: needed a file of {', '.join(READERS)} below {brief(folder)}, found none."
        )
    scores, broken = [], {}
    for name in names:
        try:
            scores.append(read_score(folder / name))
        except ScoreError as error:
            broken[name] = error.reason
        except FileNotFoundError:  # a link to nowhere
            broken[name] = "is not there"
    if broken:
        told = (
            f"{len(broken)} of {len(names)} pieces below {brief(folder)} cannot be read: {_reasons(broken)}"
        )
        if not allow_missing or not scores:
            rest = ", or set allow_missing to leave them out" if scores else ""
            raise ValueError(f"read_folder: {told}. Mend them{rest}.")
        log.warning("read_folder: %s. They are left out.", told)
    return Pieces(tuple(scores), broken)


def _names(folder: Path) -> Iterator[str]:
    """Paths of pieces relative to the folder, in POSIX form."""
    for here, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in READERS:
                yield (Path(here) / name).relative_to(folder).as_posix()


def _reasons(broken: dict[str, str]) -> str:
    told = [f"{brief(name)}: {reason}" for name, reason in list(broken.items())[:TOLD]]
    return "; ".join([*told, *([f"and {len(broken) - TOLD} more"] if len(broken) > TOLD else [])])


def _read(path: Path, parse: Callable[[bytes], Score]) -> Score:
    """The piece in a file's bytes; a ValueError of ``parse`` becomes a `ScoreError`."""
    if path.exists() and not path.is_file():
        raise ScoreError(path, "needed a file, found a folder or a device")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise FileNotFoundError(f"score {brief(path)}: no such file.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise ScoreError(path, f"cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > MOST_BYTES:
        raise ScoreError(path, f"needed a file of at most {MOST_BYTES >> 20} MiB, got more")
    try:
        return replace(parse(content), path=path)
    except ValueError as error:
        raise ScoreError(path, str(error)) from error


def _midi(content: bytes) -> Score:
    """Raises ValueError, with the reason, for what is no MIDI file or none of ours."""
    _check_layout(content)
    import symusic  # a tenth of a second

    try:
        found: Any = symusic.Score.from_midi(content)  # in ticks, which its types leave open
    except RuntimeError as error:
        said = str(error).removeprefix("MiniMidi: ").partition("\n")[0].rstrip("!. ")
        raise ValueError(f"is damaged: symusic says {brief(said)!r}") from error
    tracks = [track.notes.numpy() for track in found.tracks]
    lengths = [len(notes["time"]) for notes in tracks]

    def column(name: str) -> np.ndarray:
        return np.concatenate([np.zeros(0, np.int64), *(notes[name] for notes in tracks)]).astype(np.int64)

    return score_of(
        start=column("time"),
        length=column("duration"),
        pitch=column("pitch"),
        velocity=column("velocity"),
        track=np.repeat(np.arange(len(tracks)), lengths),
        is_drum=np.repeat(np.array([track.is_drum for track in found.tracks], dtype=bool), lengths),
        ticks_per_beat=int(found.ticks_per_quarter),
        meters=[(one.time, one.numerator, one.denominator) for one in found.time_signatures],
        tempos=[(one.time, one.qpm) for one in found.tempos],
    )


def _check_layout(content: bytes) -> None:
    """ValueError for what symusic would read in part: it passes over tracks that the header leaves out."""
    if len(content) < 14 or not content.startswith(b"MThd"):
        got = repr(content[:4])[1:] if content else "an empty file"
        raise ValueError(f"needed a MIDI file, which begins with 'MThd', got {got}")
    size, kind, told, division = struct.unpack(">IHHH", content[4:14])
    if kind > 1:
        raise ValueError(f"needed a MIDI file of format 0 or 1, one piece, got format {kind}")
    if division & 0x8000:
        raise ValueError("needed a MIDI file that counts ticks a beat, got one that counts film frames")
    tracks, place = 0, 8 + size
    while place + 8 <= len(content):
        name, length = struct.unpack(">4sI", content[place : place + 8])
        tracks, place = tracks + (name == b"MTrk"), place + 8 + length
    if tracks != told:
        raise ValueError(f"is damaged: its header tells of {told} tracks, {tracks} are there")
