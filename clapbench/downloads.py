"""Files from elsewhere, brought to this machine once: weights, tokenizers, archives of clips.

A source is a URI whose fragment, as in a pip requirement, holds what is known of the file:

    package://FILE                            inside clapbench/weights
    hf://OWNER/REPO/FILE                      a model repository on the Hugging Face hub
    gdrive://ID/FILE                          Google Drive; FILE is the name that it gets here
    https://HOST/PATH/FILE                    anything else
    ...#member=A/B                            a file inside that zip archive
    ...#sha256=HEX                            the file's known hash; joined to others by &

What comes from the hub lies in the hub's own cache, the rest under ``$CLAPBENCH_CACHE`` (default: the user's cache
folder). Where no hash is known, the first one is recorded there, and another one later is an error.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from clapbench.files import is_web_page, sha256_of, stays_inside, unpack, what_it_is

log = logging.getLogger(__name__)

WEIGHTS = Path(__file__).parent / "weights"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
)
VOCABULARIES = (
    {"tokenizer.json"},
    {"vocab.txt"},
    {"vocab.json", "merges.txt"},
)  # one of them makes a tokenizer
TIMEOUT = (10, 60)  # seconds to connect, and between bytes


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
        return self.member or PurePosixPath(urlsplit(self.place).path).name

    @property
    def origin(self) -> str:
        return self.uri.partition("#")[0]


def fetch(source: str, *, who: str, key: str = "model.checkpoint") -> Path:
    """The file of ``source`` on this machine, downloaded if it has to be and may be.

    Raises `NotHereError` when it may not, `DownloadError` when the host does not give it, and ``ValueError`` with both
    hashes when what came is not the known file, which is then removed. A transfer that was cut off is resumed. Errors
    name ``key`` as what takes a path instead.
    """
    wanted = Source.parse(source)
    if wanted.scheme == "package":
        return WEIGHTS / wanted.place
    if (given := _in_folder(wanted)) is not None:
        found, known = sha256_of(given), wanted.sha256 or recorded(wanted)
        if known and found != known:
            warn_once(f"{who}: {given} is not the released file: SHA-256 {found}, released {known}.")
        return given
    path = find_local(source)
    if path is None:
        if not current().allowed:
            raise _not_here(wanted.file, origin=wanted.origin, key=key, who=who)
        get = _from_hub if wanted.scheme == "hf" else _from_host
        path = get(wanted, who=who, key=key)
    verify(path, source=wanted, who=who, key=key)
    return path


def find_local(source: str) -> Path | None:
    """The file of ``source`` where it already is on this machine, or None. Touches no network."""
    wanted = Source.parse(source)
    if wanted.scheme == "package":
        return WEIGHTS / wanted.place
    if (given := _in_folder(wanted)) is not None:
        return given
    if wanted.scheme == "hf":
        from huggingface_hub import try_to_load_from_cache

        repository, file = _hub_parts(wanted)
        cached = try_to_load_from_cache(repository, file)
        return Path(cached) if isinstance(cached, str) else None
    _, path = _cached_paths(wanted)
    return path if path.is_file() else None


def fetch_tokenizer(name: str, *, who: str) -> Path:
    """The folder with the tokenizer files of the hub repository ``name``, fetched if it has to be and may be."""
    folder = current().folder
    if folder is not None and _has_tokenizer(folder / name.rpartition("/")[2]):
        return folder / name.rpartition("/")[2]
    if (found := find_local_tokenizer(name)) is not None:
        return found
    if not current().allowed:
        raise _not_here(
            f"the tokenizer {name}", origin="the Hugging Face hub", key="model.tokenizer", who=who
        )
    from huggingface_hub import snapshot_download

    with _told(who=who, origin=f"the tokenizer {name!r} on the Hugging Face hub", key="model.tokenizer"):
        path = Path(snapshot_download(name, allow_patterns=list(TOKENIZER_FILES)))
        if not _has_tokenizer(path):
            raise DownloadError("it has no tokenizer.json, vocab.txt or vocab.json with merges.txt.")
    return path


def find_local_tokenizer(name: str) -> Path | None:
    """The tokenizer's folder in the hub's cache, or None. Touches no network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        path = Path(snapshot_download(name, allow_patterns=list(TOKENIZER_FILES), local_files_only=True))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError):
        return None
    return path if _has_tokenizer(path) else None


