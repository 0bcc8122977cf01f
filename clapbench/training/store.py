"""Rows that frozen stages of an encoder gave, by key: in memory, or on disk in a folder that only grows.

A shard is a safetensors file of some 512 rows. It appears whole or not at all, under a name that no other process
takes, so that any number of processes fill one folder and a kill costs what was made since the last shard, some 30 s.
Shards are mapped into memory: what is not read takes none. A checksum in its header tells a damaged one, which
is set aside, and its rows count as not there.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import time
import uuid
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from clapbench.console import plain
from clapbench.files import replacing

log = logging.getLogger(__name__)

ROWS_A_SHARD, BYTES_A_SHARD, SECONDS_A_SHARD = 512, 1 << 26, 30.0
MOST = 0.5  # share of what is free that rows may take


class RowStore:
    """Tensors by key, a text of any length; their shapes may differ. Without a ``folder`` they stay in memory.

    ``most`` is how many bytes are taken before no more rows are; None: no limit. A row is never changed:
    of two under one key the first counts. What `get` gives is the store's own memory.
    """

    def __init__(self, folder: Path | None = None, *, most: int | None = None) -> None:
        self.folder, self.most = folder, most
        self._held: dict[str, Tensor] = {}  # rows in memory
        self._shards: dict[str, Any] = {}  # the opened shard of each row on disk
        self._seen: set[str] = set()  # names of shards
        self._bytes, self._taken, self._written = 0, 0, time.monotonic()
        self.reload()

    def __contains__(self, key: str) -> bool:
        return (name := hashed(key)) in self._held or name in self._shards

    def __len__(self) -> int:
        return len(self._held) + len(self._shards)

    def __deepcopy__(self, memo: dict[int, Any]) -> RowStore:
        """The same store: a copy of a model reads the same rows."""
        return self

    def get(self, key: str) -> Tensor:
        """The row of a key, on the CPU; KeyError where there is none."""
        name = hashed(key)
        held = self._held.get(name)
        if held is not None:
            return held
        row: Tensor = self._shards[name].get_tensor(name)
        return row

    def put(self, rows: Mapping[str, Tensor]) -> None:
        """Keeps rows by key; with a folder on disk too, at the latest at the next `flush`."""
        for key, given in rows.items():
            if key not in self and (self.most is None or self._taken + given.nbytes <= self.most):
                row = given.detach().to("cpu", copy=True).contiguous()
                self._held[hashed(key)] = row
                self._bytes += row.nbytes
                self._taken += row.nbytes
        full = len(self._held) >= ROWS_A_SHARD or self._bytes >= BYTES_A_SHARD
        if full or time.monotonic() - self._written >= SECONDS_A_SHARD:
            self.flush()

    def flush(self) -> None:
        """Writes a shard of what is in memory alone; nothing without a folder."""
        self._written = time.monotonic()
        if self.folder is None or not self._held:
            return
        path = self.folder / f"rows-{uuid.uuid4().hex}.safetensors"
        rows = {name: self._held[name] for name in sorted(self._held)}
        header = {"format": "pt", "crc32": checksum(list(rows.values()))}
        try:
            with replacing(path) as temporary:
                save_file(rows, temporary, metadata=header)
        except (SafetensorError, OSError) as error:
            raise OSError(
                f"rows to keep cannot be written to {self.folder}: {error}. Make room there, or set cache_dir=DIR."
            ) from error
        self._seen.add(path.name)
        self._shards |= dict.fromkeys(rows, safe_open(path, framework="pt"))  # from here on mapped
        self._held, self._bytes = {}, 0

    def reload(self) -> None:
        """Takes in the shards that other processes, or earlier ones, have written."""
        for path in sorted(self.folder.glob("rows-*.safetensors")) if self.folder is not None else ():
            if path.name in self._seen:
                continue
            self._seen.add(path.name)
            try:
                shard = opened(path)
            except FileNotFoundError:  # another process has set it aside
                continue
            except (SafetensorError, ValueError) as error:
                set_aside(path, reason=error)
                continue
            for name in shard.keys():  # noqa: SIM118
                self._shards.setdefault(name, shard)

    @property
    def free(self) -> int | None:
        """Bytes that are free where rows go: on the disk, or in this machine's memory; None where nobody tells."""
        if self.folder is not None:
            above = next(one for one in (self.folder, *self.folder.absolute().parents) if one.is_dir())
            return shutil.disk_usage(above).free
        return free_memory()

    def check_room(self, n: int, *, row_bytes: float, what: str) -> None:
        """ValueError where ``n`` more rows would take more than half of what is free. ``what`` names them."""
        if (free := self.free) is None or n * row_bytes <= MOST * free:
            return
        where = f"on the disk of {self.folder}" if self.folder is not None else "in memory"
        raise ValueError(
            f"{what} would take {n * row_bytes / 1e9:.1f} GB ({n} of {row_bytes / 1e6:.2f} MB), and "
            f"{free / 1e9:.1f} GB are free {where}, of which they may take half. "
            f"Set cache_dir to a folder on a larger disk, train on fewer clips, or choose a finetune that moves more."
        )


def free_memory() -> int | None:
    """Bytes that this machine can still give to programs, as Linux tells; None elsewhere."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def hashed(key: str) -> str:
    """The name of a key's row in a shard."""
    return hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def checksum(rows: Sequence[Tensor]) -> str:
    """CRC-32 of the bytes of some rows."""
    value = 0
    for row in rows:
        value = zlib.crc32(row.reshape(-1).view(torch.uint8).numpy().data, value)
    return f"{value:08x}"


def opened(path: Path) -> Any:
    """The shard at ``path``, mapped; raises where it is not what was written."""
    shard = safe_open(path, framework="pt")
    promised = (shard.metadata() or {}).get("crc32")
    found = checksum([shard.get_tensor(name) for name in sorted(shard.keys())])
    if found != promised:
        raise ValueError(f"its rows have the checksum {found}, its header says {promised}")
    return shard


def set_aside(path: Path, *, reason: Exception) -> None:
    """Renames a damaged shard, so that it is told once."""
    log.warning("%s is damaged (%s) and set aside; its rows are computed again.", plain(path), plain(reason))
    with suppress(FileNotFoundError):  # another process was first
        path.replace(path.with_suffix(".damaged"))
