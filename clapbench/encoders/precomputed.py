"""``model=precomputed``: embeddings that somebody already has, in an NPZ of the layout that clapbench itself writes.

``audio`` [n, d], ``audio_id`` (n clips, as paths relative to bench.root), ``text`` [m, d], ``text_id`` (m captions).
"""

from __future__ import annotations

import logging
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from clapbench.encoders.outside import NOUN, Outside, check_dimensions, check_rows, unit_rows
from clapbench.files import sha256_of
from clapbench.kinds import File, Name
from clapbench.schema import Embeddings

log = logging.getLogger(__name__)


class Precomputed(Outside):
    """Arguments are those of conf/model/precomputed.yaml.

    The file may hold more than a benchmark needs, in any order. Captions match by their text; clips by their id or,
    where no id does, by file name. A file without text rows serves a model without a text side.

    ``embed`` raises ``ValueError``, naming the file and the first clip or caption, for rows that are missing, without
    direction, or doubled and different.
    """

    recipe = 1
    places = frozenset({"name", "file"})
    certifiable = False

    def __init__(self, *, name: Name, file: File) -> None:
        self.name, self.file = name, find(file, model=name)

    @classmethod
    def fingerprint(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Adds the SHA-256 of the file, as checkpoint."""
        path = find(arguments["file"], model=arguments["name"])
        return {
            **super().fingerprint(arguments),
            "checkpoint": {"file": path.name, "sha256": sha256_of(path)},
        }

    def embed(self, *, clips: Mapping[str, Path], captions: Sequence[str]) -> Embeddings:
        who = f"model {self.name!r}: {self.file}"
        audio, text = read(self.file, who=who)
        if audio.row.keys().isdisjoint(clips):
            audio = audio.by_file_name(tuple(clips))
            log.info("%s: no clip of this bench is there by its id, %d by file name.", who, len(audio.row))
        captions = captions if text.row else ()
        lacks = [*audio.lacks(tuple(clips)), *text.lacks(captions)]
        if lacks:
            raise ValueError(
                f"{who} lacks {' and '.join(lacks)}. It holds {audio.holds} and {text.holds}. A clip goes by its path "
                f"relative to bench.root, a caption by its text. Set model.file to embeddings of this bench."
            )
        return Embeddings(
            audio=audio.unit_rows(tuple(clips), who=who),
            audio_id=tuple(clips),
            text=text.unit_rows(captions, who=who),
            text_id=tuple(captions),
        )


@dataclass(frozen=True)
class Side:
    """What the file holds of one side: ``ids`` [n] as written, ``rows`` [n, d], and the row to take for each id."""

    name: str
    ids: tuple[str, ...]
    rows: np.ndarray
    row: Mapping[str, int]

    @classmethod
    def checked(cls, name: str, *, rows: np.ndarray, ids: np.ndarray, who: str) -> Side:
        if ids.ndim != 1 or ids.dtype.kind != "U":
            raise ValueError(
                f"{who}: needed {name}_id as a list of strings, got {list(ids.shape)} of {ids.dtype}. "
                f"Save it as np.array(ids, dtype=str)."
            )
        check_rows(rows, side=name, n=len(ids), who=who)
        row: dict[str, int] = {}
        for number, key in enumerate(ids.tolist()):
            first = row.setdefault(key, number)
            if first != number and not np.array_equal(rows[first], rows[number]):
                raise ValueError(
                    f"{who}: {NOUN[name]} {key!r} stands in rows {first} and {number} of {name}, which differ. "
                    f"Keep one row for each {NOUN[name]}."
                )
        return cls(name, tuple(ids.tolist()), rows, row)

    def by_file_name(self, wanted: Sequence[str]) -> Side:
        """The same rows under those of the ``wanted`` ids that share the last part of their path with one id alone."""
        held, asked = sole_names(self.row), sole_names(wanted)
        return Side(
            self.name, self.ids, self.rows, {asked[n]: self.row[held[n]] for n in asked.keys() & held.keys()}
        )

    def lacks(self, wanted: Sequence[str]) -> list[str]:
        """The ``wanted`` ids without a row, in words: one sentence part, or none."""
        missing = [key for key in wanted if key not in self.row]
        return (
            [f"{len(missing)} of {len(wanted)} {NOUN[self.name]}s (first: {missing[0]!r})"] if missing else []
        )

    @property
    def holds(self) -> str:
        first = f" (first: {self.ids[0]!r})" if self.ids else ""
        return f"{len(self.ids)} {NOUN[self.name]}s{first}"

    def unit_rows(self, wanted: Sequence[str], *, who: str) -> Float[np.ndarray, "n d"]:
        rows = self.rows[np.array([self.row[key] for key in wanted], dtype=int)]
        return unit_rows(rows, side=self.name, ids=wanted, who=who)


def sole_names(paths: Iterable[str]) -> dict[str, str]:
    """File name to path, for the names that one path alone has."""
    paths_of: dict[str, list[str]] = {}
    for path in paths:
        paths_of.setdefault(path.replace("\\", "/").rpartition("/")[2], []).append(path)
    return {name: same[0] for name, same in paths_of.items() if len(same) == 1}


def find(file: str | Path, *, model: str) -> Path:
    path = Path(file).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"model {model!r}: no file at {path}. Set model.file=PATH to an NPZ of embeddings: "
            f"audio [n, d], audio_id, text [m, d], text_id."
        )
    return path


def read(path: Path, *, who: str) -> tuple[Side, Side]:
    """Audio and text of the NPZ at ``path``, checked; nothing pickled is loaded."""
    needed = ("audio", "audio_id", "text", "text_id")
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("a file that is no zip archive, as an NPZ is")
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            if absent := [key for key in needed if key not in file]:
                raise ValueError(f"no {', '.join(absent)} among its arrays ({', '.join(file) or 'none'})")
            arrays = {key: file[key] for key in needed}
    except (ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{who}: needed an NPZ with audio [n, d], audio_id, text [m, d], text_id; got: {error}. "
            f"Write it with np.savez, the ids as np.array(ids, dtype=str)."
        ) from error
    audio, text = (
        Side.checked(name, rows=arrays[name], ids=arrays[f"{name}_id"], who=who) for name in ("audio", "text")
    )
    check_dimensions(audio=audio.rows, text=text.rows, who=who)
    return audio, text
