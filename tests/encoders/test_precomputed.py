"""Embeddings from a file: matched by clip and caption, of unit length, and refused by name where they cannot serve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import Compose

from clapbench import config
from clapbench.encoders.outside import unit_rows
from clapbench.encoders.precomputed import Precomputed
from clapbench.results import cache
from clapbench.schema import Embeddings

CLIPS = ("order/a.wav", "order/größe.wav", "b.flac")
CAPTIONS = ("A dog, then rain 🌧", "Rain, then a dog")


def arrays(seed: int = 0, d: int = 6) -> dict[str, np.ndarray]:
    """A file's content: the clips and captions above, backwards, each side with one more."""
    rng = np.random.default_rng(seed)
    return {
        "audio": rng.standard_normal((4, d)),
        "audio_id": np.array([*CLIPS[::-1], "another.wav"]),
        "text": 5 * rng.standard_normal((3, d)),
        "text_id": np.array(["Another", *CAPTIONS[::-1]]),
    }


def written(folder: Path, content: dict[str, np.ndarray]) -> Path:
    np.savez(folder / "X.npz", **content)
    return folder / "X.npz"


def embed(path: Path, *, clips: tuple[str, ...] = CLIPS, captions: tuple[str, ...] = CAPTIONS) -> Embeddings:
    """Paths do not count: nothing is read from them."""
    places = {clip: Path("/nowhere") / clip for clip in clips}
    return Precomputed(name="x", file=str(path)).embed(clips=places, captions=captions)


def test_rows_are_found_by_id_and_made_unit(tmp_path: Path) -> None:
    content = arrays()
    found = embed(written(tmp_path, content))
    assert (found.audio_id, found.text_id) == (CLIPS, CAPTIONS)
    assert found.audio.dtype == found.text.dtype == np.float32
    for rows, held in ((found.audio, content["audio"][2::-1]), (found.text, content["text"][:0:-1])):
        np.testing.assert_allclose(
            rows, held / np.linalg.norm(held, axis=1, keepdims=True), rtol=1e-6, atol=1e-7
        )


def test_what_clapbench_cached_comes_back(tmp_path: Path) -> None:
    content = arrays()
    made = Embeddings(
        audio=unit_rows(content["audio"], side="audio", ids=content["audio_id"].tolist(), who="t"),
        audio_id=tuple(content["audio_id"].tolist()),
        text=unit_rows(content["text"], side="text", ids=content["text_id"].tolist(), who="t"),
        text_id=tuple(content["text_id"].tolist()),
        about={"unknown_words": 0.25},
    )
    cache.save(tmp_path / "cached.npz", made)
    found = embed(tmp_path / "cached.npz", clips=made.audio_id, captions=made.text_id)
    assert (found.audio_id, found.text_id) == (made.audio_id, made.text_id)
    np.testing.assert_allclose(found.audio, made.audio, atol=1e-7)
    np.testing.assert_allclose(found.text, made.text, atol=1e-7)


def test_equal_rows_stay_equal_to_the_last_bit_wherever_they_stand() -> None:
    rng = np.random.default_rng(0)
    for d in (3, 127, 512, 1024):
        same = rng.standard_normal(d)
        rows = rng.standard_normal((40, d))
        rows[[0, 7, 8, 39]] = same
        for layout in (rows, np.asfortranarray(rows), np.repeat(rows, 2, axis=0)[::2], rows[::-1]):
            out = unit_rows(layout, side="text", ids=["c"] * 40, who="t")
            alone = unit_rows(same[None], side="text", ids=["c"], who="t")
            assert (out == alone).all(axis=1).sum() == 4


def test_a_file_without_text_rows_serves_a_model_without_text(tmp_path: Path) -> None:
    content = arrays() | {"text": np.empty((0, 6)), "text_id": np.array((), dtype=str)}
    found = embed(written(tmp_path, content))
    assert found.text.shape == (0, 6)
    assert found.text_id == ()


def test_clips_match_by_file_name_where_no_id_does(tmp_path: Path) -> None:
    content = arrays()
    expected = embed(written(tmp_path, content))
    for prefix in ("/data/compa/", "C:\\data\\"):
        named = np.array([prefix + clip.rpartition("/")[2] for clip in content["audio_id"].tolist()])
        found = embed(written(tmp_path, content | {"audio_id": named}))
        assert found.audio_id == CLIPS
        np.testing.assert_array_equal(found.audio, expected.audio)

    doubled = np.array(["p/a.wav", "q/a.wav", "p/b.flac", "p/größe.wav"])
    with pytest.raises(ValueError, match=r"lacks 1 of 3 clips \(first: 'order/a\.wav'\)"):
        embed(written(tmp_path, content | {"audio_id": doubled}))
    with pytest.raises(ValueError, match=r"lacks 2 of 3 clips \(first: 'p/a\.wav'\)"):
        embed(written(tmp_path, content), clips=("p/a.wav", "q/a.wav", "q/b.flac"))
    with pytest.raises(ValueError, match=r"lacks 1 of 2 clips"):  # one id is there, so names do not count
        embed(written(tmp_path, content), clips=("b.flac", "elsewhere/a.wav"))


