"""Calls one function in another environment, on behalf of `encoders.external`.

    python external_worker.py FOLDER

Needs the standard library and numpy alone, from Python 3.8 on. FOLDER/job.json says what to call: ``entry``
("module:function"), ``path`` (a folder put first on sys.path), ``clips`` (paths) and ``captions``. What comes back lies
in FOLDER/audio.npy and, unless it is None, FOLDER/text.npy. An exception lies in FOLDER/error.json: the ``stage`` that
raised (numpy, import, call or result), ``error`` and ``traceback``.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path


def main(folder):
    """Runs the job in ``folder`` and leaves the rows there, or error.json; the exit code."""
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    stage = "numpy"
    try:
        import numpy as np

        stage = "import"
        sys.path.insert(0, job["path"])
        module, _, name = job["entry"].partition(":")
        function = getattr(importlib.import_module(module), name)
        stage = "call"
        returned = function(job["clips"], job["captions"])
        stage = "result"
        if not isinstance(returned, (tuple, list)) or len(returned) != 2:
            raise TypeError("needed a pair (audio, text), got " + type(returned).__name__)
        if returned[0] is None:
            raise TypeError("needed audio rows, got None")
        for side, rows in zip(("audio", "text"), returned):  # noqa: B905 - strict= is newer than Python 3.8
            if rows is not None:
                np.save(str(folder / (side + ".npy")), np.asarray(on_cpu(rows)), allow_pickle=False)
    except Exception as error:
        record = {
            "stage": stage,
            "error": f"{type(error).__name__}: {error}",
            "traceback": "".join(traceback.format_exception(type(error), error, error.__traceback__)),
        }
        (folder / "error.json").write_text(json.dumps(record), encoding="utf-8")
        return 1
    return 0


def on_cpu(rows):
    """A tensor of torch (and of what copies its methods) as a numpy array; whatever else, as it is."""
    for step in ("detach", "cpu", "double", "numpy"):  # double: numpy has no bfloat16
        if hasattr(rows, step):
            rows = getattr(rows, step)()
    return rows


def end_with_parent():
    """Ends this process and its children when the parent is gone: it alone holds the other end of stdin open."""
    leash = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch():
        os.read(leash, 1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    faulthandler.enable()
    end_with_parent()
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    # Packages that parse the command line when they are imported find an empty one.
    code = main(Path(sys.argv.pop()))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the rows are on disk: nothing that happens while libraries shut down can spoil them
