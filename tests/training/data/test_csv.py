"""Pairs of a CSV: the formats, swapped captions, what is missing or cannot be read, and errors in words."""

from __future__ import annotations

import csv
import logging
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from training_data import HEARING, RATE, Processes, batches, clips, clips_in, tone

from clapbench.encoders.base import Hearing
from clapbench.files import sha256_of
from clapbench.sound.waves import ClipError
from clapbench.training.data.csv import CsvPairs

CLOTHO = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5"
AUDIOCAPS = "audiocap_id,youtube_id,start_time,caption"
ORDERED = "Rain falls, then a bell rings"
BACK = "A bell rings, then rain falls"


def data(folder: Path, text: str, *, names: str | list[str] = "", **arguments: object) -> CsvPairs:
    """The pairs of a CSV with this text, and a tone for each of ``names``."""
    clips_in(folder, names.split() if isinstance(names, str) else names)
    (folder / "items.csv").write_text(text, encoding="utf-8")
    given = {"batch_size": 4, "seed": 0, "hearing": HEARING, **arguments}
    return CsvPairs(csv=folder / "items.csv", root=folder, **given)  # type: ignore[arg-type]


def told(given: CsvPairs) -> list[tuple[str, str]]:
    return [(pair.clip, pair.caption) for pair in given.pairs]


