"""Scores as torchmetrics: what the pure functions give, in batches, in collections, against torchmetrics itself."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MultilabelAveragePrecision
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMAP

import clapbench
from clapbench.scoring import pairs
from clapbench.scoring.metrics import (
    CompositionalScore,
    MAPAtK,
    MedianRank,
    RecallAtK,
    ZeroShotAccuracy,
    ZeroShotMAP,
)
from clapbench.scoring.retrieval import retrieved

GENERATOR = torch.Generator().manual_seed(0)
BLOCKS = torch.randn(64, 2, 2, generator=GENERATOR)
TRIPLETS = torch.randn(64, 3, 3, generator=GENERATOR)
S = torch.randn(60, 20, generator=GENERATOR).double()
MATCH = torch.rand(60, 20, generator=GENERATOR) < 0.2
MATCH[:, 0] |= ~MATCH.any(dim=1)
ONE = torch.nn.functional.one_hot(torch.randint(0, 20, (60,), generator=GENERATOR), 20).bool()


def every() -> dict[str, tuple[Metric, tuple[torch.Tensor, ...]]]:
    return {
        "official": (CompositionalScore(), (BLOCKS,)),
        "single": (CompositionalScore("single"), (BLOCKS,)),
        "triplet": (CompositionalScore("triplet"), (TRIPLETS,)),
        "recall": (RecallAtK(5), (S, MATCH)),
        "map": (MAPAtK(), (S, MATCH)),
        "median": (MedianRank(), (S, MATCH)),
        "accuracy": (ZeroShotAccuracy(), (S, ONE)),
        "mean precision": (ZeroShotMAP(), (S, MATCH)),
    }


def plain(value: Any) -> Any:
    return {name: one.item() for name, one in value.items()} if isinstance(value, dict) else value.item()


@pytest.mark.parametrize("name", every())
def test_batches_processes_and_copies_add_up(name: str) -> None:
    metric, given = every()[name]
    whole = plain(metric(*given))
    assert plain(metric.compute()) == whole
    metric.reset()
    for cut in ([1, 9], [30]):
        for batch in zip(*(x.tensor_split(cut) for x in given), strict=True):
            metric(*batch)
        assert plain(metric.compute()) == pytest.approx(whole, rel=1e-12)
        metric.reset()
    other, _ = every()[name]
    first, second = zip(*(x.tensor_split(2) for x in given), strict=True)
    metric.update(*first)
    other.update(*second)
    metric = pickle.loads(pickle.dumps(metric))
    metric.merge_state(other)  # as processes do
    assert plain(metric.compute()) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("name", every())
def test_arrays_and_lists_do_as_well(name: str) -> None:
    metric, given = every()[name]
    whole = plain(metric(*given))
    assert plain(every()[name][0](*(x.numpy() for x in given))) == whole
    assert plain(every()[name][0](*(x.tolist() for x in given))) == whole


@pytest.mark.parametrize("name", every())
def test_without_items_there_is_no_score(name: str) -> None:
    metric, _ = every()[name]
    with (
        pytest.warns(UserWarning, match="was called before"),
        pytest.raises(ValueError, match=r"at least 1 .*got 0"),
    ):
        metric.compute()


@pytest.mark.parametrize("protocol", ["official", "single", "triplet"])
def test_f_g_and_h_are_those_of_the_judge(protocol: str) -> None:
    given = TRIPLETS if protocol == "triplet" else BLOCKS
    metric = CompositionalScore(protocol)
    judged = pairs.judged(protocol, pairs.items_alone(given.double()))
    assert judged is not None
    assert plain(metric(given)) == {name: score["value"] for name, score in judged.items()}
    assert metric.chance == {name: score["chance"] for name, score in judged.items()}
    assert plain(metric.compute()) == {
        name: float(score) for name, score in clapbench.score(given, protocol=protocol).items()
    }


@pytest.mark.parametrize("groups", [True, False])
def test_a_collection_keeps_settings_apart(groups: bool) -> None:
    easy = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])  # every protocol says the same of it
    scores = MetricCollection(
        {name: CompositionalScore(name) for name in ("official", "single")}, compute_groups=groups
    )
    scores.update(easy)
    scores.update(BLOCKS)
    alone = CompositionalScore("single")
    alone.update(torch.cat([easy, BLOCKS]))
    found = scores.compute()
    assert {name: found[f"single_{name}"].item() for name in "FGH"} == plain(alone.compute())
    cuts = MetricCollection({f"R@{k}": RecallAtK(k) for k in (1, 5, 10)}, compute_groups=groups)
    cuts.update(torch.eye(20), torch.eye(20, dtype=torch.bool))
    cuts.update(S, MATCH)
    assert len({value.item() for value in cuts.compute().values()}) == 3


def test_retrieval_is_what_a_cell_says_of_it() -> None:
    cell = retrieved("t2a", S, MATCH)
    for k in (1, 5, 10):
        assert RecallAtK(k)(S, MATCH).item() == cell[f"t2a_R@{k}"]
    assert MAPAtK()(S, MATCH).item() == pytest.approx(cell["t2a_mAP@10"], rel=1e-12)
    assert MedianRank()(S, MATCH).item() == cell["t2a_medR"]


@pytest.mark.parametrize("k", [1, 3, 10])
def test_retrieval_without_ties_is_that_of_torchmetrics(k: int) -> None:
    query = torch.arange(60)[:, None].expand(60, 20)
    hit_rate = RetrievalHitRate(top_k=k)(S.float().ravel(), MATCH.ravel(), indexes=query.ravel())
    assert RecallAtK(k)(S.float(), MATCH).item() == pytest.approx(hit_rate.item())
    positive = S.float().sigmoid()  # torchmetrics takes a match with a similarity of 0 or less for none
    precision = RetrievalMAP(top_k=k)(positive.ravel(), ONE.ravel(), indexes=query.ravel())  # one match each
    assert MAPAtK(k)(S.float(), ONE).item() == pytest.approx(precision.item())


def test_zero_shot_is_that_of_torchmetrics_and_of_a_cell() -> None:
    target = ONE.int().argmax(dim=1)
    accuracy = MulticlassAccuracy(num_classes=20, average="micro")(S, target)
    assert ZeroShotAccuracy()(S, target).item() == pytest.approx(accuracy.item())
    precision = MultilabelAveragePrecision(num_labels=20)(S.sigmoid(), MATCH.int())
    assert ZeroShotMAP()(S, MATCH).item() == pytest.approx(precision.item(), rel=1e-6)
    cell = clapbench.zeroshot(S, ONE)
    assert ZeroShotAccuracy()(S, target).item() == cell["accuracy"]
    assert ZeroShotMAP()(S, target).item() == pytest.approx(cell["mAP"], rel=1e-12)


def test_a_tie_is_a_miss() -> None:
    tied = torch.full((1, 2), 0.5)
    match = torch.tensor([[True, False]])
    assert RecallAtK(1)(tied, match) == 0
    assert ZeroShotAccuracy()(tied, [0]) == 0
    assert plain(CompositionalScore()(torch.ones(1, 2, 2))) == {"F": 0, "G": 0, "H": 0}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: CompositionalScore("pool"),
            "CompositionalScore: protocol 'pool' compares each item with the whole",
        ),
        (lambda: CompositionalScore("x"), "CompositionalScore: protocol must be one of official"),
        (lambda: CompositionalScore()(np.ones((3, 2))), r"CompositionalScore: needs a 3-D array"),
        (lambda: RecallAtK(0), "RecallAtK: k must be 1 or more, got 0"),
        (lambda: MAPAtK(0), "MAPAtK: k must be 1 or more"),
        (
            lambda: RecallAtK(1)(S, MATCH[:, :3]),
            r"RecallAtK: needs match in the shape .*\(60, 20\); got \(60, 3\)",
        ),
        (lambda: RecallAtK(1)(S, torch.zeros_like(MATCH)), "RecallAtK: needs a match for each row; 60 of 60"),
        (lambda: RecallAtK(1)(S[0], MATCH), "RecallAtK: needs a 2-D array of similarities, a row per query"),
        (lambda: RecallAtK(1)(S / 0, MATCH), "RecallAtK: needs finite rows; 60 of 60"),
        (
            lambda: ZeroShotAccuracy()(S, MATCH),
            "ZeroShotAccuracy: needs one class for each clip; use ZeroShotMAP",
        ),
        (lambda: ZeroShotAccuracy()(S, torch.full((60,), 20)), "a class from 0 to 19 for each of 60 clips"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
