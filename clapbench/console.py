"""Where messages to people go: one rich console that degrades and never fails.

Prose is wrapped at words where a terminal's width is known. What an encoding lacks is written in its letters, and a
stream that is closed, full or not there costs the message and nothing else: no result depends on who reads along.
"""

from __future__ import annotations

import atexit
import codecs
import logging
import os
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.text import Text

PIPE = 110  # columns for tables where no terminal says how wide it is
NARROWEST = 20  # columns that are used of a terminal that has fewer
LONGEST = 300  # characters of a stranger's text in a message
ASCII = {
    "×": "x",
    "–": "-",
    "—": "-",
    "─": "-",
    "━": "-",
    "…": "...",
    "†": "+",
    "≥": ">=",
    "≤": "<=",
    "→": "->",
    "°": " deg",
    "ß": "ss",
    "•": "*",
    "’": "'",
    "‘": "'",
    "“": '"',
    "”": '"',
}


def plain(text: object) -> str:
    r"""A stranger's text (a name, a caption, an error) for a message: nothing in it acts on a terminal.

    Control characters, bidirectional overrides and whatever else cannot be seen stand as their escapes.

    >>> plain("bell\x07 \x1b[31mred\nnext \u202e")
    'bell\\x07 \\x1b[31mred\\nnext \\u202e'
    """
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in str(text)
    )


def brief(text: object) -> str:
    """`plain` text of a stranger's, cut where it would fill the message."""
    whole = str(text)
    return plain(whole if len(whole) <= LONGEST else f"{whole[:LONGEST]}… ({len(whole)} characters)")


def shown(text: object) -> str:
    """`plain` text for a message with markup: ``mini[v2]`` stays ``mini[v2]``."""
    return escape(plain(text))


def _in_letters(error: UnicodeError) -> tuple[str, int]:
    """For codecs: what an encoding lacks in its letters, ``×`` as x, ``ö`` as o, else a question mark."""
    assert isinstance(error, UnicodeEncodeError)
    found = []
    for sign in error.object[error.start : error.end]:
        base = unicodedata.normalize("NFKD", sign)[0]
        found.append(ASCII.get(sign) or (base if base.isascii() else "?"))
    return "".join(found), error.end


codecs.register_error("clapbench.letters", _in_letters)


class Stream:
    """``sys.stdout`` or ``sys.stderr`` as it is when written to, whatever became of it."""

    def __init__(self, name: str) -> None:
        self.stream = name

    @property
    def target(self) -> Any:
        """The stream as it is now."""
        stream = getattr(sys, self.stream)
        return getattr(
            stream, "rich_proxied_file", stream
        )  # while a bar runs, sys.stdout writes to our console

    @property
    def encoding(self) -> str:
        """Of the stream; UTF-8 where it does not say."""
        return getattr(self.target, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether somebody looks at it."""
        try:
            return bool(self.target.isatty())
        except (AttributeError, OSError, ValueError):
            return False

    def fileno(self) -> int:
        """Its number."""
        return int(self.target.fileno())

    def write(self, text: str) -> int:
        """Writes in the letters that the stream has; what cannot be written is lost."""
        if self.target is not None:
            letters = text.encode(self.encoding, errors="clapbench.letters").decode(self.encoding)
            try:
                self.target.write(letters)
            except (OSError, ValueError):
                self._give_up()
        return len(text)

    def flush(self) -> None:
        """Brings out what was written; a stream that is gone is given up."""
        if self.target is not None:
            try:
                self.target.flush()
            except (OSError, ValueError):
                self._give_up()

    def _give_up(self) -> None:
        """What is still written goes nowhere; else the interpreter would try again at its end, and exit with 120."""
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.target.fileno())
            os.close(nowhere)
        except (AttributeError, OSError, ValueError):
            pass


class Terminal(Console):
    """Rich's console, with prose that is wrapped at words."""

    def __init__(self) -> None:
        super().__init__(file=Stream("stdout"))  # type: ignore[arg-type]
        stated = os.environ.get("COLUMNS", "")
        self.wraps = self.is_terminal or stated.isdigit()
        if not self.wraps:
            self.width = PIPE
        elif stated.isdigit() and int(stated) < NARROWEST:
            self.width = NARROWEST

    def say(self, markup: str, *, whole: Sequence[str] = ()) -> None:
        """A paragraph, wrapped at words where a width is known. What stands in backticks, and each of ``whole``, is
        not divided: where it is too long it stands on a line of its own."""
        text = Text.from_markup(markup)
        for line in wrapped(text, width=self.width, whole=whole) if self.wraps else [text]:
            self.print(line, soft_wrap=True, highlight=False)


def wrapped(text: Text, *, width: int, whole: Sequence[str] = ()) -> Iterator[Text]:
    """The lines of ``text``, none wider than ``width`` unless one word is; later lines keep a line's indent."""
    units = re.compile("|".join([*(re.escape(part) + r"\S*" for part in whole if part), r"`[^`]*`\S*|\S+"]))
    for line in text.split("\n", allow_blank=True):
        indent = len(line.plain) - len(line.plain.lstrip())
        start, end = 0, 0
        for unit in units.finditer(line.plain):
            margin = indent if start else 0
            if end and margin + cell_len(line.plain[start : unit.end()]) > width:
                yield _indented(line[start:end], margin)
                start = unit.start()
            end = unit.end()
        yield _indented(line[start:end], indent if start else 0)


def _indented(line: Text, indent: int) -> Text:
    return Text(" " * indent) + line if indent else line


class LogHandler(logging.Handler):
    """Log lines by the same rules: `plain`, in the letters of the encoding, and lost where nobody reads them.

    Takes what logging's StreamHandler takes, so that a configuration of that needs another class alone.
    """

    def __init__(self, stream: object = None) -> None:
        super().__init__()
        self.out = Stream("stderr" if stream is not None and stream is sys.stderr else "stdout")

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record's lines."""
        try:
            text = self.format(record)
        except (TypeError, ValueError):  # arguments that do not fit
            text = f"{record.msg} {record.args}"
        self.out.write("\n".join(map(plain, text.split("\n"))) + "\n")
        self.out.flush()


console = Terminal()
errors = Stream("stderr")


def tell(text: str) -> None:
    """Lines on stdout, as they are: a command's help."""
    console.file.write(f"{text}\n")
    console.file.flush()


def complain(message: object) -> None:
    """One line on stderr."""
    errors.write(f"{plain(message)}\n")
    errors.flush()


@atexit.register
def _flush() -> None:
    """Before the interpreter does it, which would turn a closed pipe into exit code 120."""
    for stream in (console.file, errors):
        stream.flush()
