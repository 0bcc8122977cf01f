"""Anybody's CSV: what is read, what is refused and with which line; and files by the names that a CSV gives them."""

from __future__ import annotations

import logging
import unicodedata
from pathlib import Path

import pytest

from clapbench.benchmarks.tables import Clips, Speaker, first_names, read_table
from clapbench.console import brief, plain

HEADER = "file,caption"
WELL = f"{HEADER}\na.wav,A dog\nb.wav,Rain\n"


def table(folder: Path, text: str | bytes, *, columns: tuple[str, ...] = ("file", "caption")) -> list:
    path = folder / "items.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, speaker=Speaker.bench("set"), columns=columns)


@pytest.mark.parametrize(
    "text",
    [
        WELL.replace("\n", "\r"),
        WELL.replace("\n", "\r\n"),
        f"\ufeff{WELL}",
        f"\n , \n{WELL}",
        f"{HEADER}\n\na.wav,A dog\n,\n   \nb.wav,Rain\n , \n",
        f"{HEADER}\na.wav,A dog,\nb.wav,Rain, \n",
        '"file","caption"\n"a.wav","A dog"\n"b.wav","Rain"',
    ],
    ids=["old Mac", "Windows", "mark", "blank head", "blank rows", "empty ends", "quotes"],
)
def test_however_it_was_saved_the_rows_are_the_same(tmp_path: Path, text: str) -> None:
    assert table(tmp_path, text) == [
        {"file": "a.wav", "caption": "A dog"},
        {"file": "b.wav", "caption": "Rain"},
    ]


def test_cells_of_any_length_and_with_line_breaks(tmp_path: Path) -> None:
    long, broken = "bell " * 50_000, 'A "dog"\r\nbarks,\rtwice; a;b|c\td'
    quoted = broken.replace('"', '""')
    rows = table(tmp_path, f'{HEADER}\na.wav,{long}\nb.wav,"{quoted}"\n')
    assert [row["caption"] for row in rows] == [long, broken]


