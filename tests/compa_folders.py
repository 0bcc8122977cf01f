"""Folders like the released CompA archives, in all that makes them awkward to read, with clips of 50 ms."""

from __future__ import annotations

import csv
import io
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ORDER = (
    "pair_caption",
    "reversed_pair_caption",
    "triplet_caption",
    "pair_file",
    "reversed_pair_file",
    "triplet_file",
)
ATTRIBUTE = (
    "pair_caption",
    "reversed_pair_caption",
    "pair_file",
    "reversed_pair_file",
    "pair_file",
    "reversed_pair_file",
)


def clip(number: int) -> bytes:
    """A wav of noise, different for each number."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(np.random.default_rng(number).integers(-3000, 3000, 400).astype("<i2").tobytes())
    return file.getvalue()


def write_csv(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], *, bom: bool = False, end: str = "\n"
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8-sig" if bom else "utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator=end)
        writer.writerows([header, *rows])


def order(folder: Path, *, items: int = 400, bom: bool = False, end: str = "\n") -> Path:
    """CSV and clips side by side; every fourth item has a third pair, the others ``-``; items share clips."""
    clips = folder / "CompA_order_files"
    clips.mkdir(parents=True, exist_ok=True)
    rows = []
    for item in range(1, items + 1):
        third = item % 4 == 0
        # as in the release, an item may borrow the reversed clip of another
        files = [f"{item}.wav", f"{item - 1 if item % 10 == 0 else item}_rev.wav"]
        captions = [f"A bell {item} rings, then it rains.", f"It rains, then a bell {item} rings."]
        rows.append(
            [
                *captions,
                f"Rain and bell {item} at once." if third else "-",
                *files,
                f"{item}_trip.wav" if third else "-",
            ]
        )
        for number, file in enumerate([*files, *([f"{item}_trip.wav"] if third else [])]):
            if not (clips / file).exists():
                (clips / file).write_bytes(clip(3 * item + number))
    write_csv(folder / "CompA_order_benchmark.csv", ORDER, rows, bom=bom, end=end)
    clutter(folder, "CompA_order_files/1.wav", "CompA_order_benchmark.csv")
    return folder


def attribute(
    folder: Path, *, items: int = 197, header: Sequence[str] = ATTRIBUTE, bom: bool = False, end: str = "\n"
) -> Path:
    """All in a folder with a space in its name; the file columns stand twice, ids of videos first."""
    inside = folder / "CompA Attribute"
    clips = inside / "CompA_attribute_files"
    clips.mkdir(parents=True, exist_ok=True)
    rows = []
    for item in range(1, items + 1):
        files = [f"{item}.wav", f"{item}_rev.wav"]
        videos = [f"-v{item:04d}_{way}0000" for way in (1, 2)]
        captions = [f"A loud bell {item} and quiet rain", f"A quiet bell {item} and loud rain"]
        rows.append([*captions, *videos, *files])
        for number, file in enumerate(files):
            (clips / file).write_bytes(clip(10_000 + 2 * item + number))
    write_csv(inside / "Compa-Attribute.csv", header, rows, bom=bom, end=end)
    write_csv(inside / "videos.csv", ["video", "start"], [[row[2], "30"] for row in rows])
    clutter(folder, "CompA Attribute/CompA_attribute_files/1.wav", "CompA Attribute/Compa-Attribute.csv")
    return folder


def clutter(folder: Path, *beside: str) -> None:
    """What a Mac adds to an archive: a folder of shadows, each with the name of a file, and settings of windows."""
    for name in beside:
        shadow = folder / "__MACOSX" / Path(name).parent / f"._{Path(name).name}"
        shadow.parent.mkdir(parents=True, exist_ok=True)
        shadow.write_bytes(b"\0\x05\x16\x07\0\x02\0\0Mac OS X" + bytes(120))
        (folder / name).with_name(f"._{Path(name).name}").write_bytes(shadow.read_bytes())
    (folder / ".DS_Store").write_bytes(bytes(64))
