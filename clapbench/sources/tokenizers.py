"""Tokenizer folders, by path or by their name on the Hugging Face hub."""

from __future__ import annotations

import hashlib
from pathlib import Path

from clapbench.files import sha256_of
from clapbench.sources.hosts import hub_says_it_once, one_download_error
from clapbench.sources.source import DownloadError, current, not_here

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


def fetch_tokenizer(name: str, *, who: str) -> Path:
    """The folder with the tokenizer files of the hub repository ``name``, fetched if it has to be and may be."""
    folder = current().folder
    if folder is not None and has_tokenizer(folder / name.rpartition("/")[2]):
        return folder / name.rpartition("/")[2]
    if (found := find_local_tokenizer(name)) is not None:
        return found
    if not current().allowed:
        raise not_here(f"the tokenizer {name}", origin="the Hugging Face hub", key="model.tokenizer", who=who)
    from huggingface_hub import snapshot_download

    hub_says_it_once()
    with one_download_error(
        who=who, origin=f"the tokenizer {name!r} on the Hugging Face hub", key="model.tokenizer"
    ):
        path = Path(snapshot_download(name, allow_patterns=list(TOKENIZER_FILES)))
        if not has_tokenizer(path):
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
    return path if has_tokenizer(path) else None


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds all files of a tokenizer of one kind."""
    return any(all((folder / file).is_file() for file in files) for files in VOCABULARIES)


def find_tokenizer(tokenizer: str, *, model: str) -> tuple[Path, str]:
    """The folder of a tokenizer and the SHA-256 over its files; from the hub unless ``tokenizer`` is a folder."""
    folder = Path(tokenizer).expanduser()
    if not folder.is_dir():
        if tokenizer.startswith(("/", ".", "~")):
            raise FileNotFoundError(
                f"model {model!r}: no tokenizer folder at {tokenizer}. Set model.tokenizer=PATH to a folder with "
                f"tokenizer.json or the vocabulary, or to a name on the Hugging Face hub."
            )
        folder = fetch_tokenizer(tokenizer, who=f"model {model!r}")
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.name in TOKENIZER_FILES):
        digest.update(f"{path.name} {sha256_of(path)}\n".encode())
    return folder, digest.hexdigest()
