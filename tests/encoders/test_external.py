"""Embeddings from another interpreter arrive in order, every failure is one clear error, and nothing is left behind."""

from __future__ import annotations

import ast
import fcntl
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Compose

from clapbench import config
from clapbench.encoders import external
from clapbench.encoders.external import External
from clapbench.files import sha256_of

ENTRY = '''
import hashlib
import os
import sys

import numpy as np

D = 8


def row(text):
    """A row that its text alone decides."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    return 3.0 * np.random.RandomState(seed).standard_normal(D)


def rows(texts):
    return np.array([row(text) for text in texts])


def embed(clips, captions):
    assert all(os.path.isabs(clip) for clip in clips)
    return rows([os.path.basename(clip) for clip in clips]), rows(captions)


def single(clips, captions):
    return embed(clips, captions)[0].astype(np.float32), rows(captions).tolist()


def audio_only(clips, captions):
    return embed(clips, captions)[0], None


def surroundings(clips, captions):
    ours = os.path.dirname(sys.argv[0])
    print(sys.argv, sys.path[0], os.environ.get("PYTHONPATH"), sys.stdin.read(), ours in sys.path)
    raise LookupError


def chatty(clips, captions):
    for number in range(300):
        print("\\rstep", number, "größe", end="")
    raise ValueError("no such weights")


def leave(clips, captions):
    sys.exit(0)


def crash(clips, captions):
    print("about to fail")
    os.kill(os.getpid(), 9)


def one_row_short(clips, captions):
    audio, text = embed(clips, captions)
    return audio[1:], text


def flat(clips, captions):
    return rows(clips), rows(captions).ravel()


def narrow(clips, captions):
    audio, text = embed(clips, captions)
    return audio, text[:, 1:]


def ragged(clips, captions):
    return rows(clips), [[1.0], [1.0, 2.0]]


def words(clips, captions):
    return np.array([["a"] * D] * len(clips)), rows(captions)


def array(clips, captions):
    return rows(clips)


def nothing(clips, captions):
    return None, rows(captions)


def nan(clips, captions):
    audio, text = embed(clips, captions)
    text[1, 3] = np.nan
    return audio, text


def zero(clips, captions):
    audio, text = embed(clips, captions)
    audio[0] = 0
    return audio, text
'''

# Holds a lock that its child inherits: nobody else can take it while either lives.
HANG = """
import fcntl, subprocess, sys, time
from pathlib import Path

def embed(clips, captions):
    lock = open(Path(__file__).with_name("lock"), "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"], pass_fds=[lock.fileno()])
    print("loading the model", flush=True)
    time.sleep(20)
"""

CLIPS = {"b/two.wav": Path("/sounds/two.wav"), "a/one.wav": Path("/sounds/one.wav")}
CAPTIONS = ["A dog, then « rain » 🌧", "A dog", "Bell"]

Build = Callable[..., External]


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """An `External` whose module is in a folder of its own; temporary folders go to another one."""
    (tmp_path / "entries").mkdir()
    (tmp_path / "temporary").mkdir()
    (tmp_path / "entries" / "mine.py").write_text(ENTRY, encoding="utf-8")
    (tmp_path / "entries" / "hang.py").write_text(HANG, encoding="utf-8")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def with_entry(entry: str = "mine:embed", **arguments: object) -> External:
        given = {"name": "x", "python": sys.executable, "path": str(tmp_path / "entries"), **arguments}
        return External(entry=entry, **given)

    return with_entry


def embed(model: External):
    return model.embed(clips=CLIPS, captions=CAPTIONS)


def wait_for_lock(path: Path, *, seconds: float = 10.0) -> None:
    """Takes the lock, which is free once every process that held it is gone."""
    until = time.monotonic() + seconds
    with path.open("w") as lock:
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                assert time.monotonic() < until, "a process is left"
                time.sleep(0.02)


def test_rows_come_back_in_order_with_unit_length(build: Build, tmp_path: Path) -> None:
    model = build()
    found = embed(model)
    assert found.audio_id == ("b/two.wav", "a/one.wav")
    assert found.text_id == tuple(CAPTIONS)
    assert found.audio.dtype == found.text.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(np.r_[found.audio, found.text], axis=1), 1.0, rtol=1e-6)
    space: dict[str, Callable[[list[str]], np.ndarray]] = {}
    exec(ENTRY, space)
    for rows, texts in ((found.audio, ["two.wav", "one.wav"]), (found.text, CAPTIONS)):
        expected = space["rows"](texts)
        np.testing.assert_allclose(
            rows, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-7
        )

    backwards = model.embed(clips=dict(reversed(CLIPS.items())), captions=[*CAPTIONS[::-1], "Bell"])
    np.testing.assert_array_equal(backwards.audio, found.audio[::-1])
    np.testing.assert_array_equal(backwards.text[:-1], found.text[::-1])
    np.testing.assert_array_equal(backwards.text[-1], backwards.text[0])
    assert not list((tmp_path / "temporary").iterdir())