class TestFormats:
    def test_clotho_has_a_pair_for_each_caption_and_files_with_spaces(self, tmp_path: Path) -> None:
        names = [" lead.wav", "trail.wav ", "two  spaces.wav"]
        text = f"{CLOTHO}\n" + "".join(
            f'"{name}",{",".join(f"{name} {n}" for n in range(5))}\n' for name in names
        )
        given = data(tmp_path, text, names=names)
        assert told(given) == [(name, f"{name} {n}") for name in names for n in range(5)]
        assert given.content["clips"] == 3
        for number, name in enumerate(names):
            assert torch.equal(given.wave(5 * number), given.wave(5 * number + 4))
            samples = soundfile.read(tmp_path / name, dtype="float32")[0]
            np.testing.assert_array_equal(given.wave(5 * number).numpy(), samples)

    def test_audiocaps_repeats_its_clips(self, tmp_path: Path) -> None:
        text = f"{AUDIOCAPS}\n1,x,30,A dog\n2,y,7,Rain\n3,x,30,Barking\n"
        given = data(tmp_path, text, names="Yx.wav Yy.wav")
        assert told(given) == [("Yx.wav", "A dog"), ("Yy.wav", "Rain"), ("Yx.wav", "Barking")]
        (batch,) = batches(given)
        first, other = (place for place, clip in enumerate(batch.clips) if clip == "Yx.wav")
        assert batch.clip_id[first] == batch.clip_id[other]
        assert len(batch.clip_id.unique()) == 2

    def test_any_columns_of_captions_and_paths(self, tmp_path: Path) -> None:
        text = "id,part,clause,label\n0,train,a bell rings,a bell ringing\n1,test,rain falls,rain falling\n"
        given = data(tmp_path, text, names="train/0.wav test/1.wav", file="{part}/{id}.wav", caption="clause")
        assert told(given) == [("train/0.wav", "a bell rings"), ("test/1.wav", "rain falls")]

    def test_a_caption_of_one_clip_counts_once_and_that_is_said(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        given = data(tmp_path, "file,caption\na.wav,A dog\n./a.wav,A dog\nb.wav,A cat\n", names="a.wav b.wav")
        assert told(given) == [("a.wav", "A dog"), ("b.wav", "A cat")]
        assert caplog.messages == []  # not before the training
        batches(given)
        assert "1 captions of" in caplog.text

    def test_waves_are_as_the_encoder_hears_them(self, tmp_path: Path) -> None:
        given = data(
            tmp_path, "file,caption\na.wav,A\nb.wav,B\n", names="a.wav b.wav", hearing=Hearing(16_000, 0.02)
        )
        assert given.wave(0).shape == (320,)


class TestSwapped:
    ROWS = f'file,caption,swapped\na.wav,"{ORDERED}",\nb.wav,A dog,\nc.wav,Rain,Snow\n'

    def test_by_the_column_then_by_rules(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        given = data(tmp_path, self.ROWS, names="a.wav b.wav c.wav")
        assert [pair.swapped for pair in given.pairs] == [BACK, None, "Snow"]
        assert (given.content["swapped"], given.content["not_swapped"]) == (2, 1)
        (batch,) = batches(given)
        assert {
            batch.captions[row]: text for row, text in zip(batch.swapped_of, batch.swapped, strict=True)
        } == {
            ORDERED: BACK,
            "Rain": "Snow",
        }
        assert [line for line in caplog.messages if "2 of 3 captions have a swapped one" in line]

    def test_by_the_column_alone(self, tmp_path: Path) -> None:
        given = data(tmp_path, self.ROWS, names="a.wav b.wav c.wav", swap="none")
        assert [pair.swapped for pair in given.pairs] == [None, None, "Snow"]
        text = self.ROWS.replace("swapped", "negative")
        given = data(tmp_path, text, swap="none", swapped="negative")
        assert [pair.swapped for pair in given.pairs] == [None, None, "Snow"]
        assert not data(tmp_path, text, swap="none").has_swapped

    def test_of_which_captions_must_be_plain(self, tmp_path: Path) -> None:
        with pytest.raises(
            ValueError, match=r"row 1: needed a swapped caption that differs .* swapped has the same"
        ):
            data(tmp_path, "file,caption,swapped\na.wav,A dog,A dog\nb.wav,B,C\n", names="a.wav b.wav")
        with pytest.raises(
            ValueError, match=r"needs the column negative .* it has file, caption. Set data.swapped"
        ):
            data(tmp_path, "file,caption\na.wav,A\nb.wav,B\n", swapped="negative")
        two = "file,caption_1,caption_2,swapped\na.wav,A,B,C\nb.wav,B,C,D\n"
        with pytest.raises(ValueError, match=r"2 columns of captions .* Set data.caption=COLUMN"):
            data(tmp_path, two)
        assert data(tmp_path, two, caption="caption_2").pairs[0].swapped == "C"


class TestBroken:
    ROWS = "file,caption\n" + "".join(f"{name}.wav,Caption {name}\n" for name in "abcdef")

    def folder(self, path: Path, *, lost: str) -> Path:
        """Clips a to f; of those in ``lost`` the first is missing, the second silent, the others no sound files."""
        clips_in(path, [f"{name}.wav" for name in "abcdef" if name != lost[:1]])
        for name in lost[1:2]:
            soundfile.write(path / f"{name}.wav", np.zeros(400), RATE)
        for name in lost[2:]:
            (path / f"{name}.wav").write_text("no sound")
        return path

    def test_a_missing_clip_is_refused_before_the_training(self, tmp_path: Path) -> None:
        self.folder(tmp_path, lost="c")
        with pytest.raises(ClipError) as refusal:
            data(tmp_path, self.ROWS)
        assert str(refusal.value) == (
            f"data row 3: clip {tmp_path / 'c.wav'}: no such file. "
            "Put it there, take its row out of the CSV, or set data.broken=skip."
        )

    @pytest.mark.parametrize("workers", [0, 2])
    @pytest.mark.parametrize(("lost", "reason"), [("ce", "is silent"), ("ccc", "needed a sound file")])
    def test_one_that_cannot_be_read_ends_it_with_row_file_and_remedy(
        self, tmp_path: Path, lost: str, reason: str, workers: int
    ) -> None:
        clips_in(self.folder(tmp_path, lost=lost), ["c.wav"] if lost == "ce" else [])
        given = data(tmp_path, self.ROWS, batch_size=2, num_workers=workers)
        words = (
            rf"data row {5 if lost == 'ce' else 3}: clip .*{lost[-1]}.wav: {reason}.* set data.broken=skip\."
        )
        with pytest.raises(ClipError, match=words):
            batches(given)

    def test_or_they_are_left_out_and_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        given = data(self.folder(tmp_path, lost="ace"), self.ROWS, broken="skip", batch_size=6)
        assert (given.n_pairs, given.content["missing"]) == (5, 1)
        read = batches(given)
        given.teardown("fit")
        assert sorted(chain.from_iterable(clips(read))) == ["b.wav", "d.wav", "f.wav"]
        assert sorted(chain.from_iterable(batch.left_out for batch in read)) == ["c.wav", "e.wav"]
        assert [line.partition(",")[0] for line in caplog.messages] == [
            "data: left out 1 clip (a.wav)",
            f"data: left out 2 clips ({next(iter(given.left_out))}",
        ]

    def test_a_clip_that_goes_while_training_is_no_traceback(self, tmp_path: Path) -> None:
        given = data(self.folder(tmp_path, lost=""), self.ROWS)
        (tmp_path / "a.wav").unlink()
        with pytest.raises(ClipError, match=r"data row 1: clip .*a.wav: no such file"):
            given.wave(0)

    def test_none_there_is_a_wrong_root(self, tmp_path: Path) -> None:
        for broken in ("fail", "skip"):
            with pytest.raises(
                ValueError, match=r"none of the 6 clips .* \(first: a.wav, .*\). Set data.root=PATH"
            ):
                data(tmp_path, self.ROWS, broken=broken)

    def test_all_silent_is_an_error_though_they_are_skipped(self, tmp_path: Path) -> None:
        for name in "abcdef":
            soundfile.write(tmp_path / f"{name}.wav", np.zeros(400), RATE)
        with pytest.raises(ClipError, match=r"is silent, .*as all 3 of its batch"):
            batches(data(tmp_path, self.ROWS, broken="skip"))


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        ("file,caption\n", {}, "data: .*items.csv has a header but 0 rows"),
        ("file,text\na.wav,x\nb.wav,y\n", {}, "needs the columns file_name, caption_1 .* it has file, text"),
        (
            "file,text\na.wav,x\nb.wav,y\n",
            {"caption": "txt"},
            "needs the columns txt; it lacks txt and has file, text",
        ),
        (
            "path,label\na.wav,x\n",
            {"caption": "label"},
            "needs the columns file_name, label, or .* it has path, label",
        ),
        ("file;caption\na.wav;x, y\n", {}, "separator looks like ';'"),
        ("file,caption\na.wav,x\nb.wav, \n", {}, "data: .* row 2: needed a caption, caption is empty"),
        (
            "file,caption\na.wav,x\n",
            {},
            "needed 2 pairs or more to tell apart, .* has 1 different clips. Add rows",
        ),
        ("file,caption\na.wav,x\na.wav,y\n", {}, "needed 2 pairs or more .* has 1 different clips"),
        ("file,caption\na.wav,x\nb.wav,X.\n", {}, "needed 2 pairs or more .* has 1 different captions"),
        ("file,caption\n../a.wav,x\nb.wav,y\n", {}, "relative to data.root and below it, got '../a.wav'"),
        (
            "file,caption\na.wav,x\nb.wav,y\n",
            {"file": "{name}.wav"},
            "data.file needs a pattern of the columns",
        ),
        (
            f"{AUDIOCAPS}\n1,q,0,x\n2,r,0,y\n",
            {},
            "none of 2 rows has a file .* Set data.root=PATH, or data.file",
        ),
        (f"{AUDIOCAPS}\n1,a,0,x\n2,a,7,y\n", {}, "needed one file per segment, .* Set data.file"),
    ],
)
def test_bad_files_are_one_clear_error(
    tmp_path: Path, text: str, arguments: dict[str, str], words: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=words) as refusal:
        data(tmp_path, text, names="a.wav b.wav", **arguments)
    assert "bench" not in str(refusal.value)