def _has_tokenizer(folder: Path) -> bool:
    return any(all((folder / file).is_file() for file in files) for files in VOCABULARIES)


def size(source: str) -> int | None:
    """Bytes of what would be transferred, asked of the host; None where it does not say or cannot be reached."""
    import requests
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    wanted = Source.parse(source)
    try:
        if wanted.scheme == "hf":
            return get_hf_file_metadata(hf_hub_url(*_hub_parts(wanted))).size
        if wanted.scheme in ("http", "https"):
            answer = requests.head(wanted.origin, allow_redirects=True, timeout=TIMEOUT)
            return int(answer.headers["Content-Length"]) if answer.ok else None
    except Exception:  # a size is a courtesy, whatever goes wrong
        return None
    return None


@lru_cache
def warn_once(message: str) -> None:
    log.warning("%s", message)


def cache_folder() -> Path:
    """Where files that are not the hub's lie."""
    from platformdirs import user_cache_path

    stated = os.environ.get("CLAPBENCH_CACHE")
    return Path(stated).expanduser() if stated else user_cache_path("clapbench")


def verify(path: Path, *, source: Source, who: str, key: str = "model.checkpoint") -> None:
    """Holds ``path`` to its known SHA-256, or to the one recorded at its first use.

    A downloaded file that is not the known one is removed, so that nobody takes it for the file later.
    """
    found = sha256_of(path)
    if source.sha256 is not None:
        if found != source.sha256:
            for place in {path.resolve(), path}:  # in the hub's cache one links to the other
                place.unlink(missing_ok=True)
            raise ValueError(
                f"{who}: {source.origin} gave a file with SHA-256 {found}, needed {source.sha256}. It was removed and "
                f"nothing was loaded. Try again, or set {key}=PATH to a file that you trust."
            )
        return
    record, before = record_of(source), recorded(source)
    if before is None:
        try:
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(f"{found}  {path.name}\n", encoding="utf-8")
        except OSError:  # a cache that may only be read
            log.warning("%s: SHA-256 %s of %s could not be recorded at %s.", who, found, path, record)
    elif before != found:
        raise ValueError(
            f"{who}: {path} has SHA-256 {found}, at its first use it had {before}. Delete it to fetch it again, "
            f"delete {record} to trust it from now on, or set {key}={path} to use it this once."
        )


def record_of(wanted: Source) -> Path:
    """The file with the hash at first use, as sha256sum writes it: beside what is ours, not in the hub's cache."""
    path = _cached_paths(wanted)[1]
    return path.with_name(f"{path.name}.sha256")


def recorded(wanted: Source) -> str | None:
    record = record_of(wanted)
    return record.read_text(encoding="utf-8").split()[0] if record.is_file() else None


def _in_folder(wanted: Source) -> Path | None:
    """The file in ``checkpoint_dir``, under its released name."""
    folder = current().folder
    if folder is None:
        return None
    names = [wanted.file, PurePosixPath(wanted.file).name]
    if wanted.scheme == "hf":  # as a clone of the repository
        names.append(f"{_hub_parts(wanted)[0].rpartition('/')[2]}/{wanted.file}")
        if wanted.file == "model.safetensors":
            names = names[2:]  # a name that says nothing by itself
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _hub_parts(wanted: Source) -> tuple[str, str]:
    owner, _, rest = wanted.place.partition("/")
    repository, _, file = rest.partition("/")
    return f"{owner}/{repository}", file


