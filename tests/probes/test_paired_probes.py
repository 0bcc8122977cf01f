"""Which rows belong together, and the probes that need to know: pairs, binding, batches, what is undefined."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor

from clapbench.probes.align_uniform import Alignment, alignment
from clapbench.probes.base import Probe
from clapbench.probes.cka import DebiasedCKA, debiased_cka
from clapbench.probes.lidar import LiDAR, ShrunkLiDAR, lidar, shrunk_lidar
from clapbench.probes.mutual_knn import MutualKNN, mutual_knn
from clapbench.probes.paired import Pairs, bind, pairs_of
from clapbench.probes.rankme import RankMe
from clapbench.probes.relative_gap import RelativeGap, relative_modality_gap
from clapbench.probes.separability import Separability, groups_of, linear_separability
from clapbench.probes.swap import SwapAlignment, SwapSeparation, swap_alignment, swap_separation
from clapbench.probes.two_nn import TwoNNApart, two_nn_dimension
from clapbench.schema import Case, Embeddings

N, D = 80, 12  # rows of a side
EVERY = {
    "alignment": Alignment,
    "cka": DebiasedCKA,
    "mutual_knn": MutualKNN,
    "separability": Separability,
    "relative_gap": RelativeGap,
    "lidar": LiDAR,
    "shrunk_lidar": ShrunkLiDAR,
    "swap_separation_audio": lambda: SwapSeparation(side="audio"),
    "swap_separation_text": lambda: SwapSeparation(side="text"),
    "swap_alignment": SwapAlignment,
    "twonn_audio_apart": lambda: TwoNNApart(side="audio"),
    "twonn_text_apart": lambda: TwoNNApart(side="text"),
}


def cloud(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def identity(k: int) -> tuple[tuple[bool, ...], ...]:
    return tuple(tuple(i == j for j in range(k)) for i in range(k))


def item_cases(n: int) -> list[Case]:
    """``n`` items, of clips 0.wav, 1.wav, ... with captions of the same number; the captions' rows run backwards."""
    return [
        Case(clips=(f"{i}.wav", f"{i + 1}.wav"), captions=(f"{i}", f"{i + 1}"), match=identity(2))
        for i in range(0, 2 * n, 2)
    ]


def embedded() -> Embeddings:
    audio = cloud(N, D, seed=0) + 0.4
    text = audio.flip(0) + 0.7 * cloud(N, D, seed=1) - 0.6
    return Embeddings(
        audio=audio.numpy(),
        audio_id=tuple(f"{i}.wav" for i in range(N)),
        text=text.numpy(),
        text_id=tuple(f"{i}" for i in reversed(range(N))),
    )


