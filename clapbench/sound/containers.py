"""What a sound file's own structure says of its length, read from headers alone: is the end of it missing?

libsndfile mends a wrong length silently, so a download that broke off looks like a shorter clip. Each container here
says how many bytes, frames or pages belong to it; `survey` compares that with what is there. A header that does not
know the length (a stream written into a pipe) declares nothing.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BufferedIOBase
from pathlib import Path
from typing import Literal

from clapbench.sound.mpeg import frames_of

# Sizes from here on stand for "not known": sox writes about 0x7F000000 or 0x7FFFF000 into a pipe, others 0x80000000,
# ffmpeg 0xFFFFFFFF or 2**63 - 1. No clip is that long: 2 GiB are three hours of CD.
UNKNOWN = 0x7E000000
FARTHEST = 2**40  # bytes: no file goes on behind, and no system seeks much farther
NO_LENGTH = 2**62  # sample frames; libsndfile's sign for a length that is not known is 2**63 - 1
Order = Literal["<", ">"]


@dataclass(frozen=True)
class Held:
    """A sound file in memory, as from an archive: its path there, and its bytes. Read as a `Path` is."""

    path: Path
    data: bytes

    @property
    def suffix(self) -> str:
        """The ending of its name, with the dot."""
        return self.path.suffix

    def read_bytes(self) -> bytes:
        """All of it."""
        return self.data

    def open(self, mode: str = "rb") -> io.BytesIO:
        """A stream of its bytes."""
        return io.BytesIO(self.data)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class Cut:
    """The end of a file is missing. ``share`` of its sound is there, where the file says how much there should be."""

    share: float | None = None
    sign: str = "its header declares more than it holds"


@dataclass(frozen=True)
class Survey:
    """What the headers of a file say of its sound."""

    is_empty: bool = False  # no sound, for certain
    is_mpeg: bool = False  # libsndfile may ask libmpg123, which writes to the terminal
    cut: Cut | None = None
    links: tuple[int, ...] = ()  # bytes at which the streams of a chained Ogg begin
    at_least: int = 0  # sample frames that a decoder must know of, lest it stops early


@dataclass(frozen=True)
class Chunk:
    """A chunk of a RIFF-like container: where its body starts and how long it is declared to be."""

    tag: bytes
    start: int  # of the body, in bytes
    size: int  # of the body, in bytes, as its header declares


def survey(path: Path | Held) -> Survey:
    """What the file's structure says; an empty `Survey` for a structure that is not known here."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        head = file.read(24)
        if head.startswith(b"OggS"):
            return ogg(file, size)
        declared = declared_sound(file, head)
        # libsndfile trusts the name where zeros or the like stand at the head.
        by_name = path.suffix.lower() in (".mp3", ".mp2")
        if declared is None and (by_name or head.startswith(b"ID3") or is_sync(head)):
            return mpeg(file, start=0)
        cut = None
        if declared is not None and size < declared.start + declared.size < declared.start + UNKNOWN:
            cut = Cut(share=max(0, size - declared.start) / max(declared.size, 1))
        if declared is not None and declared.size == 0 and head.startswith(b"RIFF"):
            return Survey(is_empty=is_followed(file, declared, size))
        if declared is not None and head[12:16] == b"fmt " and head[20:22] == b"\x55\0":  # mp3 in a WAV
            return replace(mpeg(file, start=declared.start), cut=cut)
        hides_format = head.startswith(b"RIFF") and head[12:16] != b"fmt "  # of a WAV, behind other chunks
    return Survey(is_mpeg=by_name or hides_format, cut=cut)


def is_sync(head: bytes) -> bool:
    """Whether bytes begin as a frame of MPEG audio does."""
    return head[:1] == b"\xff" and head[1:2] >= b"\xe0"


def declared_sound(file: BufferedIOBase, head: bytes) -> Chunk | None:
    """The part of the file that holds its sound, by its container's header; None where that says nothing."""
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return wave_data(file, ">" if head.startswith(b"RIFX") else "<")
    if head.startswith(b"FORM"):
        return body(file, b"BODY" if head[8:12] in (b"8SVX", b"16SV") else b"SSND", start=12, order=">")
    if head.startswith(b"caff"):
        return body(file, b"data", start=8, order=">", width=8, pad=1)
    if head.startswith(b"riff\x2e\x91\xcf\x11"):  # W64; sizes count the chunk's own 24 bytes
        return body(file, b"data", start=40, order="<", width=8, pad=8, guid=True)
    if head[:4] in (b".snd", b"dns."):  # AU, of either byte order
        order = ">II" if head.startswith(b".snd") else "<II"
        return Chunk(b"", *struct.unpack(order, head[4:12])) if len(head) >= 12 else None
    if head.startswith(b"NIST_1A"):
        return nist(file)
    if head[4:8] in (b"ftyp", b"styp"):
        return last_box(file)
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return segment(file)
    return None


def chunks(
    file: BufferedIOBase, *, start: int, order: Order, width: int = 4, pad: int = 2, guid: bool = False
) -> Iterator[Chunk]:
    """The chunks from byte ``start`` on: a tag, a size of ``width`` bytes, a body padded to ``pad`` bytes."""
    tag = 16 if guid else 4
    while start < FARTHEST:
        file.seek(start)
        header = file.read(tag + width)
        if len(header) < tag + width:
            return
        (size,) = struct.unpack(order + ("I" if width == 4 else "Q"), header[tag:])
        if guid:
            size = max(0, size - len(header))
        yield Chunk(header[:4], start + len(header), size)
        start += len(header) + size + -size % pad


