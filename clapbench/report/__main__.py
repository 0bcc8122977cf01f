"""The command ``clapbench report``, or ``python -m clapbench.report``: a sweep's summary again, from disk."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Sequence
from pathlib import Path

from clapbench.console import complain

EPILOG = """Exit code 0: all cells are finished; 1: some failed, are absent or damaged, or nothing could be read or
written; 2: a mistake on this command line."""


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    found = argparse.ArgumentParser(
        prog="clapbench report",
        description="Rebuilds and prints the summary of a sweep: tables, summary.json and report/index.html in its "
        "folder. With `published`, recomputes the published study's table 4 into outputs/published.",
        epilog=EPILOG,
    )
    found.add_argument("folder", help="a sweep's folder, as outputs/NAME, or the word published")
    found.add_argument(
        "--n", type=int, help="rows of each side at matched N (default: the fewest among the cells)"
    )
    found.add_argument(
        "--draws", type=int, help="draws of items at matched N (default: those of the sweep, 40)"
    )
    found.add_argument(
        "--margin",
        type=float,
        help="correlations smaller than this count as none (default: that of the sweep, .3)",
    )
    found.add_argument(
        "--all", action="store_true", help="every cell of the folder, not the last command's alone"
    )
    return found


def main(arguments: Sequence[str]) -> int:
    """The command: a sweep's folder in, its summary on disk and on the terminal out; the exit code."""
    given = parser().parse_args(arguments)
    if (given.n is not None and given.n < 4) or (given.draws is not None and given.draws < 2):
        parser().error(f"needed at least 4 rows and 2 draws, got n={given.n}, draws={given.draws}")
    if given.margin is not None and not 0 <= given.margin < 1:
        parser().error(f"needed a margin of at least 0 and below 1, got {given.margin}")
    from clapbench.report.writer import build, show, show_published  # not for --help

    folder = Path("outputs", "published") if given.folder == "published" else Path(given.folder)
    try:
        if given.folder == "published":
            show_published(folder)
            return 0
        summary = build(folder, n=given.n, draws=given.draws, every=given.all, margin=given.margin)
        show(summary)
    except OSError as error:
        refused = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
        told = (
            f"report {folder}: needed a folder that can be read and written, got: {error.strerror} "
            f"({error.filename}). Copy it, or change its rights."
        )
        complain(f"error: {told if refused else error}")
        return 1
    except ValueError as error:
        complain(f"error: {error}")
        return 1
    return 0 if summary.sweep.complete else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
