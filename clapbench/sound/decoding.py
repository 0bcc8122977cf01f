"""Two decoders, and a rule on a file's content that says which of them reads it.

libsndfile reads what it opens and knows the length of: wav, aiff, au, caf, flac, ogg, opus, mp3 with a Xing or Info
header or of constant bit rate. FFmpeg (by PyAV) reads the rest: m4a, aac, webm, mp3 whose length libsndfile
underestimates, flac and wav that do not tell their length. Links of a chained Ogg go through libsndfile one by one,
since FFmpeg does not cut the last block of each.

Both scale samples to -1..1 in float32, and both drop an mp3's encoder delay and padding where its LAME header tells
them; where none does, both keep the delay (about 50 ms of near-silence at the head). So they agree, sample for sample.
"""

from __future__ import annotations

import io
import logging
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from clapbench.sound.containers import NO_LENGTH, Held, Survey, survey

log = logging.getLogger(__name__)

LIBSNDFILE = "libsndfile"
BLOCK = 4096  # frames at once, where a file is read up to its damage
# What FFmpeg may take a file for. Playlists are left out: they open other files and addresses.
DEMUXERS = "aac,ac3,eac3,aiff,amr,ape,asf,au,caf,flac,flv,avi,matroska,webm,mov,mp4,mp3,mpeg,mpegts,ogg,w64,wav,wv,tta"
STDERR = threading.Lock()

Part = tuple[Float[np.ndarray, "_ _"], int]  # samples and their rate in Hz


@dataclass(frozen=True)
class Sound:
    """What a decoder gave, and what it said where it gave less than asked for."""

    samples: Float[np.ndarray, "n c"]
    rate: int  # Hz
    declared: float | None = None  # seconds by the file's header, as the decoder reads it
    failure: str | None = None


def decoder_of(path: Path) -> str:
    """Which decoder reads the file, with its version where its samples may depend on that. Reads headers alone.

    Found once per process while the file is unchanged.
    """
    state = path.stat()
    return _decoder_of(path.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=1 << 18)
def _decoder_of(path: Path, size: int, changed_ns: int) -> str:
    found = survey(path)
    if links := _links(path, found):
        return f"{LIBSNDFILE}, {len(links)} Ogg links"
    with _stderr_caught(found.is_mpeg), _opened(path, found) as sound:
        if isinstance(sound, soundfile.SoundFile):
            return LIBSNDFILE
    import av  # 50 ms, for the few files that need it

    libavcodec = ".".join(str(number) for number in av.library_versions["libavcodec"])
    return f"ffmpeg (libavcodec {libavcodec}, PyAV {av.__version__})"


def decode(path: Path | Held, found: Survey, *, seconds: float | None) -> Sound:
    """Up to ``seconds`` of the file from its head (None: all), by the decoder that `decoder_of` names."""
    if found.is_empty:
        return Sound(np.zeros((0, 1), np.float32), 1)
    if links := _links(path, found):
        return _chained(links, seconds)
    with _stderr_caught(found.is_mpeg) as said, _opened(path, found) as sound:
        if isinstance(sound, str):
            return _ffmpeg(path, seconds, refusal=sound)
        read = _read(sound, seconds)
    # How long its own Xing header says it is has been checked against the frames before.
    if lines := [line for line in said if "Xing stream size off" not in line]:
        log.warning("clip %s: libmpg123 says: %s", path, " / ".join(dict.fromkeys(lines)))
    return read


@contextmanager
def _opened(path: Path | Held, found: Survey) -> Iterator[soundfile.SoundFile | str]:
    """The file, open, where libsndfile is to read it; else why not."""
    if found.at_least >= NO_LENGTH:
        yield "not of its kinds"
        return
    try:
        sound = soundfile.SoundFile(path.open() if isinstance(path, Held) else path)
    except soundfile.LibsndfileError as error:
        yield f"Error opening {str(path)!r}: {error.error_string}"
        return
    with sound:
        if max(found.at_least, 1) <= sound.frames < NO_LENGTH:
            yield sound
            return
    yield f"it finds {sound.frames} samples" if sound.frames else ""


def _read(sound: soundfile.SoundFile, seconds: float | None) -> Sound:
    rate, frames = sound.samplerate, sound.frames
    wanted = frames if seconds is None else min(frames, int(seconds * rate))
    failure = declared = None
    try:
        samples = sound.read(wanted, dtype="float32", always_2d=True)
        if sound.format == "FLAC" and len(samples) < wanted:
            failure = "libsndfile: it ends early"
    except (soundfile.SoundFileError, MemoryError) as error:  # no memory: a length that no file has
        samples, failure = _before_damage(sound.name), f"libsndfile: {error}"
    if len(samples) < wanted and sound.format in ("FLAC", "MP3"):  # others' lengths are mended, not declared
        declared = frames / rate
    return Sound(samples, rate, declared=declared, failure=failure)


def _before_damage(file: str | io.BytesIO) -> Float[np.ndarray, "n c"]:
    if not isinstance(file, str):
        file.seek(0)
    with soundfile.SoundFile(file) as sound:
        blocks = [np.zeros((0, sound.channels), np.float32)]
        with suppress(soundfile.SoundFileError):
            while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
                blocks.append(block)
    return np.concatenate(blocks)


