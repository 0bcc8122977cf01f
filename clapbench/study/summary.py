"""What a sweep's cells say together: correlations of geometry with the scores at matched N, a diagnosis of each cell.

Computed from the cells and what lies beside them on disk, and nothing is written here; `report` does, and prints it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clapbench.results.rows import Rows, table_of
from clapbench.results.sweep import Sweep
from clapbench.schema import Cell, Size
from clapbench.statistics.coefficients import FEW, few
from clapbench.statistics.power import power_line
from clapbench.study import correlations, drawn, levels, matched, memory, meta, prediction, seeds
from clapbench.study.correlations import Entry
from clapbench.study.diagnosis import Diagnosis, diagnose
from clapbench.study.drawn import Measured
from clapbench.study.evidence import evidence
from clapbench.study.foretold import Finding, Foretold, findings, foretold
from clapbench.study.levels import Levels
from clapbench.study.matched import Measurements

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Summary:
    """A sweep and what follows from it."""

    sweep: Sweep
    size: Size | None  # rows of each side at matched N
    matched: tuple[Measured, ...]
    curve: tuple[Measured, ...]
    correlations: tuple[dict[str, Any], ...]  # rows of correlations.csv: with H, pooled over benchmarks
    entries: tuple[Entry, ...]  # rows of correlations_long.csv
    key: str | None  # of all that decides the correlations; None where there are none
    diagnoses: tuple[Diagnosis, ...]
    levels: Levels  # the cells with H by model and by recipe
    foretold: Foretold | None  # what was registered; None without a study

    @cached_property
    def rows(self) -> dict[str, Rows]:
        """The tables of a sweep's folder by name: a row per cell, per probe and so on."""
        return {
            "cells": table_of(self.sweep.cells),
            "correlations": Rows(correlations.COLUMNS, self.correlations),
            "correlations_long": correlations.long(self.entries),
            **(
                {"registered": Rows(Finding._fields, [one._asdict() for one in self.findings])}
                if self.foretold
                else {}
            ),
            "diagnosis": Rows(Diagnosis._fields, [one._asdict() for one in self.diagnoses]),
            **self.level_rows,
            "matched": drawn.table_of(self.matched),
            "curve": drawn.table_of(self.curve),
        }

    @cached_property
    def level_rows(self) -> dict[str, Rows]:
        """Of `rows`, what is told over seeds, recipes, families and benchmarks."""
        return {
            "seeds": Rows(seeds.SEEDS, seeds.over_seeds(self.levels.models)),
            "levels": Rows(seeds.LEVELS, seeds.reliability(self.levels.models)),
            "meta": Rows(meta.COLUMNS, meta.over_benches(self.entries)),
            "prediction": Rows(prediction.COLUMNS, prediction.predicted(self.levels.recipes)),
        }

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """`rows` as DataFrames."""
        import pandas as pd  # seconds, spared where a summary is only read

        return {
            name: pd.DataFrame(list(table.records), columns=list(table.columns))
            for name, table in self.rows.items()
        }

    @property
    def long(self) -> pd.DataFrame:
        """correlations_long.csv."""
        return self.tables["correlations_long"]

    @property
    def probes(self) -> list[dict[str, Any]]:
        """The correlations of probes, without the null predictors."""
        return [row for row in self.correlations if row["kind"] == "probe"]

    @cached_property
    def findings(self) -> list[Finding]:
        """The registered correlations."""
        return findings(self.foretold, self.entries)

    @property
    def n(self) -> int:
        """The most cells behind a probe's correlation."""
        return max((row["n"] for row in self.probes), default=0)

    @property
    def warnings(self) -> list[str]:
        """What must not be missed above the correlations: few cells behind a probe, cells that are not alike."""
        found = [few(min((row["n"] for row in self.probes if row["spearman"] is not None), default=FEW))]
        found.append(correlations.out_of_reach(self.probes))
        if self.sweep.mixed:
            found.append(
                "CELLS DIFFER IN bench.protocol: correlations and diagnosis are of `official`, which every cell "
                "holds; the table of cells shows each under its own."
            )
        for bench in dict.fromkeys(cell.bench for cell in self.sweep.scored):
            items = sorted({cell.n_items or 0 for cell in self.sweep.scored if cell.bench == bench})
            if len(items) > 1:
                found.append(f"NOT ONE BENCHMARK: cells of {bench} have {', '.join(map(str, items))} items.")
        return [sentence for sentence in found if sentence]

    @property
    def n_models(self) -> int:
        """How many recipes have cells with H: models, where no two share a recipe."""
        return len({cell.model for cell in self.levels.recipes.cells})

    @property
    def differs(self) -> bool:
        """Whether cells differ in their number of rows, so that matched N is not simply all of them."""
        return any((row.n_audio, row.n_text) != (row.n_audio_all, row.n_text_all) for row in self.matched)

    def at_matched(self, cell: Cell, probe: str) -> Measured | None:
        """The probe of a cell at matched N."""
        wanted = (cell.model, cell.bench, probe)
        return next((row for row in self.matched if (row.model, row.bench, row.probe) == wanted), None)

    @cached_property
    def reads_matches(self) -> frozenset[str]:
        """The probes that read which clip a caption belongs to, as H does."""
        return correlations.reads_matches(self.sweep.scored)

    @property
    def strongest(self) -> dict[str, Any] | None:
        """The probe with the largest Spearman coefficient, whatever its sign, of those that do not read the matches."""
        probes = [
            row
            for row in self.probes
            if row["spearman"] is not None and row["probe"] not in self.reads_matches
        ]
        return max(probes, key=lambda row: abs(row["spearman"]), default=None)

    @property
    def power(self) -> str | None:
        """How many cells the strongest correlation would take, in a sentence."""
        found = self.strongest
        if found is None:
            return None
        return power_line(
            found["probe"],
            found["spearman"],
            n=found["n"],
            coefficient="spearman",
            tests=found["spearman_tests"],
        )

    @property
    def record(self) -> dict[str, Any]:
        """What summary.json holds. It depends on the cells alone, so an unchanged sweep has an unchanged summary."""
        sweep = self.sweep
        size = self.size
        return {
            "schema": 1,
            "sweep": sweep.folder.name,
            "covers": sweep.covers,
            "n_cells": len(sweep.cells) + len(sweep.absent),
            "n_ok": len(sweep.finished),
            "failed": [{"model": c.model, "bench": c.bench, "error": c.error} for c in sweep.failed],
            "damaged": [{"model": c.model, "bench": c.bench, "error": c.error} for c in sweep.damaged],
            "absent": [{"model": model, "bench": bench} for model, bench in sweep.absent],
            "cells": [
                {"model": c.model, "bench": c.bench, "n_items": c.n_items, **c.scores, **c.headline}
                for c in sweep.finished
            ],
            "matched": {
                "n_audio": size.audio if size else None,
                "n_text": size.text if size else None,
                "draws": sweep.matching.draws,
                "seed": sweep.matching.seed,
            },
            "margin": sweep.margin,
            "correlation_with": f"H ({sweep.protocol}), pooled over benchmarks",
            "correlations": {
                row["probe"]: {k: v for k, v in row.items() if k != "probe"} for row in self.correlations
            },
            "study": {
                "name": self.foretold.registered.name,
                "words": self.foretold.words,
                "findings": [one._asdict() for one in self.findings],
            }
            if self.foretold
            else None,
            "power": self.power,
            **{name: list(rows.records) for name, rows in self.level_rows.items() if name != "seeds"},
            "diagnosis": [one._asdict() for one in self.diagnoses],
        }

    @property
    def headline(self) -> dict[str, float]:
        """The sweep in flat numbers, for a run's summary: each cell's H, each probe's coefficients."""
        numbers = {f"H/{cell.model}/{cell.bench}": cell.scores["H"] for cell in self.sweep.finished}
        for row in self.correlations:
            numbers |= {f"{name}/{row['probe']}": row[name] for name in ("spearman", "pearson")}
        return {name: value for name, value in numbers.items() if value is not None}


