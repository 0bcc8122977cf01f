"""Where messages to people go: one rich console, wide enough for the tables when the output is a file or a pipe."""

from __future__ import annotations

import os

from rich.console import Console

console = Console()
if not console.is_terminal and "COLUMNS" not in os.environ:
    console = Console(width=110)

LONGEST = 300  # characters of a stranger's text in a message


def plain(text: object) -> str:
    r"""A stranger's text (a file's name, a caption) for a message: nothing in it acts on a terminal, or fills it.

    >>> plain("bell\x07 \x1b[31mred\nnext")
    'bell\\x07 \\x1b[31mred\\nnext'
    """
    whole = str(text)
    shown = whole if len(whole) <= LONGEST else f"{whole[:LONGEST]}… ({len(whole)} characters)"
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in shown
    )
