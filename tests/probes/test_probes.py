"""Probes against golden numbers, known answers, invariances, batches and bad input."""

from __future__ import annotations

import doctest
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from reference import probe_datasets
from torch import Tensor
from torchmetrics import MetricCollection

from clapbench.probes import base, modality_gap, moments, nearest_two, rankme, residual_energy, two_nn
from clapbench.probes.modality_gap import GapProbe
from clapbench.probes.rankme import RankMe, effective_rank
from clapbench.probes.residual_energy import ResidualEnergy
from clapbench.probes.two_nn import TwoNN, count_duplicates, two_nn_dimension

GOLDEN = json.loads((Path(__file__).parents[1] / "reference" / "probes_golden.json").read_text())
CONF = Path(__file__).parents[2] / "conf"
PRECISIONS = {"float64": 1e-9, "float32": 2e-6}  # dtype of the rows: relative tolerance
EVERY_PROBE = {
    "rankme": lambda: RankMe(side="audio"),
    "residual": lambda: ResidualEnergy(side="text", k=5),
    "twonn": lambda: TwoNN(side="text"),
    "gap_l2": lambda: GapProbe(field="l2"),
    "gap_cosine": lambda: GapProbe(field="cosine"),
    "gap_angle_deg": lambda: GapProbe(field="angle_deg"),
}


@cache
def single(name: str) -> np.ndarray:
    return probe_datasets.SINGLE[name]()


