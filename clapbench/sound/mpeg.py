"""The frames of an mp3 (MPEG-1, 2 and 2.5, layers I to III), counted by their headers.

A frame's header gives its length in bytes, so that the chain of frames is followed without decoding. A Xing or Info
header (LAME) or a VBRI header (Fraunhofer) stands in the place of the first frame and tells how many follow.
"""

from __future__ import annotations

from dataclasses import dataclass

RATES = {
    3: (44_100, 48_000, 32_000),
    2: (22_050, 24_000, 16_000),
    0: (11_025, 12_000, 8_000),
}  # Hz, by version
# kbit/s by index 1 to 14: layers I, II and III of MPEG-1, then layer I and layers II and III of MPEG-2 and 2.5.
KBITS = {
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


@dataclass(frozen=True)
class Frames:
    count: int  # whole frames of sound
    frame_length: int  # samples of each
    declared: int | None  # frames of sound by the Xing, Info or VBRI header
    is_xing: bool  # declared by the header that libmpg123 reads, Xing or Info
    is_cut: bool  # fewer than declared


def frames_of(data: bytes) -> Frames | None:
    """The frames of an mp3 file; None where there are no two that follow on each other."""
    start = after_id3(data)
    first = next_frame(data, start)
    if first is None:
        return None
    like = data[first + 1] & 0xFE, data[first + 2] & 0x0C
    declared, declared_bytes = header_count(data[first : first + (frame_bytes(data, first) or 0)])
    count, at, end = 0, first, len(data)
    while True:
        size = frame_bytes(data, at)
        if size is None or (data[at + 1] & 0xFE, data[at + 2] & 0x0C) != like:
            found = next_frame(data, at + 1, like)
            if found is None:  # tags at the end
                break
            at = found
            continue
        if at + size > end:
            break
        count += 1
        at += size
    if declared is not None:
        count -= 1  # the header's own frame holds no sound
    # Some encoders count the header's frame too; then its bytes are all there.
    spare = 1 if declared_bytes is not None and declared_bytes <= end - first else 0
    return Frames(
        count=count,
        frame_length=samples_of(data, first),
        declared=declared,
        is_xing=declared is not None and data[first + 36 : first + 40] != b"VBRI",
        is_cut=declared is not None and count + spare < declared,
    )


def after_id3(data: bytes) -> int:
    """Where the ID3v2 tags at the head end; pictures in them may look like frames."""
    start = 0
    while data[start : start + 3] == b"ID3" and len(data) >= start + 10:
        size = 0
        for byte in data[start + 6 : start + 10]:
            size = size << 7 | byte & 0x7F
        start += 10 + size + (10 if data[start + 5] & 0x10 else 0)
    return start


def next_frame(data: bytes, start: int, like: tuple[int, int] | None = None) -> int | None:
    """The first place from ``start`` on where a frame is followed by another, or ends the file."""
    at = data.find(b"\xff", start)
    while at >= 0:
        size = frame_bytes(data, at)
        if size is not None:
            kind = (data[at + 1] & 0xFE, data[at + 2] & 0x0C)
            follows = frame_bytes(data, at + size) is not None or (
                like is not None and at + size == len(data)
            )
            if follows and like in (None, kind):
                return at
        at = data.find(b"\xff", at + 1)
    return None


def frame_bytes(data: bytes, at: int) -> int | None:
    """Length in bytes of the frame at ``at``, None where no frame's header stands."""
    if at + 4 > len(data) or data[at] != 0xFF or data[at + 1] < 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
    index, rate_index = data[at + 2] >> 4, data[at + 2] >> 2 & 3
    if version == 1 or layer == 4 or index in (0, 15) or rate_index == 3:
        return None
    bits = 1000 * KBITS[version == 3, layer][index - 1]
    rate, padding = RATES[version][rate_index], data[at + 2] >> 1 & 1
    if layer == 1:
        return 4 * (12 * bits // rate + padding)
    return (72 if layer == 3 and version != 3 else 144) * bits // rate + padding


def samples_of(data: bytes, at: int) -> int:
    """Samples of a frame on each channel."""
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
    if layer == 1:
        return 384
    return 576 if layer == 3 and version != 3 else 1152


def header_count(frame: bytes) -> tuple[int | None, int | None]:
    """Frames and bytes that the first frame's Xing, Info or VBRI header declares."""
    if frame[36:40] == b"VBRI":
        return int.from_bytes(frame[50:54], "big"), int.from_bytes(frame[46:50], "big")
    for tag in (b"Xing", b"Info"):
        at = frame.find(tag, 4, 48)
        if at < 0:
            continue
        flags = int.from_bytes(frame[at + 4 : at + 8], "big")
        fields = [int.from_bytes(frame[at + 8 + 4 * n : at + 12 + 4 * n], "big") for n in range(2)]
        frames = fields.pop(0) if flags & 1 else None
        return frames, fields[0] if flags & 2 else None
    return None, None
