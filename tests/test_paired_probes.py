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
from clapbench.probes.lidar import LiDAR, lidar
from clapbench.probes.mutual_knn import MutualKNN, mutual_knn
from clapbench.probes.paired import Pairs, bind, pairs_of
from clapbench.probes.rankme import RankMe
from clapbench.probes.relative_gap import RelativeGap, relative_modality_gap
from clapbench.probes.separability import Separability, groups_of, linear_separability
from clapbench.probes.swap import SwapAlignment, SwapSeparation, swap_alignment, swap_separation
from clapbench.schema import Case, Embeddings

N, D = 80, 12  # rows of a side
EVERY = {
    "alignment": Alignment,
    "cka": DebiasedCKA,
    "mutual_knn": MutualKNN,
    "separability": Separability,
    "relative_gap": RelativeGap,
    "lidar": LiDAR,
    "swap_separation_audio": lambda: SwapSeparation(side="audio"),
    "swap_separation_text": lambda: SwapSeparation(side="text"),
    "swap_alignment": SwapAlignment,
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
        "swap_separation_audio": lambda: swap_separation(audio, partners),
        "swap_separation_text": lambda: swap_separation(text, partners),
        "swap_alignment": lambda: swap_alignment(audio.reshape(-1, 2, D), text.reshape(-1, 2, D)),
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
