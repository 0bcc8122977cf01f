"""Embeddings on disk: round trip, atomic writing, damaged files count as none, keys follow content."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from clapbench import files
from clapbench.results import cache
from clapbench.schema import Embeddings


def embeddings() -> Embeddings:
    rng = np.random.default_rng(0)
    return Embeddings(
        audio=rng.standard_normal((3, 8)).astype(np.float32),
        audio_id=("ordner/größe.wav", "声.flac", "a b.wav"),
        text=rng.standard_normal((2, 8)).astype(np.float32),
        text_id=("Une cloche, « fort »", "雨 falls 🌧"),
    )


def written(path: Path) -> Path:
    cache.save(path, embeddings())
    return path


def test_arrays_and_ids_come_back_to_the_bit(tmp_path: Path) -> None:
    found, expected = cache.load(written(tmp_path / "sub" / "e.npz")), embeddings()
    assert (found.audio_id, found.text_id) == (expected.audio_id, expected.text_id)
    assert found.audio.dtype == found.text.dtype == np.float32
    np.testing.assert_array_equal(found.audio, expected.audio)
    np.testing.assert_array_equal(found.text, expected.text)


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    files.write_text(path, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"), files.replacing(path) as temporary:
        fail(temporary)
    assert [file.name for file in tmp_path.iterdir()] == ["cell.json"]
    assert path.read_text() == "old"


def test_a_finished_block_replaces_the_file_and_leaves_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "cell.json"
    for text in ("old", "néw"):
        files.write_text(path, text)
    assert [file.name for file in tmp_path.iterdir()] == ["cell.json"]
    assert path.read_text(encoding="utf-8") == "néw"


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    assert written(tmp_path / "e.npz").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_file_is_unseen_until_the_block_ends(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "e.npz") as temporary:
        temporary.write_bytes(b"...")
        assert cache.find(tmp_path / "e.npz") is None


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "truncated":
        content = content[: len(content) // 2]
    elif kind == "empty":
        content = bytearray()
    elif kind == "text":
        content = bytearray(b"hello\n")
    else:  # flipped bits in the compressed data of the first array
        content[60:80] = bytes(byte ^ 0xFF for byte in content[60:80])
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["truncated", "empty", "text", "flipped"])
def test_a_damaged_file_is_reported_and_counts_as_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    path = written(tmp_path / "e.npz")
    damage(path, kind)
    with pytest.raises(ValueError, match=r"embeddings .*e\.npz: needed an NPZ"):
        cache.load(path)
    with caplog.at_level(logging.WARNING):
        assert cache.find(path) is None
    assert "e.npz" in caplog.text
    assert "written anew" in caplog.text


def test_an_npz_without_an_array_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", audio=np.zeros((1, 2)))
    with pytest.raises(ValueError, match="audio_id"):
        cache.load(tmp_path / "e.npz")


def test_find_without_a_file_is_none(tmp_path: Path) -> None:
    assert cache.find(tmp_path / "e.npz") is None


def test_the_key_depends_on_content_and_not_on_the_order_of_its_keys() -> None:
    one = files.key_of({"a": 1, "b": {"c": [1, 2], "d": None}})
    assert one == files.key_of({"b": {"d": None, "c": [1, 2]}, "a": 1})
    assert one != files.key_of({"a": 1, "b": {"c": [2, 1], "d": None}})
    assert one != files.key_of({"a": "1", "b": {"c": [1, 2], "d": None}})


def test_the_path_tells_keys_apart() -> None:
    paths = {
        cache.embeddings_path(model="mini", bench="order", key=files.key_of(content)) for content in range(9)
    }
    assert len(paths) == 9
    assert all(path.parts[0] == "embeddings" and path.name.startswith("mini-order-") for path in paths)
