"""Probes of fewer rows: draws of whole items without replacement, so that clouds of different size can be compared.

RankMe, Two-NN and most spectra grow with the number of rows: of a power-law spectrum in 768 dimensions RankMe is 299
over 394 rows and 493 over 800. Dividing by the number of rows only turns the bias round; drawing as many rows from the
larger cloud removes it. A bootstrap would not do: a row that comes twice is no new direction, and the nearest neighbour
of itself.

Items are drawn, not rows: a caption comes with its swapped partner, a clip with its caption. Drawn one by one, half of
the captions would lose the near-duplicate that a smaller benchmark's captions still have. A draw depends on the seed,
its number and the number of items, so models are drawn from alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from clapbench.probes.base import Probe
from clapbench.probes.paired import bind
from clapbench.schema import Case, Embeddings, Size


class Drawn(NamedTuple):
    """A probe over draws: its mean, 2.5 and 97.5 % quantiles; None where it is undefined, and ``note`` says why.

    Draw i of two models is of the same items, so ``values`` of the two can be compared one by one.
    """

    mean: float | None
    low: float | None
    high: float | None
    draws: int
    note: str | None = None
    values: tuple[float, ...] = ()  # draw by draw


class Rows(NamedTuple):
    """Positions among the clips and the captions of embeddings, ascending."""

    audio: Int[Tensor, " a"]
    text: Int[Tensor, " t"]


def draws_of(
    embeddings: Embeddings, *, cases: Sequence[Case], size: Size, draws: int, seed: int
) -> Iterator[Rows]:
    """``draws`` times the rows of items in random order, cut on each side where ``size`` is reached.

    Rows that no case names come last, one by one. Raises ValueError for more rows than there are.

    >>> case = Case(clips=("a", "b"), captions=("A", "B"), match=((True, False), (False, True)))
    >>> one = np.eye(2, dtype=np.float32)
    >>> [rows] = draws_of(Embeddings(one, ("a", "b"), one, ("A", "B")), cases=[case], size=Size(1, 2), draws=1, seed=0)
    >>> rows.audio.tolist(), rows.text.tolist()
    ([0], [0, 1])
    """
    sides = {
        "audio": (embeddings.audio_id, [case.clips for case in cases], size.audio),
        "text": (embeddings.text_id, [case.captions for case in cases], size.text),
    }
    positions = {}
    for side, (ids, of_cases, n) in sides.items():
        if n > len(ids):
            raise ValueError(f"draws: needed {n} {side} rows, there are {len(ids)}. Ask for fewer.")
        at = {name: position for position, name in enumerate(ids)}
        strange = next((name for own in of_cases for name in own if name not in at), None)
        if strange is not None:
            raise ValueError(
                f"draws: needed items of these embeddings, got {strange!r}, which is none of their {len(ids)} {side} "
                f"rows. Run the cell again with force=true."
            )
        positions[side] = [[at[name] for name in own] for own in of_cases]
    for number in range(draws):
        rng = np.random.default_rng([seed, number])
        order = rng.permutation(len(cases))
        chosen = []
        for side, (ids, _, n) in sides.items():
            named = [row for case in order for row in positions[side][case]]
            distinct = list(dict.fromkeys([*named, *rng.permutation(len(ids)).tolist()]))
            chosen.append(torch.tensor(sorted(distinct[:n]), dtype=torch.long))
        yield Rows(*chosen)


def measure(
    probes: Mapping[str, Probe],
    *,
    embeddings: Embeddings,
    cases: Sequence[Case],
    size: Size,
    draws: int,
    seed: int,
) -> dict[str, Drawn]:
    """Each probe over draws of ``size`` rows. Where it is undefined in one of them, it is undefined."""
    bind(probes.values(), cases=cases, embeddings=embeddings)
    audio, text = torch.from_numpy(embeddings.audio), torch.from_numpy(embeddings.text)
    values: dict[str, list[float]] = {name: [] for name in probes}
    reasons: dict[str, list[str]] = {name: [] for name in probes}
    with one_thread():
        for rows in draws_of(embeddings, cases=cases, size=size, draws=draws, seed=seed):
            drawn = {
                "audio": audio[rows.audio],
                "text": text[rows.text],
                "audio_index": rows.audio,
                "text_index": rows.text,
            }
            for name, probe in probes.items():
                probe.reset()
                probe.update(**drawn)
                try:
                    value = float(probe.compute())
                except ValueError as reason:
                    reasons[name].append(str(reason))
                    continue
                if math.isfinite(value):
                    values[name].append(value)
                else:
                    reasons[name].append(f"{probe.label} is {value}")
    for probe in probes.values():
        probe.reset()
    return {
        name: over_draws(values[name])
        if not (why := reasons[name])
        else Drawn(None, None, None, draws, note=f"undefined in {len(why)} of {draws} draws: {why[0]}")
        for name in probes
    }


@contextmanager
def one_thread() -> Iterator[None]:
    """For many small clouds: on two cores threads of torch and of numpy waited for each other 6 times longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def over_draws(values: Sequence[float]) -> Drawn:
    """The mean and the 95 % range of a probe's values."""
    low, high = np.quantile(values, [0.025, 0.975])
    return Drawn(
        mean=float(np.mean(values)), low=float(low), high=float(high), draws=len(values), values=tuple(values)
    )
