r"""Correlation of a probe with a score over the cells of a sweep: arrays in, numbers out.

Spearman's, Pearson's and Kendall's (tau-b) coefficient, each between -1 and 1. What stands beside it:

- an asymptotic p, two-sided: Student's t (Spearman; Pearson, where it supposes normal data), the normal law (Kendall);
- a permutation p: the share of orders of the scores whose coefficient is as far from the mean over all orders as the
  one found. All orders where there are at most 9!; else 10,000 seeded draws and (b + 1) / (m + 1). Three sets of
  orders: of all cells (`free`), of each benchmark's (`within`), of models, whose cells move together (`joint`);
- a bootstrap interval over models, whose coverage is measured in docs/correlations.md;
- the range when one model is left out, the coefficient given the benchmark, and how many cells it takes to see it.

Sources: Spearman 1904, Pearson 1895, Kendall 1945; Phipson and Smyth 2010 for (b + 1) / (m + 1); Holm 1979; Benjamini
and Hochberg 1995; Fieller, Hartley and Pearson 1957 for the variances of artanh r.
Deviation: percentile and BCa intervals of 95 % cover 92 % (Pearson, 24 models); `interval` is what covers 95 %.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import atanh, ceil, factorial, prod, sqrt
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

Coefficient = Literal["spearman", "pearson", "kendall"]
COEFFICIENTS: tuple[Coefficient, ...] = get_args(Coefficient)

MIN_PAIRS = 4  # cells
FEW = 10  # cells; below this a coefficient says little
MIN_MODELS = 5  # for an interval
ENUMERATED = factorial(9)  # as many orders are all tried, more are sampled
DRAWS = 10_000  # sampled orders; resamples of models
ROUNDING = 1e-12  # a spread below this share of the largest value is rounding, not variation
EQUAL = 1e-10  # coefficients this close are the same one, computed in another order
EDGE = 1 - 1e-6  # artanh is cut off here: a resample of few models can lie on a line
CHUNK = 2**22  # numbers at a time
# The variance of artanh r is about factor / (n - offset).
FISHER: dict[Coefficient, tuple[float, int]] = {
    "pearson": (1.0, 3),
    "spearman": (1.06, 3),
    "kendall": (0.437, 4),
}


class Correlation(NamedTuple):
    """Coefficients over ``n`` cells, None where they are undefined; ``note`` then says why."""

    n: int
    spearman: float | None
    spearman_p: float | None  # asymptotic, two-sided
    pearson: float | None
    pearson_p: float | None  # for normal data, two-sided
    kendall: float | None = None  # tau-b
    kendall_p: float | None = None  # asymptotic, two-sided
    note: str | None = None


def correlate(
    values: Float[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    *,
    value_name: str = "the value",
    score_name: str = "the score",
) -> Correlation:
    """Correlation of ``values`` with ``scores``, cell by cell; a cell where either is NaN is left out.

    The names are for messages. Where one of the two is the same in all cells (to rounding) no correlation is
    defined: the coefficients are None.

    Raises ValueError for fewer than 4 cells with both, and for an infinite number.

    >>> result = correlate(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0]))
    >>> result.n, round(result.spearman, 6), round(result.pearson, 6), round(result.kendall, 6)
    (4, 0.8, 0.8, 0.666667)
    """
    both = ~(np.isnan(values) | np.isnan(scores))
    x, y = values[both].astype(np.float64), scores[both].astype(np.float64)
    n = len(x)
    if n < MIN_PAIRS:
        raise ValueError(
            f"correlate: needs at least {MIN_PAIRS} cells with both {value_name} and {score_name}; got {n}. "
            f"Add models or benchmarks to the sweep."
        )
    for name, side in ((value_name, x), (score_name, y)):
        if np.isinf(side).any():
            raise ValueError(
                f"correlate: needs finite numbers; {name} is infinite in {np.isinf(side).sum()} of {n}."
            )
    constant = [name for name, side in ((value_name, x), (score_name, y)) if _is_constant(side)]
    if constant:
        note = "; ".join(f"{name} is the same in all {n} cells" for name in constant)
        return Correlation(n=n, spearman=None, spearman_p=None, pearson=None, pearson_p=None, note=note)
    rank, linear = stats.spearmanr(x, y), stats.pearsonr(x, y)
    order = stats.kendalltau(x, y, method="asymptotic")
    return Correlation(
        n=n,
        spearman=float(rank.statistic),
        spearman_p=float(rank.pvalue),
        pearson=float(linear.statistic),
        pearson_p=float(linear.pvalue),
        kendall=float(order.statistic),
        kendall_p=float(order.pvalue),
    )


def _is_constant(x: Float[np.ndarray, " n"]) -> bool:
    return bool(np.ptp(x) <= ROUNDING * np.abs(x).max())


def few(n: int) -> str | None:
    """The sentence to print above coefficients over ``n`` cells when they are below 10.

    >>> few(6)
    'ONLY 6 CELLS: one cell more or less can turn these coefficients round. Take none of them as established.'
    """
    warning = "one cell more or less can turn these coefficients round. Take none of them as established."
    return f"ONLY {n} CELLS: {warning}" if n < FEW else None


# Permutation. A stratum is a table of cells, one row per unit; the rows of a stratum are what changes places.
Strata = Sequence[Int[np.ndarray, "_ _"]]


def free(n: int) -> Strata:
    """Every cell can take the score of every other: right for independent cells, which those of a model are not."""
    return [np.arange(n)[:, None]]


def within(benches: Sequence[str]) -> Strata:
    """Cells change places within their benchmark: benchmarks may differ in both probe and score."""
    names = np.array(list(benches))
    return [np.flatnonzero(names == name)[:, None] for name in dict.fromkeys(benches)]


def joint(models: Sequence[str], benches: Sequence[str]) -> Strata:
    """Models change places with all their cells, among models with the same benchmarks: models are the sample.

    >>> [stratum.tolist() for stratum in joint(["a", "a", "b", "b", "c"], ["x", "y", "x", "y", "x"])]
    [[[0, 1], [2, 3]], [[4]]]
    """
    cells: dict[str, dict[str, int]] = {}
    for index, (model, bench) in enumerate(zip(models, benches, strict=True)):
        if bench in cells.setdefault(model, {}):
            raise ValueError(
                f"correlate: needs one cell per model and benchmark; {model} × {bench} comes twice. Leave one out."
            )
        cells[model][bench] = index
    alike: dict[tuple[str, ...], list[list[int]]] = {}
    for own in cells.values():
        alike.setdefault(tuple(sorted(own)), []).append([own[bench] for bench in sorted(own)])
    return [np.array(rows) for rows in alike.values()]


class Orders(NamedTuple):
    """Orders of n cells, the one found first; ``exact`` when there are no others."""

    rows: Int[np.ndarray, "m n"]
    exact: bool


def orders(strata: Strata, *, draws: int = DRAWS, seed: int = 0) -> Orders:
    """All orders that ``strata`` allow, up to 9! of them; else the one found and ``draws`` seeded ones.

    >>> len(orders(free(6)).rows), len(orders(within("xxxyyy")).rows), len(orders(joint("abcabc", "xxxyyy")).rows)
    (720, 36, 6)
    >>> orders(free(12), draws=999).rows.shape
    (1000, 12)
    """
    n = sum(stratum.size for stratum in strata)
    exact = prod(factorial(len(stratum)) for stratum in strata) <= ENUMERATED
    rng = np.random.default_rng(seed)
    rows = np.tile(np.arange(n), (1 if exact else draws + 1, 1))
    for stratum in strata:
        units = len(stratum)
        if exact:
            moved = _all_orders(units)
            m = len(rows)
            rows = np.repeat(rows, len(moved), axis=0)
            rows[:, stratum.ravel()] = np.tile(stratum[moved].reshape(len(moved), -1), (m, 1))
        else:
            moved = rng.random((draws, units)).argsort(axis=1)
            rows[1:, stratum.ravel()] = stratum[moved].reshape(draws, -1)
    return Orders(rows=rows, exact=exact)


@cache
def _all_orders(n: int) -> Int[np.ndarray, "m n"]:
    """The n! orders of n things, in alphabetical order."""
    if n == 1:
        return np.zeros((1, 1), dtype=np.int64)
    rest = _all_orders(n - 1)
    blocks = [np.column_stack([np.full(len(rest), first), rest + (rest >= first)]) for first in range(n)]
    return np.concatenate(blocks)


class Permuted(NamedTuple):
    """A permutation p, the smallest that these cells could have given, and the number of orders behind it."""

    p: float
    p_min: float
    orders: int
    exact: bool


def permuted(
    values: Float[np.ndarray, "p n"],
    scores: Float[np.ndarray, " n"],
    strata: Strata,
    *,
    coefficient: Coefficient = "spearman",
    draws: int = DRAWS,
    seed: int = 0,
) -> list[Permuted]:
    """The two-sided permutation p of each row of ``values`` with ``scores``; all rows see the same orders.

    An order counts when its coefficient is as far from the mean over the orders as the one found. That mean is 0 for
    `free`; for the others it is what the benchmarks' own difference gives. No row may be constant, none hold NaN.

    >>> x = np.arange(6.0)
    >>> permuted(x[None], x, free(6))[0]  # both +1 and -1 count: 2 / 720
    Permuted(p=0.002777777777777778, p_min=0.002777777777777778, orders=720, exact=True)
    """
    rows, exact = orders(strata, draws=draws, seed=seed)
    ours = _directions(values, coefficient)
    chunks = np.array_split(rows, 1 + rows.shape[0] * ours.shape[1] // CHUNK)
    found = np.concatenate([_reordered(scores, chunk, coefficient) @ ours.T for chunk in chunks])
    distance = np.abs(found - found.mean(axis=0))
    shares = (distance >= distance[0] - EQUAL).mean(axis=0)
    least = (
        (distance >= distance.max(axis=0) - EQUAL).mean(axis=0)
        if exact
        else np.full(len(shares), 1 / len(rows))
    )
    return [
        Permuted(p=float(p), p_min=float(p_min), orders=len(rows), exact=exact)
        for p, p_min in zip(shares, least, strict=True)
    ]


def _directions(x: Float[np.ndarray, "p n"], coefficient: Coefficient) -> Float[np.ndarray, "p f"]:
    """Unit vectors whose products are the coefficients: centred values, centred ranks, or signs over pairs."""
    if coefficient == "kendall":
        first, second = np.triu_indices(x.shape[1], 1)
        rows = np.sign(x[:, first] - x[:, second])
    else:
        rows = x if coefficient == "pearson" else stats.rankdata(x, axis=1)
        rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _reordered(
    y: Float[np.ndarray, " n"], rows: Int[np.ndarray, "m n"], coefficient: Coefficient
) -> Float[np.ndarray, "m f"]:
    """`_directions` of ``y`` in each order."""
    if coefficient != "kendall":
        return _directions(y[None], coefficient)[0][rows]
    first, second = np.triu_indices(len(y), 1)
    signs = np.sign(y[:, None] - y)
    signs /= np.linalg.norm(signs[first, second])
    return signs.ravel()[rows[:, first] * len(y) + rows[:, second]]


# Resampling. Leaving out is a weight of 0, drawing twice a weight of 2.
def weighted(
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " n"],
    weights: Float[np.ndarray, "b n"],
    coefficient: Coefficient,
) -> Float[np.ndarray, " b"]:
    """The coefficient when cell i stands ``weights[., i]`` times in the sample; NaN where a side is then constant.

    >>> x, y = np.array([1.0, 2.0, 3.0, 9.0]), np.array([1.0, 3.0, 2.0, 4.0])
    >>> [round(float(weighted(x, y, np.ones((1, 4)), name)[0]), 6) for name in COEFFICIENTS]
    [0.8, 0.826184, 0.666667]
    """
    if coefficient == "kendall":
        a, b = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
        both, alone, other = (((weights @ pairs) * weights).sum(axis=1) for pairs in (a * b, a * a, b * b))
        return _ratio(both, np.sqrt(alone * other), undefined=(alone == 0) | (other == 0))
    a, b = (_spread(side, weights, coefficient) for side in (x, y))
    both, alone, other = ((weights * product).sum(axis=1) for product in (a * b, a * a, b * b))
    total = weights.sum(axis=1)
    least = [(ROUNDING * np.abs(side).max(axis=1)) ** 2 * total for side in (a, b)]
    return _ratio(both, np.sqrt(alone * other), undefined=(alone <= least[0]) | (other <= least[1]))


def _spread(
    x: Float[np.ndarray, " n"], weights: Float[np.ndarray, "b n"], coefficient: Coefficient
) -> Float[np.ndarray, "b n"]:
    """Values, or their midranks in each sample, from their mean in it."""
    if coefficient == "spearman":
        rows = weights @ ((x[:, None] < x) + 0.5 * (x[:, None] == x))
    else:
        rows = np.broadcast_to(x, weights.shape)
    return rows - (weights * rows).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)


def _ratio(
    a: Float[np.ndarray, " b"], b: Float[np.ndarray, " b"], *, undefined: np.ndarray
) -> Float[np.ndarray, " b"]:
    return np.where(undefined, np.nan, np.clip(a / np.where(undefined, 1, b), -1, 1))


class Interval(NamedTuple):
    """A 95 % interval, or None twice and why there is none."""

    low: float | None
    high: float | None
    note: str | None = None


def interval(
    values: Float[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    models: Sequence[str],
    *,
    coefficient: Coefficient = "spearman",
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    r"""The 95 % bootstrap interval over models, each drawn with all its cells.

    Pearson and Spearman: $\tanh(\operatorname{artanh} r \pm q \sqrt{m / (m - 1)}\, s)$, with $s$ the standard
    deviation of $\operatorname{artanh} r$ over resamples of the $m$ models, and $q$ the 97.5 % quantile of Student's t
    for Pearson, 1.96 for Spearman. Kendall: the 2.5 and 97.5 % quantiles of the resamples. Each is what covers 95 %
    when measured (docs/correlations.md). Resamples where a side is constant are left out.

    >>> x = np.arange(12.0)
    >>> interval(x, x**2, "aabbccddeeff", coefficient="pearson", draws=500).low > 0.8
    True
    >>> interval(x, x**2, "aaabbbcccddd").note
    'no interval: it needs at least 5 models, there are 4'
    """
    drawn_from, (one, *_) = _members(models), weighted(values, scores, np.ones((1, len(values))), coefficient)
    m = len(drawn_from)
    if m < MIN_MODELS:
        return Interval(None, None, f"no interval: it needs at least {MIN_MODELS} models, there are {m}")
    if np.isnan(one):
        return Interval(None, None, "no interval: the coefficient is undefined")
    if abs(one) > EDGE:
        return Interval(None, None, "no interval: all models lie on one line, so resampling shows no spread")
    counts = np.random.default_rng(seed).multinomial(m, np.full(m, 1 / m), size=draws).astype(np.float64)
    chunks = np.array_split(counts, 1 + draws * len(values) // CHUNK)
    found = np.concatenate([weighted(values, scores, chunk @ drawn_from, coefficient) for chunk in chunks])
    found = found[~np.isnan(found)]
    if coefficient == "kendall":
        low, high = np.quantile(found, [0.025, 0.975])
        return Interval(float(low), float(high))
    spread = np.arctanh(np.clip(found, -EDGE, EDGE)).std(ddof=1)
    quantile = stats.t.ppf(0.975, m - 1) if coefficient == "pearson" else stats.norm.ppf(0.975)
    half = quantile * sqrt(m / (m - 1)) * spread
    low, high = np.tanh(np.arctanh(one) + np.array([-half, half]))
    return Interval(float(low), float(high))


def without_one_model(
    values: Float[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    models: Sequence[str],
    *,
    coefficient: Coefficient = "spearman",
) -> Interval:
    """The least and the largest coefficient when one model is left out with all its cells.

    >>> without_one_model(np.array([1.0, 2, 3, 4, 9]), np.array([1.0, 2, 3, 4, 0]), "abcde").high
    1.0
    """
    weights = 1 - _members(models)
    if weights.sum(axis=1).min() < MIN_PAIRS:
        return Interval(None, None, f"no range without one model: fewer than {MIN_PAIRS} cells would be left")
    found = weighted(values, scores, weights, coefficient)
    if np.isnan(found).any():
        return Interval(None, None, "no range without one model: without one of them a side is constant")
    return Interval(float(found.min()), float(found.max()))


def _members(models: Sequence[str]) -> Float[np.ndarray, "m n"]:
    """A row per model, 1 at its cells."""
    names = np.array(list(models))
    return np.array([names == name for name in dict.fromkeys(models)], dtype=np.float64)


def partial(
    values: Float[np.ndarray, " n"],
    scores: Float[np.ndarray, " n"],
    benches: Sequence[str],
    *,
    coefficient: Coefficient = "spearman",
) -> float | None:
    """The coefficient given the benchmark: of values or ranks less their benchmark's mean; None where nothing is left.

    Kendall's is tau-b over the pairs of cells that share a benchmark. The exact p of it is the one `within` benchmarks.

    >>> x, y = np.array([1.0, 2, 3, 11, 12, 13]), np.array([3.0, 2, 1, 13, 12, 11])
    >>> round(partial(x, y, "xxxyyy"), 6), round(float(weighted(x, y, np.ones((1, 6)), "spearman")[0]), 6)
    (-1.0, 0.542857)
    """
    member = _members(benches)
    if coefficient == "kendall":
        together = member.T @ member
        a, b = (np.sign(side[:, None] - side) * together for side in (values, scores))
    else:
        a, b = (stats.rankdata(side) if coefficient == "spearman" else side for side in (values, scores))
        a, b = (side - ((member @ side) / member.sum(axis=1)) @ member for side in (a, b))
    scale = [ROUNDING * np.abs(side).max() for side in (values, scores)]
    if np.abs(a).max() <= scale[0] or np.abs(b).max() <= scale[1]:
        return None
    return float(np.clip((a * b).sum() / sqrt((a * a).sum() * (b * b).sum()), -1, 1))


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's p: the chance of any false finding among those up to it. An undefined p stays so and is not counted.

    >>> holm([0.01, None, 0.04, 0.03])
    [0.03, None, 0.06, 0.06]
    """
    return _corrected(ps, lambda p: np.maximum.accumulate(p * np.arange(len(p), 0, -1)))


