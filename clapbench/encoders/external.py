"""``model=external``: a function in another interpreter embeds the clips and captions.

For an upstream package whose pins clash with this environment. Its interpreter runs `external_worker.py` by path, so
clapbench need not be installed there. A job goes in by a JSON file in a temporary folder, and rows come back by NPY
files beside it. The process leads a session of its own: what it started ends with it, however it ends.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from clapbench.encoders.outside import Outside, check_dimensions, check_rows, unit_rows
from clapbench.files import sha256_of
from clapbench.kinds import Folder, Name, Seconds, Text
from clapbench.schema import Embeddings

log = logging.getLogger(__name__)

WORKER = Path(__file__).with_name("external_worker.py")
OLDEST = (3, 8)  # Python that the worker runs on
LINES = 8  # of output and of a traceback, in an error
# Belong to this environment, and would mix it into the other.
OURS = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}


class External(Outside):
    """Arguments are those of conf/model/external.yaml.

    ``entry`` is "module:function", with ``function(clips: list[str], captions: list[str]) -> (audio, text)``: rows
    [n, d] and [m, d] in the order given, as anything ``np.asarray`` takes or torch tensors; text None for a
    model without a text side.

    Raises ``FileNotFoundError`` for a python or path that is not there. ``embed`` raises ``ChildProcessError`` for an
    entry that does not import, raises or dies, ``TimeoutError``, and ``ValueError`` for rows of a wrong shape or
    without direction.
    """

    recipe = 1
    places = frozenset({"name", "python", "path", "timeout"})

    def __init__(
        self,
        *,
        name: Name,
        python: Text,
        entry: Text,
        path: Folder = ".",
        timeout: Seconds | None = 3600.0,
        version: Text | None = None,
    ) -> None:
        if timeout is not None and timeout <= 0:
            raise ValueError(f"model {name!r}: timeout must be positive seconds or null, got {timeout}.")
        self.name, self.timeout, self.entry = name, timeout, entry
        self.python, _ = interpreter(python, model=name)
        self.path = entry_folder(path, model=name)
        if source_of(entry, path=self.path, model=name) is None and version is None:
            log.warning(
                "model %r: %s is not under %s, so its code is no part of the cache key. "
                "Raise model.version when it changes.",
                name,
                entry,
                self.path,
            )

    @classmethod
    def fingerprint(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Adds the interpreter's path and version, and as checkpoint the file that defines the entry.

        What that file imports does not count: ``version`` is there to be raised when such code changes.
        """
        model, entry = arguments["name"], arguments["entry"]
        python, version = interpreter(arguments["python"], model=model)
        source = source_of(entry, path=entry_folder(arguments.get("path", "."), model=model), model=model)
        return {
            **super().fingerprint(arguments),
            "python": [python, version],
            "checkpoint": {
                "file": source.name if source else entry,
                "sha256": sha256_of(source) if source else None,
            },
        }

    def embed(self, *, clips: Mapping[str, Path], captions: Sequence[str]) -> Embeddings:
        job = {
            "entry": self.entry,
            "path": str(self.path),
            "clips": [os.path.abspath(path) for path in clips.values()],
            "captions": list(captions),
        }
        with tempfile.TemporaryDirectory(prefix="clapbench-external-") as temporary:
            folder = Path(temporary)
            (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
            self._run(folder)
            audio, text = rows_in(folder / "audio.npy"), rows_in(folder / "text.npy")

        who = f"model {self.name!r}: what {self.entry} returned"
        assert audio is not None
        check_rows(audio, side="audio", n=len(clips), who=who)
        if text is None:
            captions, text = (), np.empty((0, audio.shape[1]))
        check_rows(text, side="text", n=len(captions), who=who)
        check_dimensions(audio=audio, text=text, who=who)
        return Embeddings(
            audio=unit_rows(audio, side="audio", ids=tuple(clips), who=who),
            audio_id=tuple(clips),
            text=unit_rows(text, side="text", ids=captions, who=who),
            text_id=tuple(captions),
        )

    def _run(self, folder: Path) -> None:
        """Lets the other interpreter work on the job in ``folder``; raises unless it ended well."""
        output = folder / "output.txt"
        log.info("model %r: %s runs %s, its output is in %s", self.name, self.python, self.entry, output)
        with (
            output.open("wb") as written,
            subprocess.Popen(
                [self.python, str(WORKER), str(folder)],
                stdin=subprocess.PIPE,  # never written to: it ends when we do, and the worker with it
                stdout=written,
                stderr=subprocess.STDOUT,
                env=environment() | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8:backslashreplace"},
                start_new_session=True,
            ) as process,
        ):
            try:
                code = process.wait(timeout=self.timeout)
            except subprocess.TimeoutExpired as error:
                raise TimeoutError(
                    f"model {self.name!r}: {self.entry} did not finish within {self.timeout:g} s and was ended. "
                    f"Set model.timeout=SECONDS, or null to wait for ever.{last_output(output)}"
                ) from error
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if (raised := folder / "error.json").is_file():
            raise self._failure(**json.loads(raised.read_text(encoding="utf-8")), output=last_output(output))
        if code != 0 or not (folder / "audio.npy").is_file():
            raise ChildProcessError(
                f"model {self.name!r}: {self.python} {ending(code)} before {self.entry} returned. "
                f"Run the function in that environment alone to see why.{last_output(output)}"
            )

    def _failure(self, *, stage: str, error: str, traceback: str, output: str) -> Exception:
        """What to raise for an exception in the other interpreter."""
        who = f"model {self.name!r}: "
        trace = quoted("Traceback", traceback)
        if stage == "numpy":
            return ChildProcessError(
                f"{who}needed numpy in the environment of {self.python}, got {error}. Install it there: "
                f"{self.python} -m pip install numpy"
            )
        if stage == "import":
            return ChildProcessError(
                f"{who}{self.entry} cannot be imported by {self.python}: {error}. Set model.entry=module:function, and "
                f"model.path to the folder of the module (now {self.path}).{trace}{output}"
            )
        if stage == "result":
            return ValueError(
                f"{who}what {self.entry} returned is no pair (audio, text) of arrays: {error}. "
                f"Return rows [n, d] for the clips and [m, d] for the captions.{output}"
            )
        return ChildProcessError(f"{who}{self.entry} raised {error}. Correct the function.{trace}{output}")


def rows_in(path: Path) -> np.ndarray | None:
    return np.load(path, allow_pickle=False) if path.is_file() else None


def interpreter(python: Text, *, model: str) -> tuple[str, str]:
    """Absolute path and version line of an interpreter. A link stays one: a virtual environment is known by its own."""
    found = shutil.which(os.path.expanduser(python))
    if found is None:
        raise FileNotFoundError(
            f"model {model!r}: no interpreter at {python}. Set model.python=PATH to the python of the environment that "
            f"holds the model, as /envs/NAME/bin/python."
        )
    path = os.path.abspath(found)
    try:
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment(),
            timeout=60,
        )
        line = (done.stdout or done.stderr).strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        line = str(error)
    version = re.match(r"Python (\d+)\.(\d+)", line)
    if version is None or (int(version[1]), int(version[2])) < OLDEST:
        raise ValueError(
            f"model {model!r}: needed Python {OLDEST[0]}.{OLDEST[1]} or newer at {path}, "
            f"it says {line[:100]!r}. Set model.python=PATH to another."
        )
    return path, line