def summarize(sweep: Sweep, *, measured: Measurements | None = None, known: Path | None = None) -> Summary:
    """Draws what is not known at matched N unless it was ``measured``, correlates, diagnoses.

    Correlations that ``known`` holds (see `memory`) are not computed again while nothing of their inputs has changed.
    """
    size, at, curve, _ = measured or matched.measure(sweep)
    judged = evidence(sweep, curve, size=size)
    by_level = levels.levels(
        sweep,
        correlations.predictors(sweep.scored, at),
        noise={(one.model, one.bench): one.noise for one in judged if one.seeds},
    )
    units, probes = by_level.recipes.cells, by_level.recipes.probes
    study = foretold(sweep, size=size)
    common: dict[str, Any] = {"protocol": sweep.protocol, "seed": sweep.matching.seed}
    common |= {"stated": study.stated(probes)} if study else {}
    key, entries = None, None
    if units:
        key = memory.key_of(units, probes, **common)
        entries = memory.read(known, key=key) if known else None
        if entries is None:
            entries = correlations.correlated(units, probes, **common)
    return Summary(
        sweep=sweep,
        size=size,
        matched=at,
        curve=curve,
        correlations=tuple(correlations.wide(entries or [], probes)),
        entries=tuple(entries or []),
        key=key,
        diagnoses=tuple(diagnose(judged)),
        levels=by_level,
        foretold=study,
    )
