"""CompA from its archives: found by content in every quirk of the release, fetched once, refused by file and row."""

from __future__ import annotations

import logging
import shutil
import unicodedata
import zipfile
from pathlib import Path

import compa_folders
import numpy as np
import pytest
import soundfile
from conftest import Compose
from hydra.utils import instantiate

from clapbench.benchmarks.compa import Compa
from clapbench.running import plan
from clapbench.sound.waves import load_wave
from clapbench.sources import downloads, source

HEADER = "pair_caption,reversed_pair_caption,pair_file,reversed_pair_file"
ROWS = "A bell before rain,Rain before a bell,a.wav,b.wav\nA dog then a car,A car then a dog,c.wav,d.wav\n"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLAPBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def order(root: Path | None, **given: object) -> Compa:
    source = "gdrive://ID/CompA_order.zip"
    return Compa(**{"name": "order", "items": 400, "source": source, "root": root} | given)  # type: ignore[arg-type]


def attribute(root: Path | None, **given: object) -> Compa:
    return order(root, **{"name": "attribute", "items": 197} | given)


def tiny(root: Path, text: str = f"{HEADER}\n{ROWS}", *, clips: str = "abcd", **given: object) -> Compa:
    """Two items, in a folder of their own."""
    (root / "clips").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(clips):
        (root / "clips" / f"{name}.wav").write_bytes(compa_folders.clip(number))
    (root / "items.csv").write_bytes(text.encode())
    return order(root, **{"items": 2} | given)


def zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(folder.rglob("*")):
            opened.write(path, path.relative_to(folder))
    return archive


def check_order(bench: Compa) -> None:
    assert bench.n_items == 400
    assert sum(len(case.clips) == 3 for case in bench.cases()) == 100
    assert bench.cases()[3].clips == ("4.wav", "4_rev.wav", "4_trip.wav")
    assert bench.cases()[9].clips == ("10.wav", "9_rev.wav")
    assert bench.cases()[3].match_matrix.int().trace() == bench.cases()[3].match_matrix.sum() == 3
    for clip in ("4.wav", "9_rev.wav", "400_trip.wav"):
        assert bench.audio_path(clip).parent.name == "CompA_order_files"


def check_attribute(bench: Compa) -> None:
    assert bench.n_items == 197
    first = bench.cases()[0]
    assert first.clips == ("1.wav", "1_rev.wav")
    assert first.about == {"pair_video": "-v0001_10000", "reversed_pair_video": "-v0001_20000"}
    for clip in bench.clips():
        assert bench.audio_path(clip).parent.name == "CompA_attribute_files"


@pytest.mark.parametrize(("bom", "end"), [(False, "\n"), (True, "\r\n")])
def test_both_releases_load_from_one_root_and_from_their_own(tmp_path: Path, bom: bool, end: str) -> None:
    """The clips of both are named 1.wav, 1_rev.wav ...: each finds its own."""
    own, both = tmp_path / "own", tmp_path / "both of them"
    for root in (own / "order", both):
        compa_folders.order(root, bom=bom, end=end)
        check_order(order(root))
    for root in (own / "attribute", both):
        compa_folders.attribute(root, bom=bom, end=end)
        check_attribute(attribute(root))
    assert order(both).fingerprint() == order(own / "order").fingerprint()
    assert attribute(both).fingerprint() == attribute(own / "attribute").fingerprint()


def test_second_columns_may_be_named_as_pandas_names_them(tmp_path: Path) -> None:
    header = (*compa_folders.ATTRIBUTE[:4], "pair_file.1", "reversed_pair_file.1")
    check_attribute(attribute(compa_folders.attribute(tmp_path, header=header)))


def test_folders_of_both_side_by_side_are_told_apart(tmp_path: Path) -> None:
    compa_folders.order(tmp_path)
    compa_folders.attribute(tmp_path)
    for path in ("CompA_attribute_files", "Compa-Attribute.csv"):
        shutil.move(tmp_path / "CompA Attribute" / path, tmp_path / path)
    check_order(order(tmp_path))
    check_attribute(attribute(tmp_path))
    (
        tmp_path / "CompA_attribute_files" / "7.wav"
    ).unlink()  # the folder of the other one holds more of the names
    for item in range(10, 198, 10):
        (tmp_path / "CompA_order_files" / f"{item}_rev.wav").write_bytes(b"")
    with pytest.raises(ValueError, match=r"CompA_attribute_files holds 393, .*CompA_order_files holds 394"):
        attribute(tmp_path).cases()


