r"""Each probe over its free choices: whether its correlation with H is one of the data, or of one author's settings.

A probe's class declares the arguments that another author could have set otherwise, each with a few values
(`Probe.choices`): the range and weights of a fit, k, centring, what is discarded. Their grid, at matched N and at half
of it, is measured again from the cached embeddings of every cell with H, and Spearman's coefficient with H taken for
each point, over recipes on benchmarks as in correlations.csv (see `levels`). Probes that differ in such arguments
alone, as residual energy at k = 1, 5 and 10, are one family; the first of them that a sweep holds is its default.

Sign stability is the share of the points, among those that are defined, at which the coefficient has the sign that it
has at the default. There are no p values here: the points are one data set's, and none of them was chosen beforehand.

Sources: Steegen et al. 2016 (multiverse analysis); Simonsohn et al. 2020 (specification curves).
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from omegaconf import DictConfig, OmegaConf

from clapbench import config
from clapbench.probes.base import Probe
from clapbench.results import sweep as sweeps
from clapbench.results.rows import Rows
from clapbench.results.sweep import Sweep
from clapbench.schema import Cell, Size
from clapbench.statistics.coefficients import MIN_PAIRS, correlate
from clapbench.study import draws, matched
from clapbench.study.correlations import as_array, score
from clapbench.study.levels import grouped, means, recipe_of

N = ("matched", "half")  # rows of each side: those of matched N, and half of them
DRAWS = 5  # of whole items where a cell has more rows than are taken

Arguments = dict[str, Any]


class Family(NamedTuple):
    """Probes that differ in their free choices alone."""

    name: str
    target: str
    members: tuple[str, ...]  # names in conf/probe, the default first
    fixed: Arguments
    points: tuple[Arguments, ...]  # the values of the free arguments, the default's first
    reads_matches: bool


class Member(NamedTuple):
    """A probe, its arguments parted into those that a family has in common and those that are free."""

    name: str
    target: str
    fixed: Arguments
    free: Arguments


class Choice(NamedTuple):
    """A row of multiverse.csv: a point of a family's grid, and its correlation with H over the cells."""

    probe: str  # the family
    choice: str  # its free arguments
    n_rows: Literal["matched", "half"]
    default: bool
    cells: int  # where it is defined: recipes on benchmarks
    value: float | None  # Spearman's coefficient with H
    sign: int | None  # -1, 0 or 1
    reads_matches: bool
    note: str | None = None  # why it is undefined, in all cells or some


class Range(NamedTuple):
    """A row of multiverse_ranges.csv: what a family's coefficient is at its default, and between what it moves."""

    probe: str
    default: float | None
    low: float | None
    high: float | None
    choices: int
    defined: int
    same_sign: float | None  # share of those defined with the default's sign
    reads_matches: bool


class Multiverse(NamedTuple):
    """Every family over its choices."""

    choices: tuple[Choice, ...]
    ranges: tuple[Range, ...]
    cells: int  # recipes on benchmarks
    models: int  # recipes
    size: Size  # rows of each side at matched N

    @property
    def tables(self) -> dict[str, Rows]:
        """The two tables by the name of their file."""
        return {
            "multiverse": Rows(Choice._fields, [one._asdict() for one in self.choices]),
            "multiverse_ranges": Rows(Range._fields, [one._asdict() for one in self.ranges]),
        }


def run(folder: Path, *, probes: Sequence[str] = (), n_draws: int = DRAWS) -> Multiverse:
    """The multiverse of the sweep in ``folder``; of ``probes`` (names, sets) in place of those that its cells hold.

    Raises ValueError for fewer than 4 recipes on benchmarks with H, OSError where embeddings or items are gone.
    """
    sweep = sweeps.read(folder)
    size = matched.matched_size(sweep)
    cells = [cell for cell in sweep.scored if cell.size]
    units = list(grouped(cells, by=lambda cell: (recipe_of(cell), cell.bench)).values())
    if size is None or len(units) < MIN_PAIRS:
        raise ValueError(
            f"multiverse {folder}: needs at least {MIN_PAIRS} recipes on benchmarks with H, got {len(units)}. "
            f"Add models or benchmarks to the sweep."
        )
    found = families(config.probe_configs(list(probes)) if probes else nodes_of(cells))
    measured = {
        n_rows: [_measured(sweep, cell, found, size=part, n_draws=n_draws) for cell in cells]
        for n_rows, part in zip(N, (size, matched.part(size, 2)), strict=True)
    }
    h = means(as_array(score(cell, "H", protocol=sweep.protocol) for cell in cells), units)
    choices = tuple(
        _choice(
            one,
            place,
            n_rows=n_rows,
            drawn=[cell[one.name, place] for cell in measured[n_rows]],
            h=h,
            units=units,
        )
        for one in found
        for place in range(len(one.points))
        for n_rows in N
    )
    return Multiverse(
        choices=choices,
        ranges=tuple(range_of([row for row in choices if row.probe == one.name]) for one in found),
        cells=len(units),
        models=len({recipe_of(cell) for cell in cells}),
        size=size,
    )


