"""The tables of a study of doses: what was registered and what came, the arms, the levels of correlation."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clapbench.grid import Column, Line, Table
from clapbench.report.wording import number, p_value
from clapbench.results.rows import Rows, rows_of_records
from clapbench.statistics.blocks import Effect
from clapbench.study.doses import design as designs
from clapbench.study.doses.claims import Claim, judge
from clapbench.study.doses.design import Design
from clapbench.study.doses.levels import AtLevel, Mediation, at_levels, mediation
from clapbench.study.doses.responses import Arm, Response, arms, responses
from clapbench.study.registration import Registered

SCORE = "H"
PROBES = ("rankme_text", "rankme_audio", "gap_angle_deg", "uniformity_text", "swap_separation_text")
ARMS = ("H", "pair_assignment", "rankme_text", "rankme_audio", "gap_angle_deg")  # shown of each arm


@dataclass(frozen=True)
class Findings:
    """A design with all that is said of it."""

    design: Design
    registered: Registered | None
    holds: bool  # whether the study was locked before the first training
    claims: tuple[Claim, ...]
    arms: tuple[Arm, ...]
    responses: tuple[Response, ...]
    levels: tuple[AtLevel, ...]
    mediations: tuple[Mediation, ...]

    @property
    def came_first(self) -> str:
        """What was locked and what was made, in a sentence."""
        if self.registered is None:
            return "No study was registered for these trainings: all of it is exploratory."
        first = self.registered.words((run.created for run in self.design.runs), what="trainings")
        foretold = self.registered.study.design.get("trainings")
        if foretold not in (None, len(self.design.runs)):
            first += f" It names {foretold} trainings, and these are {len(self.design.runs)}."
        return first

    @property
    def rows(self) -> dict[str, Rows]:
        """Every table by the name of its file."""
        return {
            "claims": rows_of_records([one._asdict() for one in self.claims]),
            "arms": rows_of_records([_flat(one) for one in self.arms]),
            "responses": rows_of_records([_flat(one) for one in self.responses]),
            "levels": rows_of_records([one._asdict() for one in self.levels]),
            "mediation": rows_of_records([_flat(one) for one in self.mediations]),
        }


def find(table: Path, registered: Registered | None, *, names: Collection[str] | None = None) -> Findings:
    """Reads a table of trainings and works out all there is to say. ValueError where they are none."""
    design = designs.read(table, names=names)
    probes = [name for name in PROBES if name in design.numbers]
    claims = judge(registered.study, design) if registered else []
    found = registered is not None and registered.came_first(run.created for run in design.runs)
    return Findings(
        design=design,
        registered=registered,
        holds=found,
        claims=tuple(claims if found else (one._replace(holds=None) for one in claims)),
        arms=tuple(arms(design, design.numbers)),
        responses=tuple(responses(design)),
        levels=tuple(
            one
            for bench in design.benches
            for probe in probes
            for one in at_levels(design, probe=probe, score=SCORE, bench=bench)
        ),
        mediations=tuple(
            one
            for treatment in design.treatments
            for bench in design.benches
            for probe in probes
            if (one := mediation(design, treatment, probe=probe, score=SCORE, bench=bench))
        ),
    )


def table_in(folder: Path) -> Path:
    """The trainings.csv of a folder; FileNotFoundError where there is none."""
    for path in (folder / designs.FILE, folder / "train" / designs.FILE):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"study: needed {designs.FILE} in {folder} or {folder / 'train'}, found none. "
        f"Give the folder that a sweep of trainings wrote, as outputs/regularizer_study."
    )


def _flat(one: Any) -> dict[str, Any]:
    """A named tuple as a row, its effects as columns."""
    row: dict[str, Any] = {}
    for name, value in one._asdict().items():
        if isinstance(value, Effect):
            prefix = "" if name == "effect" else f"{name}_"
            row |= {f"{prefix}{key}": part for key, part in value._asdict().items()}
        else:
            row[name] = value
    return row


def tables(found: Findings) -> list[Table]:
    """What people read: the registered tests first."""
    shown = [arm_table(found, bench) for bench in found.design.benches]
    return [*([claim_table(found)] if found.claims else []), *shown, level_table(found)]


def claim_table(found: Findings) -> Table:
    """Every registered test."""
    columns = [
        Column("claim", name=True),
        Column("bench", name=True),
        Column("found", keep=5),
        Column("95 %", keep=4),
        Column("p", keep=2),
        Column("Holm", keep=3),
        Column("holds", keep=6),
    ]
    lines = [
        Line(
            [
                f"{one.claim}{' †' if one.check else ''}",
                one.bench,
                signed(one.value),
                interval(one.low, one.high),
                p_value(one.p),
                p_value(one.p_holm) if not one.check else "–",
                "–" if one.holds is None else "yes" if one.holds else "no",
            ]
        )
        for one in sorted(found.claims, key=lambda one: not one.check)
    ]
    title = "registered" if found.holds else "tests of the study (exploratory)"
    return Table(columns, lines, title=title, caption=[CAPTION], file="claims.csv")


CAPTION = (
    "found: the slope per unit of dose, the change between the ends of the doses where the claim is that a number "
    "stays, the difference of two objectives, or Pearson's coefficient within objectives; interval and p over seeds. "
    "Holm: over the findings. † a check that a dose does what it is for."
)


def arm_table(found: Findings, bench: str) -> Table:
    """Each arm on a benchmark: means and intervals over seeds."""
    numbers = [name for name in ARMS if name in found.design.numbers]
    columns = [Column("objective", name=True), Column("regulariser", name=True), Column("dose", keep=9)]
    columns += [Column(name.replace("_", "\n"), keep=8 - place) for place, name in enumerate(numbers)]
    by_arm: dict[tuple[str, str, float], dict[str, Effect]] = {}
    for arm in found.arms:
        if arm.bench == bench:
            by_arm.setdefault((arm.objective, arm.treatment, arm.dose), {})[arm.number] = arm.effect
    lines = [
        Line(
            [
                objective,
                treatment.replace("+", " + ") or "–",
                f"{dose:g}",
                *(with_half(effects[name], digits=3 if _is_share(name) else 1) for name in numbers),
            ]
        )
        for (objective, treatment, dose), effects in by_arm.items()
    ]
    seeds = len(found.design.seeds)
    caption = [f"{bench}: mean ± half of the 95 % interval over {seeds} seeds, by Student's t"]
    return Table(columns, lines, title=f"arms, {bench}", caption=caption, file="arms.csv")


def _is_share(name: str) -> bool:
    return name in ("F", "G", "H", "pair_assignment")


def level_table(found: Findings) -> Table:
    """Each probe with the score, level by level."""
    levels = list(dict.fromkeys(one.level for one in found.levels))
    columns = [Column("probe", name=True), Column("bench", name=True)]
    columns += [Column(level.replace(" ", "\n"), keep=5) for level in levels]
    by_probe: dict[tuple[str, str], dict[str, AtLevel]] = {}
    for one in found.levels:
        by_probe.setdefault((one.probe, one.bench), {})[one.level] = one
    lines = [
        Line([probe, bench, *(_coefficient(own[level]) for level in levels)])
        for (probe, bench), own in by_probe.items()
    ]
    return Table(
        columns,
        lines,
        title=f"probes with {SCORE}, level by level (exploratory)",
        caption=["Pearson's coefficient and its permutation p, not corrected"],
        file="levels.csv",
    )


def _coefficient(one: AtLevel) -> str:
    return "–" if one.pearson is None else f"{signed(one.pearson, digits=2)} ({p_value(one.p)})"


def signed(value: float | None, *, digits: int = 3) -> str:
    """A number with its sign."""
    return number(value, digits=digits, sign=True)


def interval(low: float | None, high: float | None) -> str:
    """``-0.010 to +0.030``."""
    return "–" if low is None or high is None else f"{signed(low)} to {signed(high)}"


def with_half(effect: Effect, *, digits: int) -> str:
    """``.512 ± .021``."""
    if effect.high is None:
        return number(effect.value, digits=digits)
    return f"{number(effect.value, digits=digits)} ± {number(effect.high - effect.value, digits=digits)}"


def markdown(found: Findings) -> str:
    """All tables as Markdown, a page with the sentence of what came first above them."""
    parts = ["# Trainings over doses: the tables", found.came_first]
    for table in tables(found):
        parts += [f"### {table.title[0].upper()}{table.title[1:]}", _grid(table), *table.caption]
    return "\n\n".join(parts) + "\n"


def _grid(table: Table) -> str:
    heads = [column.title for column in table.columns]
    rule = ["---" if column.name else "---:" for column in table.columns]
    return "\n".join(_line(cells) for cells in (heads, rule, *(line.cells for line in table.lines)))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