def _cached_paths(wanted: Source) -> tuple[Path, Path]:
    """Where the download of a source goes, and where its file is then: the same unless it is in an archive."""
    key = hashlib.sha256(wanted.origin.encode()).hexdigest()[:8]
    name = PurePosixPath(urlsplit(wanted.place).path).name
    download = cache_folder() / key / name
    return (download, download.with_suffix("") / wanted.member) if wanted.member else (download, download)


def _from_hub(wanted: Source, *, who: str, key: str) -> Path:
    from huggingface_hub import hf_hub_download

    log.info("%s: fetching %s", who, wanted.origin)
    with _told(who=who, origin=wanted.origin, key=key):
        return Path(hf_hub_download(*_hub_parts(wanted)))


def _from_host(wanted: Source, *, who: str, key: str) -> Path:
    """The file of a host that is not the hub, where it belongs when it is whole."""
    from filelock import FileLock

    download, path = _cached_paths(wanted)
    with _told(who=who, origin=wanted.origin, key=key):
        download.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{download}.lock")  # two cells of a sweep may want one file
        with lock:
            if not path.is_file() and not download.is_file():
                log.info("%s: fetching %s to %s", who, wanted.origin, download)
                _transfer(wanted, to=download)
                must_be_zip = wanted.member or path.suffix == ".zip"
                if is_web_page(download) or (must_be_zip and not zipfile.is_zipfile(download)):
                    told = what_it_is(download)
                    download.unlink()
                    raise DownloadError(f"what the host sent {told}")
    with lock:
        if wanted.member and not path.is_file():
            folder = download.with_suffix("")
            try:
                unpack(download, folder, who=who)
            finally:
                download.unlink()  # not needed again, or not to be taken for a sound one
            if not path.is_file():
                files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
                raise ValueError(
                    f"{who}: {wanted.origin} holds no {wanted.member}, but {', '.join(files[:5])}. "
                    f"Set {key}=PATH."
                )
    return path


def _transfer(wanted: Source, *, to: Path) -> None:
    """By gdown, which asks Drive for its confirmations, resumes, and puts a file in place when it is whole."""
    import gdown
    from gdown.exceptions import DownloadError as GdownError
    from gdown.exceptions import FileURLRetrievalError

    drive = wanted.scheme == "gdrive"

    def attempt() -> None:
        gdown.download(
            url=None if drive else wanted.origin,
            id=wanted.place.partition("/")[0] if drive else None,
            output=str(to),
            quiet=not sys.stderr.isatty(),
            resume=True,
            timeout=TIMEOUT,
            use_cookies=False,
        )

    try:
        attempt()
    except FileURLRetrievalError as error:
        raise DownloadError(f"Google Drive sent a web page in place of the file. {error}") from error
    except GdownError as error:
        if "byte range" not in str(error):
            raise
        for part in to.parent.glob(f"{to.name}*.part"):
            part.unlink()  # of a file that has changed since, or of a host that cannot go on in the middle
        attempt()


@contextmanager
def _told(*, who: str, origin: str, key: str) -> Iterator[None]:
    """Turns whatever the clients of hosts raise into one error, in one line, that says what to do."""
    try:
        yield
    except (
        Exception
    ) as error:  # requests', httpx's, the hub's, gdown's (a KeyError for a lacking header) and the system's
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DownloadError(
            f"{who}: {origin} could not be fetched: {reason[:400]} Type the command again to resume, "
            f"or set {key}=PATH, or checkpoint_dir=DIR to a folder of released files."
        ) from error


def _not_here(what: str, *, origin: str, key: str, who: str) -> NotHereError:
    return NotHereError(
        f"{who}: {what} is not on this machine, and download=false. It comes from {origin}: set download=true, "
        f"fetch it ahead with `python -m clapbench.fetch model=NAME`, or set {key}=PATH, or checkpoint_dir=DIR.",
        what=f"{what} from {origin}",
    )
