"""The published study, recomputed from its own tables: six cells, eight probes, and what a referee would ask.

Tables 2 and 3 stand here as printed, and table 4 beside what follows from them (`recompute`). A row agrees when some
unrounded values that round to tables 2 and 3 give the printed coefficients to their printed digits.

Source: A. Bahuguna, "Embedding Geometry in Pretrained CLAP Models", 2026, tables 2, 3 and 4. Table 3 has no
cosine between the centroids: it is the cosine of the printed angle.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from clapbench import files
from clapbench.statistics.coefficients import correlate, few
from clapbench.statistics.corrections import holm
from clapbench.statistics.permutation import free, joint, permuted

SOURCE = 'A. Bahuguna, "Embedding Geometry in Pretrained CLAP Models", 2026'
MODELS = ("laion", "mga", "m2d", "laion", "mga", "m2d")
BENCHES = ("order", "order", "order", "attribute", "attribute", "attribute")
ITEMS = {"order": 400, "attribute": 197}
ROWS = {"order": 800, "attribute": 394}  # clips and captions of the items: what the probes see
DIMENSIONS = {"laion": 512, "mga": 1024, "m2d": 768}  # of the embeddings of the released checkpoints
PRINTED_CHANCE = 1 / 40


class Column(NamedTuple):
    """A column of a table over the six cells, in the order of MODELS and BENCHES, with its printed decimals."""

    values: tuple[float, ...]
    decimals: int


TABLE_2 = {
    "F": Column((0.190, 0.383, 0.373, 0.421, 0.447, 0.457), 3),
    "G": Column((0.058, 0.168, 0.190, 0.030, 0.137, 0.086), 3),
    "H": Column((0.028, 0.140, 0.125, 0.030, 0.102, 0.076), 3),
}
TABLE_3 = {
    "rankme_audio": Column((214.4, 369.3, 288.0, 169.1, 225.6, 190.3), 1),
    "rankme_text": Column((161.8, 316.7, 272.8, 133.6, 199.3, 175.2), 1),
    "twonn_audio": Column((11.3, 10.6, 14.0, 10.0, 9.7, 12.0), 1),
    "twonn_text": Column((2.4, 2.1, 2.2, 1.2, 1.2, 1.0), 1),
    "residual_audio_k10": Column((0.27, 0.32, 0.36, 0.18, 0.20, 0.20), 2),
    "gap_l2": Column((0.454, 0.335, 0.830, 0.460, 0.336, 0.805), 3),
    "gap_angle_deg": Column((74.8, 48.3, 69.4, 84.0, 50.6, 71.5), 1),
}


class Printed(NamedTuple):
    """A row of table 4, coefficients as printed, to two decimals."""

    spearman: float
    spearman_p: float
    pearson: float
    pearson_p: float


TABLE_4 = {
    "rankme_text": Printed(0.94, 0.005, 0.92, 0.008),
    "gap_cosine": Printed(0.89, 0.019, 0.79, 0.059),
    "gap_angle_deg": Printed(-0.89, 0.019, -0.79, 0.064),
    "rankme_audio": Printed(0.83, 0.042, 0.83, 0.040),
    "residual_audio_k10": Printed(0.31, 0.544, -0.05, 0.928),
    "gap_l2": Printed(-0.20, 0.704, 0.07, 0.891),
    "twonn_audio": Printed(0.09, 0.872, 0.27, 0.604),
    "twonn_text": Printed(-0.09, 0.872, 0.19, 0.723),
}


class AuditRow(NamedTuple):
    """A probe with H over the six cells: recomputed, as printed, and whether the two agree."""

    probe: str
    spearman: float
    spearman_p: float  # asymptotic
    spearman_p_exact: float  # over all 720 orders of the cells
    spearman_p_holm: float  # of spearman_p_exact, over the eight probes
    pearson: float
    pearson_p: float
    printed_spearman: float
    printed_pearson: float
    agrees: bool


def printed_values(probe: str) -> Float[np.ndarray, 6]:
    """A probe of table 4 over the six cells, from table 3.

    >>> printed_values("gap_cosine").round(3).tolist()
    [0.262, 0.665, 0.352, 0.105, 0.635, 0.317]
    """
    column, shape = _column(probe)
    return shape(np.array(column.values))


def _column(probe: str) -> tuple[Column, Callable[[np.ndarray], np.ndarray]]:
    if probe == "gap_cosine":
        return TABLE_3["gap_angle_deg"], lambda angle: np.cos(np.radians(angle))
    return TABLE_3[probe], lambda values: values


def h_values() -> Float[np.ndarray, 6]:
    """H over the six cells, from table 2."""
    return np.array(TABLE_2["H"].values)


def recompute() -> list[AuditRow]:
    """Table 4 from tables 2 and 3, in its own order.

    >>> [row.probe for row in recompute() if not row.agrees]
    ['residual_audio_k10']
    """
    h = h_values()
    exact = [one.p for one in permuted(np.array([printed_values(name) for name in TABLE_4]), h, free(len(h)))]
    rows = []
    for (name, printed), p, corrected in zip(TABLE_4.items(), exact, holm(exact), strict=True):
        found = correlate(printed_values(name), h, value_name=name, score_name="H")
        assert found.spearman is not None
        assert found.spearman_p is not None
        assert found.pearson is not None
        assert found.pearson_p is not None
        assert corrected is not None
        rows.append(
            AuditRow(
                probe=name,
                spearman=found.spearman,
                spearman_p=found.spearman_p,
                spearman_p_exact=p,
                spearman_p_holm=corrected,
                pearson=found.pearson,
                pearson_p=found.pearson_p,
                printed_spearman=printed.spearman,
                printed_pearson=printed.pearson,
                agrees=agrees(name),
            )
        )
    return rows


class Unrounded(NamedTuple):
    """Both coefficients for a grid of unrounded values that round to the tables."""

    spearman: Float[np.ndarray, "probes h_values"]
    pearson: Float[np.ndarray, "probes h_values"]


def unrounded(probe: str) -> Unrounded:
    """The coefficients that the rounding of tables 2 and 3 leaves open.

    Each of the six values of the probe and of H stands at the middle and at both ends of what rounds to it. That gives
    every order of up to three values that are printed alike, and both ends of Pearson's span.

    >>> found = unrounded("residual_audio_k10")
    >>> [round(float(end), 2) for one in found for end in (one.min(), one.max())]
    [0.54, 0.6, 0.55, 0.66]
    """
    column, shape = _column(probe)
    x, y = shape(_places(column)), _places(TABLE_2["H"])
    return Unrounded(spearman=_products(_midranks(x), _midranks(y)), pearson=_products(x, y))


def _places(column: Column) -> Float[np.ndarray, "m 6"]:
    half = 0.5 * 10.0**-column.decimals * (1 - 1e-9)
    return np.array(list(itertools.product(*((v - half, v, v + half) for v in column.values))))


def _midranks(x: Float[np.ndarray, "m 6"]) -> Float[np.ndarray, "m 6"]:
    return (np.sign(x[:, :, None] - x[:, None, :]) / 2).sum(axis=2)


def _products(x: Float[np.ndarray, "m 6"], y: Float[np.ndarray, "k 6"]) -> Float[np.ndarray, "m k"]:
    """Pearson's coefficient of each row of x with each row of y."""
    x, y = (side - side.mean(axis=1, keepdims=True) for side in (x, y))
    x, y = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (x, y))
    return x @ y.T


