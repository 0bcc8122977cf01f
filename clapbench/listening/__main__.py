"""The command ``clapbench listening``: a study made from systems, and what its listeners said."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clapbench import grid
from clapbench.console import complain, tell

if TYPE_CHECKING:
    from clapbench.listening.mushra import Mushra
    from clapbench.listening.paired import Paired
    from clapbench.statistics.agreement import Figure
    from clapbench.statistics.proportions import Interval

EPILOG = """Exit code 0: done; 1: something could not be read or written, and one line says what; 2: a mistake on this
command line."""
PREPARE = """Makes a MUSHRA study for webMUSHRA: clips of one loudness, none clipped, a hidden reference, anchors
low-passed at 3.5 and 7 kHz, everything under blind names and in an order from the seed; a yaml, a key, and a README
that tells how to run it."""
READ = """Reads webMUSHRA's mushra.csv or paired_comparison.csv, pymushra's CSV, or a plain table (columns listener,
trial, stimulus, score; or listener, a, b, winner). Listeners are post-screened by BS.1534-3."""


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    found = argparse.ArgumentParser(
        prog="clapbench listening",
        description="Listening studies: made from systems, and read from what their listeners answered.",
        epilog=EPILOG,
    )
    parts = found.add_subparsers(dest="part", required=True, metavar="PART")
    prepare = parts.add_parser(
        "prepare", help="a study from folders of clips", description=PREPARE, epilog=EPILOG
    )
    prepare.add_argument(
        "systems",
        nargs="+",
        metavar="NAME=DIR",
        help="a system and its clips; DIR alone has the folder's name",
    )
    prepare.add_argument(
        "--reference", required=True, type=Path, metavar="DIR", help="clips of the same names"
    )
    prepare.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new folder for the study")
    prepare.add_argument("--name", help="what the study is called (default: the name of the new folder)")
    prepare.add_argument("--seed", type=int, default=0, help="of every order (default: 0)")
    prepare.add_argument(
        "--loudness",
        type=float,
        default=-23.0,
        metavar="LUFS",
        help="of every clip, or less lest one clips (default: -23)",
    )
    prepare.add_argument("--rate", type=int, metavar="HZ", help="resample every clip, as 48000")
    prepare.add_argument(
        "--fixed-order",
        action="store_true",
        help="trials in one order for all (default: another for each listener)",
    )
    read = parts.add_parser("read", help="what the listeners said", description=READ, epilog=EPILOG)
    read.add_argument("file", type=Path, metavar="CSV", help="results/NAME/mushra.csv, or another of these")
    read.add_argument(
        "--key", type=Path, metavar="CSV", help="the key.csv of the study, where its stimuli are blind"
    )
    read.add_argument(
        "--reference", metavar="NAME", help="which stimulus is the hidden reference (default: reference)"
    )
    read.add_argument("--mid-anchor", metavar="NAME", help="which is the 7 kHz anchor (default: anchor70)")
    read.add_argument("--low-anchor", metavar="NAME", help="which is the 3.5 kHz anchor (default: anchor35)")
    read.add_argument("--test", metavar="ID", help="which test, where the file holds several")
    read.add_argument("--all", action="store_true", help="keep all listeners: no post-screening")
    read.add_argument(
        "--draws", type=int, default=2000, help="of listeners and trials, for intervals (default: 2000)"
    )
    read.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
    return found


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit code."""
    given = parser().parse_args(arguments)
    if given.seed < 0:
        parser().error(f"--seed: needed 0 or more, got {given.seed}")
    try:
        if given.part == "prepare":
            _prepare(given)
        elif given.draws < 1:
            parser().error(f"--draws: needed at least 1, got {given.draws}")
        else:
            _read(given)
    except (OSError, ValueError) as error:
        complain(f"error: {error}")
        return 1
    return 0


def _prepare(given: argparse.Namespace) -> None:
    from clapbench.listening.webmushra import prepare

    systems: dict[str, Path] = {}
    for typed in given.systems:
        name, equals, folder = typed.partition("=")
        path = Path(folder if equals else typed)
        name = name if equals else path.resolve().name
        if name in systems:
            raise ValueError(
                f"prepare: needed systems of different names, got {name!r} twice. Give NAME=DIR."
            )
        systems[name] = path
    made = prepare(
        systems,
        reference=given.reference,
        out=given.out,
        seed=given.seed,
        loudness=given.loudness,
        rate=given.rate,
        fixed_order=given.fixed_order,
        name=given.name,
    )
    tell(f"{made.folder}: {len(made.systems)} systems in {len(made.clips)} trials at {made.level:.1f} LUFS")
    for note in made.notes:
        tell(f"note: {note}")
    tell(f"how to run it: {made.folder / 'README.md'}; the key, to be kept off the server: {made.key}")


