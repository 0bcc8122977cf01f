"""The trainings of a command side by side, and each configuration over its seeds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from clapbench import files, grid, sheets
from clapbench.training import result, resume

FILE = "trainings.csv"
SHOWN = ("F", "G", "H", "rankme_audio", "rankme_text", "gap_angle_deg")  # of each benchmark, on a terminal
HEADS = {"rankme_audio": "rank\naudio", "rankme_text": "rank\ntext", "gap_angle_deg": "angle"}


def row_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """A training as a row: what it was, and every number after the last step.

    ``weight.NAME`` is the weight of a regulariser, empty where there is none of that name.
    """
    recipe = found["recipe"]
    return {
        "name": found["name"],
        **result.terms_of(recipe),
        **{f"weight.{name}": node["weight"] for name, node in (recipe["regularizer"] or {}).items()},
        "seed": recipe["seed"],
        "steps": found["steps"],
        "seconds": found["seconds"],
        "created": recipe["created"],
        "git_sha": recipe["git_sha"],
        "sha256": found["sha256"],
        **{key: value for key, value in found["after"].items() if not key.startswith("train/")},
    }


def write(folder: Path) -> Path:
    """outputs/train/trainings.csv: every finished training of the folder. Returns its path."""
    found = [result.read(one) for one in sorted(folder.iterdir()) if one.is_dir()]
    rows = [row_of(one) for one in found if one is not None]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    files.write_text(folder / FILE, sheets.text_of(columns, rows))
    return folder / FILE


def show(folders: Sequence[Path], *, csv: Path) -> None:
    """Prints the finished trainings of ``folders``, and configurations with several seeds as mean and interval."""
    rows = [row_of(found) for found in map(result.read, folders) if found is not None]
    if not rows:
        return
    benches = sorted({name.partition("/")[0] for row in rows for name in row if name.endswith("/H")})
    numbers = [f"{bench}/{what}" for bench in benches for what in SHOWN]
    numbers = [name for name in numbers if any(name in row for row in rows)]
    columns = [grid.Column("training", name=True)]
    columns += [
        grid.Column(head_of(name), keep=importance(name), label=name.replace("/", " ")) for name in numbers
    ]
    lines = [
        grid.Line([str(row["name"]), *(digits(row.get(name), name) for name in numbers)]) for row in rows
    ]
    grid.show(grid.Table(columns, lines, title="after training, on the validation benchmarks", file=str(csv)))
    records = [found for found in map(result.read, folders) if found is not None]
    over_seeds = list(seeds_of(records, [f"{bench}/H" for bench in benches]))
    if over_seeds:
        heads = [grid.Column("training", name=True), grid.Column("seeds")]
        heads += [grid.Column(f"{bench} H", keep=1) for bench in benches]
        grid.show(
            grid.Table(
                heads,
                [grid.Line(cells) for cells in over_seeds],
                title="over seeds",
                caption=["mean [95 % interval of the mean over seeds, by Student's t]"],
            )
        )


def head_of(name: str) -> str:
    """The column's head, in two lines: benchmark and number."""
    bench, _, what = name.partition("/")
    return f"{bench}\n{HEADS.get(what, what)}"


def importance(name: str) -> int:
    """H stays longest where room is short."""
    what = name.partition("/")[2]
    return len(SHOWN) + 1 if what == "H" else len(SHOWN) - SHOWN.index(what)


def digits(value: float | None, name: str) -> str:
    """A share with three digits, another number with one; nothing where there is none."""
    if value is None:
        return ""
    return f"{value:.3f}" if name.rpartition("/")[2] in ("F", "G", "H") else f"{value:.1f}"


def seeds_of(records: Sequence[Mapping[str, Any]], numbers: Sequence[str]) -> Iterable[list[str]]:
    """Trainings that differ in their seed alone: a name, how many seeds, and each number's mean and interval."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for found in records:
        groups.setdefault(files.key_of(without_seed(found["recipe"])), []).append(found)
    for members in groups.values():
        if len({found["recipe"]["seed"] for found in members}) > 1:
            values = [
                [found["after"][name] for found in members if name in found["after"]] for name in numbers
            ]
            name = re.sub(r"-?seed\d+", "", members[0]["name"])
            yield [name, str(len(members)), *map(interval, values)]


def without_seed(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What decides a result, but for the seed, wherever it stands."""
    found = {key: value for key, value in resume.decisive(recipe).items() if key != "seed"}
    inner = {
        part: {key: value for key, value in found[part].items() if key != "seed"}
        for part in ("data", "content")
    }
    return found | inner


def interval(values: Sequence[float]) -> str:
    """``0.750 [0.700, 0.800]``: the mean and its 95 % interval by Student's t; nothing for fewer than two values.

    >>> interval([0.7, 0.8])
    '0.750 [0.115, 1.385]'
    """
    if len(values) < 2:
        return ""
    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return f"{mean:.3f} [{mean - half:.3f}, {mean + half:.3f}]"