def agrees(probe: str) -> bool:
    """Whether some unrounded values give both printed coefficients to their two digits.

    >>> agrees("rankme_text"), agrees("residual_audio_k10")
    (True, False)
    """
    found, printed = unrounded(probe), TABLE_4[probe]
    both = (np.abs(found.spearman - printed.spearman) <= 0.005) & (
        np.abs(found.pearson - printed.pearson) <= 0.005
    )
    return bool(both.any())


def audit() -> list[str]:
    """What the tables do and do not support, a sentence or two each, with the numbers they rest on."""
    rows = {row.probe: row for row in recompute()}
    best, residual = rows["rankme_text"], rows["residual_audio_k10"]
    spans = [f"{one.min():+.2f} to {one.max():+.2f}" for one in unrounded("residual_audio_k10")]
    models = permuted(printed_values("rankme_text")[None], h_values(), joint(MODELS, BENCHES))[0]
    dimension = correlate(np.array([float(DIMENSIONS[model]) for model in MODELS]), h_values())
    number_of_rows = correlate(np.array([float(ROWS[bench]) for bench in BENCHES]), h_values())
    items = ", ".join(f"{ITEMS[bench]} for {bench} ({ROWS[bench]} rows)" for bench in ITEMS)
    fitting = "; ".join(f"{bench}: {', '.join(map(str, item_counts(bench)))}" for bench in ITEMS)
    counted = ", ".join(
        f"{round(h * ITEMS[bench])} of {ITEMS[bench]} ({model}, {bench})"
        for h, model, bench in zip(TABLE_2["H"].values, MODELS, BENCHES, strict=True)
    )
    return [
        f"{few(len(MODELS))}",
        f"Text RankMe: Spearman {best.spearman:+.2f}, asymptotic p {best.spearman_p:.3f}; exact p "
        f"{best.spearman_p_exact:.3f} (all 720 orders of the cells), {best.spearman_p_holm:.2f} after Holm over the "
        f"{len(rows)} probes. With models as the unit p is {models.p:.2f}, and {len(set(MODELS))} models can give none "
        f"below {models.p_min:.2f}.",
        f"Null predictors: the embedding dimension alone gives Spearman {dimension.spearman:+.2f}, the number of rows "
        f"{number_of_rows.spearman:+.2f}.",
        f"Residual energy (audio, k = 10) does not follow from the tables: recomputed {residual.spearman:+.2f} / "
        f"{residual.pearson:+.2f}, printed {residual.printed_spearman:+.2f} / {residual.printed_pearson:+.2f}. "
        f"Rounding leaves Spearman {spans[0]} and Pearson {spans[1]} open, no more.",
        "F and G: the printed formulas read F as the caption choosing its clip, and compare one pair each. The printed "
        "numbers are those of the benchmark's own evaluation, where F is each clip choosing its caption and G each "
        "caption its clip. Formulas and numbers do not belong together; here the numbers name F and G (official).",
        f"Chance: the stated 1/40 = {PRINTED_CHANCE:.3f} holds for H under neither reading. Independent similarities "
        f"give 1/6 = {1 / 6:.3f} (official) or 1/3 = {1 / 3:.3f} (the printed formulas). Every H is below both.",
        f"N differs between the benchmarks: {items}. A rank grows with the rows it is computed from, and order has "
        f"twice the rows of attribute: pooled over both, a rank is compared across sizes.",
        f"Every share of table 2 is a count of these items: H is {counted}. Item numbers up to 500 that fit all nine "
        f"shares of a benchmark: {fitting}.",
    ]


def item_counts(bench: str, *, most: int = 500) -> list[int]:
    """The numbers of items for which all nine printed shares of a benchmark are counts, to rounding.

    >>> item_counts("attribute")
    [197, 394]
    """
    shares = np.array(
        [
            value
            for column in TABLE_2.values()
            for value, of in zip(column.values, BENCHES, strict=True)
            if of == bench
        ]
    )
    return [
        n for n in range(1, most + 1) if (np.abs(np.round(shares * n) / n - shares) <= 0.0005 + 1e-12).all()
    ]


def write(folder: Path) -> list[AuditRow]:
    """Writes correlations.csv and audit.txt, `recompute` and `audit`, into ``folder``."""
    rows = recompute()
    table = pd.DataFrame(rows, columns=AuditRow._fields)
    files.write_text(folder / "correlations.csv", table.to_csv(index=False, lineterminator="\n"))
    files.write_text(folder / "audit.txt", "\n\n".join([f"Source of the tables: {SOURCE}.", *audit()]) + "\n")
    return rows