def test_float32_and_lists_serve_as_well(build: Build) -> None:
    np.testing.assert_allclose(embed(build("mine:single")).text, embed(build()).text, atol=1e-7)


def test_tensors_of_torch_serve_as_well(build: Build, tmp_path: Path) -> None:
    """A stand-in with the methods of a tensor that needs a gradient: torch takes seconds to import."""
    (tmp_path / "entries" / "tensors.py").write_text(
        "import mine\n"
        "class Tensor:\n"
        "    def __init__(self, rows, steps=()): self.rows, self.steps = rows, steps\n"
        "    def __array__(self, *arguments, **options): raise ChildProcessError('call detach, cpu')\n"
        "    def detach(self): return Tensor(self.rows, (*self.steps, 'detach'))\n"
        "    def cpu(self): return Tensor(self.rows, (*self.steps, 'cpu'))\n"
        "    def double(self): return Tensor(self.rows, (*self.steps, 'double'))\n"
        "    def numpy(self):\n"
        "        assert self.steps == ('detach', 'cpu', 'double')\n"
        "        return self.rows\n"
        "def embed(clips, captions):\n"
        "    audio, text = mine.embed(clips, captions)\n"
        "    return Tensor(audio), Tensor(text)\n"
    )
    np.testing.assert_array_equal(embed(build("tensors:embed")).audio, embed(build()).audio)


def test_a_model_without_text_gives_no_text_rows(build: Build) -> None:
    found = embed(build("mine:audio_only"))
    assert found.text.shape == (0, 8)
    assert found.text_id == ()
    assert len(found.audio_id) == 2


