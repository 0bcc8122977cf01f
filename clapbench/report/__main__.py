"""The command ``python -m clapbench.report``: a sweep's summary again, from disk."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from clapbench.report.writer import build, show, show_published


def main(arguments: Sequence[str]) -> int:
    """The command: a sweep's folder in, its summary on disk and on the terminal out; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m clapbench.report",
        description="Rebuilds and prints the summary of a sweep: outputs/NAME. With `published`, recomputes the "
        "published study's table 4 into outputs/published.",
    )
    parser.add_argument("folder", help="a sweep's folder, or the word published")
    parser.add_argument(
        "--n", type=int, help="rows of each side at matched N (default: the fewest among the cells)"
    )
    parser.add_argument(
        "--draws", type=int, help="draws of items at matched N (default: those of the sweep, 40)"
    )
    parser.add_argument(
        "--all", action="store_true", help="every cell of the folder, not the last command's alone"
    )
    given = parser.parse_args(arguments)
    if (given.n is not None and given.n < 4) or (given.draws is not None and given.draws < 2):
        parser.error(f"needed at least 4 rows and 2 draws, got n={given.n}, draws={given.draws}")
    if given.folder == "published":
        show_published(Path("outputs", "published"))
        return 0
    try:
        show(build(Path(given.folder), n=given.n, draws=given.draws, every=given.all))
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