def test_an_archive_is_fetched_and_unpacked_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zipped(compa_folders.order(tmp_path / "made"), tmp_path / "CompA_order.zip")
    fetched: list[str] = []

    def fetch(source: str, *, who: str, key: str = "bench.root") -> Path:
        assert (who, key) == ("bench 'order'", "bench.root")
        fetched.append(source)
        monkeypatch.setattr(downloads, "find_local", lambda source: archive)
        return archive

    monkeypatch.setattr(downloads, "fetch", fetch)
    bench = order(None)
    assert bench.downloads() == ("gdrive://ID/CompA_order.zip",)
    assert bench.preparation() == "fetch CompA_order.zip"
    check_order(bench)
    assert order(None).preparation() is None
    unpacked = bench.root.parent
    assert cache in unpacked.parents
    assert not (unpacked / "__MACOSX").exists()
    written = unpacked.stat().st_mtime_ns
    check_order(order(None))
    assert unpacked.stat().st_mtime_ns == written
    assert fetched == ["gdrive://ID/CompA_order.zip"] * 2

    shutil.rmtree(unpacked)
    assert order(None).preparation() == "unpack CompA_order.zip"
    assert order(archive).preparation() == "unpack CompA_order.zip"
    check_order(order(archive))
    assert order(archive).downloads() == ()
    assert order(archive).preparation() is None


def test_a_plan_says_what_would_be_fetched_and_fetches_nothing(
    tmp_path: Path, composed: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = downloads.fetch

    def fetch_package(source: str, *, who: str) -> Path:
        assert source.startswith("package://"), "a plan fetched"
        return fetch(source, who=who)

    monkeypatch.setattr(downloads, "fetch", fetch_package)
    for bench, file in (("order", "CompA_order.zip"), ("attribute", "CompA_attribute.zip")):
        cfg = composed("evaluate", f"bench={bench}", f"outputs={tmp_path}", "logger=none")
        assert plan.describe(cfg).startswith(f"fetch {file}, encode, score")


def test_parts_of_both_in_one_root_are_a_doubt(tmp_path: Path) -> None:
    """Neither has as many items as released, so the CSV has to be named."""
    table = compa_folders.order(tmp_path, items=30) / "CompA_order_benchmark.csv"
    compa_folders.attribute(tmp_path, items=20)
    with pytest.raises(
        ValueError, match=r"found 2 that could be it: .*order_benchmark.csv, .*Compa-Attribute.csv"
    ):
        order(tmp_path).cases()
    assert order(tmp_path, csv=table).n_items == 30
    for clips in list(tmp_path.rglob("*_files")):
        shutil.rmtree(clips)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "29_rev.wav").write_bytes(b"")
    with pytest.raises(
        FileNotFoundError, match=r"63 of 64 clips are missing under .*clips \(first: 1.wav, 1_rev"
    ):
        order(tmp_path, csv=table).cases()


@pytest.mark.parametrize("name", ["order", "attribute"])
def test_what_is_not_here_and_may_not_be_fetched_says_what_to_type(name: str, composed: Compose) -> None:
    bench = instantiate(composed("evaluate", f"bench={name}").bench)
    with source.settings(allowed=False):
        for ask in (bench.cases, bench.preparation):
            with pytest.raises(source.NotHereError) as refusal:
                ask()
    message = str(refusal.value)
    assert message.startswith(f"bench {name!r}: CompA_{name}.zip is not on this machine")
    for words in (
        "download=true",
        f"clapbench.fetch bench={name}",
        "bench.root=DIR",
        "drive",
        "checkpoint_dir=DIR",
    ):
        assert words in message
    assert refusal.value.what.startswith(f"CompA_{name}.zip from gdrive://")