def test_a_row_has_a_number_and_where_they_differ_a_line(tmp_path: Path) -> None:
    rows = table(tmp_path, f'{HEADER}\na.wav,A\n\nb.wav,"B\nB"\nc.wav,C\n')
    assert [row.place for row in rows] == ["row 1", "row 2 (line 4)", "row 3 (line 6)"]
    with pytest.raises(
        ValueError, match=r"items.csv row 2 \(line 4\) has more fields than its header: 3, not 2"
    ):
        table(tmp_path, f"{HEADER}\na.wav,A\n\nb.wav,B, and C\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f'{HEADER}\na.wav,A 12" bell\nb.wav,"A dog\nc.wav,Rain\n', "unexpected end.* in line 3 .*read to line 4"),
        (f'{HEADER}\na.wav,"A\nB"\nb.wav,"A dog\n\nc.wav,Rain', "unexpected end.* in line 4 "),
        (f'{HEADER},x\na.wav,"A\nB","A dog\nc.wav,Rain\n', "unexpected end.* in line 3 "),
        (f'{HEADER}\na.wav,A\nb.wav,"A dog" barks\n', "in line 3 does not close at the cell's end"),
        (f'{HEADER}\na.wav,"A dog\nb.wav,Rain\nc.wav,"Bell"\n', "in line 2 .*read to line 4"),
        (f'{HEADER}\ra.wav,A\rb.wav,"A dog" barks\r', "in line 3 "),
        ('"file,caption\na.wav,A\n', "in line 1 "),
        (f"{HEADER}\na.wav,caf\u00e9\n".encode("latin-1"), "line 2 holds the byte 0xe9, as Latin-1"),
        (b"\xef\xbb\xbf" + f"{HEADER}\r\na.wav,A\r\nb.wav,\u201cB".encode("cp1252"), "line 3 holds the byte 0x93"),
        (WELL.encode("utf-16"), "line 1 begins with the mark of UTF-16"),
        (WELL.encode("utf-16-le"), "line 1 holds NUL bytes as UTF-16 does"),
        (f"{HEADER}\na.wav,A\nb.wav,A\0B\n" + "c.wav,C\n" * 5, "line 3 holds a NUL byte. Take it out"),
        (b"PK\x03\x04" + bytes(80), "line 1 begins as a zip archive or an Excel workbook does"),
        (b"\x1f\x8b" + bytes(80), "line 1 begins as a gzip archive does"),
        ("", "it is empty"),
        ("\ufeff\r\n , \r\n", "it is empty"),
    ],
)  # fmt: skip
def test_what_is_no_csv_is_told_with_its_line(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        table(tmp_path, text)
    assert str(refusal.value).startswith(f"bench 'set': {tmp_path / 'items.csv'} is not a CSV in UTF-8: ")


@pytest.mark.parametrize("separator", [";", "\t", "|", "；"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_another_separator_is_named(tmp_path: Path, separator: str, quote: str) -> None:
    rows = [["file", "caption"], ["a.wav", "A dog, barking"], ["b.wav", "Rain"]]
    text = "\n".join(separator.join(f"{quote}{cell}{quote}" for cell in row) for row in rows)
    with pytest.raises(ValueError, match="its separator looks like") as refusal:
        table(tmp_path, text)
    assert repr(separator) in str(refusal.value)
    assert "Save it with commas" in str(refusal.value)


def test_a_separator_beside_a_comma_in_the_header_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lacks file, caption .*The separator looks like ';'"):
        table(tmp_path, "file;caption, short\na.wav;x\n")


@pytest.mark.parametrize(
    ("header", "perhaps"),
    [
        ("File,CAPTION", "perhaps File to file, CAPTION to caption"),
        ("file,captions", "perhaps captions to caption"),
        ("file,text", "Rename its columns."),
        ("file:caption", "Rename its columns. It has one column: does another sign"),
    ],
)
def test_the_nearest_column_is_suggested(tmp_path: Path, header: str, perhaps: str) -> None:
    with pytest.raises(ValueError, match=r"lacks .*caption and has ") as refusal:
        table(tmp_path, f"{header}\na.wav,x\n")
    assert perhaps in str(refusal.value)


def test_a_lost_quote_that_swallows_a_row_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(table(tmp_path, f'{HEADER}\na.wav,"A dog\nb.wav,Rain"\nc.wav,"two\nlines"\n')) == 2
    assert "items.csv row 1: a cell holds whole lines of the file" in caplog.text
    assert "row 2" not in caplog.text


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv", tmp_path / ("x" * 300), tmp_path / "a\x1b[31m.csv"):
        with pytest.raises(FileNotFoundError, match="bench 'set': needed a CSV, found no file") as refusal:
            read_table(path, speaker=Speaker.bench("set"), columns=())
        assert "\x1b" not in str(refusal.value)


NAMES = [
    " lead.wav",
    "trail.wav ",
    "two  spaces.wav",
    " a / b.wav",
    "new\nline.wav",
    "plain.wav",
    "\u00a0hard.wav",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_tried_as_written_and_then_stripped(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    clips = Clips(tmp_path)
    assert clips.has(name)
    assert clips.id_of(name, who="x") == name
    assert clips.file(name) == tmp_path / name
    (tmp_path / name).unlink()
    (tmp_path / name.strip()).parent.mkdir(exist_ok=True)
    (tmp_path / name.strip()).touch()
    clips = Clips(tmp_path)
    assert clips.id_of(f" {name}\t", who="x") == name.strip()
    assert clips.file(name.strip()) == tmp_path / name.strip()


def test_two_files_that_differ_by_a_space_are_two_clips_and_one_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    clips = Clips(tmp_path)
    assert [clips.id_of(name, who="x") for name in (" a.wav", "a.wav", "./a.wav")] == ["a.wav"] * 3
    (tmp_path / " a.wav").touch()
    clips = Clips(tmp_path)
    assert [clips.id_of(name, who="x") for name in (" a.wav", "a.wav")] == [" a.wav", "a.wav"]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_that_looks_the_same_is_the_same(tmp_path: Path, forms: tuple[str, str]) -> None:
    written, there = (unicodedata.normalize(form, "Pâté/Ångström 각.wav") for form in forms)
    mixed = unicodedata.normalize(forms[0], there.split("/")[0]) + "/" + there.split("/")[1]
    for number, path in enumerate((there, mixed)):
        root = tmp_path / str(number)
        (root / path).parent.mkdir(parents=True)
        (root / path).touch()
        clips = Clips(root)
        assert clips.has(written)
        assert clips.id_of(f"{written} ", who="x") == written
        assert clips.id_of(path, who="x") == written  # another name of one file
        assert clips.file(written) == root / path
        assert not clips.has(written.replace("t", "d"))


def test_as_written_goes_before_what_only_looks_the_same(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "café.wav") for form in ("NFC", "NFD")]
    for name in names:
        (tmp_path / name).touch()
    clips = Clips(tmp_path)
    assert [clips.file(clips.id_of(name, who="x")).name for name in names] == names


@pytest.mark.parametrize(
    "name", ["x" * 300, "é" * 300, "a/" * 3000 + "b", "folder", "a\0b.wav", "é\0/a.wav", "none"]
)
def test_what_cannot_be_a_file_is_missing(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    clips = Clips(tmp_path)
    assert not clips.has(name)
    clip = clips.id_of(name, who="x")
    assert clip == name
    assert clips.file(clip) == tmp_path / name


def test_backslashes_part_folders_unless_a_file_has_them(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.wav").touch()
    assert Clips(tmp_path).id_of("a\\b.wav", who="x") == "a/b.wav"
    (tmp_path / "a\\b.wav").touch()
    clips = Clips(tmp_path)
    assert clips.file(clips.id_of("a\\b.wav", who="x")) == tmp_path / "a\\b.wav"


@pytest.mark.parametrize(
    "name", ["", " ", "..", "../a", " ../a", "a/../../b", "/etc/a", " /etc/a", "C:\\a", "..\\a"]
)
def test_a_name_that_leaves_the_root_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"here: needed a clip's path relative to bench.root and below it"):
        Clips(tmp_path).id_of(name, who="here")


def test_a_stranger_s_text_does_not_act_in_a_message(tmp_path: Path) -> None:
    assert plain("a\x1b]0;x\x07b\r\n\u202ec\x9b") == "a\\x1b]0;x\\x07b\\r\\n\\u202ec\\x9b"
    assert plain("Pâté 雨.wav") == "Pâté 雨.wav"
    assert len(brief("x" * 10**6)) < 400
    assert first_names([" a", "b\x07", "c", "d"]) == "' a', b\\x07, c, ..."
    assert first_names(["a"]) == "a"


def test_logs_and_errors_of_a_csv_hold_no_escapes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    path = tmp_path / "a\x1b[31m.csv"
    path.write_text("fi\x1ble,caption\nx,y\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"has fi\\x1ble, caption") as refusal:
        read_table(path, speaker=Speaker.bench("\x07"), columns=("file",))
    assert str(refusal.value).isprintable()