def test_what_is_missing_is_counted_and_named_once(tmp_path: Path) -> None:
    path = written(tmp_path, arrays())
    with pytest.raises(ValueError, match="lacks") as raised:
        embed(path, clips=(*CLIPS, "new.wav", "newer.wav"), captions=(*CAPTIONS, "New"))
    assert str(raised.value).startswith(
        f"model 'x': {path} lacks 2 of 5 clips (first: 'new.wav') and 1 of 3 captions (first: 'New'). "
        f"It holds 4 clips (first: 'b.flac') and 3 captions (first: 'Another')."
    )


def test_doubled_ids_are_refused_only_where_their_rows_differ(tmp_path: Path) -> None:
    content = arrays()
    content["text_id"][0] = CAPTIONS[0]
    with pytest.raises(
        ValueError, match=r"caption 'A dog, then rain 🌧' stands in rows 0 and 2 of text, which differ"
    ):
        embed(written(tmp_path, content))
    content["text"][0] = content["text"][2]
    assert len(embed(written(tmp_path, content)).text) == 2


@pytest.mark.parametrize(
    ("value", "what"), [(np.nan, "not finite"), (np.inf, "not finite"), (0.0, "zero"), (1e300, "not finite")]
)
def test_rows_without_direction_are_refused_by_name_where_they_are_wanted(
    tmp_path: Path, value: float, what: str
) -> None:
    content = arrays()
    content["audio"][3] = value
    path = written(tmp_path, content)
    assert len(embed(path).audio) == 3
    with pytest.raises(ValueError, match=rf"X\.npz: audio row of 'another\.wav' is {what} \(1 of 1 rows\)"):
        embed(path, clips=("another.wav",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"audio": np.ones((3, 6))}, r"audio rows \[4, d\].*got \[3, 6\]"),
        ({"text": np.ones(3)}, r"text rows \[3, d\].*got \[3\]"),
        ({"text": np.ones((3, 5))}, r"audio \[4, 6\], text \[3, 5\]"),
        ({"text": np.full((3, 6), "a")}, r"of real numbers.*<U1"),
        ({"audio_id": np.arange(4)}, r"audio_id as a list of strings, got \[4\] of int64.*dtype=str"),
        ({"text_id": np.array(CAPTIONS[0])}, r"text_id as a list of strings, got \[\]"),
        ({"text_id": np.array(["a", "b", "c"], dtype=object)}, r"allow_pickle=False.*dtype=str"),
    ],
)
def test_arrays_of_another_kind_are_refused(
    tmp_path: Path, change: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        embed(written(tmp_path, arrays() | change))
    assert str(raised.value).startswith(f"model 'x': {tmp_path / 'X.npz'}")


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "X.npz"
    content = arrays()
    del content["text_id"]
    with pytest.raises(ValueError, match=r"got: no text_id among its arrays \(audio, audio_id, text\)"):
        embed(written(tmp_path, content))
    np.savez_compressed(path, **arrays())
    whole = path.read_bytes()
    with (tmp_path / "one.npy").open("wb") as file:
        np.save(file, np.ones(3))
    for damaged in (
        whole[: len(whole) // 2],
        whole[:200] + bytes(60) + whole[260:],
        b"",
        b"<html>sign in</html>",
        (tmp_path / "one.npy").read_bytes(),
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"X\.npz: needed an NPZ with audio \[n, d\], audio_id, text"):
            embed(path)
    with pytest.raises(FileNotFoundError, match=r"model 'x': no file at .*none\.npz\. Set model\.file=PATH"):
        Precomputed(name="x", file=str(tmp_path / "none.npz"))


def test_the_fingerprint_is_the_content_of_the_file(tmp_path: Path) -> None:
    for folder, seed in (("p", 0), ("q", 0), ("r", 1)):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder, arrays(seed))
    (tmp_path / "q" / "X.npz").write_bytes((tmp_path / "p" / "X.npz").read_bytes())

    def of(folder: str, name: str = "x") -> dict[str, object]:
        return Precomputed.fingerprint({"name": name, "file": str(tmp_path / folder / "X.npz")})

    assert of("p") == of("q", name="y")
    assert of("p") != of("r")
    assert of("p")["checkpoint"]["file"] == "X.npz"  # type: ignore[index]


def test_the_yaml_asks_for_the_file_and_builds(composed: Compose, tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match=r"model\.file: needed a value"):
        config.check_node(composed("evaluate", "model=precomputed").model, group="model")
    path = written(tmp_path, arrays())
    cfg = composed("evaluate", "model=precomputed", f"model.file={path}")
    config.check_node(cfg.model, group="model")
    model = config.build(cfg.model)
    found = model.embed(clips={clip: tmp_path for clip in CLIPS}, captions=CAPTIONS)
    np.testing.assert_array_equal(found.audio, embed(path).audio)
