"""A MUSHRA study for webMUSHRA, made of folders of clips: aligned in level, blind, with reference, anchors and a key.

A clip of a system belongs to the clip of the reference with the same name (endings do not count). All sounds of the
study get one loudness: the one asked for, or the highest at which no peak comes above -1 dBFS. Anchors are made of the
reference. Trials are shuffled and called t1, t2, ..., the systems and anchors of t1 are shuffled and called t1c1, t1c2,
...: what a listener's browser loads tells nothing, and no name stands in two trials, so answers cannot be averaged
without the key. Everything that is random comes from the seed.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clapbench import files
from clapbench.console import brief
from clapbench.listening import pages, signals
from clapbench.listening.answers import names, slug
from clapbench.listening.clips import Clip, matched, measured, played, sounds
from clapbench.listening.keys import COLUMNS
from clapbench.listening.mushra import LOW, MID, REFERENCE
from clapbench.sheets import text_of

LOUDNESS = -23.0  # LUFS, as EBU R 128 has it
PEAK = -1.0  # dBFS, the highest
CUTOFFS = dict(zip((LOW, MID), signals.CUTOFFS, strict=True))  # Hz
WIDE = 32_000  # Hz: below, the sound hardly goes beyond the 7 kHz anchor's
SYSTEMS, CLIPS = 9, 5  # the most and the fewest that BS.1534-3 recommends


class Study(NamedTuple):
    """What was made: where, and how loud."""

    folder: Path
    config: Path
    key: Path
    systems: tuple[str, ...]
    clips: tuple[str, ...]
    level: float  # LUFS
    notes: tuple[str, ...]


def prepare(
    systems: Mapping[str, Path | str],
    *,
    reference: Path | str,
    out: Path | str,
    seed: int = 0,
    loudness: float | int = LOUDNESS,
    rate: int | None = None,
    fixed_order: bool = False,
    name: str | None = None,
) -> Study:
    """Writes a study of ``systems`` (name: folder of clips) against the clips of the folder ``reference`` into ``out``.

    ``rate`` resamples every clip to so many Hz. With ``fixed_order`` all listeners have the trials in one order. What
    the study is called is the name of ``out``, or ``name``.

    Raises FileNotFoundError for folders that are not there, FileExistsError where ``out`` holds something, and
    ValueError that tells all clips at once that are unmatched, cannot be read, are silent, or unlike their reference in
    length, rate or channels.
    """
    out = Path(out)
    _check(systems, out=out, loudness=loudness, rate=rate)
    folders = {REFERENCE: Path(reference), **{one: Path(folder) for one, folder in systems.items()}}
    found = matched({one: sounds(folder, who=one) for one, folder in folders.items()}, reference=REFERENCE)
    clips = measured(found, reference=REFERENCE, rate=rate)
    headroom = min(
        clip.loudness + PEAK - 20 * float(np.log10(clip.peak))
        for row in clips.values()
        for clip in row.values()
    )
    level = min(float(loudness), headroom)
    rng = np.random.default_rng(seed)
    order = [sorted(clips)[place] for place in rng.permutation(len(clips))]
    test = slug(name or out.name)
    notes = _notes(clips, level=level, loudness=loudness)
    with _building(out) as folder:
        rows = list(_written(order, clips, folder / test / "clips", level=level, rate=rate, rng=rng))
        strict = len(systems) + len(CUTOFFS) <= pages.MOST and all(
            row[REFERENCE].samples <= pages.LONGEST * row[REFERENCE].rate for row in clips.values()
        )
        content = pages.config(
            _pages(rows, test), title=name or out.name, test=test, strict=strict, fixed_order=fixed_order
        )
        files.write_text(folder / test / "study.yaml", pages.text_of(content))
        files.write_text(folder / "key.csv", text_of((*COLUMNS, "file", "gain_db", "loudness_lufs"), rows))
        files.write_text(
            folder / "README.md",
            _readme(
                name or out.name, test, systems, clips, level=level, notes=notes, seed=seed, fixed=fixed_order
            ),
        )
    return Study(
        out, out / test / "study.yaml", out / "key.csv", tuple(systems), tuple(order), level, tuple(notes)
    )


def _check(systems: Mapping[str, Path | str], *, out: Path, loudness: float | int, rate: int | None) -> None:
    taken = [one for one in systems if one in (REFERENCE, *CUTOFFS)]
    if not systems or taken or not all(one.strip() and one.isprintable() for one in systems):
        raise ValueError(
            f"prepare: needed systems with names of their own, none of {REFERENCE}, {LOW} and {MID}; got "
            f"{names(list(systems)) or 'none'}."
        )
    if not -70 < loudness <= 0:
        raise ValueError(f"prepare: needed a loudness from -70 to 0 LUFS, got {loudness:g}.")
    if rate is not None and rate < signals.LOWEST_RATE:
        raise ValueError(
            f"prepare: needed a rate of at least {signals.LOWEST_RATE} Hz for the anchors, got {rate}."
        )
    if not re.search(r"\w", slug(out.name)):
        raise ValueError(f"prepare: needed a folder for the study with a name, got {brief(out)}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(
            f"prepare: needed a new or empty folder, {brief(out)} holds something: a key that is overwritten is lost. "
            "Give another one."
        )


def _written(
    order: Sequence[str],
    clips: Mapping[str, Mapping[str, Clip]],
    folder: Path,
    *,
    level: float,
    rate: int | None,
    rng: np.random.Generator,
) -> Iterator[dict[str, object]]:
    """Writes the sounds of every trial under blind names; the rows of the key."""
    import soundfile

    folder.mkdir(parents=True)
    for number, clip in enumerate(order, start=1):
        trial = f"t{number:0{len(str(len(order)))}d}"
        row = clips[clip]
        shuffled = [*(one for one in row if one != REFERENCE), *CUTOFFS]
        shuffled = [shuffled[place] for place in rng.permutation(len(shuffled))]
        codes = {
            one: f"{trial}c{place:0{len(str(len(shuffled)))}d}" for place, one in enumerate(shuffled, start=1)
        }
        for one, code in {REFERENCE: REFERENCE, **codes}.items():
            source = row.get(one, row[REFERENCE])
            samples, _ = played(source.path, rate=rate)
            if one in CUTOFFS:
                samples = signals.anchor(samples, source.rate, cutoff=CUTOFFS[one])
            gain = level - source.loudness
            sound = np.asarray(samples, dtype=np.float64) * 10 ** (gain / 20)
            file = folder / f"{f'{trial}_{code}' if one == REFERENCE else code}.wav"
            soundfile.write(file, sound, source.rate, subtype="PCM_24")
            loud = level if one not in CUTOFFS else signals.loudness(sound, source.rate)
            yield {
                "trial": trial,
                "stimulus": code,
                "system": one,
                "clip": clip,
                "file": f"clips/{file.name}",
                "gain_db": round(gain, 3),
                "loudness_lufs": None if loud is None else round(loud, 2),
            }


def _pages(rows: Sequence[Mapping[str, object]], test: str) -> list[pages.Page]:
    """The trials with their files, as webMUSHRA finds them: from its root."""
    found = []
    for trial in dict.fromkeys(str(row["trial"]) for row in rows):
        paths = {
            str(row["stimulus"]): f"configs/{test}/{row['file']}" for row in rows if row["trial"] == trial
        }
        blind = {code: path for code, path in sorted(paths.items()) if code != REFERENCE}
        found.append(pages.Page(trial, paths[REFERENCE], blind))
    return found


def _notes(clips: Mapping[str, Mapping[str, Clip]], *, level: float, loudness: float | int) -> list[str]:
    every = [clip for row in clips.values() for clip in row.values()]
    told = []
    if level < loudness - 0.05:
        top = max(every, key=lambda clip: 20 * np.log10(clip.peak) - clip.loudness)
        told.append(
            f"all clips are at {level:.1f} LUFS, not {loudness:.1f}: {brief(top.path)} would have a peak above "
            f"{PEAK:g} dBFS"
        )
    systems = len(next(iter(clips.values()))) - 1
    if systems > SYSTEMS:
        told.append(f"{systems} systems: BS.1534-3 recommends at most {SYSTEMS} on a page")
    if len(clips) < CLIPS:
        told.append(f"{len(clips)} clips: BS.1534-3 recommends at least {CLIPS}")
    longest = max(clip.samples / clip.rate for clip in every)
    if longest > pages.LONGEST:
        told.append(f"clips of up to {longest:.1f} s: BS.1534-3 recommends at most {pages.LONGEST:g} s")
    if (lowest := min(clip.recorded for clip in every)) < WIDE:
        told.append(
            f"clips at {lowest} Hz: nothing is above {lowest / 2000:g} kHz, so the 7 kHz anchor is near to them"
        )
    return told


def _readme(
    title: str,
    test: str,
    systems: Mapping[str, Path | str],
    clips: Mapping[str, Mapping[str, Clip]],
    *,
    level: float,
    notes: Sequence[str],
    seed: int,
    fixed: bool,
) -> str:
    from clapbench import __version__

    rate = next(iter(clips.values()))[REFERENCE].rate
    order = (
        "All listeners have the trials in one order."
        if fixed
        else "Each listener has the trials in another order."
    )
    return pages.README.format(
        title=title,
        systems=", ".join(systems),
        trials=len(clips),
        stimuli=len(systems) + len(CUTOFFS) + 1,
        version=__version__,
        seed=seed,
        level=level,
        rate=rate,
        test=test,
        notes="".join(f"\nNote: {note}.\n" for note in notes),
        order=order,
    )


@contextmanager
def _building(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that takes its place when the block ends, or vanishes if it raises."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        yield folder
        umask = os.umask(0)
        os.umask(umask)
        folder.chmod(0o777 & ~umask)  # mkdtemp makes folders that only their owner reads
        if out.exists():
            out.rmdir()  # it is empty
        folder.replace(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