def _read(given: argparse.Namespace) -> None:
    from clapbench.listening.paired import is_paired, read_paired

    common = {"key": given.key, "test": given.test, "draws": given.draws, "seed": given.seed}
    if is_paired(given.file):
        grid.show(paired_table(read_paired(given.file, **common), name=given.file.name))
        return
    from clapbench.listening.ratings import read_mushra

    found = read_mushra(
        given.file,
        reference=given.reference,
        mid_anchor=given.mid_anchor,
        low_anchor=given.low_anchor,
        post_screening=not given.all,
        **common,
    )
    grid.show(mushra_table(found, name=given.file.name))


def mushra_table(found: Mushra, *, name: str) -> grid.Table:
    """A row for each stimulus, the best first; below, who was rejected and why, reliability, and notes."""
    columns = [
        grid.Column("stimulus", name=True),
        grid.Column("mean", keep=9),
        grid.Column("95 %", keep=8),
        grid.Column("median", keep=7),
        grid.Column("IQR", keep=6),
    ]
    lines = [
        grid.Line(
            [
                one,
                f"{found.mean[one]:.1f}",
                _between(found.interval[one], 1),
                f"{found.median[one]:.1f}",
                f"{found.iqr[one]:.1f}",
            ],
            style="" if one in found.systems else "dim",
        )
        for one in sorted(found.stimuli, key=lambda one: -found.mean[one])
    ]
    n = f"{len(found.kept)} of {len(found.listeners)}"
    caption = [
        f"{n} listeners × {len(found.trials)} trials; 95 %: {found.draws} draws of listeners and trials, "
        f"seed {found.seed}"
    ]
    caption += [f"rejected {listener}: {why}" for listener, why in found.rejected.items()]
    reliable = found.reliability
    if reliable.mean.value is not None:
        k = reliable.raters
        caption.append(
            f"reliability of the {reliable.targets} systems' means: ICC(2,{k}) {_figure(reliable.mean)}; of one "
            f"listener: ICC(2,1) {_figure(reliable.single)}; of one rating: Krippendorff's alpha "
            f"{_figure(reliable.alpha)}"
        )
        if reliable.ceiling.value is not None:
            caption.append(
                f"ceiling: nothing is expected to correlate with the means above {_figure(reliable.ceiling)}"
            )
    if reliable.note:
        caption.append(f"reliability: {reliable.note}")
    caption += [f"note: {note}" for note in found.notes]
    return grid.Table(columns, lines, title=_title(name, "MUSHRA", found.simulated), caption=caption)


def paired_table(found: Paired, *, name: str) -> grid.Table:
    """A row for each stimulus, the strongest first."""
    columns = [
        grid.Column("stimulus", name=True),
        grid.Column("log strength", keep=9),
        grid.Column("95 %", keep=8),
        grid.Column("won", keep=7),
    ]
    lines = [
        grid.Line(
            [
                one,
                f"{found.strength[one]:+.2f}",
                _between(found.interval[one], 2, sign=True),
                f"{100 * found.share[one]:.0f} %",
            ]
        )
        for one in sorted(found.stimuli, key=lambda one: -found.strength[one])
    ]
    caption = [
        f"{found.answers} answers of {len(found.listeners)} listeners; Bradley-Terry, .5 added to every pair; 95 %: "
        f"{found.draws} draws of listeners, seed {found.seed}",
        *(f"note: {note}" for note in found.notes),
    ]
    return grid.Table(
        columns, lines, title=_title(name, "paired preferences", found.simulated), caption=caption
    )


def _title(name: str, what: str, simulated: bool) -> str:
    return f"{name}: {what}{', SIMULATED listeners' if simulated else ''}"


def _figure(figure: Figure) -> str:
    if figure.value is None:
        return "undefined"
    return f"{figure.value:.3f}" + (f" ({_between(figure.ci95, 3)})" if figure.ci95 else "")


def _between(interval: Interval | None, digits: int, *, sign: bool = False) -> str:
    if interval is None:
        return "–"
    style = f"{'+' if sign else ''}.{digits}f"
    return f"{interval.low:{style}} to {interval.high:{style}}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
