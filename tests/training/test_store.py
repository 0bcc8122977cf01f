"""Rows by key, in memory and on disk: whole or not there, shared between processes, damage told and made again."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clapbench.training import store as module
from clapbench.training.store import RowStore


def row(number: int, shape: tuple[int, ...] = (3, 2)) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(number))


def filled(folder: Path | None, numbers: range) -> RowStore:
    store = RowStore(folder)
    for number in numbers:
        store.put({f"clip {number}": row(number)})
    store.flush()
    return store


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("rows-*"))


@pytest.mark.parametrize("on_disk", [False, True])
def test_rows_come_back_as_they_went_in(on_disk: bool, tmp_path: Path) -> None:
    store = RowStore(tmp_path / "rows" if on_disk else None)
    given = {
        "a": row(0), "b" * 10_000: row(1, (5,)), "ü \ud800": row(2, (0, 4)), "d": torch.arange(6)[::2], "e": row(3, ()),
    }  # fmt: skip
    for key, value in given.items():
        assert key not in store
        store.put({key: value})
    for _ in range(2):
        assert len(store) == len(given)
        for key, value in given.items():
            assert key in store
            assert torch.equal(store.get(key), value)
            assert store.get(key).dtype == value.dtype
        store.flush()
    assert "f" not in store
    with pytest.raises(KeyError):
        store.get("f")
    assert len(shards(tmp_path / "rows")) == on_disk


def test_a_row_is_kept_apart_from_what_was_given_and_is_never_changed(tmp_path: Path) -> None:
    for store in (RowStore(), RowStore(tmp_path)):
        given = torch.ones(3, requires_grad=True)
        store.put({"a": given})
        with torch.no_grad():
            given.zero_()
        store.put({"a": given})
        store.flush()
        assert torch.equal(store.get("a"), torch.ones(3))
        assert not store.get("a").requires_grad


def test_another_process_sees_what_is_flushed_when_it_looks_again(tmp_path: Path) -> None:
    first, second = RowStore(tmp_path), RowStore(tmp_path)
    first.put({"a": row(0)})
    second.put({"b": row(1)})
    second.put({"a": row(0)})  # both made it
    for store in (first, second):
        store.flush()
    assert "b" not in first
    for store in (first, second, RowStore(tmp_path)):
        store.reload()
        assert len(store) == 2
        assert torch.equal(store.get("a"), row(0))
        assert torch.equal(store.get("b"), row(1))
    assert len(shards(tmp_path)) == 2


def test_shards_are_written_by_rows_bytes_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_A_SHARD", 3)
    store = RowStore(tmp_path / "rows")
    for number in range(7):
        store.put({str(number): row(number)})
    assert len(shards(tmp_path / "rows")) == 2
    monkeypatch.setattr(module, "BYTES_A_SHARD", 2 * row(0).nbytes)
    store = RowStore(tmp_path / "bytes")
    for number in range(5):
        store.put({str(number): row(number)})
    assert len(shards(tmp_path / "bytes")) == 2
    monkeypatch.undo()
    store = RowStore(tmp_path / "time")
    store.put({"a": row(0)})
    assert not shards(tmp_path / "time")
    now = module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 31.0)
    store.put({"b": row(1)})
    assert len(shards(tmp_path / "time")) == 1


def test_a_kill_in_the_middle_of_a_shard_costs_that_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path, range(4))

    def killed(rows: dict[str, Tensor], path: Path, **_: object) -> None:
        path.write_bytes(b"half of a sha")
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(module, "save_file", killed)
        during.setattr(Path, "unlink", lambda self, missing_ok=False: None)  # no time to tidy up
        store.put({"late": row(9)})
        with pytest.raises(KeyboardInterrupt):
            store.flush()
    again = RowStore(tmp_path)
    assert len(again) == 4
    assert "late" not in again
    assert torch.equal(again.get("clip 3"), row(3))


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    changed = {
        "cut": content[: len(content) // 2],
        "empty": b"",
        "header": b"\xff" * 8 + content[8:],
        "one bit": content[:-5] + bytes([content[-5] ^ 1]) + content[-4:],
    }
    path.write_bytes(changed[how])


@pytest.mark.parametrize("how", ["cut", "empty", "header", "one bit"])
def test_a_damaged_shard_is_set_aside_with_one_line(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path, range(3))
    (bad,) = shards(tmp_path)
    filled(tmp_path, range(3, 6))
    damage(bad, how)
    with caplog.at_level(logging.WARNING):
        store = RowStore(tmp_path)
        assert [key in store for key in ("clip 0", "clip 3")] == [False, True]
        store.reload()
        RowStore(tmp_path)
    assert len(caplog.records) == 1
    assert f"{bad} is damaged" in caplog.text
    assert bad.with_suffix(".damaged").is_file()
    store.put({"clip 0": row(0)})
    store.flush()
    assert torch.equal(RowStore(tmp_path).get("clip 0"), row(0))


def test_a_shard_that_vanishes_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, range(3))
    glob = Path.glob
    monkeypatch.setattr(
        Path, "glob", lambda self, pattern: [*glob(self, pattern), tmp_path / "rows-gone.safetensors"]
    )
    assert len(RowStore(tmp_path)) == 3


def test_a_disk_without_room_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RowStore(tmp_path)
    usage = module.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=10_000_000))
    store.check_room(49, row_bytes=1e5, what="rows")
    with pytest.raises(ValueError, match=r"rows would take 0.0 GB \(51 of 0.10 MB\).*Set cache_dir"):
        store.check_room(51, row_bytes=1e5, what="rows")
    with pytest.raises(ValueError, match="are free in memory"):
        RowStore().check_room(10**9, row_bytes=1e9, what="rows")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    store.put({"a": row(0)})
    with pytest.raises(OSError, match=r"No space left on device\. Make room there, or set cache_dir"):
        store.flush()


def test_copies_of_a_model_read_one_store() -> None:
    store = RowStore()
    assert copy.deepcopy({"store": store})["store"] is store
