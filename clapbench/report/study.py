"""The command ``clapbench study``: what a study is to test, and what its trainings say of it."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clapbench.console import complain, tell

if TYPE_CHECKING:
    from clapbench.study.registration import Registered

EPILOG = """FILE is a study.yaml, or the name of one in conf/studies; docs/registration.md tells what stands in it. Exit
code 0: done; 1: something could not be read or written, and one line says what; 2: a mistake on this command line."""
ELSEWHERE = {  # parts that read their own arguments
    "multiverse": (
        "clapbench.report.multiverse",
        "each probe over its free choices: a range, and whether the sign stands",
    ),
    "mixed": ("clapbench.study.mixed", "a logistic mixed model of the items, probe by probe"),
}


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    found = argparse.ArgumentParser(
        prog="clapbench study",
        description="Names what a study will test before its cells exist, and tells what came of it.",
        epilog=EPILOG,
    )
    parts = found.add_subparsers(dest="part", required=True, metavar="PART")
    lock = parts.add_parser("lock", help="hold a study to what it states: hash and date go beside it")
    lock.add_argument("file", metavar="FILE", help="a study.yaml, or a name in conf/studies")
    lock.add_argument(
        "--config-dir", type=Path, metavar="DIR", help="a folder with yamls of your own that it names"
    )
    doses = parts.add_parser("doses", help="what trainings at several doses of regularisers say, over seeds")
    doses.add_argument("folder", type=Path, help="what a sweep of trainings wrote: it holds trainings.csv")
    doses.add_argument("--study", metavar="FILE", help="whose registered tests are made")
    doses.add_argument("--out", type=Path, help="where tables and figures go (default: FOLDER/doses)")
    for name, (_, words) in ELSEWHERE.items():
        parts.add_parser(name, help=words, add_help=False)
    return found


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit code."""
    if arguments and arguments[0] in ELSEWHERE:
        module = importlib.import_module(ELSEWHERE[arguments[0]][0])
        code: int = module.main(arguments[1:])
        return code
    given = parser().parse_args(arguments)
    from clapbench.config import TYPED, study_file  # with Hydra and pydantic, not for --help
    from clapbench.report.dose_tables import table_in
    from clapbench.study.registration import registered

    try:
        if given.part == "lock":
            TYPED.extend([given.config_dir] if given.config_dir else [])
            lock(study_file(given.file))
        else:
            study = registered(study_file(given.study)) if given.study else None
            show_doses(table_in(given.folder), registered=study, out=given.out or given.folder / "doses")
    except (OSError, ValueError) as error:
        complain(f"error: {error}")
        return 1
    return 0


def lock(path: Path) -> None:
    """Locks a study and says so. ValueError where it names what is not there."""
    from clapbench.study import names, registration

    names.check(registration.registered(path))
    made = registration.lock(path)
    tell(f"{registration.lock_of(path)}: locked {registration.day(made.locked)}, SHA-256 {made.sha256}")


def show_doses(
    table: Path, *, registered: Registered | None, out: Path, names: Collection[str] | None = None
) -> None:
    """Prints and writes what the trainings of a table say, those of ``names`` alone where it is given.

    Tables go to ``out`` as CSV and Markdown, figures as SVG and PNG.
    """
    from clapbench import files, grid
    from clapbench.report import dose_tables, doses, figures

    found = dose_tables.find(table, registered, names=names)
    for name, rows in found.rows.items():
        files.write_text(out / f"{name}.csv", rows.csv)
    files.write_text(out / "tables.md", dose_tables.markdown(found))
    for name, figure in doses.drawn(found.design).items():
        figures.save(figure, out, name=name)
    for shown in dose_tables.tables(found):
        grid.show(shown)
    tell(found.came_first)
    if found.design.left_out:
        tell(f"left out: {len(found.design.left_out)} trainings of seeds that not every arm has")
    tell(f"tables and figures: {out}")