def test_nothing_of_this_environment_reaches_the_other(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    with pytest.raises(ChildProcessError, match="LookupError") as raised:
        embed(build("mine:surroundings"))
    printed = f"[{str(external.WORKER)!r}] {tmp_path / 'entries'} None  False"
    assert printed in str(raised.value)


def test_an_exception_is_told_with_its_traceback_and_the_last_output(build: Build, tmp_path: Path) -> None:
    with pytest.raises(ChildProcessError, match="mine:chatty raised ValueError: no such weights") as raised:
        embed(build("mine:chatty"))
    message = str(raised.value)
    assert message.startswith("model 'x':")
    assert 'raise ValueError("no such weights")' in message
    assert "step 299 größe" in message
    assert "step 200" not in message
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    ("entry", "kind", "message"),
    [
        ("nowhere:embed", ChildProcessError, r"cannot be imported by .*No module named 'nowhere'.*model\.path"),
        ("mine:absent", ChildProcessError, r"no attribute 'absent'"),
        ("mine:leave", ChildProcessError, r"ended with exit code 0 before mine:leave returned"),
        ("mine:crash", ChildProcessError, r"killed by SIGKILL \(out of memory\?\).*(?s:.)*about to fail"),
        ("mine:one_row_short", ValueError, r"audio rows \[2, d\].*got \[1, 8\] of float64"),
        ("mine:flat", ValueError, r"text rows \[3, d\].*got \[24\]"),
        ("mine:narrow", ValueError, r"got audio \[2, 8\], text \[3, 7\]"),
        ("mine:ragged", ValueError, r"mine:ragged returned is no pair .* of arrays"),
        ("mine:words", ValueError, r"of real numbers.*got \[2, 8\] of <U1"),
        ("mine:array", ValueError, r"needed a pair \(audio, text\), got ndarray"),
        ("mine:nothing", ValueError, r"needed audio rows, got None"),
        ("mine:nan", ValueError, r"text row of 'A dog' is not finite \(1 of 3 rows\)"),
        ("mine:zero", ValueError, r"audio row of 'b/two\.wav' is zero"),
    ],
)  # fmt: skip
def test_each_failure_is_one_clear_error(
    build: Build, tmp_path: Path, entry: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as raised:
        embed(build(entry))
    assert str(raised.value).startswith("model 'x':")
    assert not list((tmp_path / "temporary").iterdir())


def test_a_time_out_ends_the_process_and_its_children(build: Build, tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match=r"within 1\.5 s(?s:.)*model\.timeout(?s:.)*loading the model"):
        embed(build("hang:embed", timeout=1.5))
    wait_for_lock(tmp_path / "entries" / "lock")
    assert not list((tmp_path / "temporary").iterdir())


def test_the_worker_and_its_children_end_when_we_are_killed(tmp_path: Path) -> None:
    """The end of its stdin, which the system closes for us, is all that the worker sees of that."""
    (tmp_path / "hang.py").write_text(HANG)
    (tmp_path / "job.json").write_text(
        f'{{"entry": "hang:embed", "path": "{tmp_path}", "clips": [], "captions": []}}'
    )
    with subprocess.Popen(
        [sys.executable, str(external.WORKER), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"loading the model\n"
        worker.stdin.close()
        assert worker.wait(timeout=10) == -9
    wait_for_lock(tmp_path / "lock")


def test_an_environment_without_numpy_is_told_what_to_install(build: Build, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    bare = tmp_path / "bin" / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')  # -S: no site-packages
    bare.chmod(0o755)
    with pytest.raises(ChildProcessError, match=rf"needed numpy.*{bare} -m pip install numpy"):
        embed(build(python=str(bare)))


@pytest.mark.parametrize(
    ("says", "message"),
    [("Python 3.7.16", r"needed Python 3\.8 or newer .* 'Python 3\.7\.16'"), ("hello", r"it says 'hello'")],
)
def test_an_interpreter_that_cannot_serve_is_refused(
    build: Build, tmp_path: Path, says: str, message: str
) -> None:
    other = tmp_path / "python"
    other.write_text(f"#!/bin/sh\necho {says}\n")
    other.chmod(0o755)
    with pytest.raises(ValueError, match=message):
        build(python=str(other))


def test_arguments_that_cannot_work_are_refused(build: Build, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no interpreter at /no/python\. Set model\.python"):
        build(python="/no/python")
    with pytest.raises(FileNotFoundError, match=r"no folder at /no/folder\. Set model\.path"):
        build(path="/no/folder")
    for entry in ("mine", "mine:", ":embed", "mine.py:embed:x", "my file:embed"):
        with pytest.raises(ValueError, match="entry must be module:function"):
            build(entry)
    with pytest.raises(ValueError, match="timeout must be positive"):
        build(timeout=0)


def test_a_link_to_an_interpreter_stays_one(build: Build, tmp_path: Path) -> None:
    """A virtual environment's python is a link to the one it was made from, and known by its place."""
    (tmp_path / "python").symlink_to(sys.executable)
    assert build(python=str(tmp_path / "python")).python == str(tmp_path / "python")


def test_the_fingerprint_follows_code_version_and_interpreter_but_no_place(
    tmp_path: Path, build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    entries = tmp_path / "entries"

    def of(**arguments: object) -> dict[str, object]:
        given = {"name": "x", "python": sys.executable, "entry": "mine:embed", "path": str(entries)}
        return External.fingerprint({**given, "timeout": 3600, "version": None, **arguments})

    first = of()
    assert first["checkpoint"] == {
        "file": "mine.py",
        "sha256": sha256_of(entries / "mine.py"),
    }
    assert first == of(name="y", timeout=1)
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "mine.py").write_bytes((entries / "mine.py").read_bytes())
    assert first == of(path=str(tmp_path / "moved"))
    (tmp_path / "python").symlink_to(sys.executable)
    others = [of(version="2"), of(entry="mine:single"), of(python=str(tmp_path / "python"))]
    assert first not in others
    (entries / "mine.py").write_text(ENTRY + "\n")
    os.utime(entries / "mine.py", ns=(1, 1))
    assert of() != first

    (entries / "package").mkdir()
    (entries / "package" / "__init__.py").write_text("")
    assert of(entry="package:embed")["checkpoint"]["file"] == "__init__.py"  # type: ignore[index]
    assert of(entry="json:dumps")["checkpoint"] == {"file": "json:dumps", "sha256": None}
    with caplog.at_level(logging.WARNING):
        build()
        build("json:dumps", version="1")
        assert not caplog.records
        build("json:dumps")
    assert "Raise model.version when it changes" in caplog.text


def test_the_worker_is_written_for_old_interpreters() -> None:
    source = external.WORKER.read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=external.OLDEST)
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        if name
    }
    assert imported <= {*sys.stdlib_module_names, "numpy"}


def test_the_yaml_asks_for_what_it_needs_and_builds(composed: Compose, tmp_path: Path, build: Build) -> None:
    with pytest.raises(config.ConfigError, match=r"model\.python: needed a value"):
        config.check_node(composed("evaluate", "model=external").model, group="model")
    cfg = composed(
        "evaluate",
        "model=external",
        f"model.python={sys.executable}",
        "model.entry=mine:embed",
        f"model.path={tmp_path / 'entries'}",
    )
    config.check_node(cfg.model, group="model")
    np.testing.assert_array_equal(embed(config.build(cfg.model)).text, embed(build()).text)
