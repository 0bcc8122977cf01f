"""A source URI, the settings that hold for it, and where its file lies on this machine."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from clapbench.sources.archives import stays_inside


@dataclass(frozen=True)
class Settings:
    """Whether anything may be downloaded, and a folder of released files that is looked at first."""

    allowed: bool = True
    folder: Path | None = None


SETTINGS: ContextVar[Settings | None] = ContextVar("SETTINGS", default=None)


@contextmanager
def settings(*, allowed: bool, folder: str | Path | None = None) -> Iterator[None]:
    """Holds within the block: ``evaluate.py`` sets it from ``download`` and ``checkpoint_dir``."""
    token = SETTINGS.set(Settings(allowed=allowed, folder=Path(folder).expanduser() if folder else None))
    try:
        yield
    finally:
        SETTINGS.reset(token)


def current() -> Settings:
    """The settings that hold now."""
    return SETTINGS.get() or Settings()


class NotHereError(FileNotFoundError):
    """A file that would have to be downloaded, and may not be; ``what`` names it."""

    def __init__(self, message: str, *, what: str) -> None:
        super().__init__(message)
        self.what = what


class DownloadError(OSError):
    """A download that did not bring the file."""


@dataclass(frozen=True)
class Source:
    """A source URI in its parts; ``file`` is the released file's name, with its folder in the archive if it has one."""

    uri: str
    scheme: str
    place: str  # behind the scheme, without the fragment
    member: str | None
    sha256: str | None

    @classmethod
    def parse(cls, uri: str) -> Source:
        """The parts of a source URI; ValueError for one that is none."""
        plain, _, fragment = uri.partition("#")
        scheme, _, place = plain.partition("://")
        known = {
            key: unquote(value) for key, _, value in (x.partition("=") for x in fragment.split("&") if x)
        }
        parts = unquote(place).split("/")
        if (
            len(parts) < {"package": 1, "hf": 3, "gdrive": 2, "http": 2, "https": 2}.get(scheme, sys.maxsize)
            or not all(parts)
            or not stays_inside(unquote(place))
            or known.keys() - {"member", "sha256"}
            or not all(known.values())
            or not stays_inside(known.get("member", "."))
        ):
            raise ValueError(
                f"source {uri!r}: needed package://FILE, hf://OWNER/REPO/FILE, gdrive://ID/FILE or https://HOST/FILE, "
                f"perhaps with #member=FILE&sha256=HEX. Correct the yaml, or set model.checkpoint=PATH."
            )
        return cls(uri, scheme, place, known.get("member"), known.get("sha256", "").lower() or None)

    @property
    def file(self) -> str:
        """The name of the released file."""
        return self.member or PurePosixPath(urlsplit(self.place).path).name

    @property
    def origin(self) -> str:
        """The URI without member and hash."""
        return self.uri.partition("#")[0]


def cache_folder() -> Path:
    """Where files that are not the hub's lie."""
    from platformdirs import user_cache_path

    stated = os.environ.get("CLAPBENCH_CACHE")
    return Path(stated).expanduser() if stated else user_cache_path("clapbench")


def in_checkpoint_dir(wanted: Source) -> Path | None:
    """The file in ``checkpoint_dir``, under its released name."""
    folder = current().folder
    if folder is None:
        return None
    names = [wanted.file, PurePosixPath(wanted.file).name]
    if wanted.scheme == "hf":  # as a clone of the repository
        names.append(f"{hub_parts(wanted)[0].rpartition('/')[2]}/{wanted.file}")
        if wanted.file == "model.safetensors":
            names = names[2:]  # a name that says nothing by itself
    return next((folder / name for name in names if (folder / name).is_file()), None)


def hub_parts(wanted: Source) -> tuple[str, str]:
    """OWNER/NAME of a repository on the hub, and the file in it."""
    owner, _, rest = wanted.place.partition("/")
    repository, _, file = rest.partition("/")
    return f"{owner}/{repository}", file


def cached_paths(wanted: Source) -> tuple[Path, Path]:
    """Where the download of a source goes, and where its file is then: the same unless it is in an archive."""
    key = hashlib.sha256(wanted.origin.encode()).hexdigest()[:8]
    name = PurePosixPath(urlsplit(wanted.place).path).name
    download = cache_folder() / key / name
    return (download, download.with_suffix("") / wanted.member) if wanted.member else (download, download)


def not_here(what: str, *, origin: str, key: str, who: str) -> NotHereError:
    """The error for a file that is not here and may not be downloaded."""
    return NotHereError(
        f"{who}: {what} is not on this machine, and download=false. It comes from {origin}: set download=true, "
        f"fetch it ahead with `python -m clapbench.fetch model=NAME`, or set {key}=PATH, or checkpoint_dir=DIR.",
        what=f"{what} from {origin}",
    )
