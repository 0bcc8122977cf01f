"""Transfers from the Hugging Face hub, Google Drive and plain hosts."""

from __future__ import annotations

import logging
import re
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clapbench.sources.archives import is_web_page, unpack, what_it_is
from clapbench.sources.source import DownloadError, Source, cached_paths, hub_parts

log = logging.getLogger(__name__)


TIMEOUT = (10, 60)  # seconds to connect, and between bytes


def size(source: str) -> int | None:
    """Bytes of what would be transferred, asked of the host; None where it does not say or cannot be reached."""
    import requests
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    wanted = Source.parse(source)
    try:
        if wanted.scheme == "hf":
            return get_hf_file_metadata(hf_hub_url(*hub_parts(wanted))).size
        if wanted.scheme in ("http", "https"):
            answer = requests.head(wanted.origin, allow_redirects=True, timeout=TIMEOUT)
            return int(answer.headers["Content-Length"]) if answer.ok else None
    except Exception:  # a size is a courtesy, whatever goes wrong
        return None
    return None


def from_hub(wanted: Source, *, who: str, key: str) -> Path:
    """The file of a repository on the Hugging Face hub, in the hub's own cache."""
    from huggingface_hub import hf_hub_download

    log.info("%s: fetching %s", who, wanted.origin)
    hub_says_it_once()
    with one_download_error(who=who, origin=wanted.origin, key=key):
        return Path(hf_hub_download(*hub_parts(wanted)))


def from_host(wanted: Source, *, who: str, key: str) -> Path:
    """The file of a host that is not the hub, where it belongs when it is whole."""
    from filelock import FileLock

    download, path = cached_paths(wanted)
    with one_download_error(who=who, origin=wanted.origin, key=key):
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
        if not cannot_resume(error):
            raise
        for part in to.parent.glob(f"{to.name}*.part"):
            part.unlink()  # of a file that has changed since, or of a host that cannot go on in the middle
        attempt()


def cannot_resume(error: Exception) -> bool:
    """Whether gdown found that a host does not go on where the part ends. It has no type for this, only words: "Server
    did not honor the requested byte range", and "Response exceeds the announced byte range".
    """
    return "byte range" in str(error)


class Once(logging.Filter):
    """Lets a message through that differs from every earlier one in more than numbers, addresses and request ids."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line of the hub's client says something that was not said before."""
        words = record.getMessage().partition(" thrown while requesting ")[0]
        words = re.sub(r"\(Request ID: .*?\)|https?://\S+|\d+", "", words)
        new = words not in self.said
        self.said.add(words)
        return new


def hub_says_it_once() -> None:
    """Keeps the hub's client from repeating itself at each retry of each file, and by the root's handlers as well."""
    for module in ("utils._http", "file_download", "_snapshot_download"):
        logger = logging.getLogger(f"huggingface_hub.{module}")
        if not any(isinstance(known, Once) for known in logger.filters):
            logger.addFilter(Once())
    hub = logging.getLogger("huggingface_hub")
    hub.propagate = not hub.handlers


@contextmanager
def one_download_error(*, who: str, origin: str, key: str) -> Iterator[None]:
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
