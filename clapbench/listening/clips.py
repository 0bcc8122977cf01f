"""Folders of clips for a study: found, matched by name, and measured, with all that is wrong with them told at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
from jaxtyping import Float

from clapbench.console import brief
from clapbench.listening import signals
from clapbench.listening.answers import names
from clapbench.sound.containers import survey
from clapbench.sound.decoding import decode
from clapbench.sound.waves import ClipError, check_file, check_length, peak

SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aif", ".aiff")


class Clip(NamedTuple):
    """A sound as it will be played, before its gain."""

    path: Path
    samples: int
    rate: int  # Hz
    channels: int
    loudness: float  # LUFS
    peak: float  # 0 to 1; of a reference that of its anchors, too
    recorded: int  # Hz, of the file


def sounds(folder: Path, *, who: str) -> dict[str, Path]:
    """The sound files of a folder by their names without ending."""
    if not folder.is_dir():
        raise FileNotFoundError(f"prepare: {who}: needed a folder of clips, found none at {brief(folder)}.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SOUNDS and path.is_file() and not path.name.startswith("."):
            if path.stem in found:
                raise ValueError(
                    f"prepare: {who}: needed one file for each clip, got {found[path.stem].name} and {path.name} in "
                    f"{brief(folder)}. Take one out."
                )
            found[path.stem] = path
    if not found:
        raise ValueError(
            f"prepare: {who}: needed clips ({', '.join(SOUNDS)}), found none in {brief(folder)}."
        )
    return found


def matched(found: Mapping[str, Mapping[str, Path]], *, reference: str) -> dict[str, dict[str, Path]]:
    """Files by clip and by system; ValueError with all that a system has too few or too many."""
    wanted = found[reference]
    wrong = []
    for one, held in found.items():
        if lacking := [clip for clip in wanted if clip not in held]:
            wrong.append(f"{one} lacks {len(lacking)} of {len(wanted)} ({names(lacking)})")
        if others := [clip for clip in held if clip not in wanted]:
            wrong.append(f"{one} has {len(others)} that the reference lacks ({names(others)})")
    if wrong:
        raise ValueError(
            f"prepare: needed a clip of each name from the reference and every system; {'; '.join(wrong)}. Name them "
            "alike, or take the others out."
        )
    return {clip: {one: held[clip] for one, held in found.items()} for clip in wanted}


def measured(
    found: Mapping[str, Mapping[str, Path]], *, reference: str, rate: int | None = None
) -> dict[str, dict[str, Clip]]:
    """Every clip, read and measured; ValueError with all that cannot be used."""
    clips: dict[str, dict[str, Clip]] = {}
    wrong: list[str] = []
    for clip, row in found.items():
        clips[clip] = {}
        for who, path in row.items():
            try:
                clips[clip][who] = _measure(path, rate=rate, anchors=who == reference)
            except (ClipError, OSError) as error:
                wrong.append(f"{path} {error.reason if isinstance(error, ClipError) else error}")
    first = next((row[reference] for row in clips.values() if reference in row), None)
    for same in clips.values():
        wrong += [
            f"{one.path} {why}" for one in same.values() if (why := _unlike(one, same.get(reference), first))
        ]
    if wrong:
        n = sum(map(len, found.values()))
        more = f" And {len(wrong) - 3} more." if len(wrong) > 3 else ""
        raise ValueError(
            f"prepare: needed clips that can be played and are as long, of one rate and as many channels as their "
            f"reference; {len(wrong)} of {n} are not: {'; '.join(wrong[:3])}.{more} Cut or convert them."
        )
    return clips


def _unlike(one: Clip, like: Clip | None, first: Clip | None) -> str | None:
    """In what a clip differs from its reference, or in rate from the first of the references."""
    if first and one.rate != first.rate:
        return f"has {one.rate} Hz, {first.path.name} of the reference {first.rate}"
    if like and one.channels != like.channels:
        return f"has {one.channels} channels, its reference {like.channels}"
    if like and one.samples != like.samples:
        return f"has {one.samples} samples, its reference {like.samples}"
    return None


def _measure(path: Path, *, rate: int | None, anchors: bool) -> Clip:
    samples, recorded = played(path, rate=rate)
    used = rate or recorded
    if used < signals.LOWEST_RATE:
        raise ClipError(
            path, f"has {used} Hz, the anchors need {signals.LOWEST_RATE} (--rate 48000 resamples)"
        )
    if samples.shape[1] > 2:
        raise ClipError(path, f"has {samples.shape[1]} channels, not 1 or 2")
    level = signals.loudness(samples, used)
    if level is None:
        raise ClipError(path, f"has no loudness: it is shorter than {signals.BLOCK} s, or silent")
    tops = [peak(samples)]
    if anchors:
        tops += [peak(signals.anchor(samples, used, cutoff=cutoff)) for cutoff in signals.CUTOFFS]
    return Clip(path, len(samples), used, samples.shape[1], level, max(tops), recorded)


def played(path: Path, *, rate: int | None = None) -> tuple[Float[np.ndarray, "n c"], int]:
    """A clip's samples at ``rate`` Hz, or as they are, and the rate of its file in Hz. Raises `ClipError`."""
    check_file(path)
    found = survey(path)
    sound = decode(path, found, seconds=None)
    check_length(path, sound, cut=found.cut, window=None)
    if not np.isfinite(sound.samples).all():
        raise ClipError(path, "holds NaN or infinite samples")
    if rate in (None, sound.rate):
        return sound.samples, sound.rate
    return soxr.resample(sound.samples, sound.rate, rate, quality="VHQ"), sound.rate
