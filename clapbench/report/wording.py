"""Numbers, p values, legends and notes as words, the same on the terminal and on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clapbench.schema import Cell
from clapbench.statistics.bootstrap import MIN_MODELS
from clapbench.study.summary import Summary


def without_h(summary: Summary) -> list[str]:
    """What cells without H are known by."""
    return [
        f"{cell.model} × {cell.bench}: "
        + ", ".join(f"{name} {number(value, digits=3)}" for name, value in cell.headline.items())
        for cell in summary.sweep.finished
        if cell.headline and "H" not in cell.headline
    ]


def study(summary: Summary) -> list[str]:
    """Which came first, the study or the cells, and what became of each test that was registered."""
    if summary.foretold is None:
        return []
    told = []
    for one in summary.findings:
        name = one.coefficient.capitalize()
        sign = "" if one.sign == "either" else f", foretold {one.sign}"
        if one.value is None or one.p is None:
            told.append(f"{one.probe}: undefined ({one.note}).")
            continue
        verdict = "holds" if one.holds else "is not shown"
        told.append(
            f"{one.probe} with {one.score}{sign}: {name} {number(one.value, digits=2, sign=True)}, corrected p "
            f"{p_value(one.p)} (at least {p_value(one.p_min)}): {verdict}."
        )
    return [summary.foretold.words, *told]


def at_floor(summary: Summary) -> list[str]:
    """What is to be read beside an H that lies below the chance of independent similarities: assignment and margin."""
    found = []
    for cell in summary.sweep.scored:
        h, extra = cell.score("H"), cell.extra
        if not h or h["ci95"][1] >= h["chance"] or extra.get("mean_margin") is None:
            continue
        told = [f"pair assignment {number(extra['pair_assignment'], digits=3)}"]
        if bounds := extra.get("pair_assignment_ci95"):
            told[0] += f" ({' to '.join(number(bound, digits=3) for bound in bounds)}; chance .500)"
        margin = f"mean margin {number(extra['mean_margin'], digits=4, sign=True)}"
        if bounds := extra.get("mean_margin_ci95"):
            margin += f" ({' to '.join(number(bound, digits=4, sign=True) for bound in bounds)}; chance 0)"
        told.append(margin)
        found.append(f"{cell.model} × {cell.bench}: H is at the floor, so read {', '.join(told)} with it.")
    return found


def notes(summary: Summary) -> list[str]:
    """What a reader of the correlations has to know."""
    found = [
        f"n: cells, of {summary.n_models} {'recipes' if summary.levels.seeded else 'models'}. models p: over orders of "
        f"the models, the unit that was sampled. corrected p: that p, by maxT for the {different(summary)}; min: the "
        f"smallest that could have been had. no effect beyond: larger ones are excluded (5 %). BF10: above 3 speaks "
        f"for a correlation, below .33 against one. Null predictors know nothing of geometry (docs/correlations.md)."
    ]
    if summary.levels.note:
        found.append(summary.levels.note)
    if summary.differs and summary.size:
        found.append(
            f"Probes enter at matched N, rows that every cell has: {summary.size.audio} clips and {summary.size.text} "
            f"captions, means of {summary.sweep.matching.draws} draws of whole items where a cell has more."
        )
    undefined = dict.fromkeys(
        row["undefined"] for row in summary.probes if row["spearman"] is None and row["undefined"]
    )
    found += [f"– {reason}" for reason in list(undefined)[:UNDEFINED]]
    if len(undefined) > UNDEFINED:
        found.append(f"– and {len(undefined) - UNDEFINED} more: note in correlations.csv")
    reasons = dict.fromkeys(
        row["all_rows_because"] for row in summary.correlations if row["rows"] == "all" and summary.size
    )
    found += [f"* over all rows: {reason}" for reason in reasons if reason]
    if any(row["probe"] in summary.reads_matches for row in summary.correlations):
        found.append("† reads the matches that H is made of: its correlation with H is no evidence.")
    if summary.n_models < MIN_MODELS:
        found.append(f"No intervals: they need at least {MIN_MODELS} models, there are {summary.n_models}.")
    found += [sentence for sentence in (equivalence(summary), hangs_on(summary), noise(summary)) if sentence]
    if summary.power:
        found.append(f"Power, for the largest coefficient: {summary.power}")
    return found


UNDEFINED = 3  # reasons that are told in full


def different(summary: Summary) -> str:
    """How many probes were tried, and how many tests they are.

    Probes of the same ranks are one, as the cosine and the angle of a gap.
    """
    tried = [row for row in summary.probes if row["spearman"] is not None]
    parts = {row["part"]: row["spearman_tests"] for row in tried}
    tests = ", ".join(f"{count}{f' {part}' if part else ''}" for part, count in parts.items())
    same = "" if sum(parts.values()) == len(tried) else f", {tests} of different ranks"
    return f"{len(tried)} probes tried{same}"


def equivalence(summary: Summary) -> str | None:
    """Which probes have no effect as large as the margin, by two one-sided tests, and how many are open."""
    bounds = {row["probe"]: row["spearman_equivalence_bound"] for row in summary.probes}
    bounds = {name: bound for name, bound in bounds.items() if bound is not None}
    if not bounds:
        return None
    margin = number(summary.sweep.margin, digits=2)
    none = [name for name, bound in bounds.items() if bound <= summary.sweep.margin]
    if not none:
        return f"No effect as large as {margin}: undecided for all {len(bounds)} probes; these models are too few."
    open_ = f"; undecided for the other {len(bounds) - len(none)}" if len(none) < len(bounds) else ""
    return f"No effect as large as {margin}: {', '.join(none)}{open_}."


def hangs_on(summary: Summary) -> str | None:
    """What the largest coefficient is without the controls, without outliers, and without any one model."""
    row = summary.strongest
    if row is None or row["spearman_most_influential"] is None:
        return None
    found = [f"{row['probe']}: Spearman {number(row['spearman'], digits=2, sign=True)}"]
    for who, names in (("controls", row["controls"]), ("outliers", row["spearman_outliers"])):
        if names:
            value = number(row[f"spearman_without_{who}"], digits=2, sign=True)
            found.append(f"{value} without the {who} ({names})")
    low, high = (number(row[f"spearman_without_one_{end}"], digits=2, sign=True) for end in ("low", "high"))
    found.append(f"{low} to {high} without any one model, most changed by {row['spearman_most_influential']}")
    return f"Largest coefficient, {', '.join(found)}."


def units(summary: Summary) -> str:
    """What n counts, in words."""
    return "recipes on benchmarks with H" if summary.levels.seeded else "finished cells with H"


def noise(summary: Summary) -> str | None:
    """What the sampling of items takes from a coefficient with H."""
    row = summary.strongest
    if row is None or row["reliability"] is None:
        return None
    trust, value = number(row["reliability"], digits=3), row["spearman_disattenuated"]
    told = f"without that noise {row['probe']} would be at {number(value, digits=2, sign=True)}"
    return f"Reliability of H over these cells {trust}: {told if value is not None else 'they differ by noise alone'}."


def interval_and_p(cell: Cell) -> tuple[str, str]:
    """The interval of H and its label-swap p, as the table shows them."""
    h = cell.score("H")
    if not h:
        return "–", "–"
    low, high = (number(bound, digits=2) for bound in h["ci95"])
    p = h["p_swap"]
    return f"{low}-{high}", p_value(p)


def legend(cells: Sequence[Cell]) -> list[str]:
    """What F, G and H mean under each protocol of ``cells``, and their chance."""
    lines = []
    for protocol in dict.fromkeys(cell.protocol for cell in cells):
        judged = [
            found for cell in cells if cell.protocol == protocol and (found := cell.protocols.get(protocol))
        ]
        if not judged:
            continue
        levels = {
            tuple(number(found[name]["chance"], digits=3) for name in ("F", "G", "H")) for found in judged
        }
        told = ", ".join(f"{name} {level}" for name, level in zip("FGH", levels.pop(), strict=True))
        lines.append(f"{protocol}: F {judged[0]['F']['direction']}, G {judged[0]['G']['direction']}, H both.")
        lines.append(
            f"Chance of independent similarities: {told}."
            if not levels
            else "Chance differs: H_chance in cells.csv."
        )
    if lines:
        lines.append(
            "swap p: exact, the right labels against exchanged clips; unlike chance, fair to a model with hubs "
            "(docs/scores.md)."
        )
    if any(cell.dropped_items for cell in cells):
        lines.append("n (-k): k items were left out, their clips are missing or broken.")
    return lines


def marked(row: dict[str, Any], summary: Summary) -> str:
    """A predictor's name with the marks that `notes` explains."""
    if row["kind"] == "null predictor":
        return f"null: {row['probe']}"
    reads_matches = "†" if row["probe"] in summary.reads_matches else ""
    return row["probe"] + ("*" if row["rows"] == "all" and summary.size else "") + reads_matches


def with_least(row: dict[str, Any], name: str) -> str:
    """A p, and in brackets the smallest that these cells could have given."""
    p, least = row[name], row[f"{name}_min"]
    return "–" if p is None else f"{p_value(p)} ({p_value(least)})"


def p_value(p: float | None) -> str:
    """A p of three digits, or that it is below .001."""
    return "<.001" if p is not None and p < 0.0005 else number(p, digits=3)


def factor(bf: float | None) -> str:
    """A Bayes factor of two or three digits, or that it is above 1000."""
    return ">1000" if bf is not None and bf > 1000 else number(bf, digits=2 if bf is None or bf < 10 else 0)


def number(value: float | None, *, digits: int, sign: bool = False) -> str:
    """A number for a table, without the zero before its point; a dash where there is none."""
    if value is None:
        return "–"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 and digits > 1 else text
