"""Kinds of configuration values: a type, a range, a unit. Constructors name them in their signatures.

``window: Seconds | None`` says to whoever calls the constructor, to the check of a command line and to the reference
page that the window is a number of seconds above 0, or nothing. A constraint is one of `annotated_types`, or a `Rule`
for what has no such word.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import GetCoreSchemaHandler, Strict
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class Unit:
    """What a number counts, as "seconds" or "rows"."""

    name: str


@dataclass(frozen=True)
class Rule:
    """What a text must be, in words that follow "needed", whether a given one is, and one that may be typed."""

    words: str
    holds: Callable[[str], bool]
    example: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """How pydantic holds a value to the rule."""

        def held(value: Any) -> Any:
            if not self.holds(str(value)):
                raise ValueError(self.words)
            return value

        return core_schema.no_info_after_validator_function(held, handler(source))


@dataclass(frozen=True)
class Number:
    """A finite number, whole or not, and neither text nor a truth value; a configuration has it as a float."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """How pydantic reads one."""
        return core_schema.float_schema(strict=True, allow_inf_nan=False)


RESERVED = ("cache", "csv", "report", "train", "wandb")  # folders beside those that are named


def is_segment(text: str) -> bool:
    """Whether ``text`` can name a folder of results: one segment of a path, not hidden, not over 200 bytes."""
    plain = text.isprintable() and not any(character in text for character in "/\\")
    free = not text.startswith(".") and text not in RESERVED
    return bool(text.strip()) and plain and free and len(text.encode()) <= 200


def is_checkpoint(path: str) -> bool:
    """Whether a file begins as safetensors or as what ``torch.save`` writes."""
    file = Path(path).expanduser()
    head = b""
    if file.is_file():
        with file.open("rb") as opened:
            head = opened.read(9)
    return head.startswith((b"PK", b"\x80")) or head[8:9] == b"{"


def is_file(path: str) -> bool:
    """Whether there is such a file."""
    return Path(path).expanduser().is_file()


def is_folder(path: str) -> bool:
    """Whether there is such a folder."""
    return Path(path).expanduser().is_dir()


def is_there(path: str) -> bool:
    """Whether there is such a file or folder."""
    return Path(path).expanduser().exists()


def is_sha256(text: str) -> bool:
    """Whether ``text`` is a SHA-256 in hexadecimal."""
    return len(text) == 64 and set(text.lower()) <= set("0123456789abcdef")


def may_be_folder(path: str) -> bool:
    """Whether a folder may be made there: the nearest that exists above is one, and can be written."""
    if not path.strip() or "\0" in path:
        return False
    folder = Path(path).absolute()
    above = next(one for one in (folder, *folder.parents) if one.exists())
    return above.is_dir() and os.access(above, os.W_OK)


# Numbers. Neither text nor true and false are taken for one.
Whole = Annotated[int, Strict(), Ge(0)]
Count = Annotated[int, Strict(), Ge(1)]
Seed = Annotated[int, Strict(), Ge(0), Lt(2**32)]
Pairs = Annotated[int, Strict(), Ge(1), Unit("pairs")]
Rows = Annotated[int, Strict(), Ge(4), Unit("rows")]
BatchSize = Annotated[int, Strict(), Ge(1), Le(65_536)]
Workers = Annotated[int, Strict(), Ge(0), Le(256), Unit("processes")]
Weight = Annotated[float | int, Number(), Ge(0)]
Signed = Annotated[float | int, Number()]
Positive = Annotated[float | int, Number(), Gt(0)]
Share = Annotated[float | int, Number(), Ge(0), Lt(1)]
Seconds = Annotated[float | int, Number(), Gt(0), Le(86_400), Unit("seconds")]
UpTo10s = Annotated[float | int, Number(), Gt(0), Le(10), Unit("seconds")]

# Text. A name is a folder's; a path may be relative, and "~" is the home folder.
Text = Annotated[str, Rule("a text", lambda text: bool(text.strip()), "TEXT")]
NAME = f"a name that can be a folder (no slash, no leading dot, none of {', '.join(RESERVED)})"
Side = Annotated[str, Rule("audio or text", ("audio", "text").__contains__, "text")]
Sides = Annotated[str, Rule("audio, text or both", ("audio", "text", "both").__contains__, "text")]
Name = Annotated[str, Rule(NAME, is_segment, "NAME")]
Output = Annotated[str | Path, Rule("a folder that can be written", may_be_folder, "DIR")]
File = Annotated[str | Path, Rule("an existing file", is_file, "FILE")]
Checkpoint = Annotated[
    str | Path,
    Rule("an existing file", is_file, "FILE"),
    Rule("a checkpoint, as safetensors or torch.save write it", is_checkpoint, "FILE"),
]
Folder = Annotated[str | Path, Rule("an existing folder", is_folder, "DIR")]
Place = Annotated[str | Path, Rule("an existing file or folder", is_there, "PATH")]
Sha256 = Annotated[str, Rule("a SHA-256, 64 hexadecimal digits", is_sha256, "HEX")]
Names = Annotated[
    list[str] | str, Rule("a list of names, one or more", lambda text: text not in ("", "[]"), "[NAME]")
]
Files = Annotated[
    str | Sequence[str],
    Rule(
        'a path, perhaps as "DIR/{000..003}.tar", or a list of them',
        lambda text: text not in ("", "[]"),
        "FILE",
    ),
]
