"""MusicXML -> scores: what sounds, and what is refused."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest
from reference.generation import symbolic_pieces as pieces

from clapbench.metrics import symbolic
from clapbench.metrics.symbolic import ScoreError, read_musicxml, read_score, reading

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 3.1 Partwise//EN" "http://www.musicxml.org/dtds/partwise.dtd">
<score-partwise version="3.1"><part-list>
<score-part id="P1"><part-name>Clarinet in B flat</part-name></score-part>
<score-part id="P2"><part-name>Drums</part-name></score-part></part-list>"""
METER = "<time><beats>3</beats><beat-type>4</beat-type></time>"


def pitch(step: str, *, octave: int = 5, alter: int = 0, rest: str = "", duration: int = 2) -> str:
    alters = f"<alter>{alter}</alter>" if alter else ""
    return (
        f"<note>{rest}<pitch><step>{step}</step>{alters}<octave>{octave}</octave></pitch>"
        f"<duration>{duration}</duration><voice>1</voice></note>"
    )


DISPLAY = "<display-step>E</display-step><display-octave>4</display-octave>"
HIT = f"<note><unpitched>{DISPLAY}</unpitched><duration>1</duration></note>"
E5 = "<pitch><step>E</step><octave>5</octave></pitch>"
GRACE = "<note><grace/><pitch><step>C</step><octave>5</octave></pitch><voice>1</voice></note>"
TIED = (
    f'<note>{E5}<duration>6</duration><tie type="start"/><voice>1</voice></note>',
    f'<note>{E5}<duration>2</duration><tie type="stop"/><voice>1</voice></note>',
)
# A pickup, a grace note, a tie over the bar line, a change of divisions, a chord; and drums.
XML = f"""{HEAD}<part id="P1">
<measure number="0" implicit="yes"><attributes><divisions>2</divisions>{METER}
<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose></attributes>
<sound tempo="96"/>{pitch("D")}</measure>
<measure number="1">{GRACE}{TIED[0]}</measure>
<measure number="2">{TIED[1]}<attributes><divisions>3</divisions></attributes>
{pitch("F", alter=1, duration=1)}{pitch("A", rest="<chord/>", duration=1)}
<note><rest/><duration>5</duration><voice>1</voice></note></measure></part>
<part id="P2"><measure number="0" implicit="yes"><attributes><divisions>1</divisions>{METER}</attributes>
<note><rest/><duration>1</duration></note></measure>
<measure number="1">{HIT * 3}</measure><measure number="2"><note><rest/><duration>3</duration></note></measure></part>
</score-partwise>"""


def wrote(folder: Path, content: bytes, name: str) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def zipped(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


CONTAINER = '<container><rootfiles><rootfile full-path="music.xml"/></rootfiles></container>'


def test_musicxml_is_what_sounds(tmp_path: Path) -> None:
    pytest.importorskip("partitura")
    plain = wrote(tmp_path, XML.encode(), "piece.musicxml")
    packed = zipped(tmp_path / "piece.mxl", {"META-INF/container.xml": CONTAINER, "music.xml": XML})
    for path in (plain, packed):
        score = read_score(path)
        assert score.ticks_per_beat == 6
        pitched, drums = score.pitched(), score.is_drum
        assert pitched.pitch.tolist() == [72, 74, 76, 79]  # a tone below what is written
        assert pitched.start.tolist() == [0, 6, 30, 30]
        assert pitched.length.tolist() == [6, 24, 2, 2]
        assert (score.start[drums].tolist(), score.length[drums].tolist()) == ([6, 12, 18], [6, 6, 6])
        assert score.bars.tolist() == [0, 6, 24, 42]
        assert (score.meters, score.tempos) == (((0, 3, 4),), ((0, 96.0),))
        assert score.path == path


def test_the_same_piece_as_midi_and_as_musicxml_has_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("partitura")
    song = pieces.song(2)._replace(notes=[note for note in pieces.song(2).notes if note[0] == 0])
    names = ("C", "C", "D", "D", "E", "F", "F", "G", "G", "A", "A", "B")
    measures = []
    for bar in range(8):
        own, now = "", bar * 1920
        for _, start, length, midi_pitch, _ in sorted(
            n for n in song.notes if bar * 1920 <= n[1] < (bar + 1) * 1920
        ):
            alter = int(midi_pitch % 12 in (1, 3, 6, 8, 10))
            own += f"<forward><duration>{start - now}</duration></forward>" if start > now else ""
            own += pitch(names[midi_pitch % 12], octave=midi_pitch // 12 - 1, alter=alter, duration=length)
            now = start + length
        rest = (bar + 1) * 1920 - now
        head = "" if bar else f"<attributes><divisions>480</divisions>{METER.replace('3', '4')}</attributes>"
        own += f"<forward><duration>{rest}</duration></forward>"
        measures.append(f'<measure number="{bar + 1}">{head}{own}</measure>')
    xml = f'{HEAD}<part id="P1">{"".join(measures)}</part></score-partwise>'
    midi = symbolic.describe(read_score(wrote(tmp_path, pieces.midi(song), "piece.mid")))
    found = symbolic.describe(read_score(wrote(tmp_path, xml.encode(), "piece.xml")))
    assert found.values == pytest.approx(midi.values, abs=1e-12)
    assert found.pitch_classes == pytest.approx(midi.pitch_classes, abs=1e-12)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no MusicXML, or damaged"),
        (
            b"<html></html>",
            "is no MusicXML, or damaged: partitura says 'Exception: Currently only score-partwise",
        ),
        (XML[:900].encode(), "is no MusicXML, or damaged: partitura says .XMLSyntaxError"),
        (b"<score-partwise/>", "needed a part, got none"),
        (b"PK\x03\x04 cut", "is no compressed MusicXML, or damaged"),
    ],
)
def test_what_is_no_musicxml_is_refused_by_name(content: bytes, reason: str, tmp_path: Path) -> None:
    pytest.importorskip("partitura")
    with pytest.raises(ScoreError, match=f"piece.xml: {reason}"):
        read_musicxml(wrote(tmp_path, content, "piece.xml"))


def test_an_archive_is_opened_as_far_as_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("partitura")
    bomb = zipped(tmp_path / "bomb.mxl", {"META-INF/container.xml": CONTAINER, "music.xml": " " * 2**20})
    monkeypatch.setattr(reading, "MOST_BYTES", 2**16)
    with pytest.raises(ScoreError, match=r"bomb.mxl: needed at most 65,536 bytes in music.xml, got more"):
        read_musicxml(bomb)
    without = zipped(tmp_path / "without.mxl", {"music.xml": XML})
    with pytest.raises(ScoreError, match=r"without.mxl: is no compressed MusicXML, or damaged"):
        read_musicxml(without)
    unnamed = zipped(tmp_path / "unnamed.mxl", {"META-INF/container.xml": "<container/>"})
    with pytest.raises(ScoreError, match=r"unnamed.mxl: its index names no score"):
        read_musicxml(unnamed)


def test_without_the_extra_musicxml_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "partitura", None)
    with pytest.raises(ImportError, match=r"needs partitura.*pip install 'clapbench\[music\]'"):
        read_musicxml(wrote(tmp_path, XML.encode(), "piece.xml"))
