"""What pressing on the geometry does to composition: trainings at several doses of a regulariser, over seeds.

Read from trainings.csv. An arm is an objective with its regularisers at their weights; the arm without any is dose 0 of
each of them. Regularisers that always come together, at one ratio of their weights, are one treatment, and its dose is
the largest of the weights. Every arm has the same seeds, which are the blocks of `statistics.blocks`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from clapbench import sheets
from clapbench.study.registration import BOTH_OBJECTIVES, EACH

WEIGHT = "weight."  # of a column that holds a regulariser's weight
FILE = "trainings.csv"


class Run(NamedTuple):
    """One training: its arm, its seed, when it was made, and its numbers by benchmark and name."""

    name: str
    objective: str
    treatment: str  # names of regularisers, joined by +; empty without any
    dose: float
    seed: int
    created: str | None
    numbers: dict[tuple[str, str], float]

    @property
    def arm(self) -> tuple[str, str, float]:
        """What trainings share that differ in their seed alone."""
        return self.objective, self.treatment, self.dose


@dataclass(frozen=True)
class Design:
    """Trainings of the same seeds in every arm."""

    runs: tuple[Run, ...]
    left_out: tuple[str, ...] = ()  # trainings of seeds that not every arm has

    @cached_property
    def seeds(self) -> list[int]:
        """The blocks."""
        return sorted({run.seed for run in self.runs})

    @cached_property
    def objectives(self) -> list[str]:
        """In the order in which they come."""
        return list(dict.fromkeys(run.objective for run in self.runs))

    @cached_property
    def treatments(self) -> list[str]:
        """The treatments, without none at all."""
        return list(dict.fromkeys(run.treatment for run in self.runs if run.treatment))

    @cached_property
    def benches(self) -> list[str]:
        """The validation benchmarks."""
        return list(dict.fromkeys(bench for run in self.runs for bench, _ in run.numbers))

    @cached_property
    def numbers(self) -> list[str]:
        """The numbers that every training has on every benchmark."""
        every = dict.fromkeys(name for run in self.runs for _, name in run.numbers)
        return [
            name for name in every if all((b, name) in run.numbers for run in self.runs for b in self.benches)
        ]

    def doses(self, treatment: str) -> list[float]:
        """Those of a treatment, 0 among them where there is an arm without any."""
        return sorted({run.dose for run in self.runs if run.treatment in (treatment, "")})

    def series(
        self, treatment: str, *, objective: str, seed: int, bench: str, number: str
    ) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
        """Doses in rising order, and the number at each."""
        own = [
            (run.dose, run.numbers[bench, number])
            for run in self.runs
            if (run.objective, run.seed) == (objective, seed) and run.treatment in (treatment, "")
        ]
        found = np.array(sorted(own), dtype=np.float64).reshape(-1, 2)
        return found[:, 0], found[:, 1]


def read(path: Path, *, names: Collection[str] | None = None) -> Design:
    """The design in a trainings.csv, of the trainings of ``names`` alone where it is given.

    ValueError where it is no such table, or its arms have no seed in common.
    """
    runs = [_run(row, path=path) for row in sheets.read(path)]
    return balanced([run for run in runs if names is None or run.name in names], where=str(path))


def balanced(runs: Sequence[Run], *, where: str) -> Design:
    """The trainings of the seeds that every arm has. ValueError where there are none."""
    arms: dict[tuple[str, str, float], set[int]] = {}
    for run in runs:
        if run.seed in arms.setdefault(run.arm, set()):
            raise ValueError(
                f"study {where}: {run.name} is a second training of one arm and seed. Leave one of them out."
            )
        arms[run.arm].add(run.seed)
    shared = set.intersection(*arms.values()) if arms else set()
    if not shared:
        raise ValueError(
            f"study {where}: needed a seed that every one of {len(arms)} arms has, got none. "
            f"Type the sweep's command again: what is finished is not trained again."
        )
    kept = tuple(run for run in runs if run.seed in shared)
    return Design(kept, tuple(run.name for run in runs if run.seed not in shared))


def _run(row: dict[str, str], *, path: Path) -> Run:
    """A training of a row of trainings.csv."""
    try:
        weights = {
            key.removeprefix(WEIGHT): float(value)
            for key, value in row.items()
            if key.startswith(WEIGHT) and value and float(value)
        }
        numbers = {}
        for key, value in row.items():
            bench, slash, name = key.partition("/")
            if slash and value:
                numbers[bench, name] = float(value)
        return Run(
            name=row["name"],
            objective=row["objective"],
            treatment="+".join(sorted(weights, key=lambda name: -abs(weights[name]))),
            dose=max(weights.values(), key=abs, default=0.0),
            seed=int(row["seed"]),
            created=row.get("created") or None,
            numbers=numbers,
        )
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"study {path}: needed the table of trainings that train.py -m writes, got: {error!r}. "
            f"Give the folder of a sweep of trainings."
        ) from error


def check_number(design: Design, *, number: str, bench: str) -> None:
    """ValueError for a number that not every training has."""
    if bench not in design.benches or number not in design.numbers:
        raise ValueError(
            f"study: not every training has {bench}/{number}. Choose from: {', '.join(design.benches)}; "
            f"{', '.join(design.numbers)}."
        )


def check_objective(design: Design, objective: str) -> list[str]:
    """The objectives that are meant: ``swapped_choice`` is SwappedChoice. ValueError for one that is not there."""
    if objective == BOTH_OBJECTIVES:
        return design.objectives
    found = [name for name in design.objectives if plain_name(name) == plain_name(objective)]
    if not found:
        raise ValueError(
            f"study: no training by the objective {objective!r}. Choose from: {', '.join(design.objectives)}."
        )
    return found


def plain_name(name: str) -> str:
    """A name without underscores and capitals, as yaml and class share it.

    >>> plain_name("swapped_choice") == plain_name("SwappedChoice")
    True
    """
    return name.replace("_", "").casefold()


def treatment_named(design: Design, name: str) -> str:
    """The treatment of a study's dose, whatever the order of its terms; the name itself where there is none."""
    wanted = set(name.replace(" ", "").split("+"))
    return next((one for one in design.treatments if set(one.split("+")) == wanted), name)


def benches_named(design: Design, bench: str) -> list[str]:
    """The benchmarks that a study's test is on."""
    return design.benches if bench == EACH else [bench]
