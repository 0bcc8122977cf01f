"""Correlation of probes with a score over a table of cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float64

from clapbench.statistics.coefficients import COEFFICIENTS, Coefficient
from clapbench.statistics.correlation import table
from clapbench.statistics.permutation import DRAWS

# Columns of cells.csv that are numbers and no probes, by name and by how their names begin.
NOT_PROBES = {"F", "G", "H", "n_items", "ties", "near_ties", "dropped_items", "parameters", "pair_assignment"}
NOT_PROBES |= {
    "hub_captions",
    "hub_clips",
    "mean_margin",
    "mean_margin_low",
    "mean_margin_high",
    "margin_d",
    "repeated_audio",
    "repeated_text",
    "unknown_words",
    "truncated_captions",
}
NOT_PROBES |= {"clips", "classes", "mAP", "mAP_classes", "seed", "n"}
PREFIXES = ("F_", "G_", "H_", "official_", "single_", "pool_", "triplet_", "t2a_", "a2t_", "accuracy")
RECORDS = ("embeddings_", "checkpoint_", "runtime_", "Unnamed:")
NULLS = {
    "dim": "embeddings_dim",
    "n_rows": "embeddings_n_text",
    "log_n_items": "n_items",
    "parameters": "parameters",
}


def correlate(
    frame: pd.DataFrame,
    *,
    score: str = "H",
    probes: Sequence[str] | None = None,
    coefficients: Sequence[Coefficient] = COEFFICIENTS,
    draws: int = DRAWS,
    seed: int = 0,
) -> pd.DataFrame:
    """The evidence that probes go with a score: a row per probe and coefficient.

    ``frame`` has a row per cell and columns ``model``, ``bench``, ``score`` and the probes: what `clapbench.load`
    gives, cells.csv, or a table of your own. ``probes`` names their columns; without it they are all columns of
    numbers but those that cells.csv has beside them. Where ``frame`` has the columns of a null predictor (dimension,
    rows, items, parameters) it stands below, and is no part of the corrections.

    Columns of the result are the fields of `clapbench.statistics.correlation.Row`: value, exact and joint permutation p
    with the smallest attainable, p after Holm and Benjamini-Hochberg over the probes, an interval over models, and why
    something is missing. ``draws`` sets the sampled orders and resamples.

    Probes are taken over the rows that the frame has them for; `python -m clapbench.report` also matches their number.

    Raises ValueError for a missing column, fewer than 3 cells with a score, and a model twice on one benchmark.

    >>> cells = pd.DataFrame({"model": list("abcabc"), "bench": list("xxxyyy")})
    >>> cells["H"], cells["rank"] = [0.1, 0.2, 0.4, 0.2, 0.3, 0.6], [9, 8, 5, 7, 6, 2]
    >>> found = correlate(cells, coefficients=["spearman"])
    >>> found.loc[0, "name"], round(float(found.loc[0, "value"]), 3), round(float(found.loc[0, "p_exact"]), 4)
    ('rank', -0.986, 0.0056)
    """
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"correlate: needs a DataFrame with a row per cell, got a {type(frame).__name__}.")
    _refuse_missing(frame, ["model", "bench", score, *(probes or [])])
    unknown = [name for name in coefficients if name not in COEFFICIENTS]
    if unknown or isinstance(coefficients, str):
        raise ValueError(
            f"correlate: coefficients must be a list of {', '.join(COEFFICIENTS)}; got {coefficients!r}."
        )
    if "status" in frame.columns:
        frame = pd.DataFrame(frame[frame["status"] == "ok"])
    named = list(probes) if probes is not None else probe_columns(frame, score=score)
    if not named:
        raise ValueError(
            "correlate: found no column of numbers that may be a probe. Name them: probes=[...]."
        )
    scores = _numbers(frame, score)
    if np.isfinite(scores).sum() < 3:
        raise ValueError(
            f"correlate: needs at least 3 cells with {score}, got {int(np.isfinite(scores).sum())}."
        )
    nulls = {name: _numbers(frame, column) for name, column in NULLS.items() if column in frame.columns}
    if "log_n_items" in nulls:
        nulls["log_n_items"] = np.log(nulls["log_n_items"])
    rows = table(
        {name: _numbers(frame, name) for name in named},
        scores,
        models=frame["model"].astype(str).tolist(),
        benches=frame["bench"].astype(str).tolist(),
        nulls=nulls,
        coefficients=coefficients,
        score_name=score,
        draws=draws,
        seed=seed,
    )
    return pd.DataFrame([row._asdict() for row in rows])


def probe_columns(frame: pd.DataFrame, *, score: str = "H") -> list[str]:
    """The columns of numbers that are neither scores, counts nor records of a run, in their order."""
    return [
        name
        for name in map(str, frame.columns)
        if name not in NOT_PROBES
        and name != score
        and not name.startswith((*PREFIXES, *RECORDS))
        and pd.api.types.is_numeric_dtype(frame[name])
        and not pd.api.types.is_bool_dtype(frame[name])
    ]


def _numbers(frame: pd.DataFrame, column: str) -> Float64[np.ndarray, " n"]:
    """A column, NaN where it has nothing."""
    try:
        return frame[column].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(f"correlate: column {column!r} needs numbers alone ({error}).") from error


def _refuse_missing(frame: pd.DataFrame, needed: Iterable[str]) -> None:
    missing = [name for name in dict.fromkeys(needed) if name not in frame.columns]
    if missing:
        raise ValueError(
            f"correlate: needs the columns model, bench, the score and the probes; missing: {', '.join(missing)}. "
            f"There are: {', '.join(map(str, frame.columns[:20]))}{', ...' if len(frame.columns) > 20 else ''}."
        )
