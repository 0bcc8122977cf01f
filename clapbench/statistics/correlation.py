r"""Correlation of probes with a score over the cells of a sweep: arrays in, one row of evidence for each out.

A row holds a coefficient (`coefficients`), its permutation p (`permutation`), that over models corrected for the number
of probes (`corrections`), its interval over models (`bootstrap`), a Bayes factor (`bayes`), what hangs on single models
(`influence`), what noise in the score takes (`attenuation`), and how many cells it takes to see it (`power`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from clapbench.statistics.attenuation import reliability
from clapbench.statistics.bayes import bayes_factor
from clapbench.statistics.bootstrap import interval
from clapbench.statistics.coefficients import COEFFICIENTS, Coefficient, Correlation, correlate, partial
from clapbench.statistics.corrections import max_t
from clapbench.statistics.influence import without_models
from clapbench.statistics.permutation import DRAWS, distances, distinct, free, joint, permuted, shares, within
from clapbench.statistics.power import cells_needed

SIDES = {"positive": 1, "negative": -1, "two-sided": 0}
Key = tuple[str, str]  # kind and name of a predictor


class Row(NamedTuple):
    """One predictor with one score, by one coefficient; None is undefined, and ``notes`` say why."""

    kind: str  # "probe", or "null predictor" for a predictor that knows nothing of geometry
    name: str
    coefficient: Coefficient
    n: int  # cells
    n_models: int
    part: str | None = None  # the family that it is corrected in, where there are several
    alternative: str = "two-sided"  # or the sign that was said before: of p_joint and p_maxt
    value: float | None = None
    p_maxt: float | None = None  # p_joint corrected over the probes of its part; of probes alone
    p_maxt_min: float | None = None  # the smallest attainable, here and below
    tests: int | None = None  # different ones in its part; probes of the same ranks are one
    p_joint: float | None = None  # models across benchmarks
    p_joint_min: float | None = None
    orders: int | None = None  # of models, found or drawn
    p_exact: float | None = None  # over all orders of the cells; sampled where p_exact_sampled
    p_exact_min: float | None = None
    p_exact_sampled: bool | None = None
    p_within: float | None = None  # within benchmarks
    p_within_min: float | None = None
    p: float | None = None  # asymptotic
    ci95_low: float | None = None  # bootstrap over models
    ci95_high: float | None = None
    equivalence_bound: float | None = None  # the smallest effect that is excluded, either sign
    bf10: float | None = None  # of a correlation against none, n_models units
    without_one_low: float | None = None  # range when one model is left out
    without_one_high: float | None = None
    most_influential: str | None = None  # the model whose absence changes it most
    without_most_influential: float | None = None
    outliers: str | None = None  # models, by name
    without_outliers: float | None = None
    controls: str | None = None  # models that cannot do the task, by name
    without_controls: float | None = None
    reliability: float | None = None  # of the score over these cells
    disattenuated: float | None = None
    partial: float | None = None  # given the benchmark
    cells_needed: int | None = None  # to see ``value``
    notes: tuple[str, ...] = ()

    @property
    def note(self) -> str | None:
        """What is undefined and why, in a line; None where nothing is."""
        return "; ".join(self.notes) or None


class Cells(NamedTuple):
    """What all predictors of a table are correlated with, cell by cell; and how."""

    scores: Float[np.ndarray, " n"]
    models: np.ndarray  # names
    benches: np.ndarray
    variance: Float[np.ndarray, " n"] | None  # of the scores, by sampling of items
    controls: frozenset[str]
    draws: int
    seed: int

    def at(self, there: np.ndarray) -> Cells:
        """Those cells alone."""
        variance = None if self.variance is None else self.variance[there]
        return self._replace(
            scores=self.scores[there],
            models=self.models[there],
            benches=self.benches[there],
            variance=variance,
        )


def table(
    probes: Mapping[str, Float[np.ndarray, " n"]],
    scores: Float[np.ndarray, " n"],
    *,
    models: Sequence[str],
    benches: Sequence[str],
    nulls: Mapping[str, Float[np.ndarray, " n"]] | None = None,
    parts: Mapping[str, str] | None = None,
    signs: Mapping[str, str] | None = None,
    score_variance: Float[np.ndarray, " n"] | None = None,
    controls: Collection[str] = (),
    coefficients: Sequence[Coefficient] = COEFFICIENTS,
    score_name: str = "the score",
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Row]:
    """Every probe and null predictor with ``scores``, by every coefficient; cell i is ``models[i]`` on ``benches[i]``.

    A cell where a predictor or the score is NaN is left out of its row. What cannot be had is None, with a note.
    ``parts`` says which family a probe is corrected in (all in one without it), ``signs`` which sign, positive or
    negative, was foretold of a probe: it is tested on that side alone. ``score_variance`` is that of each score by the
    sampling of items; ``controls`` are models that cannot do the task.

    >>> gap, h = np.random.default_rng(0).random((2, 6))
    >>> row = table({"gap": gap}, h, models="abcabc", benches="xxxyyy", coefficients=["pearson"])[0]
    >>> row.n, row.n_models, round(row.p_joint_min, 3), row.note
    (6, 3, 0.167, 'no interval: it needs at least 5 models, there are 3')
    """
    _refuse_unknown(probes, parts=parts or {}, signs=signs or {})
    both = [("probe", probes), ("null predictor", nulls or {})]
    named = {(kind, name): values for kind, given in both for name, values in given.items()}
    found = {key: _correlated(values, scores, names=(key[1], score_name)) for key, values in named.items()}
    cells = Cells(
        scores=scores,
        models=np.array([str(name) for name in models]),
        benches=np.array([str(name) for name in benches]),
        variance=score_variance,
        controls=frozenset(controls),
        draws=draws,
        seed=seed,
    )
    rows: list[Row] = []
    for coefficient in coefficients:
        first = _values(named, found, cells, coefficient, parts=parts or {}, signs=signs or {})
        defined = {key: values for key, values in named.items() if first[key].value is not None}
        rows += _over_models(_alone(first, defined, cells), defined, cells).values()
    place = {key: index for index, key in enumerate(named)}
    return sorted(rows, key=lambda row: place[row.kind, row.name])


def _refuse_unknown(probes: Collection[str], *, parts: Mapping[str, str], signs: Mapping[str, str]) -> None:
    for what, given in (("parts", parts), ("signs", signs)):
        unknown = [name for name in given if name not in probes]
        if unknown:
            raise ValueError(
                f"correlate: {what} needs names of probes of the table; got {', '.join(unknown)}. "
                f"There are: {', '.join(probes)}."
            )
    wrong = sorted(set(signs.values()) - {"positive", "negative"})
    if wrong:
        raise ValueError(f"correlate: signs must be positive or negative; got {', '.join(wrong)}.")


def _correlated(
    values: Float[np.ndarray, " n"], scores: Float[np.ndarray, " n"], *, names: Key
) -> Correlation | str:
    """Every coefficient, or why there is none."""
    try:
        return correlate(values, scores, value_name=names[0], score_name=names[1])
    except ValueError as reason:
        return str(reason)


def _values(
    named: Mapping[Key, Float[np.ndarray, " n"]],
    found: Mapping[Key, Correlation | str],
    cells: Cells,
    coefficient: Coefficient,
    *,
    parts: Mapping[str, str],
    signs: Mapping[str, str],
) -> dict[Key, Row]:
    """The rows with their coefficient, or why there is none."""
    rows = {}
    for key, values in named.items():
        there = ~(np.isnan(values) | np.isnan(cells.scores))
        row = Row(*key, coefficient, int(there.sum()), len(set(cells.models[there])))
        if row.kind == "probe":
            row = row._replace(part=parts.get(row.name), alternative=signs.get(row.name, "two-sided"))
        one = found[key]
        if isinstance(one, str):
            rows[key] = row._replace(notes=(one,))
        elif one.note:
            rows[key] = row._replace(notes=(f"undefined: {one.note}",))
        else:
            rows[key] = row._replace(value=getattr(one, coefficient), p=getattr(one, f"{coefficient}_p"))
    return rows


def _alone(
    rows: Mapping[Key, Row], defined: Mapping[Key, Float[np.ndarray, " n"]], cells: Cells
) -> dict[Key, Row]:
    """The rows with what each has by itself. Predictors that are there in the same cells share their orders."""
    new = dict(rows)
    alike: dict[bytes, list[Key]] = {}
    for key, values in defined.items():
        alike.setdefault((~(np.isnan(values) | np.isnan(cells.scores))).tobytes(), []).append(key)
    for mask, keys in alike.items():
        there = np.frombuffer(mask, dtype=bool)
        own = cells.at(there)
        x = np.array([defined[key][there] for key in keys], dtype=np.float64)
        how: dict[str, Any] = {
            "coefficient": rows[keys[0]].coefficient,
            "draws": cells.draws,
            "seed": cells.seed,
        }
        exact = permuted(x, own.scores, free(len(own.scores)), **how)
        inside = permuted(x, own.scores, within(own.benches.tolist()), **how)
        for key, values, one, other in zip(keys, x, exact, inside, strict=True):
            new[key] = _evidence(rows[key], values, own)._replace(
                p_exact=one.p,
                p_exact_min=one.p_min,
                p_exact_sampled=not one.exact,
                p_within=other.p,
                p_within_min=other.p_min,
            )
    return new


def _evidence(row: Row, values: Float[np.ndarray, " n"], cells: Cells) -> Row:
    """A row with all that is no permutation."""
    assert row.value is not None
    models, coefficient = cells.models.tolist(), row.coefficient
    band = interval(values, cells.scores, models, coefficient=coefficient, draws=cells.draws, seed=cells.seed)
    span = without_models(values, cells.scores, models, controls=cells.controls, coefficient=coefficient)
    trust = None if cells.variance is None else reliability(cells.scores, cells.variance)
    notes = [band.note, span.note]
    if trust is not None and trust <= 0:
        notes.append("no disattenuated coefficient: the scores differ by no more than their sampling noise")
    known = trust is not None and trust > 0 and coefficient != "kendall"
    return row._replace(
        ci95_low=band.low,
        ci95_high=band.high,
        equivalence_bound=band.bound,
        bf10=bayes_factor(row.value, row.n_models) if coefficient != "kendall" else None,
        without_one_low=span.without_one_low,
        without_one_high=span.without_one_high,
        most_influential=span.most_influential,
        without_most_influential=span.without_most_influential,
        outliers=", ".join(span.outliers) or None,
        without_outliers=span.without_outliers,
        controls=", ".join(span.controls) or None,
        without_controls=span.without_controls,
        reliability=trust,
        disattenuated=row.value / sqrt(trust) if known and trust else None,
        partial=partial(values, cells.scores, cells.benches.tolist(), coefficient=coefficient),
        cells_needed=cells_needed(row.value, coefficient=coefficient),
        notes=tuple(note for note in notes if note),
    )


def _over_models(
    rows: Mapping[Key, Row], defined: Mapping[Key, Float[np.ndarray, " n"]], cells: Cells
) -> dict[Key, Row]:
    """The rows with their p over orders of the models, the same orders for all, and that p corrected by maxT.

    A predictor that is missing in some cells sees the scores that the orders bring to the others: models change places
    by the scores that they have, not by what each probe could be computed for.
    """
    new, keys = dict(rows), list(defined)
    if not keys:
        return new
    own = cells.at(scored := ~np.isnan(cells.scores))
    x = np.array([defined[key][scored] for key in keys], dtype=np.float64)
    coefficient = rows[keys[0]].coefficient
    sides = [SIDES[rows[key].alternative] for key in keys]
    strata = joint(own.models.tolist(), own.benches.tolist())
    how: dict[str, Any] = {"coefficient": coefficient, "draws": cells.draws, "seed": cells.seed}
    far = distances(x, own.scores, strata, sides=sides, **how)
    for key, one in zip(keys, shares(far), strict=True):
        new[key] = new[key]._replace(p_joint=one.p, p_joint_min=one.p_min, orders=one.orders)
    families: dict[str | None, list[int]] = {}
    for place, key in enumerate(keys):
        if key[0] == "probe":
            families.setdefault(rows[key].part, []).append(place)
    for family in families.values():
        tests = distinct(x[family], coefficient)
        for place, corrected in zip(family, max_t(far.rows[:, family]), strict=True):
            key = keys[place]
            new[key] = new[key]._replace(p_maxt=corrected.p, p_maxt_min=corrected.p_min, tests=tests)
    return new
