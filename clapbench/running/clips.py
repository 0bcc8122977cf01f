"""Which clips of a benchmark cannot be read: found before anything is encoded, told together, and remembered.

Every clip is decoded once as the model will hear it. The outcome lies in the cache folder under what decides it: the
benchmark's content, the window, and the versions of what decodes. So the same command neither decodes again nor gets
another key.
"""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.progress import track

from clapbench import files
from clapbench.benchmarks.base import Benchmark
from clapbench.console import console
from clapbench.encoders.base import Hearing
from clapbench.running.batches import cores
from clapbench.sound.waves import ClipError, load_wave

log = logging.getLogger(__name__)

DECODERS = ("clapbench", "soundfile", "soxr", "av")  # packages that decide whether a clip can be read


@dataclass(frozen=True)
class ClipCheck:
    """What is to be found out of a benchmark's clips, and the file that remembers it."""

    benchmark: Benchmark
    hearing: Hearing
    memory: Path

    @classmethod
    def of(cls, benchmark: Benchmark, *, hearing: Hearing, fingerprint: str, cache: Path) -> ClipCheck:
        """``fingerprint`` is that of the benchmark with all of its clips."""
        versions = {}
        for package in DECODERS:
            with suppress(PackageNotFoundError):
                versions[package] = version(package)
        key = files.key_of({"benchmark": fingerprint, "window": hearing.window, "versions": versions})
        return cls(benchmark, hearing, cache / "clips" / f"{benchmark.name}-{key[:16]}.json")

    def remembered(self) -> dict[str, str] | None:
        """Broken clips with their reasons, as found before; None where nobody has looked."""
        try:
            found = json.loads(self.memory.read_text(encoding="utf-8"))["broken"]
            return {str(clip): str(reason) for clip, reason in found.items()}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s cannot be read (%s). The clips are checked again.", self.memory, error)
            return None

    def run(self) -> dict[str, str]:
        """Decodes every clip once; broken ones with their reasons. libsndfile leaves the interpreter to others."""
        clips = self.benchmark.clips()
        pool = ThreadPoolExecutor(cores())
        try:
            reasons = list(
                track(
                    pool.map(self.reason, clips),
                    description=f"{self.benchmark.name}: reading clips",
                    total=len(clips),
                    console=console,
                    transient=True,
                    disable=not console.is_terminal,
                )
            )
        finally:
            pool.shutdown(cancel_futures=True)
        broken = {clip: reason for clip, reason in zip(clips, reasons, strict=True) if reason is not None}
        record = {"bench": self.benchmark.name, "clips": len(clips), "broken": broken}
        files.write_text(self.memory, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        return broken

    def reason(self, clip: str) -> str | None:
        """Why the clip cannot be read; None where it can."""
        try:
            load_wave(
                self.benchmark.audio_path(clip),
                sample_rate=self.hearing.sample_rate,
                window=self.hearing.window,
            )
        except ClipError as error:
            return error.reason
        except OSError as error:
            return error.strerror or str(error)
        return None