def body(
    file: BufferedIOBase,
    tag: bytes,
    *,
    start: int,
    order: Order,
    width: int = 4,
    pad: int = 2,
    guid: bool = False,
) -> Chunk | None:
    """The chunk that ``tag`` names, the first from ``start`` on; None where the file ends before."""
    found = chunks(file, start=start, order=order, width=width, pad=pad, guid=guid)
    return next((chunk for chunk in found if chunk.tag == tag), None)


def wave_data(file: BufferedIOBase, order: Order) -> Chunk | None:
    """The data chunk of a WAV; where its 32 bits do not suffice (RF64, BW64), ds64 holds its size."""
    long_size = None
    for chunk in chunks(file, start=12, order=order):
        if chunk.tag == b"ds64":
            file.seek(chunk.start + 8)
            (long_size,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
        if chunk.tag == b"data":
            is_long = long_size is not None and chunk.size == 0xFFFFFFFF
            return Chunk(chunk.tag, chunk.start, long_size if is_long and long_size else chunk.size)
    return None


def is_followed(file: BufferedIOBase, data: Chunk, size: int) -> bool:
    """Whether nothing or chunks follow on an empty data chunk, up to the file's end: else it is a stream's sound."""
    end = data.start
    for chunk in chunks(file, start=data.start, order="<"):
        end = chunk.start + chunk.size + chunk.size % 2
    return end == size


def nist(file: BufferedIOBase) -> Chunk | None:
    """SPHERE: lines of ``name -type value`` in a header whose length stands in its second line."""
    file.seek(8)
    try:
        length = int(file.read(8))
        fields = dict(
            line.split()[::2] for line in file.read(length - 16).splitlines() if line.count(b" -i ")
        )
        names = (b"sample_count", b"sample_n_bytes", b"channel_count")
        count, width, channels = (int(fields[name]) for name in names)
    except (ValueError, KeyError):
        return None
    return Chunk(b"", length, count * width * channels)


def last_box(file: BufferedIOBase) -> Chunk | None:
    """The last box of an MP4 or M4A: the one that a cut goes through."""
    box = None
    start = 0
    while start < FARTHEST:
        file.seek(start)
        header = file.read(16)
        if len(header) < 8:
            return box
        (size,) = struct.unpack(">I", header[:4])
        if size == 1 and len(header) == 16:
            (size,) = struct.unpack(">Q", header[8:])
        if size < 8:  # 0: up to the end of the file, however long
            return None
        box = Chunk(header[4:8], start, size)
        start += size
    return box


def segment(file: BufferedIOBase) -> Chunk | None:
    """The segment of a Matroska or WebM file; a live stream gives none a size."""
    start = 0
    for tag in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):
        file.seek(min(start, FARTHEST))
        header = file.read(12)
        if not header.startswith(tag) or len(header) < 12 or header[4] == 0:
            return None
        width = 9 - header[4].bit_length()
        size = int.from_bytes(header[4 : 4 + width], "big") & ((1 << 7 * width) - 1)
        if size == (1 << 7 * width) - 1:
            return None
        start += 4 + width + (size if tag.startswith(b"\x1a") else 0)
    return Chunk(tag, start, size)


def ogg(file: BufferedIOBase, size: int) -> Survey:
    """Walks the pages: where links of a chain begin, and whether the last link's streams are all marked as ended."""
    links: list[int] = []
    running: set[bytes] = set()
    start, in_data = 0, True
    while start < size:
        file.seek(start)
        header = file.read(27 + 255)
        if not header.startswith(b"OggS") or len(header) < 27:
            break  # other data after the last page, or a page header that is cut
        table = header[27 : 27 + header[26]]
        flags, serial = header[5], header[14:18]
        if flags & 2 and in_data:  # a first page that follows on data: the next link
            links.append(start)
            running.clear()
        in_data = not flags & 2
        length = 27 + header[26] + sum(table)
        if start + length > size or len(table) < header[26]:
            running.add(serial)
            break
        if flags & 4:
            running.discard(serial)
        elif flags & 2:
            running.add(serial)
        start += length
    cut = Cut(sign="its last Ogg page is not marked as the end of the stream") if running else None
    return Survey(cut=cut, links=tuple(links))


def mpeg(file: BufferedIOBase, *, start: int) -> Survey:
    """Counts an mp3's frames, and compares them with its Xing, Info or VBRI header where it has one.

    Without one, and with VBRI, libmpg123 can but estimate the length, from the first frame's bit rate.
    """
    file.seek(start)
    data = file.read()
    found = frames_of(data)
    if found is None:  # a FLAC behind an ID3 tag, or AAC, which libmpg123 would take for broken frames
        return Survey(is_mpeg=True, at_least=NO_LENGTH if data.startswith(b"\xff") else 0)
    known = found.is_xing and found.declared is not None and found.declared >= found.count
    return Survey(
        is_mpeg=True,
        cut=Cut(share=found.count / max(found.declared or 1, 1)) if found.is_cut else None,
        at_least=0 if known else found.count * found.frame_length,
    )
