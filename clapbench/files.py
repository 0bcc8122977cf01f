"""Files and content: their hash, the key of what decides a number, and writing that is whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any


def sha256_of(path: Path) -> str:
    """SHA-256 of the file's bytes, in hexadecimal; computed once per process while the file is unchanged."""
    state = path.stat()
    return _sha256(path.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1 << 18)  # clips of a benchmark, of which every model of a sweep asks
def _sha256(path: Path, size: int, changed_ns: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def key_of(content: Any) -> str:
    """SHA-256 of JSON content with sorted keys, in hexadecimal."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@lru_cache
def key_of_sources(*folders: Path) -> str:
    """SHA-256 over the Python files of ``folders`` (or single files): what other code computed or drew differs."""
    paths = [
        path for folder in folders for path in (sorted(folder.glob("*.py")) if folder.is_dir() else [folder])
    ]
    return key_of([[path.name, path.read_text(encoding="utf-8")] for path in paths])


def stable_name(target: str) -> str:
    """What stands for a class in a key: of ours its name alone, so that moving a module changes no key.

    >>> stable_name("clapbench.probes.rankme.RankMe"), stable_name("mine.probes.RankMe")
    ('RankMe', 'mine.probes.RankMe')
    """
    return target.rpartition(".")[2] if target.startswith("clapbench.") else target


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends, or vanishes if it raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner reads
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_changed(path: Path, text: str) -> None:
    """`write_text` where the file holds something else: what is unchanged keeps its time."""
    if not path.is_file() or path.read_bytes() != text.encode("utf-8"):
        write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8, all of it or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