def entry_folder(path: str | Path, *, model: str) -> Path:
    folder = Path(path).expanduser().absolute()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"model {model!r}: no folder at {folder}. Set model.path=DIR to the folder of the module in model.entry."
        )
    return folder


def source_of(entry: Text, *, path: Path, model: str) -> Path | None:
    """The file under ``path`` that defines the module of ``entry``; None where it is installed elsewhere."""
    module, _, function = entry.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), function)):
        raise ValueError(
            f"model {model!r}: entry must be module:function, as my_clap:embed; got {entry!r}. Set model.entry."
        )
    stem = path.joinpath(*module.split("."))
    return next((file for file in (stem / "__init__.py", stem.with_suffix(".py")) if file.is_file()), None)


def environment() -> dict[str, str]:
    """The environment variables without those that tell Python where this environment is."""
    return {key: value for key, value in os.environ.items() if key not in OURS}


def ending(code: int) -> str:
    """How a process of this return code ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    known = -code in {int(number) for number in signal.Signals}
    name = signal.Signals(-code).name if known else f"signal {-code}"
    return f"was killed by {name}" + (" (out of memory?)" if -code == signal.SIGKILL else "")


def last_output(path: Path) -> str:
    return quoted("Its last output", path.read_bytes()[-8192:].decode(errors="replace"))


def quoted(title: str, text: str) -> str:
    """The last lines of ``text`` under a title, or nothing; a progress bar's carriage returns end lines too."""
    lines = [line.rstrip()[:200] for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return "\n".join(["", f"{title}:", *(f"  {line}" for line in lines[-LINES:])]) if lines else ""
