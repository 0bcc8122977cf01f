"""Which decoder reads what, all links of a chain, every frame of an mp3, and nothing on the terminal."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr
from sounds import CONTAINERS, RATE, by_ffmpeg, load, sweep, vbr_mp3, written

from clapbench.benchmarks.pairs import PairsBenchmark
from clapbench.sound import decoding
from clapbench.sound.containers import Held, survey
from clapbench.sound.decoding import decode, decoder_of
from clapbench.sound.mpeg import frame_bytes, frames_of
from clapbench.sound.waves import ClipError, load_wave

COLUMNS = "pair_caption,reversed_pair_caption,pair_file,reversed_pair_file"


class TestMp3:
    def test_variable_bit_rate_without_a_header_gives_all_sound(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mp3"
        content = vbr_mp3(path)
        whole = load(path)
        path.write_bytes(content[frame_bytes(content, 0) :])
        with soundfile.SoundFile(path) as sound:
            assert sound.frames < 0.9 * len(whole)  # what libsndfile makes of it
        wave = load(path)
        delay = 1105  # of LAME's encoder and of the decoder, told by the header alone
        np.testing.assert_allclose(wave[delay : delay + len(whole)], whole, rtol=0, atol=2e-6)
        assert decoder_of(path).startswith("ffmpeg")

    def test_both_decoders_give_the_same_samples(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "a.mp3"
        vbr_mp3(path)
        one = decode(path, survey(path), seconds=None)
        monkeypatch.setattr("clapbench.sound.decoding.NO_LENGTH", 1)  # libsndfile reads nothing
        other = decode(path, survey(path), seconds=None)
        assert one.samples.shape == other.samples.shape == (len(sweep()), 1)
        np.testing.assert_allclose(one.samples, other.samples, rtol=0, atol=2e-6)

    def test_frames_are_counted_behind_tags_and_zeros(self, tmp_path: Path) -> None:
        content = vbr_mp3(tmp_path / "a.mp3")
        frames = frames_of(content)
        assert frames is not None
        assert frames.count == frames.declared == -(-(len(sweep()) + 1105) // 576)
        tag = b"ID3\x04\0\0\0\0\x02\x00" + b"\xff\xfb\x90\x00" * 64  # a picture that looks like frames
        assert frames_of(tag + content + b"TAG" + bytes(125)) == frames
        assert frames_of(bytes(300) + content) == frames
        assert frames_of(b"no frames \xff\xfb at all") is None

    def test_damage_is_told_with_the_name_of_the_file_alone(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        path = tmp_path / "a.mp3"
        content = vbr_mp3(path)
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(
            ClipError, match=r"a\.mp3: is cut off: its header declares 6\.00 s, [23]\.\d\d s are there"
        ):
            load(path)
        path.write_bytes(content[:9000] + b"\x12" * 700 + content[9700:])
        load(path, window=4.0)
        assert capfd.readouterr() == ("", "")
        assert any("a.mp3: libmpg123 says: " in message for message in caplog.messages)


class TestChainedOgg:
    def test_all_links_are_read(self, tmp_path: Path) -> None:
        kinds = {"a.ogg": "VORBIS", "b.ogg": "OPUS"}
        links = [written(tmp_path / name, subtype=kind) for name, kind in kinds.items()]
        waves = [load(path) for path in links]
        chain = tmp_path / "chain.ogg"
        chain.write_bytes(b"".join(path.read_bytes() for path in (*links, links[0])))
        np.testing.assert_array_equal(load(chain), np.concatenate([*waves, waves[0]]))
        np.testing.assert_array_equal(load(chain, window=7.0), np.concatenate(waves)[: 7 * RATE])
        assert decoder_of(chain) == "libsndfile, 3 Ogg links"

    def test_links_of_other_rates_and_channels_are_fitted_to_the_first(self, tmp_path: Path) -> None:
        first = written(tmp_path / "a.ogg", subtype="VORBIS")
        stereo = np.stack([sweep(rate=8000), np.zeros_like(sweep(rate=8000))], axis=1)
        soundfile.write(tmp_path / "b.ogg", stereo, 8000, subtype="VORBIS")
        second = soundfile.read(tmp_path / "b.ogg", dtype="float32")[0].mean(axis=1)
        chain = tmp_path / "chain.ogg"
        chain.write_bytes(first.read_bytes() + (tmp_path / "b.ogg").read_bytes())
        wave = load(chain)
        assert len(wave) == 2 * len(sweep())
        expected = soxr.resample(second, 8000, RATE, quality="HQ")
        np.testing.assert_allclose(wave[len(sweep()) :], expected, rtol=0, atol=1e-6)


class TestInMemory:
    """What an archive holds gives the samples, and the refusals, of the same bytes in a file."""

    @staticmethod
    def held(path: Path, *, window: float | None = None) -> np.ndarray:
        return load_wave(Held(path, path.read_bytes()), sample_rate=RATE, window=window).numpy()

    @pytest.mark.parametrize(("name", "subtype", "form"), CONTAINERS)
    def test_libsndfile_reads_the_same(self, tmp_path: Path, name: str, subtype: str, form: str) -> None:
        path = written(tmp_path / name, subtype=subtype, form=form)
        np.testing.assert_array_equal(self.held(path, window=2.0), load(path, window=2.0))

    @pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.webm", "libopus")])
    def test_ffmpeg_reads_the_same(self, tmp_path: Path, name: str, codec: str) -> None:
        path = by_ffmpeg(tmp_path / name, codec)
        np.testing.assert_array_equal(self.held(path), load(path))

    def test_chains_and_an_mp3_without_its_header_too(self, tmp_path: Path) -> None:
        link = written(tmp_path / "a.ogg", subtype="VORBIS").read_bytes()
        (tmp_path / "chain.ogg").write_bytes(link + link)
        content = vbr_mp3(tmp_path / "b.mp3")
        (tmp_path / "b.mp3").write_bytes(content[frame_bytes(content, 0) :])
        for name in ("chain.ogg", "b.mp3"):
            np.testing.assert_array_equal(self.held(tmp_path / name), load(tmp_path / name))

    @pytest.mark.parametrize("cut", [30, 20_000])
    @pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.m4a", "a.ogg"])
    def test_refusals_are_the_same(self, tmp_path: Path, name: str, cut: int) -> None:
        path = tmp_path / name
        by_ffmpeg(path, "aac") if name == "a.m4a" else soundfile.write(path, sweep(), RATE)
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(ClipError) as on_disk:
            load(path)
        with pytest.raises(ClipError) as in_memory:
            self.held(path)
        assert str(in_memory.value) == str(on_disk.value)


class TestDecoder:
    @pytest.mark.parametrize(("name", "subtype", "form"), [*CONTAINERS, ("a.bin", "MPEG_LAYER_III", "MP3")])
    def test_libsndfile_reads_as_it_did_before(
        self, tmp_path: Path, name: str, subtype: str, form: str
    ) -> None:
        path = written(tmp_path / name, subtype=subtype, form=form)
        assert decoder_of(path) == "libsndfile"
        with soundfile.SoundFile(path) as sound:
            samples = sound.read(sound.frames, dtype="float32")
        np.testing.assert_array_equal(load(path), samples)
        other = load_wave(path, sample_rate=32_000, window=None).numpy()
        np.testing.assert_array_equal(other, soxr.resample(samples, RATE, 32_000, quality="HQ"))

    @pytest.mark.parametrize(
        ("name", "codec"), [("a.m4a", "aac"), ("a.mp4", "alac"), ("a.webm", "libopus"), ("a.mka", "pcm_u8")]
    )
    def test_ffmpeg_reads_the_rest(self, tmp_path: Path, name: str, codec: str) -> None:
        path = by_ffmpeg(tmp_path / name, codec)
        assert decoder_of(path).startswith("ffmpeg (libavcodec ")
        assert av.__version__ in decoder_of(path)
        wave = load_wave(path, sample_rate=48_000, window=2.0).numpy()
        assert wave.shape == (96_000,)
        assert np.corrcoef(wave, sweep(rate=48_000)[:96_000])[0, 1] > 0.9  # at no delay
        assert 0.9 < wave.std() / sweep(rate=48_000)[:96_000].std() < 1.1

    def test_a_fingerprint_holds_the_decoder_of_what_libsndfile_does_not_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("a.wav", "b.wav"):
            written(tmp_path / name)
        by_ffmpeg(tmp_path / "b.m4a", "aac")
        (tmp_path / "wav.csv").write_text(f"{COLUMNS}\nx,y,a.wav,b.wav\n")
        (tmp_path / "m4a.csv").write_text(f"{COLUMNS}\nx,y,a.wav,b.m4a\n")
        benches = [
            PairsBenchmark(name=name, csv=tmp_path / f"{name}.csv", root=tmp_path) for name in ("wav", "m4a")
        ]
        wav, m4a = (bench.fingerprint() for bench in benches)
        digest = hashlib.sha256()
        (case,) = benches[0].cases()
        content = hashlib.sha256((tmp_path / "a.wav").read_bytes()).hexdigest()
        for name in case.clips:
            digest.update(json.dumps([name, content]).encode())
        digest.update(json.dumps([case.clips, case.captions, case.match]).encode())
        assert wav == digest.hexdigest()  # as before there was a second decoder
        monkeypatch.setattr(av, "__version__", "0.0")
        decoding._decoder_of.cache_clear()  # known once per process
        assert benches[0].fingerprint() == wav
        assert benches[1].fingerprint() != m4a

    def test_titles_in_another_encoding_do_not_matter(self, tmp_path: Path) -> None:
        path = by_ffmpeg(tmp_path / "a.m4a", "aac")
        whole = load(path)
        path.write_bytes(path.read_bytes().replace(b"iso2", b"is\xe9\xff", 1))
        np.testing.assert_array_equal(load(path), whole)

    def test_a_playlist_opens_nothing(self, tmp_path: Path) -> None:
        inner = by_ffmpeg(tmp_path / "a.aac", "aac")
        (tmp_path / "list.wav").write_text(f"#EXTM3U\n#EXTINF:6,\nfile://{inner}\n#EXT-X-ENDLIST\n")
        (tmp_path / "concat.wav").write_text("ffconcat version 1.0\nfile a.aac\n")
        for name in ("list.wav", "concat.wav"):
            with pytest.raises(ClipError, match=r"needed a sound file"):
                load(tmp_path / name)
