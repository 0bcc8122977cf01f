"""What a MusicXML file says, by partitura: notes as they sound, bars as they are written.

Ties are joined and transposing instruments sound in concert pitch, in the octave that is written. Grace notes, which
take no time, are left out; unpitched notes are drums. Repeats are not played out. Bars are those of the part that has
most; a pickup is a bar of its own. There are no velocities: all are 64.
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
import zlib
from typing import Any
from xml.etree import ElementTree

import numpy as np

from clapbench.console import brief
from clapbench.metrics.symbolic.score import Score, score_of

# What zipfile and the parser of its index raise for an archive that is damaged, locked or of another kind.
ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    ElementTree.ParseError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
)
FINEST_BEAT = 10_000_000  # ticks a beat that all parts share


def parsed(content: bytes, *, most_bytes: int) -> Score:
    """The piece in the bytes of a MusicXML file; a compressed one may hold ``most_bytes``.

    Raises ImportError, with what to install, where partitura is not there; ValueError with the reason for what is no
    MusicXML.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # its parser of directions imports sre_parse
            from partitura import load_musicxml
    except ImportError as error:
        raise ImportError(
            "read_musicxml: needs partitura, which is not installed. Type: pip install 'clapbench[music]'"
        ) from error
    xml = _opened(content, most_bytes=most_bytes)
    try:
        parts = [_Part(part) for part in load_musicxml(io.BytesIO(xml), quiet=True).parts]
    except Exception as error:  # of any kind: it takes files at their word
        said = f"{type(error).__name__}: {error}"
        raise ValueError(f"is no MusicXML, or damaged: partitura says {brief(said)!r}") from error
    return _joined(parts)


def _opened(content: bytes, *, most_bytes: int) -> bytes:
    """The XML, out of its archive where it lies in one (.mxl)."""
    if not content.startswith(b"PK"):
        return content
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            index = ElementTree.fromstring(_member(archive, "META-INF/container.xml", most_bytes=2**16))
            inner = index.find(".//{*}rootfile")
            if inner is None:
                raise ValueError("its index names no score")
            return _member(archive, inner.get("full-path", ""), most_bytes=most_bytes)
    except (
        zipfile.BadZipFile,
        KeyError,
        ElementTree.ParseError,
        NotImplementedError,
        RuntimeError,
        zlib.error,
    ) as error:
        raise ValueError(f"is no compressed MusicXML, or damaged: {brief(error)}") from error


def _member(archive: zipfile.ZipFile, name: str, *, most_bytes: int) -> bytes:
    with archive.open(name) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise ValueError(f"needed at most {most_bytes:,} bytes in {brief(name)}, got more")
    return content


class _Part:
    """A part of partitura's, in its own divisions of a beat, which may change on the way."""

    def __init__(self, part: Any) -> None:
        from partitura import score

        changes = np.asarray(part.quarter_durations(), dtype=np.int64)
        self.changes, self.divisions = changes[:, 0], changes[:, 1]
        if (self.divisions < 1).any():
            raise ValueError(f"{self.divisions.min()} divisions of a beat")
        shifts = [(one.start.t, one.chromatic or 0) for one in part.iter_all(score.Transposition)]
        self.notes = []  # start, end, pitch, whether it is a drum
        for note in part.iter_all(score.GenericNote, include_subclasses=True):
            if isinstance(note, score.Rest | score.GraceNote) or note.tie_prev is not None:
                continue
            start, is_drum = note.start.t, isinstance(note, score.UnpitchedNote)
            shift = 0 if is_drum else next((by for at, by in reversed(shifts) if at <= start), 0)
            self.notes.append((start, start + note.duration_tied, note.midi_pitch + shift, is_drum))
        measures = part.measures
        self.bars = [one.start.t for one in measures] + [one.end.t for one in measures[-1:]]
        self.meters = [(one.start.t, one.beats, one.beat_type) for one in part.time_sigs]
        self.tempos = [
            (one.start.t, 6e7 / one.microseconds_per_quarter if one.unit else float(one.bpm))
            for one in part.iter_all(score.Tempo)
        ]

    def ticks(self, times: list[int], ticks_per_beat: int) -> np.ndarray:
        """These times in ticks, of which all divisions are multiples."""
        scale = ticks_per_beat // self.divisions
        before = np.concatenate([[0], np.cumsum(np.diff(self.changes) * scale[:-1])])
        at = np.asarray(times, dtype=np.int64)
        piece = np.searchsorted(self.changes, at, side="right") - 1
        return before[piece] + (at - self.changes[piece]) * scale[piece]


def _joined(parts: list[_Part]) -> Score:
    if not parts:
        raise ValueError("needed a part, got none")
    ticks_per_beat = math.lcm(*(int(one) for part in parts for one in part.divisions))
    if ticks_per_beat > FINEST_BEAT:
        raise ValueError(
            f"needed divisions with a common multiple up to {FINEST_BEAT:,}, got {ticks_per_beat:,}"
        )

    def placed(part: _Part, rows: list[Any]) -> list[Any]:
        """Rows with their times in ticks."""
        times = part.ticks([row[0] for row in rows], ticks_per_beat).tolist()
        return [(time, *row[1:]) for time, row in zip(times, rows, strict=True)]

    start, end = (
        np.concatenate([part.ticks([note[k] for note in part.notes], ticks_per_beat) for part in parts])
        for k in (0, 1)
    )
    longest = max(parts, key=lambda part: len(part.bars))
    return score_of(
        start=start,
        length=end - start,
        pitch=np.array([note[2] for part in parts for note in part.notes], dtype=np.int64),
        track=np.repeat(np.arange(len(parts)), [len(part.notes) for part in parts]),
        is_drum=np.array([note[3] for part in parts for note in part.notes], dtype=bool),
        ticks_per_beat=ticks_per_beat,
        bars=longest.ticks(longest.bars, ticks_per_beat) if longest.bars else None,
        meters=[row for part in parts for row in placed(part, part.meters)],
        tempos=[row for part in parts for row in placed(part, part.tempos)],
    )
