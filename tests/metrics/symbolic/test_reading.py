"""MIDI files and folders -> scores: what is read, and what is refused with one error that names the file."""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from reference.generation import symbolic_pieces as pieces

from clapbench.metrics import symbolic
from clapbench.metrics.symbolic import (
    ScoreError,
    read_folder,
    read_midi,
    read_score,
    reading,
    score_of,
)
from clapbench.metrics.symbolic import score as scores

MIDI = Path(__file__).parents[2] / "reference" / "generation" / "midi"
ON, OFF = bytes([0x90, 60, 80]), bytes([0x80, 60, 0])
NOTE = [(0, 0, ON), (480, 0, OFF)]
WHOLE = pieces.file([pieces.track(NOTE)])


def meter(numerator: int, power: int) -> bytes:
    return bytes([0xFF, 0x58, 4, numerator, power, 24, 8])


def wrote(folder: Path, content: bytes, name: str = "piece.mid") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def test_a_midi_file_is_its_notes(tmp_path: Path) -> None:
    head = pieces.track([(0, 0, meter(3, 2)), (1440, 0, meter(6, 3)), (0, 0, b"\xff\x51\x03\x07\xa1\x20")])
    drums = pieces.track([(240, 0, bytes([0x99, 36, 90])), (300, 0, bytes([0x89, 36, 0]))])
    score = read_midi(str(wrote(tmp_path, pieces.file([head, pieces.track(NOTE), drums], division=480))))
    assert (score.onset.tolist(), score.duration.tolist()) == ([0.0, 0.5], [1.0, 0.125])
    assert (score.pitch.tolist(), score.velocity.tolist(), score.is_drum.tolist()) == (
        [60, 36],
        [80, 90],
        [False, True],
    )
    assert score.meters == ((0, 3, 4), (1440, 6, 8))
    assert score.tempos == ((0, 120.0),)
    assert score.bars.tolist() == [0, 1440]
    assert (score.path, score.name, score.end) == (tmp_path / "piece.mid", "piece.mid", 480)
    with pytest.raises(ValueError, match="read-only"):
        score.start[0] = 1


def test_a_file_without_a_time_signature_is_in_common_time(tmp_path: Path) -> None:
    late = pieces.track([(0, 0, ON), (240, 1, meter(3, 2)), (9600, 0, OFF)])
    score = read_midi(wrote(tmp_path, pieces.file([late])))
    assert score.meters == ((0, 4, 4), (240, 3, 4))
    assert score.bars[:3].tolist() == [0, 240, 1680]
    assert score.tempos == ()


def test_of_signatures_at_one_tick_the_last_holds(tmp_path: Path) -> None:
    twice = pieces.track([(0, 0, meter(3, 2)), (0, 1, meter(5, 2)), *NOTE])
    assert read_midi(wrote(tmp_path, pieces.file([twice]))).meters == ((0, 5, 4),)


REFUSED = {
    "needed a MIDI file, which begins with 'MThd', got an empty file": b"",
    "begins with 'MThd', got 'RIFF'": b"RIFF" + WHOLE,
    "one piece, got format 2": pieces.file([pieces.track(NOTE)], kind=2),
    "counts ticks a beat, got one that counts film frames": pieces.file(
        [pieces.track(NOTE)], division=0xE728
    ),
    "needed 1 tick a beat or more, got 0": pieces.file([pieces.track(NOTE)], division=0),
    "is damaged: its header tells of 3 tracks, 1 are there": pieces.file([pieces.track(NOTE)], told=3),
    "is damaged: its header tells of 1 tracks, 2 are there": pieces.file([pieces.track(NOTE)] * 2, told=1),
    "is damaged: symusic says 'Invalid chunk length": WHOLE[:-6],
    "is damaged: symusic says 'Get velocity=200'": pieces.file(
        [pieces.track([(0, 0, bytes([0x90, 60, 200]))])]
    ),
    "needed a time signature as 3/4, .* got 0/4": pieces.file([pieces.track([(0, 0, meter(0, 2)), *NOTE])]),
    "needed a time signature as 3/4, .* got 4/0": pieces.file([pieces.track([(0, 0, meter(4, 40)), *NOTE])]),
    "needed a tempo above 0 beats a minute, got inf": pieces.file(
        [pieces.track([(0, 0, b"\xff\x51\x03\x00\x00\x00"), *NOTE])]
    ),
    "needed at most 4,000 bars, got more": pieces.file([pieces.track([(0, 0, ON), (0x7FFFFFF, 0, OFF)])]),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_file_that_is_no_piece_is_refused_by_name(reason: str, tmp_path: Path) -> None:
    path = wrote(tmp_path, REFUSED[reason])
    with pytest.raises(ScoreError, match=f"^score .*piece.mid: .*{reason}") as caught:
        read_midi(path)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.path, again.reason) == (str(caught.value), path, caught.value.reason)