def bound(name: str, *, cases: list[Case] | None = None) -> Probe:
    probe = EVERY[name]()
    bind([probe], cases=item_cases(N // 2) if cases is None else cases, embeddings=embedded())
    return probe


def updated(probe: Probe, *, order: Tensor | None = None, cuts: tuple[int, ...] = ()) -> float:
    rows, order = embedded(), torch.arange(N) if order is None else order
    audio, text = torch.from_numpy(rows.audio), torch.from_numpy(rows.text)
    for a, t in zip(order.tensor_split(cuts), order.flip(0).tensor_split(cuts), strict=True):
        probe.update(audio=audio[a], text=text[t], audio_index=a, text_index=t)
    return probe.compute().item()


# Which rows belong together


def test_pairs_of_items_captions_in_common_and_a_third_pair():
    cases = [
        Case(clips=("a", "b"), captions=("A", "B"), match=identity(2)),
        Case(clips=("c", "d", "e"), captions=("B", "A", "E"), match=identity(3)),
        Case(clips=("b", "a"), captions=("B", "A"), match=identity(2)),  # the first one turned round
    ]
    pairs = pairs_of(cases, audio_id=list("edcba"), text_id=list("ABE"))
    assert pairs.matches.tolist() == [[4, 0], [3, 1], [2, 1], [1, 0], [0, 2]]
    assert pairs.one_to_one.tolist() == [[4, 0], [3, 1], [0, 2]]
    assert pairs.swapped_clips.tolist() == [[3, 4], [1, 2]]
    assert pairs.swapped_captions.tolist() == [[0, 1]]
    assert pairs.items.tolist() == [[4, 3, 0, 1], [2, 1, 1, 0], [3, 4, 1, 0]]
    assert groups_of(pairs, n_clips=5).unique().tolist() == [0, 1]  # e and E alone


def test_pairs_of_one_case_with_all_clips_and_captions_has_no_partners():
    case = Case(clips=("a", "b"), captions=("A", "B", "C"), match=((True, True, False), (False, False, True)))
    pairs = pairs_of([case], audio_id=["b", "a"], text_id=["A", "B", "C"])
    assert pairs.matches.tolist() == [[1, 0], [1, 1], [0, 2]]
    assert pairs.one_to_one.tolist() == [[1, 0], [0, 2]]
    assert (len(pairs.items), len(pairs.swapped_clips), len(pairs.swapped_captions)) == (0, 0, 0)


def test_pairs_among_some_positions():
    pairs = pairs_of(item_cases(2), audio_id=[f"{i}.wav" for i in range(4)], text_id=list("0123"))
    some = pairs.among(audio=torch.tensor([0, 2, 3]), text=torch.tensor([2, 3]))
    assert some.matches.tolist() == [[1, 0], [2, 1]]
    assert some.swapped_clips.tolist() == [[1, 2]]
    assert some.items.tolist() == [[1, 2, 0, 1]]
    none = pairs.among(audio=torch.arange(0), text=torch.arange(4))
    assert (len(none.matches), none.swapped_captions.tolist()) == (0, [[0, 1], [2, 3]])


@pytest.mark.parametrize("name", EVERY)
def test_an_unbound_probe_is_undefined(name):
    label = re.escape(EVERY[name]().label)
    with pytest.raises(ValueError, match=rf"^{label}: undefined: no pairs\. It needs"):
        updated(EVERY[name]())


def test_bind_leaves_other_probes_alone_and_outlives_reset():
    probe = bound("cka")
    value = updated(probe)
    probe.reset()
    assert updated(probe) == value
    bind([RankMe(side="text")], cases=[], embeddings=embedded())


@pytest.mark.parametrize("name", EVERY)
def test_batches_and_order_do_not_matter_and_the_class_gives_what_the_function_gives(name):
    rows = embedded()
    audio, text = torch.from_numpy(rows.audio), torch.from_numpy(rows.text).flip(0)  # matched row by row
    partners = torch.arange(N).reshape(-1, 2)
    expected = {
        "alignment": lambda: alignment(audio, text),
        "cka": lambda: debiased_cka(audio, text),
        "mutual_knn": lambda: mutual_knn(audio, text, k=10),
        "separability": lambda: linear_separability(audio, text, groups=torch.arange(N) // 2),
        "relative_gap": lambda: relative_modality_gap(audio, text),
        "lidar": lambda: lidar(torch.stack([audio, text], dim=1)),
        "shrunk_lidar": lambda: shrunk_lidar(torch.stack([audio, text], dim=1)),
        "swap_separation_audio": lambda: swap_separation(audio, partners),
        "swap_separation_text": lambda: swap_separation(text, partners),
        "swap_alignment": lambda: swap_alignment(audio.reshape(-1, 2, D), text.reshape(-1, 2, D)),
        "twonn_audio_apart": lambda: two_nn_dimension(audio, partners=partners),
        "twonn_text_apart": lambda: two_nn_dimension(text, partners=partners),
    }
    whole = updated(bound(name))
    assert whole == pytest.approx(expected[name]().item(), rel=1e-12)
    shuffled = torch.randperm(N, generator=torch.Generator().manual_seed(2))
    assert updated(bound(name), order=shuffled, cuts=(1, 33, 33)) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_pairs_without_their_rows_are_left_out(name):
    half = torch.arange(N // 2)
    # Captions run backwards: the first half of the clips belongs to the second half of the captions.
    rows, probe, few = embedded(), bound(name), bound(name, cases=item_cases(N // 4))
    audio, text = torch.from_numpy(rows.audio), torch.from_numpy(rows.text)
    for one in (probe, few):
        one.update(audio=audio[half], text=text[half + N // 2], audio_index=half, text_index=half + N // 2)
    assert probe.compute() == few.compute()


@pytest.mark.parametrize("name", EVERY)
def test_two_processes_with_the_same_rows_give_the_number_of_one(name):
    probe = bound(name)
    probe.distributed_available_fn = lambda: True
    probe.dist_sync_fn = lambda state, group: [state, state]
    assert updated(probe) == updated(bound(name))


def test_a_benchmark_without_items_leaves_what_needs_them_undefined():
    single = [Case(clips=(f"{i}.wav",), captions=(f"{i}",), match=identity(1)) for i in range(N)]
    assert np.isfinite(updated(bound("cka", cases=single)))
    with pytest.raises(ValueError, match=r"^SwapAlignment: swap_alignment: undefined: needs at least 1 item"):
        updated(bound("swap_alignment", cases=single))
    with pytest.raises(ValueError, match=r"^SwapSeparation\(text\): swap_separation: undefined: .* got 0"):
        updated(bound("swap_separation_text", cases=single))
    with pytest.raises(ValueError, match=r"^DebiasedCKA: undefined: needs at least 4 matched .* got 2"):
        updated(bound("cka", cases=single[:2]))


def test_pairs_are_tables_of_their_widths():
    empty = torch.zeros(0, 2, dtype=torch.long)
    pairs = Pairs(matches=empty, swapped_clips=empty, swapped_captions=empty, items=empty.reshape(0, 4))
    assert pairs.one_to_one.shape == (0, 2)
    assert groups_of(pairs, n_clips=3).tolist() == [0, 1, 2]


# Two-NN without partners


def apart_by_hand(x: Tensor, partner: Tensor) -> Tensor:
    """Ratios, row by row, in plain words: own partner out, then the first neighbour's."""
    ratios = []
    for i, row in enumerate(x):
        distance = (x - row).norm(dim=1)
        order = [j for j in distance.argsort().tolist() if j not in (i, int(partner[i]))]
        second = next(j for j in order[1:] if j != int(partner[order[0]]))
        ratios.append(float(distance[second] / distance[order[0]]))
    return torch.tensor(ratios, dtype=torch.float64)


def test_two_nn_without_partners_is_that_of_every_distance_but_theirs():
    x, partners = cloud(60, 5, seed=9), torch.arange(60).reshape(30, 2)
    x[1::2] = x[::2] + 1e-3 * cloud(30, 5, seed=10)  # a swapped caption close to its partner
    log_mu = apart_by_hand(x, partners.flip(1).ravel()).sort().values[:54].log()
    y = -torch.log1p(-torch.arange(1, 55, dtype=torch.float64) / 60)
    apart = two_nn_dimension(x, partners=partners).item()
    assert apart == pytest.approx(float(log_mu @ y / (log_mu @ log_mu)), rel=1e-9)
    nobody = two_nn_dimension(x, partners=partners[:0]).item()
    assert nobody == pytest.approx(two_nn_dimension(x).item(), rel=1e-9)


@pytest.mark.parametrize("distance", [1e-6, 1e-3, 10.0])
def test_two_nn_without_partners_does_not_depend_on_how_close_they_are(distance):
    """Captions in five dimensions, each with a partner that is a near-duplicate of it, or none at all."""
    base = torch.rand(500, 5, generator=torch.Generator().manual_seed(11), dtype=torch.float64)
    x, partners = base.repeat_interleave(2, dim=0), torch.arange(1000).reshape(500, 2)
    x[1::2] += distance * cloud(500, 5, seed=12)
    wanted = two_nn_dimension(base).item()
    assert two_nn_dimension(x, partners=partners).item() == pytest.approx(wanted, rel=0.12)
    if distance < 1:
        assert two_nn_dimension(x).item() < 1


def test_a_repeated_row_has_the_partners_of_the_one_that_stays():
    x, partners = cloud(40, 4, seed=13), torch.arange(40).reshape(20, 2)
    repeated = torch.cat([x, x[:6]])
    same = torch.cat([partners[3:], torch.arange(40, 46).reshape(3, 2)])  # those of rows 0 to 5
    expected = two_nn_dimension(x, partners=partners).item()
    assert two_nn_dimension(repeated, partners=same).item() == pytest.approx(expected, rel=1e-12)


def test_a_row_with_nobody_but_partners_has_no_dimension():
    everybody = torch.combinations(torch.arange(5))
    with pytest.raises(ValueError, match=r"no partners of it or each other; 5 of 5 distinct rows have fewer"):
        two_nn_dimension(cloud(5, 3, seed=14), partners=everybody)