def benjamini_hochberg(ps: Sequence[float | None]) -> list[float | None]:
    """Benjamini and Hochberg's p: the share of false findings expected among those up to it.

    >>> benjamini_hochberg([0.01, None, 0.04, 0.03])
    [0.03, None, 0.04, 0.04]
    """
    return _corrected(
        ps, lambda p: np.minimum.accumulate((p * len(p) / np.arange(1, len(p) + 1))[::-1])[::-1]
    )


def _corrected(ps: Sequence[float | None], rule: Callable[[np.ndarray], np.ndarray]) -> list[float | None]:
    """``rule`` on the defined p in ascending order, put back in place."""
    defined = [index for index, p in enumerate(ps) if p is not None]
    rising = sorted(defined, key=lambda index: ps[index] or 0.0)
    new = np.minimum(rule(np.array([ps[index] for index in rising], dtype=np.float64)), 1)
    result: list[float | None] = [None] * len(ps)
    for index, p in zip(rising, new, strict=True):
        result[index] = float(p)
    return result


def cells_needed(
    r: float, *, coefficient: Coefficient = "pearson", tests: int = 1, power: float = 0.8
) -> int | None:
    r"""How many independent cells would show an effect of ``r`` (two-sided 5 %, shared by ``tests``); None for r = 0.

    $n = o + f ((z_{1 - 0.025 / \text{tests}} + z_{\text{power}}) / \operatorname{artanh} |r|)^2$, rounded up and at
    least 4. f and o are 1 and 3 for Pearson (Fisher 1921), 1.06 and 3 for Spearman, 0.437 and 4 for Kendall (Fieller,
    Hartley and Pearson 1957).

    >>> cells_needed(0.3), cells_needed(0.5), cells_needed(0.94, coefficient="spearman", tests=8)
    (85, 30, 8)
    """
    if r == 0:
        return None
    factor, offset = FISHER[coefficient]
    reach = stats.norm.ppf(1 - 0.025 / tests) + stats.norm.ppf(power)
    return max(MIN_PAIRS, ceil(offset + factor * (reach / atanh(min(abs(r), EDGE))) ** 2))


