"""Every probe of `probes=all`, as conf/ builds it, against a number that code other than ours has computed.

``tests/reference`` holds the numbers with the versions behind them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from reference import probe_datasets

from clapbench import config
from clapbench.probes.paired import bind
from clapbench.probes.spectral_decay import alpha_req
from clapbench.schema import Case, Embeddings

REFERENCE = Path(__file__).parents[1] / "reference"
ONE, MORE, OUTSIDE = (
    json.loads((REFERENCE / f"{name}.json").read_text())
    for name in ("probes_golden", "more_probes_golden", "outside_probes_golden")
)
SINGLE = "paired"  # a cloud for both sides
PAIRS = ("iso_halves", "powerlaw_rankdef")


class Known(NamedTuple):
    """The number of a probe, and how far from it ours may lie: the peer's own precision."""

    value: float
    rel: float = 1e-9
    abs: float = 0.0


def single(read: Callable[[Any, Any, Any], Known]) -> Callable[[], dict[str, Known]]:
    return lambda: {SINGLE: read(*(file["single"][SINGLE] for file in (ONE, MORE, OUTSIDE)))}


def pair(key: str) -> Callable[[], dict[str, Known]]:
    return lambda: {name: Known(OUTSIDE["pair"][name][key]) for name in PAIRS}


def gap(field: str) -> Callable[[], dict[str, Known]]:
    return lambda: {name: Known(ONE["pair"][name]["gap_raw"][field]) for name in PAIRS}


def of_sides(**known: Callable[[Any, Any, Any], Known]) -> dict[str, Callable[[], dict[str, Known]]]:
    """One of each side, by its name in conf/ with SIDE in place of the side."""
    return {
        name.replace("SIDE", side): single(read) for name, read in known.items() for side in ("audio", "text")
    }


KNOWN = {
    **of_sides(
        rankme_SIDE=lambda one, more, out: Known(one["rankme"]),
        twonn_SIDE=lambda one, more, out: Known(one["two_nn"]["i/N"]),
        residual_SIDE_k1=lambda one, more, out: Known(one["residual_energy"]["1"]),
        residual_SIDE_k5=lambda one, more, out: Known(one["residual_energy"]["5"]),
        residual_SIDE_k10=lambda one, more, out: Known(one["residual_energy"]["10"]),
        stable_rank_SIDE=lambda one, more, out: Known(more["stable_rank"]),
        participation_ratio_SIDE=lambda one, more, out: Known(more["participation_ratio_cov"]),
        nesum_SIDE=lambda one, more, out: Known(more["nesum_cov"]),
        # The authors' weights are in single precision.
        alpha_req_SIDE=lambda one, more, out: Known(out["alpha_req"], rel=1e-7),
        spectral_decay_SIDE=lambda one, more, out: Known(more["alpha_ols_all"]),
        # The package adds 1e-7 or so to keep its square roots real.
        iso_score_SIDE=lambda one, more, out: Known(more["peers"]["IsoScore"], abs=1e-7),
        uniformity_SIDE=lambda one, more, out: Known(more["uniformity_t2"]),
        hubness_SIDE_k10=lambda one, more, out: Known(more["hubness_skew_k10"]),
        mle_SIDE_k20=lambda one, more, out: Known(more["peers"]["scikit-dimension MLE"]),
        # dadapy seeks its root to 1e-7.
        gride_SIDE_k2=lambda one, more, out: Known(more["peers"]["dadapy Gride k=2 to 64"][0], rel=1e-6),
        gride_SIDE_k8=lambda one, more, out: Known(more["peers"]["dadapy Gride k=2 to 64"][2], rel=1e-6),
        gride_SIDE_k32=lambda one, more, out: Known(more["peers"]["dadapy Gride k=2 to 64"][4], rel=1e-6),
    ),
    "gap_l2": gap("l2"),
    "gap_cosine": gap("cosine"),
    "gap_angle_deg": gap("angle_deg"),
    **{
        name: pair(name)
        for name in (
            *("alignment", "cka", "mutual_knn_k10", "separability", "relative_gap", "lidar_shrunk"),
            *("swap_separation_audio", "swap_separation_text", "swap_alignment"),
            *("twonn_audio_apart", "twonn_text_apart"),
        )
    },
    "lidar": lambda: {"iso_halves": Known(OUTSIDE["pair"]["iso_halves"]["lidar"])},
}


@cache
def clouds(name: str) -> tuple[np.ndarray, np.ndarray]:
    if name in probe_datasets.PAIR:
        return probe_datasets.PAIR[name]()
    x = probe_datasets.SINGLE[name]()
    return x, x


def items(n: int) -> list[Case]:
    """Row i of one side matches row i of the other; two rows are an item."""
    return [
        Case(
            clips=(f"{i}.wav", f"{i + 1}.wav"),
            captions=(f"{i}", f"{i + 1}"),
            match=((True, False), (False, True)),
        )
        for i in range(0, n, 2)
    ]


def measured(probe: str, cloud: str) -> float:
    audio, text = clouds(cloud)
    metric, n = config.build(config.probe_configs(probe)[probe]), len(audio)
    rows = Embeddings(
        audio=audio,
        audio_id=tuple(f"{i}.wav" for i in range(n)),
        text=text,
        text_id=tuple(map(str, range(n))),
    )
    bind([metric], cases=items(n), embeddings=rows)
    at = torch.arange(n)
    metric.update(
        audio=torch.from_numpy(audio), text=torch.from_numpy(text), audio_index=at, text_index=at.clone()
    )
    return metric.compute().item()


def test_every_probe_has_a_number_that_is_not_ours() -> None:
    assert set(config.shipped_probes()) == set(KNOWN), (
        "give a new probe its number, by another implementation"
    )
    assert set(config.probe_configs("all")) == set(KNOWN) - {"lidar"}


@pytest.mark.parametrize("probe", KNOWN)
def test_a_probe_is_what_others_compute(probe: str) -> None:
    for cloud, known in KNOWN[probe]().items():
        assert np.isfinite(known.value)
        assert measured(probe, cloud) == pytest.approx(known.value, rel=known.rel, abs=known.abs), cloud


@pytest.mark.parametrize("name", OUTSIDE["single"])
def test_alpha_req_is_that_of_its_authors_code(name: str) -> None:
    theirs = OUTSIDE["single"][name]["alpha_req"]
    x = probe_datasets.SINGLE[name]()
    if theirs is None:  # their code stops: fewer than 100 eigenvalues
        assert min(x.shape[0] - 1, x.shape[1]) < 100
    else:
        assert alpha_req(x).item() == pytest.approx(theirs, rel=1e-7)
