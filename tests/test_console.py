"""Messages: wrapped at words, in the letters that there are, harmless, and never the end of a command."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
from conftest import ROOT
from rich.text import Text

from clapbench import console
from clapbench.console import plain, shown, wrapped

SAY = """
from clapbench.console import console, shown
for number in range(5000):
    console.say(f"{number} größer × – {shown('mini[v2]')} " + "words and more words " * 4)
"""


def run(code: str, *, shell: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """``code`` in a Python of its own, its stdout where ``shell`` sends it."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"{sys.executable}" -c "$CODE" {shell}'],
        env={
            **{k: v for k, v in os.environ.items() if k not in ("COLUMNS", "PYTHONIOENCODING")},
            "PYTHONPATH": str(ROOT),
            "CODE": code,
            **environment,
        },
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("shell", ["| head -1", ">&-", "> /dev/full", "2>&- >&-"])
def test_a_stream_that_takes_nothing_ends_no_command(shell: str) -> None:
    done = run(
        SAY + "\nimport pathlib, os; pathlib.Path(os.environ['WITNESS']).touch()",
        shell=shell,
        WITNESS=os.devnull,
    )
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_what_an_encoding_lacks_is_written_in_its_letters() -> None:
    done = run(SAY, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"0 grosser x - mini[v2] words")
    assert done.stdout.decode("ascii").count("mini[v2]") == 5000


@pytest.mark.parametrize(("columns", "width"), [("60", 60), ("20", 20), ("3", 20)])
def test_prose_is_wrapped_at_words(columns: str, width: int) -> None:
    lines = (
        run(SAY.replace("5000", "1"), COLUMNS=columns, PYTHONIOENCODING="utf-8").stdout.decode().splitlines()
    )
    assert len(lines) > 1
    assert max(map(len, lines)) <= width
    assert " ".join(lines).split() == f"0 größer × – mini[v2] {'words and more words ' * 4}".split()


def test_commands_and_paths_stay_whole_and_an_indent_is_kept() -> None:
    text = Text("  type `wandb sync /outputs/a b/wandb` or look into /outputs/my sweep/x: there it is")
    lines = [line.plain for line in wrapped(text, width=16, whole=("/outputs/my sweep/x",))]
    assert "  `wandb sync /outputs/a b/wandb`" in lines
    assert "  /outputs/my sweep/x:" in lines
    assert all(line.startswith("  ") for line in lines)
    assert [line.plain for line in wrapped(Text("a\n\nb"), width=20)] == ["a", "", "b"]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("mini[v2]", "mini[v2]"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("bell\x07", r"bell\x07"),
        ("two\nlines\r", r"two\nlines\r"),
        ("c1 \x9b31m", r"c1 \x9b31m"),
        ("bidi \u202e", r"bidi \u202e"),
        ("half \ud800", r"half \ud800"),
        ("größe 声 🌧 ×", "größe 声 🌧 ×"),
    ],
)
def test_strangers_text_is_plain(text: str, seen: str) -> None:
    assert plain(text) == seen
    assert Text.from_markup(shown(text)).plain == seen


def test_messages_pass_a_bar_that_runs() -> None:
    """Rich then puts a proxy of the console in place of sys.stdout."""
    code = """
from clapbench.console import console
from rich.progress import Progress
with Progress(console=console, transient=True) as bar:
    bar.add_task("clips", total=3)
    console.say("said beside it")
    print("printed beside it")
"""
    done = run(code, FORCE_COLOR="1", TERM="xterm", TTY_COMPATIBLE="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"said beside it") == 1
    assert done.stdout.count(b"printed beside it") == 1


def test_log_lines_are_plain_too(capsys: pytest.CaptureFixture[str]) -> None:
    handler = console.LogHandler(sys.stdout)
    record = logging.LogRecord("x", logging.WARNING, "f", 1, "clip %s\nnext", ("a\x1b[2J",), None)
    handler.emit(record)
    assert capsys.readouterr().out == "clip a\\x1b[2J\nnext\n"
    handler.emit(logging.LogRecord("x", logging.WARNING, "f", 1, "%d items", ("many",), None))
    assert "many" in capsys.readouterr().out


def test_a_message_on_stderr_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    console.complain(ValueError("a\nb\x1b"))
    assert capsys.readouterr().err == "a\\nb\\x1b\n"


def test_commands_log_through_it() -> None:
    for name in ("evaluate", "train"):
        assert "class: clapbench.console.LogHandler" in (ROOT / "conf" / f"{name}.yaml").read_text()