def test_a_root_that_is_no_folder_says_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*/none\. Set bench.root=DIR"):
        order(tmp_path / "none").cases()
    page = tmp_path / "page.zip"
    page.write_text("<html>Sign in</html>")
    with pytest.raises(ValueError, match=r"needed a folder or a zip archive, .*page.zip is a web page"):
        order(page).cases()
    with pytest.raises(ValueError, match="needed a root or a source"):
        order(None, source=None)


def test_an_archive_that_would_leave_its_folder_is_refused(tmp_path: Path, cache: Path) -> None:
    archive = tmp_path / "CompA_order.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("../outside.csv", HEADER)
    with pytest.raises(ValueError, match="would land outside its folder"):
        order(archive).cases()
    assert not list(tmp_path.rglob("outside.csv"))


def test_of_several_csvs_the_one_with_the_items_then_with_the_clips(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = tiny(tmp_path)
    (tmp_path / "more.csv").write_text(f"{HEADER}\n{ROWS}U,V,a.wav,d.wav\n")
    (tmp_path / "elsewhere.csv").write_text(f"{HEADER}\n{ROWS}".replace("wav", "flac"))
    (tmp_path / "broken.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "cut.csv").write_text(f"{HEADER}\n{ROWS}U,V,x.wav\n")
    assert bench.clips() == ("a.wav", "b.wav", "c.wav", "d.wav")
    assert not caplog.records

    with caplog.at_level(logging.WARNING):
        assert order(tmp_path, items=400, csv=tmp_path / "more.csv").n_items == 3
    assert "more.csv holds 3 items, as released 400. Is it this benchmark?" in caplog.text

    (tmp_path / "copy.csv").write_text(f"{HEADER}\n{ROWS}")
    with pytest.raises(
        ValueError, match=r"found 2 that could be it: .*copy.csv, .*items.csv. Set bench.csv=FILE"
    ):
        order(tmp_path, items=2).cases()
    assert order(tmp_path, items=2, csv=tmp_path / "copy.csv").n_items == 2


def test_clips_are_where_most_of_them_are(tmp_path: Path) -> None:
    deep = tmp_path / "some data" / "wav files" / "sub"
    bench = tiny(tmp_path, f"{HEADER}\n{ROWS}".replace("b.wav", "sub\\b.wav"))
    (tmp_path / "some data").mkdir()
    shutil.move(tmp_path / "clips", deep.parent)
    deep.mkdir()
    shutil.move(deep.parent / "b.wav", deep)
    (tmp_path / "samples").mkdir()
    shutil.copy(deep.parent / "a.wav", tmp_path / "samples")
    assert bench.clips() == ("a.wav", "sub/b.wav", "c.wav", "d.wav")
    assert bench.root == deep.parent
    assert bench.audio_path("sub/b.wav") == deep / "b.wav"

    shutil.copytree(deep.parent, tmp_path / "some data" / "wav copies")
    with pytest.raises(
        ValueError, match=r"one folder with the 4 clips .*items.csv; .* Set bench.root=FOLDER and"
    ):
        order(tmp_path, items=2).cases()
    assert order(deep.parent, items=2, csv=tmp_path / "items.csv").n_items == 2


def test_a_linked_folder_is_read_and_a_circle_of_links_ends(tmp_path: Path) -> None:
    bench = tiny(tmp_path / "real")
    linked = tmp_path / "linked"
    linked.mkdir()
    shutil.copy(tmp_path / "real" / "items.csv", linked)
    (linked / "audio").symlink_to(tmp_path / "real" / "clips")
    (linked / "again").symlink_to(linked)
    assert order(linked, items=2).fingerprint() == bench.fingerprint()


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_letters_with_marks_are_found_in_either_form(tmp_path: Path, forms: tuple[str, str]) -> None:
    in_csv, on_disk = (unicodedata.normalize(form, "Pâté à l’école") for form in forms)
    bench = tiny(tmp_path, f"{HEADER}\n{ROWS}".replace("a.wav", f"{in_csv}/ä {in_csv}.wav"))
    (tmp_path / "clips" / on_disk).mkdir()
    name = unicodedata.normalize(forms[1], f"ä {on_disk}.wav")
    (tmp_path / "clips" / "a.wav").rename(tmp_path / "clips" / on_disk / name)
    assert bench.clips()[0] == f"{in_csv}/ä {in_csv}.wav"
    assert bench.audio_path(bench.clips()[0]).is_file()
    assert len(bench.fingerprint()) == 64


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{HEADER}\r\n{ROWS}".replace("\n", "\r\n").replace("\r\r", "\r"),
        f"{HEADER}\n{ROWS}".replace("\n", "\r"),
        f" {HEADER.replace(',', ' , ')}\n\n{ROWS}\n\n",
        f'{HEADER}\n"A bell\nbefore rain",Rain before a bell,a.wav,b.wav\n"A dog, then",A car,c.wav,d.wav',
    ],
    ids=["mark and Windows lines", "old Mac lines", "spaces and empty lines", "quotes and no last line end"],
)
def test_a_csv_is_read_however_it_was_saved(tmp_path: Path, text: str) -> None:
    bench = tiny(tmp_path, text)
    assert bench.n_items == 2
    assert bench.clips() == ("a.wav", "b.wav", "c.wav", "d.wav")
    assert all(case.about == {} for case in bench.cases())