def cloud(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def sides() -> dict[str, Tensor]:
    """Forty clips and sixty captions with their positions."""
    return {
        "audio": cloud(40, 12, seed=0) + 0.3,
        "text": cloud(60, 12, seed=1),
        "audio_index": torch.arange(40),
        "text_index": torch.arange(60),
    }


def measured(probe: base.Probe, rows: dict[str, Tensor]) -> float:
    probe.update(**rows)
    return probe.compute().item()


# Golden numbers


@pytest.mark.parametrize("name", probe_datasets.SINGLE)
def test_datasets_are_those_of_the_golden_file(name):
    x, golden = single(name), GOLDEN["single"][name]
    assert list(x.shape) == golden["shape"]
    assert x.ravel()[:3].tolist() == pytest.approx(golden["first3"], rel=1e-12)
    assert x.sum() == pytest.approx(golden["checksum_sum"], abs=1e-8)
    assert np.abs(x).sum() == pytest.approx(golden["checksum_abs"], rel=1e-12)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", probe_datasets.SINGLE)
def test_spectral_probes_match_the_golden_numbers(name, dtype):
    x = torch.from_numpy(single(name)).to(getattr(torch, dtype))
    golden = GOLDEN["single"][name]
    assert effective_rank(x).item() == pytest.approx(golden["rankme"], rel=PRECISIONS[dtype])
    for k, value in golden["residual_energy"].items():
        got = residual_energy.residual_energy(x, k=int(k)).item()
        assert got == pytest.approx(value, rel=PRECISIONS[dtype], abs=0)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", probe_datasets.SINGLE)
def test_two_nn_matches_the_golden_numbers(name, dtype):
    x = torch.from_numpy(single(name)).to(getattr(torch, dtype))
    for position, value in GOLDEN["single"][name]["two_nn"].items():
        got = two_nn_dimension(x, plotting=position).item()
        assert got == pytest.approx(value, rel=PRECISIONS[dtype])


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("rows", ["raw", "unit"])
@pytest.mark.parametrize("name", probe_datasets.PAIR)
def test_gap_matches_the_golden_numbers(name, rows, dtype):
    pair, golden = probe_datasets.PAIR[name](), GOLDEN["pair"][name]
    assert [x.sum() for x in pair] == pytest.approx(golden["checksum_sum"], abs=1e-8)
    pair = [probe_datasets.unit(x) if rows == "unit" else x for x in pair]
    gap = modality_gap.modality_gap(*(torch.from_numpy(x).to(getattr(torch, dtype)) for x in pair))
    for field, value in golden[f"gap_{rows}"].items():
        assert getattr(gap, field).item() == pytest.approx(value, rel=PRECISIONS[dtype]), field


# Known answers


def test_effective_rank_of_known_spectra():
    assert effective_rank(torch.eye(4)).item() == pytest.approx(4, rel=1e-12)
    rank_one = torch.outer(torch.arange(1.0, 8.0), torch.tensor([1.0, -2.0, 0.5]))
    assert effective_rank(rank_one).item() == pytest.approx(1, abs=1e-6)
    two_to_one = effective_rank(torch.diag(torch.tensor([2.0, 1.0]))).item()
    assert two_to_one == pytest.approx(3 / 2 ** (2 / 3), rel=1e-12)  # p = 2/3, 1/3


def test_residual_energy_of_known_spectra():
    x = torch.diag(torch.tensor([3.0, 2.0, 1.0]))  # energies 9, 4, 1
    values = [residual_energy.residual_energy(x, k=k).item() for k in (0, 1, 2)]
    assert values == pytest.approx([1, 5 / 14, 1 / 14], rel=1e-12)
    assert residual_energy.residual_energy(cloud(20, 3, seed=0), k=3).item() == 0


def test_two_nn_sees_the_dimension_of_a_sheet_however_it_lies():
    sheet = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turn = torch.linalg.qr(cloud(30, 2, seed=1).double()).Q
    assert two_nn_dimension(sheet).item() == pytest.approx(2, abs=0.15)
    assert two_nn_dimension(sheet @ turn.T + 3).item() == pytest.approx(
        two_nn_dimension(sheet).item(), rel=1e-9
    )


def test_two_nn_by_hand():
    x = torch.tensor([[1.0], [2.0], [4.0], [8.0], [16.0]])  # mu = 3, 2, 3/2, 3/2, 3/2
    log_mu = np.log([1.5, 1.5, 1.5, 2.0])  # discard=0.2 drops the 3
    by_hand = -(log_mu @ np.log1p(-np.arange(1, 5) / 5)) / (log_mu @ log_mu)
    assert two_nn_dimension(x, discard=0.2).item() == pytest.approx(by_hand, rel=1e-12)
    assert two_nn_dimension(x, discard=0.0).item() == pytest.approx(by_hand, rel=1e-12)  # F = 1 has no place


def test_two_nn_removes_repeated_rows_before_the_search():
    x = cloud(300, 8, seed=2)
    repeated = torch.cat([x, x[:30], x[:5]])
    assert count_duplicates(repeated) == 35
    assert two_nn_dimension(repeated).item() == two_nn_dimension(x).item()
    assert count_duplicates(torch.tensor([[0.0, 1.0], [-0.0, 1.0]])) == 1


def brute_ratios(x: Tensor) -> Tensor:
    distance = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    r = distance.fill_diagonal_(torch.inf).sort(dim=1).values
    return r[:, 1] / r[:, 0]


@pytest.mark.parametrize("block", [32, 64, 4096])
@pytest.mark.parametrize("n", [4, 5, 31, 32, 33, 129, 500])
def test_two_nn_finds_the_neighbours_of_brute_force(monkeypatch, n, block):
    monkeypatch.setattr(nearest_two, "BLOCK", block)
    x = cloud(n, 6, seed=3).double()
    torch.testing.assert_close(two_nn._neighbour_ratios(x), brute_ratios(x), rtol=1e-12, atol=0)


@pytest.mark.parametrize("spread", [1e-2, 1e-5, 1e-8])
def test_two_nn_is_exact_where_single_precision_is_not(spread):
    """Tight clusters far apart: neither products in single precision nor, at last, in double tell rows apart."""
    centre = cloud(5, 8, seed=4).double().repeat(40, 1)
    x = centre + spread * cloud(200, 8, seed=5).double()
    torch.testing.assert_close(two_nn._neighbour_ratios(x), brute_ratios(x), rtol=1e-12, atol=0)


def test_two_nn_is_exact_whatever_precision_products_have():
    x = cloud(300, 16, seed=6).double()
    precision = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = two_nn._neighbour_ratios(x)
    finally:
        torch.set_float32_matmul_precision(precision)
    torch.testing.assert_close(got, brute_ratios(x), rtol=1e-12, atol=0)


def test_two_nn_says_how_many_rows_repeat():
    probe, rows = TwoNN(side="text"), sides()
    rows["text"][7] = rows["text"][5]
    measured(probe, rows)
    assert probe.duplicates == 1


def test_two_nn_is_exact_far_from_the_origin():
    x = cloud(200, 5, seed=4).double().round(decimals=3)
    assert two_nn_dimension(x + 1e6).item() == pytest.approx(two_nn_dimension(x).item(), rel=1e-4)


def test_gap_of_opposite_and_of_equal_cones():
    cone = cloud(50, 6, seed=5) * 0.1 + torch.eye(6)[0]
    opposite = modality_gap.modality_gap(cone, -cone)
    assert opposite.cosine.item() == pytest.approx(-1, rel=1e-12)
    assert opposite.angle_deg.item() == pytest.approx(180, rel=1e-12)
    assert opposite.l2.item() == pytest.approx(2 * cone.double().mean(dim=0).norm().item(), rel=1e-12)
    equal = modality_gap.modality_gap(cone, cone)
    assert (equal.l2.item(), equal.angle_deg.item()) == (0, 0)


def test_gap_angle_is_exact_where_the_cosine_rounds_to_one():
    tilt = 1e-9  # radian
    gap = modality_gap.modality_gap(
        torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.tensor([[1.0, tilt]], dtype=torch.float64)
    )
    assert gap.angle_deg.item() == pytest.approx(np.degrees(tilt), rel=1e-9)


# Invariances, batches, the class


@pytest.mark.parametrize("name", EVERY_PROBE)
def test_rotation_and_row_order_do_not_matter(name):
    rows, turn = sides(), torch.linalg.qr(cloud(12, 12, seed=6).double()).Q
    whole = measured(EVERY_PROBE[name](), rows)
    a, t = torch.randperm(40, generator=torch.Generator().manual_seed(7)), torch.arange(59, -1, -1)
    moved = {
        "audio": rows["audio"][a].double() @ turn,
        "text": rows["text"][t].double() @ turn,
        "audio_index": torch.arange(40),
        "text_index": torch.arange(60),
    }
    assert measured(EVERY_PROBE[name](), moved) == pytest.approx(whole, rel=1e-9)


def test_class_gives_what_the_function_gives():
    rows = sides()
    gap = modality_gap.modality_gap(rows["audio"], rows["text"])
    expected = {
        "rankme": effective_rank(rows["audio"]),
        "residual": residual_energy.residual_energy(rows["text"], k=5),
        "twonn": two_nn_dimension(rows["text"]),
        **{f"gap_{field}": value for field, value in gap._asdict().items()},
    }
    for name, probe in EVERY_PROBE.items():
        assert measured(probe(), rows) == expected[name].item(), name


def test_batches_add_up_in_any_order_and_repeats_count_once():
    rows = sides()
    probes = MetricCollection({name: probe() for name, probe in EVERY_PROBE.items()}, compute_groups=False)
    whole = {name: measured(probe(), rows) for name, probe in EVERY_PROBE.items()}
    none = torch.arange(0)
    batches = [
        (torch.arange(30, 40), none),
        (torch.arange(0, 30), torch.tensor([59, 3])),
        (none, torch.arange(0, 60)),
        (torch.tensor([39, 0]), torch.tensor([7])),  # what a padded sampler adds
    ]
    for a, t in batches:
        probes.update(audio=rows["audio"][a], text=rows["text"][t], audio_index=a, text_index=t)
    assert {name: value.item() for name, value in probes.compute().items()} == whole


def test_of_a_repeated_position_the_first_row_counts():
    probe, rows = GapProbe(field="l2"), sides()
    probe.update(**rows)
    whole = measured(GapProbe(field="l2"), rows)
    late = {"audio": rows["audio"][:3] + 9, "audio_index": torch.arange(3)}
    probe.update(**late, text=rows["text"][:0], text_index=torch.arange(0))
    assert probe.compute().item() == whole


@pytest.mark.parametrize("name", EVERY_PROBE)
def test_two_processes_with_the_same_rows_give_the_number_of_one(name):
    probe = EVERY_PROBE[name]()
    probe.distributed_available_fn = lambda: True
    probe.dist_sync_fn = lambda state, group: [state, state]
    assert measured(probe, sides()) == measured(EVERY_PROBE[name](), sides())


def test_probes_hold_references_and_reset():
    rows, probe = sides(), RankMe(side="audio")
    probe.update(**rows)
    assert probe.audio[0].data_ptr() == rows["audio"].data_ptr()
    probe.reset()
    small = {key: value[:5] for key, value in rows.items()}
    assert measured(probe, small) == effective_rank(small["audio"]).item()


# Streams: more rows than are held

STREAMED = {name: build for name, build in EVERY_PROBE.items() if name != "twonn"}


def spectra() -> dict[str, Tensor]:
    """Clouds of 500 rows whose Gram matrix stands for them, hardly does, or does not."""
    full = cloud(500, 24, seed=8).double() + 0.3
    noise = cloud(500, 24, seed=9).double()
    low = cloud(500, 6, seed=10).double() @ cloud(6, 24, seed=11).double()
    return {"full": full, "steep": full / torch.arange(1, 25) ** 3, "low": low + 1e-6 * noise, "flat": low}


def batch(rows: Tensor, index: Tensor) -> dict[str, Tensor]:
    return {"audio": rows[index], "text": rows[index] + 0.1, "audio_index": index, "text_index": index}


@pytest.mark.parametrize("size", [37, 500])
@pytest.mark.parametrize("spectrum", spectra())
@pytest.mark.parametrize("name", STREAMED)
def test_a_folded_stream_gives_the_number_of_the_rows(monkeypatch, name, spectrum, size):
    rows, order = spectra()[spectrum], torch.randperm(500, generator=torch.Generator().manual_seed(12))
    whole = measured(STREAMED[name](), batch(rows, torch.arange(500)))
    monkeypatch.setattr(moments, "CHUNK", 50)
    probe = STREAMED[name]()
    for index in order.split(size):
        probe.update(**batch(rows, index))
    for index in order[100:200].split(size):  # again
        probe.update(**batch(rows, index))
    assert sum(map(len, probe.audio)) <= 50
    assert sum(map(len, probe.text_folded)) <= 25
    assert probe.compute().item() == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize("name", EVERY_PROBE)
def test_merged_states_count_what_both_saw_once(monkeypatch, name):
    rows = spectra()["full"]
    whole = measured(EVERY_PROBE[name](), batch(rows, torch.arange(500)))
    monkeypatch.setattr(moments, "CHUNK", 50)
    one, other = EVERY_PROBE[name](), EVERY_PROBE[name]()
    for index in torch.arange(251).split(40):
        one.update(**batch(rows, index))
    for index in torch.tensor([*range(251, 500), 0]).split(40):  # as a padded sampler gives
        other.update(**batch(rows, index))
    one.merge_state(other)
    assert one.compute().item() == pytest.approx(whole, rel=1e-9)
    one.update(**batch(rows, torch.arange(100)))
    assert one.compute().item() == pytest.approx(whole, rel=1e-9)


def test_rows_folded_on_two_processes_are_refused(monkeypatch):
    monkeypatch.setattr(moments, "CHUNK", 50)
    one, other = RankMe(side="audio"), RankMe(side="audio")
    for probe in (one, other):
        probe.update(**batch(spectra()["full"], torch.arange(500)))
    one.merge_state(other)
    with pytest.raises(
        ValueError, match=r"^RankMe\(audio\): needs each audio row on one process; 450 came on"
    ):
        one.compute()


PROCESS = """
import sys, torch, test_probes as t
from clapbench.probes import moments
rank, rows = int(sys.argv[1]), t.spectra()["full"]
torch.distributed.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
moments.CHUNK = 50
mine = torch.arange(rank, 500, 2) if rank else torch.tensor([*range(0, 30, 2), 1])  # one folds, one does not
mine = mine if rank else torch.cat([mine, torch.arange(30, 60, 2)])
for name, build in t.EVERY_PROBE.items():
    probe = build()
    for index in mine.split(9):
        probe.update(**t.batch(rows, index))
    print(name, repr(probe.compute().item()))
"""


def test_two_processes_give_the_number_of_one(tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", PROCESS]
    path = {
        **os.environ,
        "PYTHONPATH": f"{CONF.parent}:{CONF.parent / 'tests'}:{Path(__file__).parent}",
        "OMP_NUM_THREADS": "1",
    }
    both = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store")], env=path, stdout=-1, text=True)
        for rank in (0, 1)
    ]
    seen = torch.cat([torch.arange(0, 60, 2), torch.arange(1, 500, 2)])
    whole = {name: measured(build(), batch(spectra()["full"], seen)) for name, build in EVERY_PROBE.items()}
    for process in both:
        out = process.communicate(timeout=60)[0]
        found = {name: float(value) for name, value in map(str.split, out.splitlines())}
        assert found == pytest.approx(whole, rel=1e-9)


@pytest.mark.parametrize("spectrum", spectra())
def test_moments_have_the_mean_and_the_spread_of_the_cloud(monkeypatch, spectrum):
    x = spectra()[spectrum]
    monkeypatch.setattr(moments, "CHUNK", 50)
    probe = RankMe(side="audio")
    probe.update(**batch(x, torch.arange(500)))
    cloud = probe.moments("audio")
    assert cloud.n == 500
    torch.testing.assert_close(cloud.mean, x.mean(dim=0), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(moments.gram(cloud.centred) / 499, x.T.cov(), rtol=1e-9, atol=1e-9)


# Refusals


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", EVERY_PROBE)
def test_a_row_that_is_not_finite_is_named(name, bad):
    rows = sides()
    rows["text"][17, 3] = bad
    with pytest.raises(ValueError, match=r"text row at position 17 is not finite.*Look at that caption"):
        EVERY_PROBE[name]().update(**rows)


def test_errors_name_the_probe_and_its_side():
    rows = sides()
    rows["audio"][4] = 0
    with pytest.raises(ValueError, match=r"^RankMe\(audio\): audio row at position 4 is all zeros"):
        RankMe(side="audio").update(**rows)
    few = {key: value[:3] for key, value in sides().items()}
    with pytest.raises(ValueError, match=r"^TwoNN\(text\): .* at least 4 distinct rows, got 3"):
        measured(TwoNN(side="text"), few)


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("name", EVERY_PROBE)
def test_too_few_rows_are_refused(name, n):
    with pytest.raises(ValueError, match=rf"needs at least 2 (audio|text) rows, got {n}"):
        measured(EVERY_PROBE[name](), {key: value[:n] for key, value in sides().items()})


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_update_at_all_is_refused():
    with pytest.raises(ValueError, match=r"RankMe\(text\): needs at least 2 text rows, got 0"):
        RankMe(side="text").compute()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: effective_rank(torch.zeros(0, 3)), "effective_rank: needs at least 1 row"),
        (lambda: effective_rank(torch.zeros(4, 3)), "effective_rank: all 4 rows are zero"),
        (lambda: effective_rank(torch.tensor([[1.0], [torch.nan]])), r"1 of 2 are not \(first: 1\)"),
        (lambda: effective_rank(torch.tensor([[1e5]]).half()), "needs finite rows"),  # float16 overflows
        (lambda: residual_energy.residual_energy(torch.eye(4), k=-1), "k must be 0 or more, got -1"),
        (lambda: residual_energy.residual_energy(torch.eye(4), k=4), "k=4 needs at least 5 rows, got 4"),
        (lambda: residual_energy.residual_energy(torch.zeros(0, 4), k=1), "needs at least 1 row, got 0"),
        (lambda: two_nn_dimension(torch.ones(50, 3)), r"4 distinct rows, got 1 \(49 repeated\)"),
        (lambda: two_nn_dimension(torch.eye(9)), "no slope"),
        (lambda: two_nn_dimension(cloud(9, 2, seed=0), discard=1.0), r"discard must be in \[0, 1\), got 1.0"),
        (lambda: two_nn_dimension(cloud(9, 2, seed=0), discard=-0.1), "discard must be"),
        (lambda: two_nn_dimension(cloud(9, 2, seed=0), discard=0.9), "at least 2 ratios, got 0"),
        (lambda: two_nn_dimension(cloud(9, 2, seed=0), plotting="i"), "plotting must be"),
        (lambda: two_nn_dimension(torch.cat([cloud(9, 2, seed=0), torch.zeros(1, 2)])), "row 9 is all zeros"),
        (lambda: two_nn_dimension(torch.arange(1.0, 9.0)[:, None].double() * 1e-200), "range of float64"),
        (
            lambda: modality_gap.modality_gap(torch.zeros(0, 2), torch.ones(1, 2)),
            r"\(audio\): needs at least 1",
        ),
        (lambda: modality_gap.modality_gap(torch.ones(1, 1), torch.tensor([[1.0], [-1.0]])), "text centroid"),
        (lambda: RankMe(side="video"), "RankMe: side must be 'audio' or 'text', got 'video'"),
        (lambda: TwoNN(side="text", discard=2.0), "TwoNN: discard must be"),
        (lambda: ResidualEnergy(side="text", k=-1), "ResidualEnergy: k must be"),
        (lambda: GapProbe(field="l1"), "GapProbe: field must be one of l2, cosine, angle_deg, got 'l1'"),
    ],
)
def test_bad_input_is_refused_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# Config and docs


def test_each_yaml_holds_the_probes_of_a_file_and_sets_list_them():
    files = [yaml.safe_load(path.read_text()) for path in (CONF / "probe").glob("*.yaml")]
    names = {name for file in files for name in file}
    assert len(names) == sum(map(len, files))
    sets = {path.stem: yaml.safe_load(path.read_text()) for path in (CONF / "probe_set").glob("*.yaml")}
    assert set(sets["all"]) == names - {"lidar"}  # refuses most benchmarks: lidar_shrunk stands for it
    assert set(sets["paper"]) <= names
    assert len(sets["paper"]) == 13


@pytest.mark.parametrize("module", [rankme, residual_energy, two_nn, modality_gap])
def test_examples_in_docstrings_are_right(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
