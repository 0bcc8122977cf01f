"""Zip archives, unpacked with care, and what a file is that should be one."""

from __future__ import annotations

import os
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath


class ArchiveError(ValueError):
    """A file that is no sound zip, or one that would write outside of its folder."""


def unpack(archive: Path, folder: Path, *, who: str) -> None:
    """Unpacks a zip into ``folder``, which appears when all is there. ``__MACOSX`` and links are left out.

    Raises `ArchiveError` for a file that is no sound zip, and for a member that would land outside the folder: then
    nothing is written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [
                member
                for member in opened.infolist()
                if "__MACOSX" not in PurePosixPath(member.filename).parts
            ]
            for member in members:
                if not stays_inside(member.filename):
                    raise ArchiveError(
                        f"{who}: {archive} holds {member.filename!r}, which would land outside its folder. "
                        f"Nothing was unpacked. Get the archive from its authors."
                    )
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as outer:
                inner = Path(outer) / "content"
                inner.mkdir()
                for member in members:
                    if not stat.S_ISLNK(member.external_attr >> 16):
                        opened.extract(member, inner)
                if folder.is_dir():
                    os.rename(folder, Path(outer) / "earlier")
                os.rename(inner, folder)
    except (
        zipfile.BadZipFile,
        zlib.error,
        RuntimeError,
        EOFError,
    ) as error:  # RuntimeError: it wants a password
        told = f"is damaged: {error}." if zipfile.is_zipfile(archive) else what_it_is(archive)
        raise ArchiveError(f"{who}: {archive} {told} Delete it and try again.") from error


def stays_inside(path: str) -> bool:
    """Whether a path, by the rules of POSIX and of Windows, is relative and stays below where it starts."""
    windows = PureWindowsPath(path)
    return bool(path) and not windows.anchor and ".." not in windows.parts


def what_it_is(path: Path) -> str:
    """What a file is that should be an archive and is not, in words."""
    with path.open("rb") as file:
        head = file.read(64).lower()
    size = path.stat().st_size
    if is_web_page(path):
        return f"is a web page ({size} bytes): the host asked for a confirmation or refused."
    if head.startswith(b"pk"):
        return f"is cut off: its {size} bytes lack the end of the archive."
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself."
    if head.startswith(b"\x80"):
        return "is a bare pickle, as torch before 1.6 wrote them: load and save it with a newer torch."
    return f"is no zip archive ({size} bytes)."


def is_web_page(path: Path) -> bool:
    """Whether the file is HTML or XML, which hosts send when they want a confirmation or refuse."""
    with path.open("rb") as file:
        head = file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head"))
