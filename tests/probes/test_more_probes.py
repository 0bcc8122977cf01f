"""Probes of one side beyond the study's: golden numbers, known answers, invariances, bad input."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from reference import probe_datasets
from torch import Tensor

from clapbench.probes import base, moments
from clapbench.probes.align_uniform import Uniformity, uniformity
from clapbench.probes.hubness import Hubness, hubness_skewness
from clapbench.probes.neighbour_dimension import Gride, MLEDimension, gride_dimension, mle_dimension
from clapbench.probes.neighbours import nearest
from clapbench.probes.spectral_decay import AlphaReQ, SpectralDecay, alpha_req, spectral_decay
from clapbench.probes.spectrum import (
    IsoScoreStar,
    NESum,
    ParticipationRatio,
    StableRank,
    iso_score_star,
    nesum,
    participation_ratio,
    stable_rank,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "reference" / "more_probes_golden.json").read_text())[
    "single"
]
PRECISIONS = {"float64": 1e-9, "float32": 2e-6}  # dtype of the rows: relative tolerance
SPECTRAL = {
    "stable_rank": stable_rank,
    "participation_ratio_cov": participation_ratio,
    "nesum_cov": nesum,
    "alpha_ols_all": spectral_decay,
    "alpha_weighted_1_over_i_all": lambda x: spectral_decay(x, weights="1/i"),
}
FUNCTIONS = {
    "stable_rank": (StableRank, stable_rank),
    "participation_ratio": (ParticipationRatio, participation_ratio),
    "nesum": (NESum, nesum),
    "alpha_req": (AlphaReQ, alpha_req),
    "spectral_decay": (SpectralDecay, spectral_decay),
    "iso_score": (IsoScoreStar, iso_score_star),
    "uniformity": (Uniformity, uniformity),
    "hubness": (Hubness, hubness_skewness),
    "mle": (MLEDimension, mle_dimension),
    "gride": (Gride, gride_dimension),
}
SHIFT_MATTERS = {"stable_rank", "uniformity"}  # not centred


@cache
def golden_cloud(name: str) -> np.ndarray:
    return probe_datasets.SINGLE[name]()


def cloud(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def updated(probe: base.Probe, x: Tensor, *, cuts: list[int]) -> float:
    for index in torch.arange(len(x)).tensor_split(cuts):
        probe.update(audio=x[index], text=x[index], audio_index=index, text_index=index)
    return probe.compute().item()


# Golden numbers


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("key", SPECTRAL)
@pytest.mark.parametrize("name", GOLDEN)
def test_spectra_match_the_golden_numbers(name, key, dtype):
    x = torch.from_numpy(golden_cloud(name)).to(getattr(torch, dtype))
    # The smallest eigenvalues of manifold10 and powerlaw are within 1e-6 of the largest: float32 rows move them.
    assert SPECTRAL[key](x).item() == pytest.approx(GOLDEN[name][key], rel=PRECISIONS[dtype])


@pytest.mark.parametrize("name", GOLDEN)
def test_iso_score_is_what_its_package_returns(name):
    x = torch.from_numpy(golden_cloud(name))
    # The package adds 1e-7 or so to keep its square roots real.
    assert iso_score_star(x).item() == pytest.approx(GOLDEN[name]["peers"]["IsoScore"], abs=1e-7)


def test_iso_score_is_the_distance_that_its_paper_prints():
    d, x = 5, cloud(40, 5, seed=0) * torch.arange(1, 6)
    variances = np.linalg.eigvalsh(np.cov(x.numpy().T))
    scaled = np.sqrt(d) * variances / np.linalg.norm(variances)
    defect = np.linalg.norm(scaled - 1) / np.sqrt(2 * (d - np.sqrt(d)))
    used = (d - defect**2 * (d - np.sqrt(d))) ** 2 / d**2
    assert iso_score_star(x).item() == pytest.approx((d * used - 1) / (d - 1), rel=1e-12)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", GOLDEN)
def test_uniformity_matches_the_golden_numbers(name, dtype):
    x = torch.from_numpy(golden_cloud(name)).to(getattr(torch, dtype))
    assert uniformity(x).item() == pytest.approx(GOLDEN[name]["uniformity_t2"], rel=PRECISIONS[dtype])


@pytest.mark.parametrize("name", GOLDEN)
def test_neighbours_match_the_golden_numbers(name):
    x, golden = torch.from_numpy(golden_cloud(name)), GOLDEN[name]
    assert hubness_skewness(x, k=10).item() == pytest.approx(golden["hubness_skew_k10"], rel=1e-9)
    mle = mle_dimension(x, k=20).item()
    assert mle == pytest.approx(golden["mle_id_k20_mackay"], rel=1e-9)
    assert mle == pytest.approx(golden["peers"]["scikit-dimension MLE"], rel=1e-9)
    for k, value in list(zip((2, 4, 8, 16, 32, 64), golden["peers"]["dadapy Gride k=2 to 64"], strict=True))[
        ::2
    ]:
        assert gride_dimension(x, k=k).item() == pytest.approx(value, rel=1e-6), (
            k
        )  # its root is sought to 1e-7


# Known answers


def test_spectra_by_hand():
    axes = torch.cat([torch.eye(3), -torch.eye(3)]) * torch.tensor([4.0, 2.0, 1.0]).repeat(2)[:, None]
    # Variances 16 : 4 : 1, mean 0.
    assert stable_rank(axes).item() == pytest.approx(21 / 16, rel=1e-12)
    assert nesum(axes).item() == pytest.approx(21 / 16, rel=1e-12)
    assert participation_ratio(axes).item() == pytest.approx(21**2 / 273, rel=1e-12)
    assert iso_score_star(axes).item() == pytest.approx((21**2 / 273 - 1) / 2, rel=1e-12)


@pytest.mark.parametrize(
    "of", [stable_rank, participation_ratio, nesum, iso_score_star, alpha_req, spectral_decay]
)
def test_spectra_keep_their_numbers_at_the_ends_of_float64(of):
    x = cloud(20, 6, seed=15)
    for scale in (1e-200, 1e150):
        assert of(x * scale).item() == pytest.approx(of(x).item(), rel=1e-9)


@pytest.mark.parametrize("weights", ["equal", "1/i"])
def test_alpha_of_a_power_law_is_its_exponent(weights):
    x = cloud(60, 20, seed=1)
    u = torch.linalg.svd(x - x.mean(dim=0), full_matrices=False).U  # orthonormal columns of mean 0
    x = u * torch.arange(1, 21).double() ** -0.75  # eigenvalues i^-1.5
    assert alpha_req(x, weights=weights).item() == pytest.approx(1.5, rel=1e-9)
    assert spectral_decay(x, first=2, last=7, weights=weights).item() == pytest.approx(1.5, rel=1e-9)


def test_alpha_leaves_out_directions_that_have_no_variance():
    x = cloud(200, 6, seed=2)
    flat = torch.cat([x, torch.full((200, 3), 0.7, dtype=torch.float64)], dim=1)
    for of in (alpha_req, spectral_decay):
        assert of(flat).item() == pytest.approx(of(x).item(), rel=1e-9)
        assert np.isfinite(of(cloud(10, 50, seed=2)).item())  # fewer rows than dimensions


def test_alpha_ends_at_the_last_eigenvalue_where_there_are_fewer_than_it_asks_for():
    x = cloud(60, 200, seed=16)  # 59 eigenvalues
    assert alpha_req(x).item() == alpha_req(x, last=59).item() != alpha_req(x, last=58).item()
    assert alpha_req(x, last=None).item() == alpha_req(x, last=100).item()
    assert spectral_decay(x).item() == alpha_req(x, first=1, last=None, weights="equal").item()


def test_uniformity_by_hand_and_in_blocks(monkeypatch):
    x = cloud(50, 4, seed=3)
    u = x / x.norm(dim=1, keepdim=True)
    by_hand = torch.pdist(u).square().mul(-2).exp().mean().log().item()
    assert uniformity(x).item() == pytest.approx(by_hand, rel=1e-12)
    monkeypatch.setattr("clapbench.probes.align_uniform.BLOCK", 7 * 50)
    assert uniformity(x).item() == pytest.approx(by_hand, rel=1e-12)
    assert uniformity(torch.ones(5, 3)).item() == pytest.approx(0, abs=1e-12)


def test_hubness_is_the_skewness_of_scipy():
    x = cloud(80, 30, seed=4)
    distance = torch.cdist(x, x).fill_diagonal_(torch.inf)
    counts = np.bincount(distance.topk(5, largest=False).indices.ravel().numpy(), minlength=80)
    assert hubness_skewness(x, k=5).item() == pytest.approx(scipy.stats.skew(counts), rel=1e-12)


def test_gride_is_the_peak_of_its_likelihood():
    x, k = cloud(60, 5, seed=5), 8
    distance = torch.cdist(x, x).fill_diagonal_(torch.inf).topk(k, largest=False).values.sort(dim=1).values
    mu = (distance[:, k - 1] / distance[:, k // 2 - 1]).numpy()

    def likelihood(dimension: float) -> float:
        logs = (k // 2 - 1) * np.log(mu**dimension - 1) - (dimension * (k - 1) + 1) * np.log(mu)
        return 59 * np.log(dimension) + logs.sum()

    found = gride_dimension(x, k=k).item()
    assert likelihood(found) > max(likelihood(found * 1.001), likelihood(found * 0.999))


def test_near_duplicates_pull_the_dimension_at_the_smallest_scale_only():
    x = cloud(400, 10, seed=6)
    paired = torch.cat([x, x + 1e-3 * cloud(400, 10, seed=7)])
    assert gride_dimension(paired, k=2).item() < 1
    assert gride_dimension(paired, k=32).item() == pytest.approx(gride_dimension(x, k=16).item(), rel=0.2)


# Neighbours


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_neighbours_are_those_of_every_distance(offset, monkeypatch):
    x = torch.cat([cloud(60, 6, seed=8), cloud(40, 6, seed=9) * 1e-7]) + offset
    every = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    expected = every.topk(7, largest=False)
    monkeypatch.setattr("clapbench.probes.neighbours.BLOCK", 13 * 100)
    found = nearest(x, 7, who="test")
    torch.testing.assert_close(found.distance, expected.values, rtol=1e-9, atol=0)
    taken = every.gather(1, found.place)
    torch.testing.assert_close(taken, expected.values, rtol=1e-9, atol=0)


# Invariances, batches, the class


@pytest.mark.parametrize("name", FUNCTIONS)
def test_rotation_order_scale_and_shift_do_not_matter(name):
    x, turn = cloud(90, 12, seed=10) + 0.3, torch.linalg.qr(cloud(12, 12, seed=11)).Q
    of = FUNCTIONS[name][1]
    order = torch.randperm(90, generator=torch.Generator().manual_seed(0))
    assert of(5 * x[order] @ turn).item() == pytest.approx(of(x).item(), rel=1e-9)
    shifted = of(x + torch.arange(12)).item()
    assert (shifted == pytest.approx(of(x).item(), rel=1e-9)) == (name not in SHIFT_MATTERS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_class_gives_what_the_function_gives_and_streams(name, monkeypatch):
    kind, of = FUNCTIONS[name]
    x = cloud(90, 12, seed=12) + 0.3
    assert updated(kind(side="text"), x, cuts=[]) == of(x).item()
    monkeypatch.setattr(moments, "CHUNK", 16)
    assert updated(kind(side="audio"), x, cuts=[5, 30, 31, 70]) == pytest.approx(of(x).item(), rel=1e-9)


def test_repeated_rows_are_removed_before_the_search():
    x = cloud(60, 5, seed=13)
    repeated = torch.cat([x, x[:20]])
    for of in (hubness_skewness, mle_dimension, gride_dimension):
        assert of(repeated).item() == of(x).item()


# Refusals


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bad_clouds_are_refused(name):
    of = FUNCTIONS[name][1]
    broken = cloud(50, 4, seed=14)
    broken[3, 1] = torch.nan
    with pytest.raises(ValueError, match=r"1 of 50 are not \(first: 3\)"):
        of(broken)
    with pytest.raises(ValueError, match=r"got 0"):
        of(torch.zeros(0, 4))
    with pytest.raises(ValueError, match=r"needs finite rows"):
        of(torch.tensor([[1e5, 1.0]]).repeat(50, 1).half())  # float16 overflows


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: participation_ratio(torch.ones(5, 3)), "participation_ratio: all 5 rows are equal"),
        (lambda: nesum(torch.full((5, 3), 0.1)), "nesum: all 5 rows are equal"),
        (lambda: nesum(torch.ones(1, 3)), "nesum: needs at least 2 rows for a covariance, got 1"),
        (lambda: stable_rank(torch.zeros(5, 3)), "all 5 rows are zero"),
        (
            lambda: spectral_decay(cloud(9, 2, seed=0)),
            r"spectral_decay: needs at least 3 .* 1 on .*got 2 \(of 2\)",
        ),
        (
            lambda: alpha_req(cloud(9, 5, seed=0)),
            r"alpha_req: needs at least 3 .* rank 4 on .*got 2 \(of 5\)",
        ),
        (lambda: alpha_req(cloud(9, 3, seed=0), weights="i"), "weights must be 'equal' or '1/i', got 'i'"),
        (lambda: alpha_req(cloud(9, 3, seed=0), first=0), "alpha_req: needs ranks .* got first=0, last=100"),
        (lambda: alpha_req(cloud(9, 3, seed=0), last=5), "3 of them at least; got first=4, last=5"),
        (lambda: uniformity(cloud(9, 3, seed=0), t=0.0), "uniformity: t must be above 0, got 0"),
        (lambda: AlphaReQ(side="text", weights="i"), "AlphaReQ: weights must be"),
        (lambda: iso_score_star(cloud(9, 1, seed=0)), "needs at least 2 dimensions, got 1"),
        (lambda: uniformity(torch.ones(1, 3)), "needs at least 2 rows, got 1"),
        (lambda: uniformity(torch.eye(3) * torch.tensor([1, 1, 0])), "row 2 is all zeros"),
        (
            lambda: hubness_skewness(cloud(10, 3, seed=0), k=10),
            "k=10 needs at least 11 distinct rows, got 10",
        ),
        (lambda: hubness_skewness(torch.ones(50, 3), k=10), "at least 11 distinct rows, got 1"),
        (lambda: hubness_skewness(cloud(9, 3, seed=0), k=0), "k must be 1 or more, got 0"),
        (lambda: hubness_skewness(cloud(11, 3, seed=0), k=10), "a neighbour of exactly 10: no skewness"),
        (lambda: mle_dimension(cloud(9, 3, seed=0), k=1), "k must be 2 or more, got 1"),
        (lambda: mle_dimension(torch.eye(9), k=4), "at one distance: no dimension"),
        (lambda: gride_dimension(cloud(9, 3, seed=0), k=3), "k must be even and 2 or more, got 3"),
        (lambda: gride_dimension(torch.eye(9), k=4), "at one distance: no dimension"),
        (
            lambda: gride_dimension(torch.cat([torch.eye(9), cloud(9, 9, seed=0).float() + 9]), k=8),
            "9 of 18 rows",
        ),
        (lambda: mle_dimension(torch.arange(40.0)[:, None].double() * 1e-200), "range of float64"),
    ],
)
def test_bad_input_is_refused_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()
