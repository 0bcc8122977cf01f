"""Captioned clips from a CSV in the format of Clotho, of AudioCaps, or of your own: for benchmarks and for training."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from clapbench.benchmarks.tables import (
    Clips,
    Row,
    Speaker,
    first_names,
    lacks_columns,
    read_table,
    refuse_twins,
)
from clapbench.console import brief

# Clotho's caption_1 to caption_5; .1 where a name stands twice
CAPTION = re.compile(r"caption(_?\d+)?(\.\d+)?")
FILES = ("file_name", "file", "audio", "filename")  # columns that hold a clip's path
AUDIOCAPS = ("youtube_id", "start_time")  # or these, which name a segment of a video
AUDIOCAPS_FILES = (
    "{youtube_id}.wav",
    "Y{youtube_id}.wav",
    "{youtube_id}_{start_time}.wav",
)  # as people name them


class Captioned(NamedTuple):
    """A row, the id of its clip, and what its columns of captions say."""

    row: Row
    clip: str
    captions: tuple[str, ...]


def read_captioned(
    csv: Path, *, clips: Clips, speaker: Speaker, file: str | None = None, caption: str | None = None
) -> Iterator[Captioned]:
    """The rows of a CSV, one by one.

    ``file`` makes a clip's path from the columns of its row, as ``"{youtube_id}.wav"``; None takes the column of paths,
    or for AudioCaps the pattern that most files follow. ``caption`` is the column of captions, None takes those of the
    format. ``ValueError`` names the row of an empty caption, of a path that leads elsewhere, and of a file that stands
    for two segments of a video; or says which columns there are.
    """
    rows = read_table(csv, speaker=speaker, columns=() if caption is None else (caption,))
    columns = caption_columns(list(rows[0]), file=file, caption=caption, who=speaker.of(csv))
    segments: dict[str, tuple[str, ...]] = {}
    for row, path in zip(rows, paths(rows, clips, csv=csv, speaker=speaker, file=file), strict=True):
        who = speaker.of(csv, row.place)
        clip, told = clips.id_of(path, who=who), tuple(row[column] for column in columns)
        empty = [column for column, text in zip(columns, told, strict=True) if not text.strip()]
        if empty:
            raise ValueError(f"{who}: needed a caption, {empty[0]} is empty. Fill it, or take the row out.")
        segment = tuple(row[column] for column in AUDIOCAPS if column in row)
        if segments.setdefault(clip, segment) != segment:
            raise ValueError(
                f"{who}: needed one file per segment, got {brief(clip)} for {segments[clip]} and {segment}. "
                f"Set {speaker.group}.file to a pattern that tells them apart, as '{AUDIOCAPS_FILES[-1]}'."
            )
        yield Captioned(row, clip, told)


def caption_columns(names: Sequence[str], *, file: str | None, caption: str | None, who: str) -> list[str]:
    """The columns that hold captions. ``ValueError`` where the CSV has none of the formats."""
    found = [name for name in names if CAPTION.fullmatch(name)] if caption is None else [caption]
    if found and (file is not None or set(FILES) & set(names) or set(AUDIOCAPS) <= set(names)):
        return found
    text = "caption" if caption is None else caption
    clotho = ", caption_1 ... (Clotho)" if caption is None else f", {text}"
    raise lacks_columns(
        who,
        needed=f"file_name{clotho}, or {', '.join(AUDIOCAPS)}, {text} (AudioCaps), or one of {', '.join(FILES)} and "
        f"{text}",
        names=names,
        known=(*FILES, *AUDIOCAPS, "caption", *(f"caption_{number}" for number in range(10))),
    )


def paths(rows: Sequence[Row], clips: Clips, *, csv: Path, speaker: Speaker, file: str | None) -> list[str]:
    """Each row's clip; where patterns compete, by that which most rows have a file for, the first of equals."""
    column = next((column for column in FILES if column in rows[0]), None)
    if file is not None:
        patterns: tuple[str, ...] = (file,)
    else:
        patterns = AUDIOCAPS_FILES if column is None else (f"{{{column}}}",)
        used = AUDIOCAPS if column is None else (column,)
        refuse_twins(rows, used, who=speaker.of(csv))
    found = clips.paths(rows, patterns, csv=csv, speaker=speaker)
    if len(patterns) > 1 and not any(map(clips.has, found)):
        raise FileNotFoundError(
            f"{speaker.who}: none of {len(rows)} rows has a file under {brief(clips.root)} that is called "
            f"{' or '.join(patterns)} (first: {first_names(found[:1])}). "
            f"Set {speaker.group}.root=PATH, or {speaker.group}.file to the pattern of your files."
        )
    return found
