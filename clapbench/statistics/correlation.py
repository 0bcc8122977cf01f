r"""Correlation of probes with a score over the cells of a sweep: arrays in, one row of evidence for each out.

A row holds a coefficient (`coefficients`), its permutation p (`permutation`), its interval over models (`bootstrap`),
the p corrected for the number of probes (`corrections`), and how many cells it takes to see it (`power`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from clapbench.statistics.bootstrap import interval, without_one_model
from clapbench.statistics.coefficients import COEFFICIENTS, Coefficient, Correlation, correlate, partial
from clapbench.statistics.corrections import benjamini_hochberg, holm
from clapbench.statistics.permutation import DRAWS, free, joint, permuted, within
from clapbench.statistics.power import cells_needed


class Row(NamedTuple):
    """One predictor with one score, by one coefficient; None is undefined, and ``notes`` say why."""

    kind: str  # "probe", or "null predictor" for a predictor that knows nothing of geometry
    name: str
    coefficient: Coefficient
    n: int  # cells
    n_models: int
    value: float | None = None
    p: float | None = None  # asymptotic
    p_exact: float | None = None  # over all orders of the cells; sampled where p_exact_sampled
    p_exact_min: float | None = None  # the smallest attainable, here and below
    p_exact_sampled: bool | None = None
    p_within: float | None = None  # within benchmarks
    p_within_min: float | None = None
    p_joint: float | None = None  # models across benchmarks
    p_joint_min: float | None = None
    p_holm: float | None = None  # of p_exact, over the probes; so is p_bh
    p_bh: float | None = None
    ci95_low: float | None = None  # bootstrap over models
    ci95_high: float | None = None
    without_one_low: float | None = None  # range when one model is left out
    without_one_high: float | None = None
    partial: float | None = None  # given the benchmark
    cells_needed: int | None = None  # to see ``value``
    notes: tuple[str, ...] = ()

    @property
    def note(self) -> str | None:
        """What is undefined and why, in a line; None where nothing is."""
        return "; ".join(self.notes) or None


def table(
    probes: Mapping[str, Float[np.ndarray, " n"]],
    scores: Float[np.ndarray, " n"],
    *,
    models: Sequence[str],
    benches: Sequence[str],
    nulls: Mapping[str, Float[np.ndarray, " n"]] | None = None,
    coefficients: Sequence[Coefficient] = COEFFICIENTS,
    score_name: str = "the score",
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Row]:
    """Every probe and null predictor with ``scores``, by every coefficient; cell i is ``models[i]`` on ``benches[i]``.

    A cell where a predictor or the score is NaN is left out of its row. What cannot be had is None, with a note.

    >>> gap, h = np.random.default_rng(0).random((2, 6))
    >>> row = table({"gap": gap}, h, models="abcabc", benches="xxxyyy", coefficients=["pearson"])[0]
    >>> row.n, row.n_models, round(row.p_joint_min, 3), row.note
    (6, 3, 0.167, 'no interval: it needs at least 5 models, there are 3')
    """
    both = [("probe", probes), ("null predictor", nulls or {})]
    named = {(kind, name): values for kind, given in both for name, values in given.items()}
    found = {key: _correlated(values, scores, names=(key[1], score_name)) for key, values in named.items()}
    rows = [
        row
        for coefficient in coefficients
        for row in _corrected_rows(
            _rows(named, found, scores, models, benches, coefficient, draws=draws, seed=seed)
        )
    ]
    place = {key: index for index, key in enumerate(named)}
    return sorted(rows, key=lambda row: place[row.kind, row.name])


def _correlated(
    values: Float[np.ndarray, " n"], scores: Float[np.ndarray, " n"], *, names: tuple[str, str]
) -> Correlation | str:
    """Every coefficient, or why there is none."""
    try:
        return correlate(values, scores, value_name=names[0], score_name=names[1])
    except ValueError as reason:
        return str(reason)


def _rows(
    named: Mapping[tuple[str, str], Float[np.ndarray, " n"]],
    found: Mapping[tuple[str, str], Correlation | str],
    scores: Float[np.ndarray, " n"],
    models: Sequence[str],
    benches: Sequence[str],
    coefficient: Coefficient,
    *,
    draws: int,
    seed: int,
) -> list[Row]:
    """`table` for one coefficient. Predictors that are there in the same cells share their permutations."""
    rows: dict[tuple[str, str], Row] = {}
    alike: dict[bytes, list[tuple[str, str]]] = {}
    for (kind, name), values in named.items():
        there = ~(np.isnan(values) | np.isnan(scores))
        row = Row(kind, name, coefficient, int(there.sum()), len(set(np.array(list(models))[there])))
        one = found[kind, name]
        if isinstance(one, str):
            rows[kind, name] = row._replace(notes=(one,))
            continue
        r, p = getattr(one, coefficient), getattr(one, f"{coefficient}_p")
        rows[kind, name] = row._replace(value=r, p=p, notes=(f"undefined: {one.note}",) if r is None else ())
        if r is not None:
            alike.setdefault(there.tobytes(), []).append((kind, name))
    for mask, members in alike.items():
        there = np.frombuffer(mask, dtype=bool)
        x, y = np.array([named[key][there] for key in members], dtype=np.float64), scores[there]
        own_models, own_benches = ([str(v) for v in np.array(list(of))[there]] for of in (models, benches))
        schemes = [free(len(y)), within(own_benches), joint(own_models, own_benches)]
        tests = [permuted(x, y, s, coefficient=coefficient, draws=draws, seed=seed) for s in schemes]
        for key, values, exact, inside, together in zip(members, x, *tests, strict=True):
            band = interval(values, y, own_models, coefficient=coefficient, draws=draws, seed=seed)
            span = without_one_model(values, y, own_models, coefficient=coefficient)
            rows[key] = rows[key]._replace(
                p_exact=exact.p,
                p_exact_min=exact.p_min,
                p_exact_sampled=not exact.exact,
                p_within=inside.p,
                p_within_min=inside.p_min,
                p_joint=together.p,
                p_joint_min=together.p_min,
                ci95_low=band.low,
                ci95_high=band.high,
                without_one_low=span.low,
                without_one_high=span.high,
                partial=partial(values, y, own_benches, coefficient=coefficient),
                cells_needed=cells_needed(rows[key].value or 0.0, coefficient=coefficient),
                notes=tuple(note for note in (band.note, span.note) if note),
            )
    return list(rows.values())


def _corrected_rows(rows: list[Row]) -> list[Row]:
    """The rows with p_holm and p_bh over the probes; null predictors are no part of that family."""
    ps = [row.p_exact if row.kind == "probe" else None for row in rows]
    return [
        row._replace(p_holm=strict, p_bh=mild)
        for row, strict, mild in zip(rows, holm(ps), benjamini_hochberg(ps), strict=True)
    ]
