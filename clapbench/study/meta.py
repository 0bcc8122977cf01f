"""Each probe's correlation with H over benchmarks: the mean of Fisher's z, how they differ, where the next may lie.

Rows of meta.csv (`statistics.meta`), from the coefficients on each benchmark alone, whose n are recipes. Benchmarks
that share their recipes are not independent, which this cannot know: the interval is then too narrow, as if more
recipes had been seen. With two benchmarks the prediction interval rests on one degree of freedom and excludes next to
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import atanh, tanh
from typing import Any

import numpy as np

from clapbench.statistics.correlation import Row
from clapbench.statistics.meta import fisher_variance, pooled
from clapbench.study.correlations import POOLED, Entry

COLUMNS = ["kind", "probe", "coefficient", "benches", "r", "low", "high", "predicted_low", "predicted_high"]
COLUMNS += ["tau2", "q", "i2", "note"]
FEW_BENCHES = 3  # below, one degree of freedom


def over_benches(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Rows of meta.csv: each predictor by Spearman's and Pearson's coefficient; none for a sweep of one benchmark."""
    groups: dict[tuple[str, str, str], dict[str, Row]] = {}
    for entry in entries:
        row = entry.row
        if entry.score == "H" and entry.bench != POOLED and row.coefficient != "kendall":
            rows = groups.setdefault((row.kind, row.name, row.coefficient), {})
            rows.setdefault(entry.bench, row)  # matched N comes first
    return [_pooled(key, list(rows.values())) for key, rows in groups.items()]


def _pooled(key: tuple[str, str, str], rows: list[Row]) -> dict[str, Any]:
    record: dict[str, Any] = dict(zip(("kind", "probe", "coefficient"), key, strict=True))
    there = [(row.value, row.n) for row in rows if row.value is not None and row.n > 3]
    record["benches"] = len(there)
    if len(there) < 2:
        return {**record, "note": "needs the coefficient on at least 2 benchmarks"}
    if any(abs(value) > 1 - 1e-9 for value, _ in there):
        return {**record, "note": "a coefficient of 1 or -1 has no Fisher z"}
    coefficient = rows[0].coefficient
    found = pooled(
        np.array([atanh(value) for value, _ in there]),
        np.array([fisher_variance(value, n, coefficient=coefficient) for value, n in there]),
    )
    few = "one degree of freedom: the prediction interval excludes next to nothing"
    return {
        **record,
        "r": tanh(found.value),
        "low": tanh(found.low),
        "high": tanh(found.high),
        "predicted_low": tanh(found.predicted_low),
        "predicted_high": tanh(found.predicted_high),
        "tau2": found.tau2,
        "q": found.q,
        "i2": found.i2,
        "note": few if found.k < FEW_BENCHES else None,
    }
