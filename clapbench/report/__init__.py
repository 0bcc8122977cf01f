"""What people read of a sweep: `build` writes its tables, figures and page, `show` prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clapbench.report.writer import build, show

__all__ = ["build", "show"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from clapbench.report import writer  # what it imports is not for who asks for help

    return getattr(writer, name)
