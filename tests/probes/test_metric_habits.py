"""Probes by the habits of torchmetrics: update(x), forward, collections with and without compute groups, arrays."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics import MetricCollection

import clapbench
from clapbench.probes import (
    Alignment,
    DebiasedCKA,
    GapProbe,
    Hubness,
    MLEDimension,
    RankMe,
    ResidualEnergy,
    StableRank,
    SwapAlignment,
    TwoNN,
    TwoNNApart,
    Uniformity,
    moments,
)
from clapbench.probes.base import BY_ORDER, Probe
from clapbench.probes.rankme import effective_rank
from clapbench.probes.residual_energy import residual_energy

ONE_SIDE = {
    "rankme": (RankMe, clapbench.rankme),
    "residual": (lambda *side: ResidualEnergy(*side, k=3), lambda x: clapbench.residual_energy(x, k=3)),
    "two_nn": (TwoNN, clapbench.two_nn),
    "stable_rank": (StableRank, clapbench.stable_rank),
    "uniformity": (Uniformity, clapbench.uniformity),
    "hubness": (Hubness, clapbench.hubness),
    "mle": (MLEDimension, clapbench.mle_dimension),
}


def cloud(seed: int, n: int = 120, d: int = 8) -> Tensor:
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(x + 0.5, dim=1)


X, Y = cloud(1), cloud(2)


@pytest.mark.parametrize("name", ONE_SIDE)
def test_one_side_takes_rows_by_place(name: str) -> None:
    build, function = ONE_SIDE[name]
    probe, wanted = build(), pytest.approx(function(X), rel=1e-9)
    assert probe(X).item() == wanted
    probe.reset()
    for batch in X.split(50):
        probe.update(batch)
    assert probe.compute().item() == wanted
    probe.reset()
    probe.update(Y)
    assert probe.compute().item() == pytest.approx(function(Y), rel=1e-9)


@pytest.mark.parametrize("name", ONE_SIDE)
def test_forward_gives_the_batch_and_compute_all(name: str) -> None:
    build, function = ONE_SIDE[name]
    probe = build("text")
    for batch in X.split(40):
        assert probe(batch).item() == pytest.approx(function(batch), rel=1e-9)
    assert probe.compute().item() == pytest.approx(function(X), rel=1e-9)


@pytest.mark.parametrize(
    "given", [X.numpy(), X.tolist(), X.clone().requires_grad_()], ids=["array", "lists", "gradient"]
)
def test_rows_may_be_arrays_and_lists(given: object) -> None:
    probe = RankMe()
    probe.update(given)
    assert probe.compute().item() == pytest.approx(clapbench.rankme(X), rel=1e-12)
    assert RankMe()(np.eye(4, dtype=np.int64)).item() == pytest.approx(4)


def test_equal_rows_without_positions_are_different_clips() -> None:
    twice = Uniformity()
    twice.update(X)
    twice.update(X)
    assert twice.compute().item() == pytest.approx(clapbench.uniformity(torch.cat([X, X])), rel=1e-12)


def test_positions_count_once_and_may_come_beside_rows_without() -> None:
    probe, index = Uniformity("audio"), torch.arange(60)
    probe.update(audio=X[:60], audio_index=index)
    probe.update(X[:60], audio_index=index)  # the same clips again
    probe.update(X[60:])
    assert probe.compute().item() == pytest.approx(clapbench.uniformity(X), rel=1e-12)
    with pytest.raises(ValueError, match="needs a position for each of 120 audio rows, got 60"):
        probe.update(audio=X, audio_index=index)


def test_two_sides_by_place_need_no_equal_number() -> None:
    gap = clapbench.modality_gap(X, Y[:50])
    for field in gap._fields:
        assert GapProbe(field)(X, Y[:50]).item() == pytest.approx(getattr(gap, field), rel=1e-9)


def test_rows_that_come_together_match_in_their_order() -> None:
    probe = Alignment()
    for batch in (slice(0, 50), slice(50, 120)):
        assert probe(X[batch], Y[batch]).item() == pytest.approx(clapbench.alignment(X[batch], Y[batch]))
    assert probe.compute().item() == pytest.approx(clapbench.alignment(X, Y), rel=1e-12)
    assert DebiasedCKA()(X, Y).item() == pytest.approx(clapbench.cka(X, Y), rel=1e-12)
    with pytest.raises(ValueError, match=r"Alignment: undefined: no pairs.* row by row"):
        Alignment()(X, Y[:50])
    index = torch.arange(120)
    with pytest.raises(ValueError, match="no pairs"):  # equal positions alone say nothing of matches
        Alignment()(audio=X, text=Y, audio_index=index, text_index=index)
    for unknown in (SwapAlignment(), TwoNNApart("text")):
        with pytest.raises(ValueError, match="swapped p"):
            unknown(X, Y)


@pytest.mark.parametrize("groups", [True, False])
@pytest.mark.parametrize("by_place", [True, False])
def test_a_collection_gives_what_each_gives_alone(groups: bool, by_place: bool) -> None:
    def probes() -> dict[str, Probe]:
        return {
            "rank": RankMe("audio"),
            "rank_text": RankMe("text"),
            "rank_centred": RankMe("audio", center=True),
            "energy": ResidualEnergy("audio", k=2),
            "uniformity": Uniformity("audio"),
            "uniformity_text": Uniformity("text"),
            "alignment": Alignment(),
            "gap": GapProbe("l2"),
            "angle": GapProbe("angle_deg"),
        }

    def batches() -> list[tuple[tuple[Tensor, ...], dict[str, Tensor]]]:
        if by_place:
            return [((X[:70], Y[:70]), {}), ((X[70:], Y[70:]), {})]
        empty, none = X[:0], torch.arange(0)
        names = (
            "audio",
            "text",
            "audio_index",
            "text_index",
        )  # one side after the other, as the framework does
        return [
            ((), dict(zip(names, (X, empty, torch.arange(120), none), strict=True))),
            ((), dict(zip(names, (empty, Y, none, torch.arange(120)), strict=True))),
        ]

    made = probes() if by_place else {name: one for name, one in probes().items() if name != "alignment"}
    collection = MetricCollection(made, compute_groups=groups)
    for _ in range(2):
        for rows, named in batches():
            collection.update(*rows, **named)
        found = collection.compute()
        for name in made:
            alone = probes()[name]
            for rows, named in batches():
                alone.update(*rows, **named)
            assert found[name].item() == pytest.approx(alone.compute().item(), rel=1e-12), name
        collection.reset()
    if groups:
        merged = sorted(map(sorted, collection.compute_groups.values()))
        assert all({"rank", "rank_text"} - set(group) for group in merged)
        assert by_place or ["energy", "rank", "rank_centred"] in merged


def test_a_collection_without_sides_takes_rows() -> None:
    collection = MetricCollection({"rank": RankMe(), "dimension": TwoNN(), "even": Uniformity()})
    for batch in X.split(40):
        collection(batch)
    found = {name: value.item() for name, value in collection.compute().items()}
    assert found == pytest.approx(
        {"rank": clapbench.rankme(X), "dimension": clapbench.two_nn(X), "even": clapbench.uniformity(X)},
        rel=1e-9,
    )


def test_streams_stay_small_by_update_and_by_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "CHUNK", 16)
    updated, forwarded = RankMe(), RankMe()
    for batch in X.split(10):
        updated.update(batch)
        forwarded(batch)
    for probe in (updated, forwarded):
        assert sum(map(len, probe.audio)) <= 16
        assert probe.compute().item() == pytest.approx(clapbench.rankme(X), rel=1e-9)


def test_states_merge_and_travel() -> None:
    one, other = RankMe(), RankMe()
    one.update(X[:50])
    other.update(X[50:])
    assert min(other.audio_index[0]) >= BY_ORDER
    one = pickle.loads(pickle.dumps(one))
    one.merge_state(other)
    assert one.compute().item() == pytest.approx(clapbench.rankme(X), rel=1e-9)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: RankMe()(X, Y), TypeError, r"RankMe: was built without a side.*got 2 by place"),
        (
            lambda: RankMe().update(audio=X),
            TypeError,
            r"RankMe: was built without a side.*Build RankMe\('audio'\)",
        ),
        (lambda: RankMe().update(), TypeError, "RankMe: was built without a side"),
        (lambda: RankMe("text").update(audio=X), TypeError, r"RankMe\(text\): needs text rows; got no text"),
        (
            lambda: RankMe("text").update(X, text=Y),
            TypeError,
            "or all by keyword; got 1 by place and 1 by keyword",
        ),
        (
            lambda: GapProbe("l2")(X),
            TypeError,
            r"GapProbe\(l2\): needs the rows of both sides.*got 1 by place",
        ),
        (lambda: GapProbe("l2").update(audio=X), TypeError, "got no text"),
        (lambda: RankMe()(X[0]), ValueError, r"RankMe \(audio\): needs a 2-D array.*got shape \(8,\)"),
        (lambda: RankMe()(X.new_zeros(3, 8)), ValueError, "RankMe: row 0 of this batch is all zeros"),
        (lambda: RankMe()(X[:1]), ValueError, "RankMe: needs at least 2 rows, got 1"),
    ],
)
def test_calls_that_make_no_sense_are_refused(call, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


# center


@pytest.mark.parametrize("chunk", [16, 8192])
def test_centred_probes_give_the_number_of_the_centred_function(
    monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(moments, "CHUNK", chunk)
    rank, energy = RankMe(center=True), ResidualEnergy(k=2, center=True)
    for batch in X.split(30):
        rank.update(batch)
        energy.update(batch)
    assert rank.compute().item() == pytest.approx(effective_rank(X - X.mean(dim=0)).item(), rel=1e-9)
    assert energy.compute().item() == pytest.approx(residual_energy(X - X.mean(dim=0), k=2).item(), rel=1e-9)


def test_equal_rows_have_no_centred_rank() -> None:
    with pytest.raises(ValueError, match="RankMe: effective_rank: all 5 rows are equal"):
        RankMe(center=True)(torch.full((5, 3), 0.1))
    with pytest.raises(ValueError, match="residual_energy: all 5 rows are equal"):
        residual_energy(torch.full((5, 3), 0.1), k=1, center=True)
