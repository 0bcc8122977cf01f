"""A header that declares more than the file holds is refused by name; one that does not know the length is no lie."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import CONTAINERS, RATE, by_ffmpeg, load, patched, sweep, written

from clapbench.sound.waves import ClipError, load_wave


class TestCutOff:
    @pytest.mark.parametrize(("name", "subtype", "form"), CONTAINERS)
    def test_a_file_that_breaks_off_within_the_window_is_refused(
        self, tmp_path: Path, name: str, subtype: str, form: str
    ) -> None:
        path = written(tmp_path / name, subtype=subtype, form=form)
        whole = load(path, window=0.5)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * 6 // 10])
        for window in (None, 10.0, 4.5):
            with pytest.raises(ClipError, match=r"is cut off") as caught:
                load(path, window=window)
            assert caught.value.path == path
            assert caught.value.reason in str(caught.value)
            if form != "OGG":  # whose pages do not tell how many there are
                assert "its header declares 6.0" in caught.value.reason
        np.testing.assert_allclose(load(path, window=0.5), whole, rtol=0, atol=1e-6)

    @pytest.mark.parametrize(("name", "subtype", "form"), CONTAINERS)
    def test_a_few_bytes_are_missed_too(self, tmp_path: Path, name: str, subtype: str, form: str) -> None:
        path = written(tmp_path / name, subtype=subtype, form=form)
        load(path)
        content = path.read_bytes()
        path.write_bytes(content[:-700])  # some containers end in a chunk behind the sound
        with pytest.raises(ClipError, match=r"is cut off"):
            load(path)

    @pytest.mark.parametrize(
        ("name", "codec", "options"),
        [
            ("a.m4a", "aac", {"movflags": "faststart"}),
            ("a.m4a", "alac", {"movflags": "faststart"}),
            ("a.webm", "libopus", {}),
            ("a.mka", "pcm_s16le", {"cluster_time_limit": "500"}),
        ],
    )
    def test_files_for_ffmpeg_are_refused_too(
        self, tmp_path: Path, name: str, codec: str, options: dict[str, str]
    ) -> None:
        path = by_ffmpeg(tmp_path / name, codec, **options)
        whole = load(path, window=0.5)
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
        with pytest.raises(ClipError, match=r"is cut off: its header declares 6\.0\d s, 3\.\d\d s are there"):
            load(path)
        np.testing.assert_array_equal(load(path, window=0.5), whole)

    def test_an_m4a_without_its_index_is_refused(self, tmp_path: Path) -> None:
        path = by_ffmpeg(tmp_path / "a.m4a", "aac")
        path.write_bytes(path.read_bytes()[:30_000])
        with pytest.raises(ClipError, match=r"a\.m4a: is cut off: its header declares more than it holds"):
            load(path, window=0.5)

    def test_the_last_link_of_a_chain_is_checked(self, tmp_path: Path) -> None:
        link = written(tmp_path / "a.ogg", subtype="VORBIS").read_bytes()
        (tmp_path / "a.ogg").write_bytes(link + link[: len(link) // 2])
        with pytest.raises(ClipError, match=r"is cut off: its last Ogg page is not marked"):
            load(tmp_path / "a.ogg")


def flac_of_unknown_length(path: Path) -> Path:
    """The total in STREAMINFO is 36 bits behind rate, channels and width."""
    fields = int.from_bytes(written(path).read_bytes()[18:26], "big") >> 36 << 36
    return patched(path, 18, fields.to_bytes(8, "big"))


def caf_of_unknown_length(path: Path) -> Path:
    return patched(written(path), path.read_bytes().index(b"data") + 4, b"\xff" * 8)


def w64_of_unknown_length(path: Path) -> Path:
    return patched(written(path), path.read_bytes().index(b"data\xf3") + 16, struct.pack("<q", 2**63 - 1))


def rf64_of_unknown_length(path: Path) -> Path:
    return patched(written(path, form="RF64"), 20, bytes(24))


STREAMS: dict[str, Callable[[Path], Path]] = {
    "a.flac": flac_of_unknown_length,
    "a.caf": caf_of_unknown_length,
    "a.w64": w64_of_unknown_length,
    "a.rf64": rf64_of_unknown_length,
    "a.au": lambda path: patched(written(path), 8, b"\xff" * 4),
    "b.au": lambda path: patched(written(path), 8, b"\x7f\xff\xff\xff"),
}


class TestUnknownLength:
    @pytest.mark.parametrize("size", [0, 0x7F000000, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
    def test_a_wav_from_a_pipe_is_read_whole(self, tmp_path: Path, size: int) -> None:
        path = written(tmp_path / "a.wav")
        whole = load(path)
        patched(path, 4, struct.pack("<I", min(size + 36, 0xFFFFFFFF)))
        patched(path, 40, struct.pack("<I", size))
        for window in (None, 2.0, 10.0):
            np.testing.assert_array_equal(
                load(path, window=window), whole[: None if window is None else int(window * RATE)]
            )

    @pytest.mark.parametrize("behind", [b"", b"LIST\x06\0\0\0INFOab"])
    def test_an_empty_wav_is_no_stream(self, tmp_path: Path, behind: bytes) -> None:
        soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE)
        (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes() + behind)
        with pytest.raises(ClipError, match=r"a\.wav: holds no samples"):
            load(tmp_path / "a.wav")

    @pytest.mark.parametrize("name", STREAMS)
    def test_other_containers_are_read_whole(self, tmp_path: Path, name: str) -> None:
        whole = load(written(tmp_path / f"whole{Path(name).suffix}", form="RF64" if "rf64" in name else None))
        np.testing.assert_array_equal(load(STREAMS[name](tmp_path / name)), whole)

    @pytest.mark.parametrize(
        ("name", "subtype", "form"),
        [("a.wav", "GSM610", "WAV"), ("a.au", "G721_32", "AU"), ("a.gsm", "GSM610", "RAW")],
    )
    def test_what_cannot_be_seeked_is_read_whole(
        self, tmp_path: Path, name: str, subtype: str, form: str
    ) -> None:
        path = written(tmp_path / name, subtype=subtype, form=form)
        rate = 8000 if form == "RAW" else RATE  # a raw file has no header that tells another
        wave = load_wave(path, sample_rate=rate, window=None).numpy()
        assert 0 <= len(wave) - len(sweep()) < 400  # filled up to a block
        assert np.corrcoef(wave[: len(sweep())], sweep())[0, 1] > 0.8

    def test_a_live_webm_and_raw_aac_are_read_whole(self, tmp_path: Path) -> None:
        for path in (
            by_ffmpeg(tmp_path / "a.webm", "libopus", live="1"),
            by_ffmpeg(tmp_path / "a.aac", "aac"),
        ):
            assert 6.0 <= len(load(path)) / RATE < 6.05
