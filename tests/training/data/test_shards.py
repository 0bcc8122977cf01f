"""Shards as webdataset writes them: each pair once over processes and workers, from any position; errors with keys."""

from __future__ import annotations

import json
import logging
import tarfile
from collections import Counter
from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from training_data import (
    HEARING,
    Processes,
    batches,
    caption_of,
    clips,
    encoded,
    sample,
    shard,
    shards_in,
    tone,
)
from webdataset.tariterators import group_by_keys, tar_file_expander

from clapbench.sound.waves import ClipError
from clapbench.training.data.base import Pair, PairBatch
from clapbench.training.data.shards import Deal, Shard, ShardPairs


def data(shards: object, **arguments: object) -> ShardPairs:
    given = {"batch_size": 4, "seed": 0, "hearing": HEARING, **arguments}
    return ShardPairs(shards=shards, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def thirty(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Six shards with 30 pairs."""
    return shards_in(tmp_path_factory.mktemp("thirty"), [6, 3, 7, 5, 4, 5])


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> Processes:
    return Processes(monkeypatch)


def keys(given: Sequence[PairBatch]) -> list[int]:
    return [int(clip[-3:]) for batch in given for clip in batch.clips]


class TestRoundTrip:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_what_was_written_is_read(self, thirty: str, workers: int) -> None:
        given = batches(data(thirty, num_workers=workers))
        assert sorted(keys(given)) == list(range(30))
        for batch in given:
            for clip, wave, caption in zip(batch.clips, batch.waves, batch.captions, strict=True):
                number = int(clip[-3:])
                np.testing.assert_allclose(wave, tone(number), atol=1e-4)
                assert caption == caption_of(number)
            assert batch.swapped[0].startswith("Dog ")
            assert batch.swapped_of.tolist() == list(range(len(batch.clips)))

    def test_pairs_are_those_that_webdataset_sees(self, thirty: str) -> None:
        given = data(thirty, shuffle=0)
        ours = list(chain.from_iterable(clips(batches(given))))
        theirs = []
        for name in dict.fromkeys(clip[:7] for clip in ours):
            with (given.paths[0].parent / name).open("rb") as stream:
                found = group_by_keys(tar_file_expander([{"url": name, "stream": stream}]))
                theirs += [f"{each['__url__']}/{each['__key__']}" for each in found]
        assert ours == theirs

    @pytest.mark.parametrize("form", ["wav", "mp3", "ogg"])
    def test_other_sounds_and_texts(self, tmp_path: Path, form: str) -> None:
        texts = [
            {"txt": b"A dog\n"},
            {"cap": "Möwe".encode()},
            {"json": b'{"text": ["", "Rain"]}', "txt": b"no"},
        ]
        files = [{form: encoded(n, form=form.upper()), "flac": None} for n in range(3)]
        samples = [sample(n, **{"json": None, **files[n], **texts[n]}) for n in range(3)]
        (batch,) = batches(data(str(shard(tmp_path / "a.tar", samples)), swap="none"))
        assert sorted(batch.captions) == ["A dog", "Möwe", "Rain"]
        assert batch.swapped == []
        assert min(len(wave) for wave in batch.waves) >= 400

    def test_one_of_several_captions_is_drawn_by_seed_epoch_and_key(self, tmp_path: Path) -> None:
        text = json.dumps({"text": ["one", "two", "three"]}).encode()
        path = str(shard(tmp_path / "a.tar", [sample(n, json=text) for n in range(20)]))

        def drawn(seed: int, done: int) -> dict[str, str]:
            given = batches(data(path, seed=seed, batch_size=20), done=done)
            return {clip: caption for b in given for clip, caption in zip(b.clips, b.captions, strict=True)}

        assert drawn(0, 0) == drawn(0, 0)
        assert set(drawn(0, 0).values()) == {"one", "two", "three"}
        assert len({tuple(sorted(drawn(*each).items())) for each in ((0, 0), (0, 1), (1, 0))}) == 3

    def test_a_clip_is_known_by_its_shard_below_the_common_folder(self, tmp_path: Path) -> None:
        paths = [str(shard(tmp_path / name, [sample(0), sample(1)])) for name in ("x/a.tar", "y/a.tar")]
        assert sorted(chain.from_iterable(clips(batches(data(paths))))) == [
            f"{name}/a.tar/00{n}" for name in "xy" for n in (0, 1)
        ]


class TestShares:
    @pytest.mark.parametrize("workers", [0, 2])
    @pytest.mark.parametrize("world", [1, 2])
    def test_each_pair_once_in_an_epoch_of_as_many_batches(
        self, thirty: str, several: Processes, world: int, workers: int
    ) -> None:
        given = data(thirty, num_workers=workers, batch_size=7)
        for epoch in (0, 1):
            parts = [batches(given, done=5 * epoch) for _ in several.each(world)]
            assert [len(part) for part in parts] == [5] * world == [len(given.train_dataloader())] * world
            assert sorted(chain.from_iterable(map(keys, parts))) == list(range(30))
            assert {sum(len(batch.clips) for batch in whole) for whole in zip(*parts, strict=True)} == {6}
            assert all(len(batch.clips) >= 1 for part in parts for batch in part)

    @pytest.mark.parametrize("workers", [0, 2])
    def test_goes_on_where_it_stopped(self, thirty: str, several: Processes, workers: int) -> None:
        given = data(thirty, num_workers=workers, shuffle=3, batch_size=8)
        for _ in several.each(2):
            whole = [batches(given, done=epoch * 4) for epoch in (0, 1)]
            assert clips(whole[0]) != clips(whole[1])
            for done in (1, 3, 4, 6):
                later = batches(given, done=done)
                expected = whole[done // 4][done % 4 :]
                assert clips(later) == clips(expected)
                assert all(
                    torch.equal(a, b)
                    for x, y in zip(later, expected, strict=True)
                    for a, b in zip(x.waves, y.waves, strict=True)
                )

    def test_what_lies_before_is_not_read(self, thirty: str, monkeypatch: pytest.MonkeyPatch) -> None:
        read = []
        monkeypatch.setattr(
            ShardPairs, "row", lambda self, sample, epoch: read.append(sample.key) or (Pair("x", "x"), None)
        )
        given = data(thirty)
        given.resumed = 6
        assert len(list(given.rows())) == 2
        assert len(read) == 8

    def test_shards_and_pairs_come_in_another_order_in_each_epoch(self, thirty: str) -> None:
        def order(**arguments: object) -> list[int]:
            return keys(batches(data(thirty, **arguments), done=arguments.pop("done", 0)))  # type: ignore[arg-type]

        in_shards = order(shuffle=0)
        assert in_shards != list(range(30))
        assert sum(b == a + 1 for a, b in pairwise(in_shards)) >= 24
        mixed = order(shuffle=10)
        assert sum(b == a + 1 for a, b in pairwise(mixed)) < 12
        assert order(seed=1) != order(seed=0)

    @pytest.mark.parametrize("n_batches", [1, 3, 8])
    def test_parts_add_up_to_batches_of_one_size(self, n_batches: int) -> None:
        sizes = [[9, 8], [8], [31], [16, 5]]
        hands = [[Shard(Path("a"), "a", n) for n in hand] for hand in sizes]
        deal = Deal(hands, n_batches=n_batches, readers=2)
        parts = np.diff([[deal.begin(i, k) for k in range(n_batches + 1)] for i in range(4)])
        assert parts.sum(axis=1).tolist() == [17, 8, 31, 21]
        assert set(parts.sum(axis=0)) <= {77 // n_batches, 77 // n_batches + 1}
        assert deal.held == [25, 52]
        deal.check()
        assert min(parts[:2].sum(axis=0).min(), parts[2:].sum(axis=0).min()) >= 1

    def test_too_few_shards_or_pairs_for_the_processes(self, thirty: str, several: Processes) -> None:
        for _ in several.each(4):
            with pytest.raises(
                ValueError, match=r"each of 4 processes x 2 workers, got 6. Set loader.num_workers=1"
            ):
                data(thirty, num_workers=2).train_dataloader()
            with pytest.raises(ValueError, match=r"needed pairs for 15 batches from each of 4 processes"):
                data(thirty, batch_size=2).train_dataloader()
            chosen = data(thirty, num_workers=None, batch_size=15)
            chosen.train_dataloader()
            assert chosen.num_workers <= 1

    def test_uneven_shares_are_said(
        self, tmp_path: Path, several: Processes, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in several.each(2):
            data(shards_in(tmp_path, [16, 4]), batch_size=10).train_dataloader()
        assert "from 2 to 8 pairs" in caplog.text

    def test_a_store_needs_neither_sounds_nor_workers(self, thirty: str) -> None:
        given = data(thirty, num_workers=2)
        given.decodes = False
        read = batches(given)
        assert sorted(keys(read)) == list(range(30))
        assert all(batch.waves == [] for batch in read)


class TestSizes:
    def test_are_read_beside_the_shards_or_counted(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        pattern = shards_in(tmp_path, [3, 4])
        assert [each.n for each in data(pattern).shards] == [3, 4]
        assert "counts the pairs of 2 shards; a sizes.json spares it" in caplog.text
        (tmp_path / "sizes.json").write_text('{"000.tar": 3, "009.tar": 1}')
        assert [each.n for each in data(pattern).shards] == [3, 4]
        assert "pairs of 1 shards" in caplog.text

    @pytest.mark.parametrize(("n", "words"), [(2, "2 pairs, and holds more"), (5, "5 pairs, and holds 3")])
    @pytest.mark.parametrize("workers", [0, 1])
    def test_that_are_wrong_end_the_training(self, tmp_path: Path, n: int, words: str, workers: int) -> None:
        pattern = shards_in(tmp_path, [3, 4])
        (tmp_path / "sizes.json").write_text(json.dumps({"000.tar": n, "001.tar": 4}))
        with pytest.raises(
            ValueError, match=rf"000.tar was to hold {words}. Correct sizes.json beside it, or delete"
        ):
            batches(data(pattern, num_workers=workers, shuffle=0))

    @pytest.mark.parametrize("text", ["[3]", '{"000.tar": -1}', '{"000.tar": "3"}', "{", '{"000.tar": true}'])
    def test_of_another_kind_are_refused(self, tmp_path: Path, text: str) -> None:
        pattern = shards_in(tmp_path, [3])
        (tmp_path / "sizes.json").write_text(text)
        with pytest.raises(ValueError, match=r"sizes.json.* Correct or delete it"):
            assert data(pattern.replace("{000..000}", "000")).shards

    def test_content_follows_names_and_sizes(self, tmp_path: Path) -> None:
        pattern = shards_in(tmp_path, [3, 4])
        before = data(pattern).content
        assert (before["shards"], before["pairs"]) == (2, 7)
        assert before["bytes"] == sum(path.stat().st_size for path in tmp_path.glob("*.tar"))
        assert data(pattern).content == before
        shard(tmp_path / "001.tar", [sample(n) for n in range(5)])
        assert data(pattern).content["names_and_sizes_sha256"] != before["names_and_sizes_sha256"]


BROKEN = [
    ({"json": b'{"tag": ["dog"]}'}, r"007.json: has no caption: its json lacks text, it has tag"),
    ({"json": b'{"text": 3}'}, r"007.json: has no caption: its json has a text that is neither"),
    ({"json": b'{"text": []}'}, r"007.json: has no caption: that in its json is empty"),
    ({"json": b'{"text": " "}'}, r"007.json: has no caption: that in its json is empty"),
    ({"json": b"{text"}, r"007.json: has no caption: its json is no JSON"),
    ({"json": b"[" * 100_000}, r"007.json: has no caption: its json is no JSON"),
    ({"json": None, "txt": b"\xff\xfe"}, r"007.txt: has no caption: its txt is no UTF-8"),
    ({"json": None}, r"007: has no caption: needed json or txt or cap next to flac"),
    ({"flac": None}, r"007: has no sound: needed flac, wav, mp3, ogg, ... next to json"),
    ({"flac": b"no sound"}, r"007.flac: needed a sound file"),
    ({"flac": None, "wav": encoded(0, form="WAV")[:200]}, r"007.wav: is cut off"),
]


class TestBroken:
    @pytest.mark.parametrize(("files", "words"), BROKEN)
    def test_names_shard_and_key_or_is_left_out(
        self, tmp_path: Path, files: dict[str, bytes | None], words: str
    ) -> None:
        path = shard(tmp_path / "a.tar", [sample(n, **(files if n == 7 else {})) for n in range(9)])
        with pytest.raises(ClipError, match=rf"data.shards: clip .*a.tar/{words}.* set data.broken=skip"):
            batches(data(str(path)))
        given = data(str(path), broken="skip")
        read = batches(given)
        assert sorted(keys(read)) == [0, 1, 2, 3, 4, 5, 6, 8]
        assert [clip for batch in read for clip in batch.left_out] == ["a.tar/007"]
        assert given.left_out == Counter(["a.tar/007"])

    def test_a_worker_s_errors_are_ours(self, tmp_path: Path) -> None:
        path = shard(tmp_path / "a.tar", [sample(n, flac=b"no sound") for n in range(4)])
        with pytest.raises(ClipError, match=r"^data.shards: clip .*a.tar/00\d.flac: needed a sound file"):
            batches(data(str(path), num_workers=1))

    def test_a_shard_that_is_cut_off(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        pattern = shards_in(tmp_path, [6, 4])
        content = (tmp_path / "000.tar").read_bytes()
        (tmp_path / "000.tar").write_bytes(content[: len(content) // 2])
        with pytest.raises(
            ValueError, match=r"000.tar is no whole, uncompressed tar archive .* Get it again"
        ):
            data(pattern).train_dataloader()
        there = data(pattern, broken="skip").shards[0].n
        assert 1 <= there <= 3
        assert "is no whole" in caplog.text
        (tmp_path / "sizes.json").write_text('{"000.tar": 6, "001.tar": 4}')  # nobody counts
        with pytest.raises(
            ClipError, match=rf"000.tar: is cut off behind '00\d', {there} of 6 pairs are there"
        ):
            batches(data(pattern))
        given = data(pattern, broken="skip", batch_size=10)
        read = batches(given)
        assert sorted(keys(read)) == [*range(there), 6, 7, 8, 9]
        assert sum(given.left_out.values()) == 6 - there

    def test_what_is_no_archive(self, tmp_path: Path) -> None:
        shards_in(tmp_path, [3])
        (tmp_path / "001.tar").write_bytes(b"no archive" * 200)
        with tarfile.open(tmp_path / "002.tar", "w:gz") as archive:
            archive.add(tmp_path / "000.tar", arcname="0.flac")
        (tmp_path / "003.tar").write_bytes(b"")
        for name in ("001", "002", "003"):
            with pytest.raises(ValueError, match=rf"{name}.tar is no whole, uncompressed tar archive"):
                data(str(tmp_path / f"{name}.tar"), broken="skip").train_dataloader()

    def test_two_files_of_one_name(self, tmp_path: Path) -> None:
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            for _ in range(2):
                archive.add(__file__, arcname="x.flac")
        with pytest.raises(ValueError, match=r"a.tar holds two files x.flac"):
            data(str(tmp_path / "a.tar")).train_dataloader()

    def test_two_pairs_are_the_least(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"needed 2 pairs or more to tell apart, the 1 shards have 1"):
            data(str(shard(tmp_path / "a.tar", [sample(0)]))).train_dataloader()


class TestPaths:
    @pytest.mark.parametrize(
        "name",
        ["https://x.org/{000..003}.tar", "pipe:touch /tmp/never; cat a.tar", "s3://x/a.tar", "hdfs:a.tar"],
    )
    def test_nothing_elsewhere_and_no_command(self, name: str) -> None:
        with pytest.raises(ValueError, match=r"needed files on this machine, got .* \(pipe:\), are not read"):
            data(name)
        assert not Path("/tmp/never").exists()

    def test_mistakes_are_told(self, tmp_path: Path) -> None:
        pattern = shards_in(tmp_path, [2, 2])
        with pytest.raises(
            FileNotFoundError, match=r"2 of 4 shards are missing \(first: .*002.tar, .*003.tar\)"
        ):
            data(f"{tmp_path}/{{000..003}}.tar")
        with pytest.raises(
            ValueError, match=rf"{tmp_path} is a folder. Name its shards, as .*/{{000..003}}.tar"
        ):
            data(str(tmp_path))
        with pytest.raises(ValueError, match=r"needed as many \{ as \}"):
            data(f"{tmp_path}/{{000..001.tar")
        with pytest.raises(ValueError, match=r"000.tar stands twice"):
            data([pattern, str(tmp_path / "000.tar")])
        with pytest.raises(ValueError, match=r"needed 1 to 100000 shards, got 100001"):
            data(f"{tmp_path}/{{000000..999999}}.tar")

    def test_a_name_with_braces_or_a_colon_may_be_a_file(self, tmp_path: Path) -> None:
        for name in ("{a,b}.tar", "a:b.tar"):
            shard(tmp_path / name, [sample(0), sample(1)])
        assert len(data([str(tmp_path / "{a,b}.tar"), f"{tmp_path}/a:b.tar"]).shards) == 2
