"""The command ``clapbench study``: what a study is to test, and what its trainings or cells say of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from clapbench.console import complain, tell

EPILOG = """FILE is a study.yaml, or the name of one in conf/study. docs/registration.md tells what stands in it."""


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    found = argparse.ArgumentParser(
        prog="clapbench study",
        description="Names what a study will test, before its cells exist.",
        epilog=EPILOG,
    )
    parts = found.add_subparsers(dest="part", required=True, metavar="PART")
    lock = parts.add_parser("lock", help="hold a study to what it states: hash and date go to FILE's .lock")
    lock.add_argument("file", help="a study.yaml, or a name in conf/study")
    return found


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit code."""
    given = parser().parse_args(arguments)
    from clapbench.study import registration  # with pydantic, not for --help

    try:
        path = found_at(given.file)
        made = registration.lock(path)
        tell(f"{registration.lock_of(path)}: locked {registration.day(made.locked)}, SHA-256 {made.sha256}")
    except (OSError, ValueError) as error:
        complain(f"error: {error}")
        return 1
    return 0


def found_at(given: str) -> Path:
    """The file that a user means: a path, or the name of a shipped study."""
    from clapbench import config

    return Path(given) if given.endswith((".yaml", ".yml")) else config.find("study", given)


if __name__ == "__main__":
    import sys

    raise SystemExit(main(sys.argv[1:]))