def test_a_huge_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = wrote(tmp_path, WHOLE)
    monkeypatch.setattr(reading, "MOST_BYTES", len(WHOLE))
    assert len(read_midi(path).start) == 1
    monkeypatch.setattr(scores, "MOST_NOTES", 0)
    with pytest.raises(ScoreError, match=r"piece.mid: needed at most 0 notes, got 1\."):
        read_midi(path)
    monkeypatch.setattr(reading, "MOST_BYTES", len(WHOLE) - 1)
    with pytest.raises(ScoreError, match=r"piece.mid: needed a file of at most 0 MiB, got more\."):
        read_midi(path)


def test_what_is_not_there_or_no_file_or_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.mid: no such file"):
        read_midi(tmp_path / "a.mid")
    os.mkfifo(tmp_path / "pipe.mid")
    for other in (tmp_path, tmp_path / "pipe.mid"):
        with pytest.raises(ScoreError, match="needed a file, found a folder or a device"):
            read_midi(other)
    with pytest.raises(ScoreError, match="cannot be opened"):
        read_midi("a\0.mid")
    with pytest.raises(ScoreError, match=r"needed a file of .mid, .midi, .musicxml, .mxl, .xml, got .wav"):
        read_score("a.wav")


def test_damage_anywhere_is_a_refusal_or_a_piece(tmp_path: Path) -> None:
    """Bytes changed, taken out, cut off at random: nothing else is ever raised."""
    rng = np.random.default_rng(0)
    whole = [path.read_bytes() for path in sorted(MIDI.glob("*.mid"))]
    refused = 0
    for _ in range(600):
        content = bytearray(whole[rng.integers(0, len(whole))])
        at = int(rng.integers(0, len(content)))
        match rng.integers(0, 3):
            case 0:
                del content[at:]
            case 1:
                del content[at : at + int(rng.integers(1, 9))]
            case _:
                content[at] = rng.integers(0, 256)
        try:
            symbolic.describe(read_midi(wrote(tmp_path, bytes(content))))
        except ScoreError:
            refused += 1
    assert refused > 300


def test_columns_of_notes_are_held_to_what_notes_have() -> None:
    one = {"start": [0], "length": [1], "pitch": [60], "ticks_per_beat": 1}
    for wrong, message in (
        ({"pitch": [128]}, "needed a pitch from 0 to 127, got 128"),
        ({"start": [-1]}, "needed a start from 0 to 4,294,967,296, got -1"),
        ({"length": [1, 2]}, r"needed one length for each of 1 notes, got \(2,\)"),
        ({"length": np.array([0.5])}, "needed a whole number as length of each note, got float64"),
        ({"ticks_per_beat": 0}, "needed 1 tick a beat or more, got 0"),
        (
            {"meters": [(0, 4, 5)]},
            "needed a time signature as 3/4, its denominator a power of 2 up to 64, got 4/5",
        ),
        ({"bars": [-4, 8]}, "needed bar lines from tick 0 on, got -4"),
    ):
        with pytest.raises(ValueError, match=message):
            score_of(**one | wrong)


def folder(tmp_path: Path) -> Path:
    """Two pieces, one of them deeper, two broken ones, and what is none."""
    (tmp_path / "deep" / ".hidden").mkdir(parents=True)
    for name in ("b.mid", "deep/a.MIDI", "deep/.hidden/c.mid", "._b.mid"):
        wrote(tmp_path, WHOLE, name)
    wrote(tmp_path, WHOLE[:20], "cut.mid")
    wrote(tmp_path, b"sound", "d.mid")
    wrote(tmp_path, b"sound", "b.wav")
    return tmp_path


def test_broken_pieces_of_a_folder_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"read_folder: 2 of 4 pieces below .* cannot be read: cut.mid: .*; d.mid: "
    ) as told:
        read_folder(folder(tmp_path))
    assert str(told.value).endswith("got 'soun'. Mend them, or set allow_missing to leave them out.")


def test_broken_pieces_are_left_out_where_that_is_allowed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = read_folder(folder(tmp_path), allow_missing=True)
    assert [score.path for score in found.scores] == [tmp_path / "b.mid", tmp_path / "deep" / "a.MIDI"]
    assert list(found.broken) == ["cut.mid", "d.mid"]
    assert "2 of 4 pieces" in caplog.text
    for name in ("b.mid", "deep/a.MIDI"):
        (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=r"2 of 2 pieces .* Mend them\.$"):
        read_folder(tmp_path, allow_missing=True)


def test_a_folder_without_pieces_is_refused(tmp_path: Path) -> None:
    wrote(tmp_path, b"sound", "b.wav")
    with pytest.raises(FileNotFoundError, match=r"needed a file of .mid, .* found none"):
        read_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="found no folder"):
        read_folder(tmp_path / "b.wav")


def test_many_broken_pieces_are_counted(tmp_path: Path) -> None:
    for number in range(5):
        wrote(tmp_path, b"", f"{number}.mid")
    with pytest.raises(ValueError, match=r"5 of 5 pieces .* and 2 more"):
        read_folder(tmp_path)


def test_the_golden_pieces_are_a_folder() -> None:
    found = read_folder(MIDI)
    assert (len(found.scores), found.broken) == (30, {})
