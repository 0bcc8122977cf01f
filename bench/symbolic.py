"""Speed of symbolic music, measured: `python bench/symbolic.py`. Reading and describing 1,000 MIDI files on one core.

Each piece has 32 bars of 4/4 in four tracks, about 700 notes. Seconds are of the processor, so that what else the
machine does counts little; medians over rounds, after one to warm up. Reading by symusic alone, and by pretty_midi
where it is installed, stand beside.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from clapbench.metrics.symbolic import compare, describe, read_midi

FILES = 1_000
WANTED = 1_000  # files a minute
ROUNDS = 3
BARS = 32
TICKS = 480


def write_piece(path: Path, *, seed: int) -> None:
    """A melody, chords, a bass and drums in a key by lot."""
    import symusic

    rng = np.random.default_rng(seed)
    score = symusic.Score(TICKS)
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    key, scale = int(rng.integers(0, 12)), np.array([0, 2, 4, 5, 7, 9, 11])
    for name, per_bar, low in (("melody", 6, 60), ("chords", 6, 48), ("bass", 2, 36), ("drums", 8, 36)):
        track = symusic.Track(name, 0, name == "drums")
        for bar in range(BARS):
            for place in np.sort(rng.choice(16, per_bar, replace=False)):
                at = bar * 4 * TICKS + int(place) * TICKS // 4
                pitch = low + key + int(rng.choice(scale))
                track.notes.append(symusic.Note(at, int(rng.integers(60, 900)), pitch, 80))
        score.tracks.append(track)
    score.dump_midi(path)


def pretty_midi(path: Path) -> object:
    """Reading by another library, all in Python."""
    import pretty_midi

    return pretty_midi.PrettyMIDI(str(path))


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Prints the table."""
    import symusic

    with TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number:04d}.mid") for number in range(FILES)]
        for number, path in enumerate(paths):
            write_piece(path, seed=number)
        size = sum(path.stat().st_size for path in paths) / FILES
        notes = len(read_midi(paths[0]).start)
        ways: dict[str, Callable[[Path], object]] = {
            "read and describe": lambda path: describe(read_midi(path)),
            "read": read_midi,
            "symusic alone": lambda path: symusic.Score.from_midi(path.read_bytes()),
        }
        if find_spec("pretty_midi"):
            ways["pretty_midi alone"] = pretty_midi
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for name, way in ways.items():
            way(paths[0])  # what is imported on the way
            for _ in range(ROUNDS):
                taken[name].append(seconds(lambda way=way: [way(path) for path in paths]))
        described = [describe(read_midi(path)) for path in paths]
    half = FILES // 2
    against = seconds(lambda: compare(described[:half], described[half:]))

    table = Table(
        title=f"{FILES:,} MIDI files of about {notes} notes, {size:,.0f} bytes", box=box.SIMPLE_HEAD
    )
    for head in ("way", "s", "ms a file", "files a minute", "wanted"):
        table.add_column(head, justify="left" if head == "way" else "right")
    for name, runs in taken.items():
        took = statistics.median(runs)
        wanted = f"{WANTED:,}" if name == "read and describe" else ""
        table.add_row(name, f"{took:.2f}", f"{took / FILES * 1e3:.2f}", f"{60 * FILES / took:,.0f}", wanted)
    console = Console(width=110)
    console.print(table)
    console.print(f"compare, {half} pieces against {half}, described before: {against:.2f} s")


if __name__ == "__main__":
    main()
