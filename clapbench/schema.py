"""The three records that travel through clapbench: what is compared, what was embedded, what came out.

A `Case` is one block of comparisons, `Embeddings` are the rows of one (model, benchmark) pair, and a
`Cell` is what one run concluded from them. All are frozen; `Cell` is written to disk as strict JSON,
in which an undefined number is null and never NaN.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from clapbench import strict

SCHEMA = 1
HEADLINES = ("t2a_R@1", "a2t_R@1", "accuracy", "mAP")  # of benchmarks without F, G and H
SCORING_VERSION = 3  # part of a cell's key: raise it whenever a rule of scoring/pairs.py changes a number


@dataclass(frozen=True)
class Case:
    """One block of comparisons: ``k`` clips against ``l`` captions.

    ``clips`` and ``captions`` are ids (a clip's path relative to the benchmark's root, a caption's text);
    ``match[c][t]`` tells whether caption ``t`` describes clip ``c``. ``about`` carries the benchmark's own
    columns (template, attribute, ...) for tables.
    """

    clips: tuple[str, ...]
    captions: tuple[str, ...]
    match: tuple[tuple[bool, ...], ...]
    about: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = (len(self.match), *{len(row) for row in self.match})
        if shape != (len(self.clips), len(self.captions)):
            raise ValueError(
                f"Case: match needs one row per clip and one column per caption, "
                f"{len(self.clips)} x {len(self.captions)}; got {shape}."
            )

    @property
    def match_matrix(self) -> Any:  # Bool[Tensor, "k l"]
        """``match`` as a tensor."""
        import torch  # seconds, spared where results are only read

        return torch.tensor(self.match, dtype=torch.bool)


@dataclass(frozen=True)
class Embeddings:
    """Unit rows for each distinct clip and caption, with their ids: what the cache keeps on disk.

    ``about`` is what the encoder had to say of itself and of these captions (see `Encoder.coverage`).
    """

    audio: Float[np.ndarray, "a d"]
    audio_id: tuple[str, ...]
    text: Float[np.ndarray, "t d"]
    text_id: tuple[str, ...]
    about: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for side, rows, ids in (("audio", self.audio, self.audio_id), ("text", self.text, self.text_id)):
            if len(rows) != len(ids):
                raise ValueError(f"Embeddings: {side} has {len(rows)} rows for {len(ids)} ids.")
            if not np.isfinite(rows).all():
                bad = ids[int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])]
                raise ValueError(
                    f"Embeddings: {side} row of {bad!r} is not finite. "
                    f"Look at that {'clip' if side == 'audio' else 'caption'}, or at the model's precision."
                )

    @property
    def dim(self) -> int:
        """Numbers in a row."""
        return int(self.audio.shape[1])


class Size(NamedTuple):
    """Rows of each side."""

    audio: int
    text: int


@dataclass(frozen=True)
class Judgement:
    """What a benchmark says of embeddings. The same rows give the same judgement.

    ``scores`` hold F, G and H, None where the benchmark has none; ``protocols`` and ``extra`` go to the cell as they
    are; ``items`` are the rows of items.csv; ``ties`` and ``near_ties`` count comparisons of ``official``.
    """

    scores: dict[str, float | None]
    protocols: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    items: tuple[dict[str, Any], ...] = ()
    ties: int = 0
    near_ties: int = 0

    @property
    def numbers(self) -> dict[str, float | None]:
        """Scores, and what of ``extra`` is one number."""
        return {**self.scores, **single_numbers(self.extra)}


def single_numbers(record: dict[str, Any]) -> dict[str, int | float]:
    """The entries of ``record`` that are one number."""
    return {name: value for name, value in record.items() if isinstance(value, int | float)}


@dataclass(frozen=True)
class Cell:
    """One (model, benchmark) result: the content of a ``cell.json``. Field by field as on disk."""

    status: str  # "ok" or "failed"; in a sweep that is read also "damaged", which no file says of itself
    model: str
    bench: str
    error: str | None = None
    n_items: int | None = None
    protocol: str = "official"
    scores: dict[str, float | None] = field(default_factory=dict)
    protocols: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    probes: dict[str, float | None] = field(default_factory=dict)
    checkpoint: dict[str, Any] = field(default_factory=dict)
    embeddings: dict[str, Any] = field(default_factory=dict)
    config_key: str | None = None
    dropped_items: int = 0
    ties: int = 0
    near_ties: int = 0
    runtime_s: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    git_sha: str | None = None
    created: str | None = None  # ISO 8601, UTC
    first_scored: str | None = None  # the same, of the first cell here with this content; None: `created`
    recipe: str | None = None  # how the model was made, whatever its seed; None: no other model shares it
    family: str | None = None  # recipes that are kin; None: the recipe is alone
    seed: int | None = None  # of the model's training; None: not known
    schema: int = SCHEMA

    @property
    def known_since(self) -> str | None:
        """When these scores were first there to be looked at: adding a probe writes a cell anew."""
        return self.first_scored or self.created

    @property
    def headline(self) -> dict[str, float]:
        """F, G and H, or what a benchmark without them is known by."""
        known = {name: value for name, value in self.scores.items() if value is not None}
        return known | {name: self.extra[name] for name in HEADLINES if name in self.extra}

    def score(self, name: str, protocol: str | None = None) -> dict[str, Any] | None:
        """F, G or H under ``protocol`` (the cell's own unless given) with what it is worth; None where there is none.

        ``value``, ``direction``, ``n``, ``chance``, ``ci95``, ``p_chance`` and ``p_swap``, where items share a template
        or an event also ``clusters``, ``ci95_clustered`` and ``p_swap_clustered``, as `scoring.pairs.judged`.
        """
        return (self.protocols.get(protocol or self.protocol) or {}).get(name)

    @property
    def size(self) -> Size | None:
        """Its rows; None where it does not say, or has none on one side."""
        n_audio, n_text = self.embeddings.get("n_audio"), self.embeddings.get("n_text")
        return Size(n_audio, n_text) if n_audio and n_text else None

    def to_json(self) -> str:
        """Strict JSON, the schema number first."""
        record = dataclasses.asdict(self)
        record = {"schema": record.pop("schema"), **record}
        return json.dumps(null_undefined(record), indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Cell:
        """The cell in ``path``; an error names the file when it is not one that we wrote, and says what is wrong."""
        try:
            record = strict.loads(path.read_bytes())
            strict.check_cell(record, schema=SCHEMA, names=[one.name for one in dataclasses.fields(cls)])
            return cls(**record)
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(
                f"cell {path}: needed a cell.json of schema {SCHEMA}, got {error}. "
                f"Move it away and run the cell again."
            ) from error


def null_undefined(value: Any) -> Any:
    """``value`` with every NaN and infinity in it turned to None, as strict JSON needs."""
    if isinstance(value, dict):
        return {key: null_undefined(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [null_undefined(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
