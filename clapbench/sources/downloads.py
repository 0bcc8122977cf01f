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

import logging
from functools import lru_cache
from pathlib import Path

from clapbench.files import sha256_of
from clapbench.sources.hosts import from_host, from_hub
from clapbench.sources.source import Source, cached_paths, current, hub_parts, in_checkpoint_dir, not_here

log = logging.getLogger(__name__)

WEIGHTS = Path(__file__).parents[1] / "weights"


def fetch(source: str, *, who: str, key: str = "model.checkpoint") -> Path:
    """The file of ``source`` on this machine, downloaded if it has to be and may be.

    Raises `NotHereError` when it may not, `DownloadError` when the host does not give it, and ``ValueError`` with both
    hashes when what came is not the known file, which is then removed. A transfer that was cut off is resumed. Errors
    name ``key`` as what takes a path instead.
    """
    wanted = Source.parse(source)
    if wanted.scheme == "package":
        return WEIGHTS / wanted.place
    if (given := in_checkpoint_dir(wanted)) is not None:
        found, known = sha256_of(given), wanted.sha256 or recorded(wanted)
        if known and found != known:
            warn_once(f"{who}: {given} is not the released file: SHA-256 {found}, released {known}.")
        return given
    path = find_local(source)
    if path is None:
        if not current().allowed:
            raise not_here(wanted.file, origin=wanted.origin, key=key, who=who)
        get = from_hub if wanted.scheme == "hf" else from_host
        path = get(wanted, who=who, key=key)
    verify(path, source=wanted, who=who, key=key)
    return path


def find_local(source: str) -> Path | None:
    """The file of ``source`` where it already is on this machine, or None. Touches no network."""
    wanted = Source.parse(source)
    if wanted.scheme == "package":
        return WEIGHTS / wanted.place
    if (given := in_checkpoint_dir(wanted)) is not None:
        return given
    if wanted.scheme == "hf":
        from huggingface_hub import try_to_load_from_cache

        repository, file = hub_parts(wanted)
        cached = try_to_load_from_cache(repository, file)
        return Path(cached) if isinstance(cached, str) else None
    _, path = cached_paths(wanted)
    return path if path.is_file() else None


@lru_cache
def warn_once(message: str) -> None:
    """Logs a warning the first time that it is given."""
    log.warning("%s", message)


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
    path = cached_paths(wanted)[1]
    return path.with_name(f"{path.name}.sha256")


def recorded(wanted: Source) -> str | None:
    """The hash at first use; None where there is none."""
    record = record_of(wanted)
    return record.read_text(encoding="utf-8").split()[0] if record.is_file() else None