def _links(path: Path | Held, found: Survey) -> list[bytes]:
    """The links of a chained Ogg, each a file of its own; none where there is no chain that libsndfile reads."""
    if len(found.links) < 2:
        return []
    data = path.read_bytes()
    links = [data[start:end] for start, end in pairwise((*found.links, len(data)))]
    try:
        for link in links:
            with soundfile.SoundFile(io.BytesIO(link)) as sound:
                if not sound.frames:
                    return []
    except soundfile.SoundFileError:
        return []
    return links


def _chained(links: list[bytes], seconds: float | None) -> Sound:
    parts: list[Part] = []
    failure, held = None, 0.0
    for link in links:
        if failure or (seconds is not None and held >= seconds):
            break
        with soundfile.SoundFile(io.BytesIO(link)) as file:
            sound = _read(file, None if seconds is None else seconds - held)
        parts.append((sound.samples, sound.rate))
        failure, held = sound.failure, held + len(sound.samples) / sound.rate
    return Sound(*_joined(parts), failure=failure)


def _ffmpeg(path: Path | Held, seconds: float | None, *, refusal: str) -> Sound:
    """Decoded frames up to ``seconds`` or to damage; what ends a file may be broken, since nothing follows on it."""
    import av

    parts: list[Part] = []
    failure = declared = None
    held = 0.0
    options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "none"}
    if not refusal:  # a header that libsndfile takes at its word, that there is nothing
        options["ignore_length"] = "1"
    try:
        # An open file: a path may look like an address to FFmpeg.
        with (
            _Memory(path.data) if isinstance(path, Held) else _File(path) as file,
            av.open(file, "r", options=options, metadata_errors="ignore") as container,
        ):
            if not container.streams.audio:
                return Sound(np.zeros((0, 1), np.float32), 1, failure="FFmpeg finds no audio stream in it")
            stream = container.streams.audio[0]
            declared = _declared(container, stream)
            for packet in container.demux(stream):
                if failure and packet.size:
                    break
                try:
                    decoded = packet.decode()
                except av.error.InvalidDataError as error:
                    failure = f"FFmpeg: {error.strerror}"
                    continue
                for frame in decoded:
                    parts.append((_scaled(frame), frame.sample_rate))
                    held += frame.samples / frame.sample_rate
                if seconds is not None and held >= seconds:
                    break
            else:
                failure = None if parts else failure
    except (av.error.FFmpegError, ValueError) as error:
        failure = f"FFmpeg: {getattr(error, 'strerror', None) or error}"
    if not parts:  # without a refusal the file is in order and empty
        words = f"libsndfile: {refusal}; {failure or 'FFmpeg: no samples'}" if refusal else None
        return Sound(np.zeros((0, 1), np.float32), 1, failure=words)
    return Sound(*_joined(parts), declared=declared, failure=failure)


class _File(io.FileIO):
    """PyAV prints the errors of a file's methods: a seek to nowhere is told to FFmpeg alone."""

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return super().seek(offset, whence)
        except (OSError, OverflowError):
            return -1


class _Memory(io.BytesIO):
    """The same for a file in memory."""

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return -1


def _declared(container: Any, stream: Any) -> float | None:
    """Seconds by the header of an MP4 or Matroska file; of other formats FFmpeg may but estimate them."""
    names = set(container.format.name.split(","))
    if "mov" in names and stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if "matroska" in names and container.duration else None


def _scaled(frame: Any) -> Float[np.ndarray, "n c"]:
    """A frame of FFmpeg's as float32 in -1..1; its samples are integers or floats, with channels apart or in turn."""
    samples = frame.to_ndarray()
    samples = samples.T if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)
    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    half = 2.0 ** (8 * samples.dtype.itemsize - 1)
    zero = 1.0 if samples.dtype.kind == "u" else 0.0  # unsigned samples lie around half of their range
    return (samples / half - zero).astype(np.float32)


def _joined(parts: list[Part]) -> Part:
    """One after the other, at the rate and with as many channels as the first: those of others become their mean."""
    rate, channels = parts[0][1], parts[0][0].shape[1]
    joined = []
    for own, group in groupby(parts, key=lambda part: part[1]):
        samples = np.concatenate([with_channels(part, channels) for part, _ in group])
        joined.append(samples if own == rate else soxr.resample(samples, own, rate, quality="HQ"))
    return np.concatenate(joined), rate


def with_channels(samples: Float[np.ndarray, "n _"], channels: int) -> Float[np.ndarray, "n {channels}"]:
    """Samples with this many channels: where their number differs, each is the mean of all."""
    if samples.shape[1] == channels:
        return samples
    return samples.mean(axis=1, keepdims=True).repeat(channels, axis=1)


@contextmanager
def _stderr_caught(is_mpeg: bool) -> Iterator[list[str]]:
    """What libmpg123 writes to the process's standard error, as lines once the block has ended; it names no file."""
    said: list[str] = []
    if not is_mpeg:
        yield said
        return
    with STDERR, tempfile.TemporaryFile() as caught:
        terminal = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            caught.seek(0)
            lines = caught.read().decode(errors="replace").splitlines()
            said.extend(line.strip() for line in lines if line.strip())