@pytest.mark.parametrize("name", [" a.wav", "a.wav ", "a  b.wav", " sub/a b.wav"])
def test_names_with_spaces_are_found_as_written_and_then_without(tmp_path: Path, name: str) -> None:
    for number, there in enumerate((name, name.strip())):
        root = tmp_path / str(number)
        bench = tiny(root, f"{HEADER}\n{ROWS}".replace("a.wav", name))
        (root / "clips" / there).parent.mkdir(exist_ok=True)
        (root / "clips" / "a.wav").rename(root / "clips" / there)
        assert bench.clips()[0] == there
        assert bench.audio_path(there) == root / "clips" / there
        assert bench.audio_path(there).is_file()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{HEADER}\n{ROWS}".replace(",", ";"), r"lacks pair_caption, .*its separator looks like ';'"),
        (
            f"{HEADER.replace('pair_file', 'Pair File')}\n{ROWS}",
            r"lacks pair_file, .*\(has Pair File, has reversed_",
        ),
    ],
)
def test_a_csv_in_another_format_says_what_it_looks_like(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tiny(tmp_path, text).cases()


THIRD = f"{HEADER},triplet_caption,triplet_file\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{HEADER}\n".replace("reversed_pair_file", "file"), "found .*items.csv lacks reversed_pair_file"),
        ("", "found .*items.csv lacks pair_caption, reversed_pair_caption"),
        (f"{HEADER}\n", "items.csv has a header but 0 rows"),
        (f"{HEADER}\n{ROWS},Rain,a.wav,c.wav\n", "items.csv row 3: needed a caption, pair_caption is empty"),
        (f"{HEADER}\n{ROWS}Rain, - ,a.wav,c.wav\n", "row 3: needed a caption, reversed_pair_caption is -"),
        (f"{HEADER}\n{ROWS}Rain,Bell,a.wav\n", "row 3: needed a clip's path, reversed_pair_file is empty"),
        (f"{HEADER}\n{ROWS}Rain, Bell,Bell,a.wav,c.wav\n", "row 3 has more fields than its header: 5, not 4"),
        (f'{HEADER}\n{ROWS}"Rain,Bell,a.wav,c.wav\n', "items.csv is not a CSV in UTF-8: unexpected end"),
        (f"{HEADER}\nRain,Rain,a.wav,b.wav\n", "row 1: needed two different captions, got 'Rain' twice"),
        (f"{HEADER}\nRain,Bell,../a.wav,b.wav\n", "row 1: .*below it, got '../a.wav'"),
        (f"{HEADER}\nRain,Bell,a.wav,/etc/b.wav\n", "row 1: .*below it, got '/etc/b.wav'"),
        (f"{HEADER}\nRain,Bell,a.wav,x\\..\\..\\b.wav\n", "row 1: .*below it"),
        (f"{THIRD}A,B,a.wav,b.wav,C,-\n", "row 1: needed a clip's path, triplet_file is -"),
        (f"{THIRD}A,B,a.wav,b.wav,-,c.wav\n", "row 1: needed a caption, triplet_caption is -"),
        (f"{THIRD}A,B,a.wav,b.wav,C,../c.wav\n", "row 1: .*below it, got '../c.wav'"),
        (f"{THIRD}A,B,a.wav,b.wav,C,b.wav\n", "row 1: needed three different clips, got 'b.wav' twice"),
    ],
)
def test_a_bad_csv_is_refused_by_file_and_row(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        tiny(tmp_path, text).cases()
    assert str(refusal.value).startswith("bench 'order': ")
    assert "items.csv" in str(refusal.value)


def test_a_row_that_repeats_another_is_told_with_both(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = ROWS.partition("\n")[0]
    assert tiny(tmp_path, f"{HEADER}\n{ROWS}{first}\n", items=3).n_items == 3
    assert "items.csv row 3 repeats row 1 ('A bell before rain')" in caplog.text


def test_no_csv_at_all(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"needed a CSV below .*, found no CSV. Set bench.root=DIR, or bench.csv"
    ):
        order(tmp_path).cases()
    with pytest.raises(FileNotFoundError, match=r"found no file .*none.csv. Set bench.csv"):
        order(tmp_path, csv=tmp_path / "none.csv").cases()


def test_missing_clips_are_an_error_or_leave_out_their_items_and_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = compa_folders.order(tmp_path, items=20)
    for name in ("5.wav", "9_rev.wav", "8_trip.wav"):  # items 10 and 9 share the second
        (root / "CompA_order_files" / name).unlink()
    with pytest.raises(
        FileNotFoundError, match=r"3 of 43 clips are missing under .*CompA_order_files \(first: 5.wav"
    ):
        order(root, items=20).cases()
    bench = order(root, items=20, allow_missing=True)
    assert (bench.n_items, bench.dropped) == (16, 4)
    assert "4 of 20 items left out" in caplog.text
    assert {"5.wav", "8.wav", "9.wav", "10.wav"}.isdisjoint(bench.clips())
    shutil.rmtree(root / "CompA_order_files")
    for allowed in (False, True):
        with pytest.raises(FileNotFoundError, match="43 of 43 clips are missing"):
            order(root, items=20, allow_missing=allowed).cases()


def test_a_clip_that_is_no_sound_is_named_with_its_row(tmp_path: Path) -> None:
    bench = tiny(tmp_path)
    (tmp_path / "clips" / "d.wav").write_text("not a sound")
    assert bench.n_items == 2
    with pytest.raises(ValueError, match=r"clip .*clips/d.wav: needed a sound file"):
        load_wave(bench.audio_path("d.wav"), sample_rate=16_000, window=10.0)
    assert bench.where("d.wav") == "bench 'order' row 2"


SUBTYPES = {
    "wav": ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"],
    "flac": ["PCM_S8", "PCM_16", "PCM_24"],
}
FORMATS = [(end, subtype) for end, subtypes in SUBTYPES.items() for subtype in subtypes]


@pytest.mark.parametrize(("end", "subtype"), [*FORMATS, ("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III")])
def test_every_kind_of_clip_is_the_same_sound(tmp_path: Path, end: str, subtype: str) -> None:
    """A tone of 440 Hz in mono, stereo and 8 channels, from 8 to 96 kHz, read at 16 kHz."""
    rates = (8_000, 16_000, 44_100, 48_000) if end == "mp3" else (8_000, 22_050, 44_100, 96_000)
    for rate in rates:
        for channels in (1, 2) if end == "mp3" else (1, 2, 8):
            seconds = np.arange(round(0.4 * rate)) / rate
            tone = 0.5 * np.sin(2 * np.pi * 440 * seconds)
            path = tmp_path / f"{rate}_{channels}.{end}"
            soundfile.write(path, np.tile(tone[:, None], channels), rate, subtype=subtype)
            wave = load_wave(path, sample_rate=16_000, window=10.0).numpy()
            assert len(wave) == pytest.approx(0.4 * 16_000, abs=1 if end != "mp3" else 3000)
            middle = wave[1600:4800]
            spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
            assert abs(np.fft.rfftfreq(len(middle), 1 / 16_000)[spectrum.argmax()] - 440) < 5
            assert np.abs(middle).max() == pytest.approx(0.5, abs=0.06 if end == "mp3" else 0.03)