def power_line(name: str, r: float, *, n: int, coefficient: Coefficient = "spearman", tests: int = 1) -> str:
    """`cells_needed` in a sentence. A large effect found in few cells is likely the lucky end of a smaller one.

    >>> power_line("gap_l2", 0.3, n=6, coefficient="pearson").partition(", ")[2]
    '85 independent cells show it (80 %, two-sided 5 %); half of it takes 347.'
    """
    if r == 0:
        return f"{name}: the {coefficient.capitalize()} found is 0; no number of cells would show it."
    single, many, half = (
        cells_needed(effect, coefficient=coefficient, tests=k)
        for effect, k in ((r, 1), (r, tests), (r / 2, 1))
    )
    family = f", {many} when {tests} probes are tried" if tests > 1 else ""
    return (
        f"{name}: if the true {coefficient.capitalize()} is the {r:+.2f} found in these {n} cells, "
        f"{single} independent cells show it (80 %, two-sided 5 %){family}; half of it takes {half}."
    )


class Row(NamedTuple):
    """One predictor with one score, by one coefficient; None is undefined, and ``note`` says why."""

    kind: str  # "probe", or "null" for a predictor that knows nothing of geometry
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
    note: str | None = None


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
    both = [("probe", probes), ("null", nulls or {})]
    named = [(kind, name, values) for kind, given in both for name, values in given.items()]
    rows = [
        row
        for coefficient in coefficients
        for row in _corrected_rows(
            _rows(named, scores, models, benches, coefficient, score_name=score_name, draws=draws, seed=seed)
        )
    ]
    place = {(kind, name): index for index, (kind, name, _) in enumerate(named)}
    return sorted(rows, key=lambda row: place[row.kind, row.name])


