"""Benchmarks: one reader for the CompA format, honest errors, a fingerprint of content, atomic rendering."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import soundfile

from clapbench.benchmarks.base import Benchmark
from clapbench.benchmarks.pairs import PairsBenchmark
from clapbench.benchmarks.synthetic import SyntheticBenchmark
from clapbench.schema import Embeddings
from clapbench.sound.synth.scenes import held_out

HEADER = "pair_caption,reversed_pair_caption,pair_file,reversed_pair_file"
ROW = '"Before rain falls, a bell rings","Before a bell rings, rain falls",a/0.wav,a/1.wav'


def pairs(
    folder: Path, text: str = f"{HEADER}\n{ROW}\n", *, clips: tuple[str, ...] = ("0", "1")
) -> PairsBenchmark:
    (folder / "a").mkdir(exist_ok=True)
    for index, clip in enumerate(clips):
        soundfile.write(folder / "a" / f"{clip}.wav", np.full(100, 0.1 * (index + 1)), 16000)
    (folder / "items.csv").write_text(text, encoding="utf-8")
    return PairsBenchmark(name="order", csv=folder / "items.csv", root=folder)


def synthetic(root: Path, *, kind: str = "order", n: int = 5, seed: int = 1) -> SyntheticBenchmark:
    return SyntheticBenchmark(name=f"synth_{kind}", kind=kind, n=n, seed=seed, root=root)  # type: ignore[arg-type]


def rendered(root: Path) -> str:
    return synthetic(root).fingerprint()


def test_a_row_is_a_case_that_matches_on_the_diagonal(tmp_path: Path) -> None:
    text = f"\ufeff{HEADER},template\n{ROW},before_first\n"
    bench = pairs(tmp_path, text)
    (case,) = bench.cases()
    assert case.clips == bench.clips() == ("a/0.wav", "a/1.wav")
    assert case.captions == ("Before rain falls, a bell rings", "Before a bell rings, rain falls")
    assert case.captions == bench.captions()
    assert case.match_matrix.tolist() == [[True, False], [False, True]]
    assert case.about == {"template": "before_first"}
    assert bench.n_items == 1
    assert bench.audio_path("a/0.wav") == tmp_path / "a" / "0.wav"


def test_shared_clips_and_captions_are_listed_once(tmp_path: Path) -> None:
    bench = pairs(tmp_path, f"{HEADER}\nx,y,a/1.wav,a/0.wav\ny,z,a/0.wav,a/2.wav\n", clips="012")
    assert bench.clips() == ("a/1.wav", "a/0.wav", "a/2.wav")
    assert bench.captions() == ("x", "y", "z")


def test_windows_separators_become_posix_ids(tmp_path: Path) -> None:
    bench = pairs(tmp_path, f"{HEADER}\nx,y,a\\0.wav,./a/1.wav\n")
    assert bench.clips() == ("a/0.wav", "a/1.wav")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a CSV"),
        (f"{HEADER}\n", "0 rows"),
        (
            "pair_caption,pair_file\nx,y\n",
            "lacks reversed_pair_caption, reversed_pair_file and has pair_caption",
        ),
        (
            f"{HEADER}\nx,y,a/0.wav,a/1.wav\n , y,a/0.wav,a/1.wav\n",
            "row 2: needed a caption, pair_caption is",
        ),
        (f"{HEADER}\nx,y,a/0.wav\n", "row 1: needed a clip's path"),
        (f"{HEADER}\nx,x,a/0.wav,a/1.wav\n", "row 1: needed two different captions, got 'x' twice"),
        (f"{HEADER}\nx,y,a/0.wav,a/0.wav\n", "row 1: needed two different clips"),
        (f"{HEADER}\nx,y,../0.wav,a/1.wav\n", r"row 1: .* below it, got '../0.wav'"),
        (f"{HEADER}\nx,y,a/0.wav,/etc/passwd\n", "row 1: .* got '/etc/passwd'"),
        (f"{HEADER}\nx,y,C:\\0.wav,a/1.wav\n", "row 1: needed a clip's path relative to bench.root"),
        (f"{HEADER}\nx, rain,y,a/0.wav,a/1.wav\n", "more fields than its header"),
    ],
)
def test_a_bad_csv_is_refused_by_file_and_row(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        pairs(tmp_path, text).cases()
    assert str(refusal.value).startswith("bench 'order': ")
    assert "items.csv" in str(refusal.value)


def test_missing_files_say_how_many_and_what_to_do(tmp_path: Path) -> None:
    bench = pairs(tmp_path, f"{HEADER}\nx,y,a/0.wav,a/1.wav\nu,v,a/2.wav,a/3.wav\n")
    with pytest.raises(FileNotFoundError) as refusal:
        bench.cases()
    assert str(refusal.value) == (
        f"bench 'order': 2 of 4 clips are missing under {tmp_path} (first: a/2.wav, a/3.wav). Set "
        f"bench.root=PATH, bench.allow_missing=true to leave out their items, or run bench=synth_order to try the "
        f"pipeline without a download."
    )
    with pytest.raises(FileNotFoundError, match="found no file"):
        PairsBenchmark(name="order", csv=tmp_path / "none.csv", root=tmp_path).cases()


def test_the_first_missing_files_are_named_without_their_escapes(tmp_path: Path) -> None:
    bench = pairs(tmp_path, f"{HEADER}\nx,y,a/\x1b[31m.wav,\x07.wav\nu,v,a/2.wav,a/3.wav\n")
    with pytest.raises(
        FileNotFoundError, match=r"\(first: a/\\x1b\[31m.wav, \\x07.wav, a/2.wav, ...\)"
    ) as refusal:
        bench.cases()
    assert str(refusal.value).isprintable()


def test_names_with_spaces_or_in_another_form_are_found(tmp_path: Path) -> None:
    bench = pairs(tmp_path, f"{HEADER}\nx,y, a/0.wav,caf\u00e9.wav\ny,z,a/0.wav ,\u00a0a/1.wav\n")
    (tmp_path / " a").mkdir()
    (tmp_path / " a" / "0.wav").write_bytes(b"another sound")
    (tmp_path / "cafe\u0301.wav").touch()
    assert bench.clips() == (" a/0.wav", "caf\u00e9.wav", "a/0.wav", "a/1.wav")
    assert bench.audio_path(" a/0.wav").read_bytes() == b"another sound"
    assert bench.where("a/1.wav") == "bench 'order' row 2"
    assert len(bench.fingerprint()) == 64


@pytest.mark.parametrize("column", ["pair_caption", "reversed_pair_caption", "pair_file", "triplet_caption"])
def test_a_column_that_stands_twice_and_differs_is_a_doubt(tmp_path: Path, column: str) -> None:
    text = f"{HEADER},triplet_caption,triplet_file,{column}\n{ROW},-,-,another\n"
    with pytest.raises(ValueError, match=f"row 1: needed one column {column}, got two that differ"):
        pairs(tmp_path, text).cases()


OURS = "item,caption_p,clip_p,clip_third,s_pp,H,margin_F,user_H,F_a,template"


def test_columns_named_as_computed_ones_go_by_another_name_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = pairs(tmp_path, f"{HEADER},{OURS}\n{ROW},7,note,x.wav,y.wav,0.5,1,2,3,4,t\n")
    (case,) = bench.cases()
    bench.where("a/1.wav")
    assert [message for message in caplog.messages if "items.csv has of its own" in message] == [
        f"bench 'order': {tmp_path / 'items.csv'} has the columns item, caption_p, clip_p, clip_third, s_pp, H, "
        f"margin_F, as items.csv has of its own; there its are called user_item, user_caption_p, user_clip_p, "
        f"user_clip_third, user_s_pp, user_H_2, user_margin_F."
    ]
    rows = np.eye(3, dtype=np.float32)
    embeddings = Embeddings(audio=rows[:2], audio_id=case.clips, text=rows[[1, 2]], text_id=case.captions)
    (item,) = bench.judge(embeddings).items
    assert (item["item"], item["caption_p"], item["clip_p"], item["H"]) == (0, case.captions[0], "a/0.wav", 0)
    assert (item["s_pp"], item["margin_F"]) == (0.0, -1.0)
    theirs = {name: item[name] for name in ("user_item", "user_H_2", "user_H", "F_a", "template")}
    assert theirs == {"user_item": "7", "user_H_2": "1", "user_H": "3", "F_a": "4", "template": "t"}
    assert "clip_third" not in item


def test_an_unknown_protocol_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="bench 'x': needed a protocol out of official, single, pool, triplet; got 'loose'"
    ):
        PairsBenchmark(name="x", csv="items.csv", root=tmp_path, protocol="loose")


def test_fingerprint_changes_with_content_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    before = pairs(first).fingerprint()
    assert pairs(first).fingerprint() == before
    assert pairs(second).fingerprint() == before  # another place
    assert pairs(second, f"{HEADER},note\n{ROW},hello\n").fingerprint() == before  # a column for tables
    assert pairs(second, f"{HEADER}\n{ROW.replace('Before rain', 'After rain')}\n").fingerprint() != before
    bench = pairs(second)
    clip = bench.audio_path("a/1.wav")
    content = bytearray(clip.read_bytes())
    content[-1] ^= 1
    clip.write_bytes(content)
    assert bench.fingerprint() != before
    content[-1] ^= 1
    clip.write_bytes(content)
    assert bench.fingerprint() == before


@pytest.mark.parametrize("kind", ["order", "attribute"])
def test_synthetic_keeps_the_contract(tmp_path: Path, kind: str) -> None:
    bench = synthetic(tmp_path, kind=kind, n=10)
    assert isinstance(bench, Benchmark)
    assert list(tmp_path.iterdir()) == []  # construction renders nothing
    assert bench.n_items == 10
    assert len(bench.clips()) == len(bench.captions()) == 20
    for case in bench.cases():
        assert case.about["kind"] == kind
        assert held_out(case.about["event_a"], case.about["event_b"])
    for clip in bench.clips():
        info = soundfile.info(bench.audio_path(clip))
        assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", 16000, 1)
        assert 2.0 <= info.duration <= 6.0
    assert [path.name for path in tmp_path.iterdir()] == [bench.root.name]  # nothing temporary is left


def test_synthetic_is_reproducible_and_depends_on_the_seed(tmp_path: Path) -> None:
    first, again, other = (
        synthetic(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()


def test_an_item_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    few, many = synthetic(tmp_path, n=2), synthetic(tmp_path, n=4)
    assert many.cases()[:2] == few.cases()
    for clip in few.clips():
        assert few.audio_path(clip).read_bytes() == many.audio_path(clip).read_bytes()


def test_rendering_happens_once(tmp_path: Path) -> None:
    first = synthetic(tmp_path)
    clip = first.audio_path(first.clips()[0])
    written = clip.stat().st_mtime_ns
    assert synthetic(tmp_path).cases() == first.cases()
    assert clip.stat().st_mtime_ns == written


def test_a_broken_rendering_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, scene: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("clapbench.benchmarks.synthetic.write_clip", fail)
    with pytest.raises(OSError, match="disk full"):
        synthetic(tmp_path).cases()
    assert list(tmp_path.iterdir()) == []


def test_two_processes_may_render_at_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        prints = pool.map(rendered, [tmp_path, tmp_path], chunksize=1)
    assert prints[0] == prints[1] == rendered(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_second_to_finish_keeps_what_the_first_wrote(tmp_path: Path) -> None:
    bench = synthetic(tmp_path)
    before = bench.fingerprint()
    clip = bench.audio_path(bench.clips()[0])
    written = clip.stat().st_mtime_ns
    bench.render()
    assert bench.fingerprint() == before
    assert clip.stat().st_mtime_ns == written
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("kind", "n", "words"),
    [
        ("order", 0, "needed a positive number of items, got n=0"),
        ("attribute", 7, "needed a positive multiple of 5 of items, got n=7"),
        ("texture", 5, "needed kind order or attribute"),
    ],
)
def test_synthetic_refuses_bad_sizes(tmp_path: Path, kind: str, n: int, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words if kind != "texture" else "kind"):
        synthetic(tmp_path, kind=kind, n=n)