def test_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"data: needed a CSV, found no file .*none.csv. Set data.csv=PATH"
    ):
        CsvPairs(csv=tmp_path / "none.csv", root=tmp_path, batch_size=2, seed=0, hearing=HEARING)


@pytest.mark.parametrize("workers", [0, 2])
def test_each_epoch_has_each_pair_once_over_processes_and_goes_on_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    names = [f"{n}.wav" for n in range(7)]
    text = "file,caption\n" + "".join(f"{name},One {name}\n{name},Two {name}\n" for name in names)
    given = data(tmp_path, text, names=names, num_workers=workers)
    parts = [batches(given) for _ in Processes(monkeypatch).each(2)]
    seen = [
        (clip, caption)
        for part in parts
        for b in part
        for clip, caption in zip(b.clips, b.captions, strict=True)
    ]
    assert sorted(seen) == sorted(told(given))
    assert [[len(batch.clips) for batch in part] for part in parts] == [[2, 2, 2, 2], [2, 2, 1, 1]]
    later = batches(given, done=2)
    assert clips(later) == clips(parts[1])[2:]
    for batch, same in zip(later, parts[1][2:], strict=True):
        assert batch.captions == same.captions
        assert all(torch.equal(a, b) for a, b in zip(batch.waves, same.waves, strict=True))
        for clip, wave in zip(batch.clips, batch.waves, strict=True):
            np.testing.assert_allclose(wave, tone(int(clip[:-4])), atol=1e-4)


def test_the_content_is_known_by_its_hash(tmp_path: Path) -> None:
    given = data(tmp_path, f'file,caption\na.wav,"{ORDERED}"\nb.wav,Wind\n', names="a.wav b.wav")
    assert given.content == {
        "csv": "items.csv",
        "csv_sha256": sha256_of(tmp_path / "items.csv"),
        "pairs": 2,
        "clips": 2,
        "captions": 2,
        "swapped": 1,
        "not_swapped": 1,
        "missing": 0,
    }
    with (tmp_path / "items.csv").open(encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == 3
