"""Embeddings on disk: one compressed NPZ per (encoder, benchmark) content key, written atomically.

The key is a SHA-256 over what decides the numbers (see `encoders.base.fingerprint`, `Benchmark.fingerprint`),
so a file is never stale: other content has another name.
"""

from __future__ import annotations

import json
import logging
import zipfile
import zlib
from pathlib import Path

import numpy as np

from clapbench.files import replacing
from clapbench.schema import Embeddings

log = logging.getLogger(__name__)


def embeddings_path(*, model: str, bench: str, key: str) -> Path:
    """Where the embeddings of ``key`` lie, relative to the cache folder. The names are for people."""
    return Path("embeddings", f"{model}-{bench}-{key[:16]}.npz")


def save(path: Path, embeddings: Embeddings) -> None:
    """Writes embeddings to ``path`` as an NPZ, all of it or nothing."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            audio=embeddings.audio.astype(np.float32),
            audio_id=np.array(embeddings.audio_id, dtype=np.str_),
            text=embeddings.text.astype(np.float32),
            text_id=np.array(embeddings.text_id, dtype=np.str_),
            about=np.array(json.dumps(embeddings.about)),
        )


def load(path: Path) -> Embeddings:
    """The embeddings at ``path``. Raises ``ValueError`` that names the file when it is not such a file."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return Embeddings(
                audio=file["audio"],
                audio_id=tuple(file["audio_id"].tolist()),
                text=file["text"],
                text_id=tuple(file["text_id"].tolist()),
                about=json.loads(file["about"].item()) if "about" in file else {},
            )
    except (
        ValueError,
        KeyError,
        EOFError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(
            f"embeddings {path}: needed an NPZ with audio, audio_id, text, text_id; got: {error}. Delete it."
        ) from error


def find(path: Path) -> Embeddings | None:
    """The embeddings at ``path``, or None if there are none. A damaged file is reported, counts as none."""
    if not path.is_file():
        return None
    try:
        return load(path)
    except ValueError as error:
        log.warning("%s It will be written anew.", error)
        return None
