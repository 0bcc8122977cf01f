"""The correlations of a sweep kept on disk, so that a sweep which has not changed is not correlated again.

They are taken from there only under the key of all that decides them: every value and name that goes in, the seed, the
code and the versions of NumPy and SciPy. And only whole: a file that was edited or cut counts as none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clapbench import files
from clapbench.schema import Cell
from clapbench.statistics.correlation import Row
from clapbench.study.correlations import NOTHING_STATED, Entry, Predictor, Stated, null_predictors, scores

PACKAGE = Path(__file__).parents[1]
SOURCES = (PACKAGE / "statistics", PACKAGE / "study" / "correlations.py")


def key_of(
    cells: Sequence[Cell],
    probes: Mapping[str, Predictor],
    *,
    protocol: str,
    seed: int,
    stated: Stated = NOTHING_STATED,
) -> str:
    """Of all that `correlations.correlated` looks at."""
    arrays = {**scores(cells, protocol=protocol), **null_predictors(cells)}
    return files.key_of(
        {
            "code": files.key_of_sources(*SOURCES),
            "versions": [version("numpy"), version("scipy")],
            "cells": [[cell.model, cell.bench] for cell in cells],
            "probes": [
                [name, one.rows, one.values.tolist(), one.all_rows.tolist()] for name, one in probes.items()
            ],
            "judged": [cell.protocols for cell in cells],  # who is at the floor, and of how many items
            "stated": list(stated),
            "scores": [[name, values.tolist()] for name, values in arrays.items()],
            "seed": seed,
        }
    )


def text_of(key: str, entries: Sequence[Entry]) -> str:
    """What `read` reads; floats are written so that they come back to the last digit."""
    content = [[one.score, one.bench, one.rows, list(one.row)] for one in entries]
    return json.dumps({"key": key, "sha256": files.key_of(content), "entries": content}) + "\n"


def read(path: Path, *, key: str) -> list[Entry] | None:
    """The correlations of ``key`` in ``path``; None where it holds others, is not whole, or is not there."""
    try:
        record = json.loads(path.read_bytes())
        content = record["entries"]
        if record["key"] != key or record["sha256"] != files.key_of(content):
            return None
        return [Entry(score, bench, rows, _row(*row)) for score, bench, rows, row in content]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _row(*values: Any) -> Row:
    row = Row._make([*values[:-1], tuple(values[-1])])  # TypeError for another number of fields
    if row.value is not None and not math.isfinite(row.value):
        raise ValueError(f"{row.name}: {row.value}")
    return row