def _rows(
    named: Sequence[tuple[str, str, Float[np.ndarray, " n"]]],
    scores: Float[np.ndarray, " n"],
    models: Sequence[str],
    benches: Sequence[str],
    coefficient: Coefficient,
    *,
    score_name: str,
    draws: int,
    seed: int,
) -> list[Row]:
    """`table` for one coefficient. Predictors that are there in the same cells share their permutations."""
    rows: list[Row | None] = [None] * len(named)
    alike: dict[bytes, list[int]] = {}
    for index, (kind, name, values) in enumerate(named):
        there = ~(np.isnan(values) | np.isnan(scores))
        empty = Row(kind, name, coefficient, int(there.sum()), len(set(np.array(list(models))[there])))
        try:
            found = correlate(values, scores, value_name=name, score_name=score_name)
        except ValueError as reason:
            rows[index] = empty._replace(note=str(reason))
            continue
        r, p = getattr(found, coefficient), getattr(found, f"{coefficient}_p")
        rows[index] = empty._replace(value=r, p=p, note=f"undefined: {found.note}" if r is None else None)
        if r is not None:
            alike.setdefault(there.tobytes(), []).append(index)
    for mask, members in alike.items():
        there = np.frombuffer(mask, dtype=bool)
        x, y = np.array([named[index][2][there] for index in members], dtype=np.float64), scores[there]
        own_models, own_benches = ([str(v) for v in np.array(list(of))[there]] for of in (models, benches))
        schemes = [free(len(y)), within(own_benches), joint(own_models, own_benches)]
        tests = [permuted(x, y, s, coefficient=coefficient, draws=draws, seed=seed) for s in schemes]
        for index, values, exact, inside, together in zip(members, x, *tests, strict=True):
            row = rows[index]
            assert row is not None
            band = interval(values, y, own_models, coefficient=coefficient, draws=draws, seed=seed)
            span = without_one_model(values, y, own_models, coefficient=coefficient)
            rows[index] = row._replace(
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
                cells_needed=cells_needed(row.value or 0.0, coefficient=coefficient),
                note="; ".join(note for note in (band.note, span.note) if note) or None,
            )
    return [row for row in rows if row is not None]


def _corrected_rows(rows: list[Row]) -> list[Row]:
    """The rows with p_holm and p_bh over the probes; null predictors are no part of that family."""
    ps = [row.p_exact if row.kind == "probe" else None for row in rows]
    return [
        row._replace(p_holm=strict, p_bh=mild)
        for row, strict, mild in zip(rows, holm(ps), benjamini_hochberg(ps), strict=True)
    ]