def nodes_of(cells: Sequence[Cell]) -> dict[str, DictConfig]:
    """The configuration of each probe that the cells hold: their own where it is not that of conf/probe."""
    names = dict.fromkeys(name for cell in cells for name in cell.probes)
    own = {
        name: OmegaConf.create(node)
        for cell in cells
        for name, node in cell.extra.get("probe_nodes", {}).items()
    }
    shipped = config.probe_configs([name for name in names if name not in own])
    return {name: own[name] if name in own else shipped[name] for name in names}


def families(nodes: Mapping[str, DictConfig]) -> list[Family]:
    """The probes ``nodes`` in families, each with the grid of its free choices, in their order."""
    groups: dict[str, list[Member]] = {}
    for name, node in nodes.items():
        member = _member(name, node)
        groups.setdefault(f"{member.target} {sorted(member.fixed.items())}", []).append(member)
    return [_family(members) for members in groups.values()]


def range_of(rows: Sequence[Choice]) -> Range:
    """The range of one family's rows, and its sign stability."""
    values = [row.value for row in rows if row.value is not None]
    default = next(row for row in rows if row.default)
    same = [row.sign == default.sign for row in rows if row.sign is not None]
    return Range(
        probe=default.probe,
        default=default.value,
        low=min(values, default=None),
        high=max(values, default=None),
        choices=len(rows),
        defined=len(values),
        same_sign=float(np.mean(same)) if default.sign is not None else None,
        reads_matches=default.reads_matches,
    )


def _measured(
    sweep: Sweep, cell: Cell, found: Sequence[Family], *, size: Size, n_draws: int
) -> dict[tuple[str, int], draws.Drawn]:
    """Every point of every family on one cell, by family and place of the point."""
    metrics = {
        (one.name, place): config.build(OmegaConf.create({"_target_": one.target, **one.fixed, **point}))
        for one in found
        for place, point in enumerate(one.points)
    }
    drawn = draws.measure(
        {f"{name} {place}": metric for (name, place), metric in metrics.items()},
        embeddings=sweeps.rows_of(
            sweep.cache_dir / cell.embeddings["path"], model=cell.model, bench=cell.bench
        ),
        cases=sweeps.cases(sweep.folder, cell),
        size=size,
        draws=1 if size == cell.size else n_draws,
        seed=sweep.matching.seed,
    )
    return {(name, place): drawn[f"{name} {place}"] for name, place in metrics}


def _choice(
    family: Family,
    place: int,
    *,
    n_rows: Any,
    drawn: Sequence[draws.Drawn],
    h: Float[np.ndarray, " u"],
    units: Sequence[Sequence[int]],
) -> Choice:
    """One point of a family; ``units`` are the cells of a recipe on a benchmark, over which is averaged."""
    values = means(as_array(one.mean for one in drawn), units)
    there = int((~np.isnan(values)).sum())
    why = next((one.note for one in drawn if one.note), None)
    value = None
    if there >= MIN_PAIRS:
        found = correlate(values, h, value_name=family.name, score_name="H")
        value, why = found.spearman, why or found.note
    return Choice(
        probe=family.name,
        choice=", ".join(f"{key}={_told(one)}" for key, one in family.points[place].items()) or "–",
        n_rows=n_rows,
        default=place == 0 and n_rows == N[0],
        cells=there,
        value=value,
        sign=None if value is None else int(np.sign(value)),
        reads_matches=family.reads_matches,
        note=why,
    )


def _member(name: str, node: DictConfig) -> Member:
    given = {str(key): value for key, value in OmegaConf.to_container(node).items()}  # type: ignore[union-attr]
    target = str(given.pop("_target_"))
    kind = resolve_name(target)
    signature = inspect.signature(kind).parameters
    free = {key: given.pop(key, signature[key].default) for key in kind.choices}
    return Member(name, target, fixed=given, free=free)


def _family(members: Sequence[Member]) -> Family:
    first = members[0]
    kind: type[Probe] = resolve_name(first.target)
    grid = [
        dict(zip(kind.choices, values, strict=True)) for values in itertools.product(*kind.choices.values())
    ]
    points = [*(member.free for member in members), *grid]
    return Family(
        name=_name([member.name for member in members]),
        target=first.target,
        members=tuple(member.name for member in members),
        fixed=first.fixed,
        points=tuple(point for place, point in enumerate(points) if point not in points[:place]),
        reads_matches=kind.reads_matches,
    )


def _name(members: Sequence[str]) -> str:
    """Of one member its own, of several the first's without its k: residual_text of residual_text_k1 and _k5."""
    return members[0] if len(members) == 1 else re.sub(r"_k\d+$", "", members[0])


def _told(value: Any) -> str:
    return "all" if value is None else str(value).lower()
