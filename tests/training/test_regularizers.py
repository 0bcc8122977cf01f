"""Each regulariser against its paper's formula in numpy; gradients, weights, sides and repeated rows of the terms."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from training_clouds import cast, cloud, clouds, collapsed, leaves, of_pairs

from clapbench.config import ConfigError
from clapbench.config.check import signature_kinds
from clapbench.config.values import fit
from clapbench.training.regularizers.alignment import Alignment, alignment
from clapbench.training.regularizers.barlow import Barlow, barlow
from clapbench.training.regularizers.base import Regularizer, SideRegularizer
from clapbench.training.regularizers.centroid import Centroid, centroid_distance
from clapbench.training.regularizers.covariance import Covariance, off_diagonal_covariance
from clapbench.training.regularizers.koleo import Koleo, koleo
from clapbench.training.regularizers.sigreg import Sigreg, directions, epps_pulley
from clapbench.training.regularizers.spectral_entropy import SpectralEntropy, spectral_entropy
from clapbench.training.regularizers.uniformity import Uniformity, uniformity
from clapbench.training.regularizers.variance import EPSILON, Variance, variance_hinge


def terms(*, weight: float = 1.0, side: str = "text") -> list[Regularizer]:
    return [
        Variance(weight=weight, side=side, target=1.0),
        Covariance(weight=weight, side=side),
        Sigreg(weight=weight, side=side, slices=8),
        Koleo(weight=weight, side=side),
        Uniformity(weight=weight, side=side),
        SpectralEntropy(weight=weight, side=side),
        Centroid(weight=weight),
        Alignment(weight=weight),
        Barlow(weight=weight, redundancy=0.0051),
    ]


every = pytest.mark.parametrize("number", range(len(terms())), ids=[type(one).__name__ for one in terms()])
one_sided = pytest.mark.parametrize(
    "number", range(6), ids=[type(one).__name__ for one in terms() if isinstance(one, SideRegularizer)]
)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def unit_rows(z: Tensor) -> np.ndarray:
    rows = z.numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("target", [0.5, 1.0, 3.0])
def test_variance_is_vicreg_equation_1(target: float) -> None:
    z = cloud().numpy()
    shortfall = [max(0.0, target - np.sqrt(np.var(column, ddof=1) + EPSILON)) for column in z.T]
    assert float(variance_hinge(cloud(), target)) == pytest.approx(np.mean(shortfall), abs=1e-12)


def test_covariance_is_vicreg_equation_4() -> None:
    z = cloud().numpy()
    n, d = z.shape
    c = sum(np.outer(row - z.mean(axis=0), row - z.mean(axis=0)) for row in z) / (n - 1)
    expected = sum(c[i, j] ** 2 for i in range(d) for j in range(d) if i != j) / d
    assert float(off_diagonal_covariance(cloud())) == pytest.approx(expected, abs=1e-12)


def test_barlow_is_its_equation_1() -> None:
    a, t = ((z - z.mean(axis=0)) for z in (cloud(seed=1).numpy(), cloud(seed=2).numpy()))
    expected = 0.0
    for i in range(5):
        for j in range(5):
            spread = np.sqrt((np.mean(a[:, i] ** 2) + 1e-5) * (np.mean(t[:, j] ** 2) + 1e-5))
            c = np.mean(a[:, i] * t[:, j]) / spread
            expected += (1 - c) ** 2 if i == j else 0.3 * c**2
    assert float(barlow(cloud(seed=1), cloud(seed=2), 0.3)) == pytest.approx(expected, abs=1e-12)


def test_centroid_is_one_minus_the_cosine_of_mean_unit_rows() -> None:
    means = [unit_rows(cloud(seed=seed)).mean(axis=0) for seed in (1, 2)]
    expected = 1.0 - cosine(*means)
    assert float(centroid_distance(cloud(seed=1), cloud(seed=2))) == pytest.approx(expected, abs=1e-12)


def test_alignment_is_two_less_two_cosines() -> None:
    a, t = cloud(seed=1), cloud(seed=2)
    expected = 2 - 2 * np.mean([cosine(x, y) for x, y in zip(a.numpy(), t.numpy(), strict=True)])
    assert float(alignment(a, t)) == pytest.approx(expected, abs=1e-12)


def test_koleo_and_uniformity_are_their_formulas_over_rows_that_differ() -> None:
    u, alike = unit_rows(cloud()), clouds().alike("text")
    apart = [[j for j in range(12) if j != i and not alike[i, j]] for i in range(12)]
    distances = [[np.linalg.norm(u[i] - u[j]) for j in apart[i]] for i in range(12)]
    nearest = [-np.log(min(row)) for row in distances]
    potentials = [np.exp(-2 * d**2) for row in distances for d in row]
    assert len(potentials) == 12 * 11 - 2
    assert float(koleo(cloud(), alike)) == pytest.approx(np.mean(nearest), abs=1e-6)
    assert float(uniformity(cloud(), alike)) == pytest.approx(np.log(np.mean(potentials)), abs=1e-12)


def test_spectral_entropy_is_minus_the_logarithm_of_rankme() -> None:
    for z in (cloud(), cloud(4, 9)):
        s = np.linalg.svd(unit_rows(z), compute_uv=False)
        p = s / s.sum()
        assert float(spectral_entropy(z)) == pytest.approx((p * np.log(p)).sum(), abs=2e-6)


@pytest.mark.parametrize("k", [1, 3, 8])
def test_spectral_entropy_counts_equal_directions(k: int) -> None:
    assert float(spectral_entropy(torch.eye(8)[:k].repeat(4, 1))) == pytest.approx(-math.log(k), abs=1e-5)


def test_a_weight_on_spectral_entropy_moves_the_rank_up_or_down() -> None:
    def rank(weight: float) -> float:
        batch, term = clouds(32), SpectralEntropy(weight=weight, side="text")
        for _ in range(10):
            batch = leaves(batch)
            term(batch).backward()
            batch = dataclasses.replace(batch, text=batch.text.detach() - 10.0 * batch.text.grad)
        return math.exp(-spectral_entropy(batch.text).item())

    assert rank(-1.0) < rank(0.0) - 0.5
    assert rank(1.0) > rank(0.0) + 0.1


def test_sigreg_is_its_integral() -> None:
    x = cloud().numpy()[:, :1]
    step = 0.001
    t = np.arange(step / 2, 3.0, step)  # midpoints
    wave = np.exp(1j * t * x).mean(axis=0)
    error = np.abs(wave - np.exp(-(t**2) / 2)) ** 2 * np.exp(-(t**2) / 2)
    assert float(epps_pulley(cloud()[:, :1])) == pytest.approx(2 * 12 * error.sum() * step, rel=2e-3)


def test_sigreg_is_least_on_a_standard_normal_cloud() -> None:
    normal = torch.randn(2000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    least = float(epps_pulley(normal))
    assert least < 2.0
    for other in (1.3 * normal, normal + 0.3, normal.sign(), normal / normal.norm(dim=1, keepdim=True)):
        assert float(epps_pulley(other)) > 10 * least


def test_sigreg_draws_by_the_step_alone() -> None:
    term = Sigreg(weight=1.0, side="text", slices=3)
    torch.manual_seed(0)
    first = term(clouds(step=5))
    torch.manual_seed(1)
    assert torch.equal(term(clouds(step=5)), first)
    assert not torch.equal(term(clouds(step=6)), first)
    torch.testing.assert_close(term(cast(clouds(step=5), torch.float32)), first.float())
    drawn = directions(5, 3, step=5)
    torch.testing.assert_close(drawn.norm(dim=0), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(first, epps_pulley(clouds().text @ drawn))


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "kind", ["spread", "collapsed", "collapsed but for rounding", "one direction", "one meaning"]
)
def test_gradients_are_finite(number: int, dtype: torch.dtype, kind: str) -> None:
    batch = cast(clouds(), dtype)
    if kind.startswith("collapsed"):
        batch = collapsed(batch)
    if kind.endswith("rounding"):
        noise = torch.finfo(dtype).eps * cloud(seed=8).to(dtype)
        batch = dataclasses.replace(batch, audio=batch.audio + noise, text=batch.text - noise)
    elif kind == "one direction":
        line = torch.linspace(-1, 2, 12, dtype=dtype).unsqueeze(1) * torch.ones(5, dtype=dtype)
        batch = dataclasses.replace(batch, audio=line, text=line)
    elif kind == "one meaning":
        batch = dataclasses.replace(batch, caption=torch.zeros_like(batch.caption))
    batch, term = leaves(batch), terms(side="both")[number]
    value = term(batch)
    assert value.dtype == dtype
    assert value.isfinite()
    value.backward()
    for gradient in (batch.audio.grad, batch.text.grad):
        assert gradient is not None
        assert gradient.isfinite().all()
        assert gradient.norm() < 1e4


@every
def test_the_weight_multiplies_and_zero_adds_nothing(number: int) -> None:
    batch = clouds()
    assert float(terms(weight=0.0)[number](batch)) == 0.0
    once = float(terms()[number](batch))
    assert once != 0.0
    assert float(terms(weight=2.5)[number](batch)) == pytest.approx(2.5 * once)


@every
def test_a_term_moves_the_sides_that_it_names(number: int) -> None:
    for side in ("audio", "text", "both"):
        batch, term = leaves(clouds()), terms(side=side)[number]
        term(batch).backward()
        moved = {one for one in ("audio", "text") if batch.side(one).grad is not None}
        assert moved == term.sides
        assert batch.swapped.grad is None
        assert not term.reads_swapped


@every
def test_a_weight_below_0_is_for_spectral_entropy_alone(number: int) -> None:
    kind = type(terms()[number])
    weight = signature_kinds(kind)["weight"]
    assert fit(weight, 0.5, key="weight") == 0.5
    if kind is SpectralEntropy:
        assert fit(weight, -0.5, key="weight") == -0.5
    else:
        with pytest.raises(ConfigError, match=r"weight: needed a number, 0 or more, got -0.5"):
            fit(weight, -0.5, key="weight")


@one_sided
def test_both_sides_are_the_mean_of_each(number: int) -> None:
    batch = clouds()
    audio, text, both = (terms(side=side)[number](batch) for side in ("audio", "text", "both"))
    torch.testing.assert_close(both, (audio + text) / 2)
    assert audio != text


def test_a_side_reads_its_own_cloud() -> None:
    batch = clouds()
    for side in ("audio", "text"):
        own, alike = batch.side(side), batch.alike(side)
        assert torch.equal(Variance(weight=1.0, side=side, target=1.0)(batch), variance_hinge(own))
        assert torch.equal(Covariance(weight=1.0, side=side)(batch), off_diagonal_covariance(own))
        assert torch.equal(Koleo(weight=1.0, side=side)(batch), koleo(own, alike))
        assert torch.equal(Uniformity(weight=1.0, side=side)(batch), uniformity(own, alike))
        assert torch.equal(SpectralEntropy(weight=1.0, side=side)(batch), spectral_entropy(own))


def test_another_side_is_refused() -> None:
    with pytest.raises(ValueError, match="Covariance: side must be 'audio', 'text' or 'both', got 'neither'"):
        Covariance(weight=1.0, side="neither")
    with pytest.raises(ValueError, match="Variance: side"):
        Variance(weight=1.0, side="Audio", target=1.0)


@every
def test_the_order_of_pairs_does_not_matter(number: int) -> None:
    shuffled = torch.randperm(12, generator=torch.Generator().manual_seed(4)).tolist()
    term = terms(side="both")[number]
    torch.testing.assert_close(term(of_pairs(clouds(), shuffled)), term(clouds()))


@every
def test_one_row_is_enough_where_it_is_said(number: int) -> None:
    term = terms(side="both")[number]
    if not term.needs_spread:
        assert term(of_pairs(clouds(), [3])).isfinite()


@pytest.mark.parametrize("side", ["audio", "text"])
def test_a_pair_drawn_twice_is_not_its_own_neighbour(side: str) -> None:
    """Each other row keeps its nearest; a pair of a row with its double is no pair of the mean."""
    once, twice = clouds(), of_pairs(clouds(), [*range(12), 0])
    of_row_0 = koleo(once.side(side)[[0, *nearest_to(once.side(side), 0)]])
    term = Koleo(weight=1.0, side=side)
    torch.testing.assert_close(13 * term(twice), 12 * term(once) + of_row_0)


def test_equal_rows_are_no_neighbours_and_equal_meanings_no_pairs() -> None:
    twice = cloud()[[*range(12), 0]]
    alike = torch.eye(13, dtype=torch.bool)
    alike[0, 12] = alike[12, 0] = True
    assert torch.equal(koleo(twice), koleo(twice, alike))
    single = cloud().float()
    nudged = torch.cat([single, single[:1] * (1 + 1e-6)])  # the same to float32's rounding of a cosine
    assert torch.equal(koleo(nudged), koleo(nudged, alike))
    assert float(uniformity(twice, alike)) < float(uniformity(twice))


def nearest_to(z: Tensor, row: int) -> list[int]:
    distances = (torch.nn.functional.normalize(z) - torch.nn.functional.normalize(z)[row]).norm(dim=1)
    return distances.argsort()[1:2].tolist()


def test_rows_that_all_stand_for_the_same_cost_nothing() -> None:
    batch = dataclasses.replace(clouds(), caption=torch.zeros(12, dtype=torch.long))
    assert Koleo(weight=1.0, side="text")(batch) == Uniformity(weight=1.0, side="text")(batch) == 0


def test_a_collapsed_cloud_costs_more_variance_than_a_spread_one() -> None:
    assert variance_hinge(torch.ones(8, 3)) > variance_hinge(3.0 * torch.eye(8)[:, :3])
    assert (
        float(variance_hinge(100.0 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0)))) == 0.0
    )
