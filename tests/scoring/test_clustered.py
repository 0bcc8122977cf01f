"""What a cell says of items that share a template or events, unequal chances, and margins where H is at the floor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from clapbench.schema import Case, Cell, Embeddings
from clapbench.scoring import pairs
from clapbench.scoring.items import Items, items_alone
from clapbench.statistics.clusters import flip_p
from clapbench.statistics.proportions import binomial_p, hits_p

IDENTITY = ((True, False), (False, True))


def independent(n: int) -> Items:
    """``n`` items with independent similarities, in a pool of 9 clips and 7 captions."""
    rng = torch.Generator().manual_seed(0)
    blocks = torch.rand(n, 3, 3, generator=rng, dtype=torch.float64)
    return items_alone(blocks)._replace(
        rival_clip=torch.rand(n, 7, generator=rng, dtype=torch.float64).amax(dim=1),
        n_rival_clips=torch.full((n,), 7),
        rival_caption=torch.rand(n, 2, 5, generator=rng, dtype=torch.float64).amax(dim=2),
        n_rival_captions=torch.full((n, 2), 5),
    )


def clustered(n: int = 40, *, third: bool = False) -> tuple[Embeddings, list[Case]]:
    """Items of 5 templates and 8 events; every second one with a third pair."""
    rng = np.random.default_rng(0)
    cases = []
    for item in range(n):
        k = 3 if third and item % 2 else 2
        about = {"template": str(item % 5), "event_a": str(item % 8), "event_b": "rain", "note": str(item)}
        ids = [f"{item} {way}" for way in "prt"[:k]]
        match = tuple(tuple(i == j for j in range(k)) for i in range(k))
        cases.append(
            Case(clips=tuple(f"{one}.wav" for one in ids), captions=tuple(ids), match=match, about=about)
        )
    clips = tuple(clip for case in cases for clip in case.clips)
    captions = tuple(caption for case in cases for caption in case.captions)
    rows = rng.standard_normal((2, len(clips), 6)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    return Embeddings(audio=rows[0], audio_id=clips, text=rows[1], text_id=captions), cases


def test_a_cell_says_what_its_items_are_worth_as_clusters(tmp_path: Path) -> None:
    embeddings, cases = clustered(third=True)
    judgement = pairs.judge(embeddings, cases, protocol="official")
    for protocol, outcome in judgement.protocols.items():
        for found in outcome.values():
            assert found["clusters"] == {"template": 5, "events": 8 if protocol != "triplet" else 4}
            assert found["ci95_clustered"][0] <= found["ci95"][0] <= found["value"]
            assert found["ci95_clustered"][1] >= found["ci95"][1]
    items = pairs.read_items(embeddings, cases)
    signs = (pairs.official(items).H > 0).long() - (pairs.official(items.swapped).H > 0).long()
    expected = flip_p(signs.numpy(), np.arange(40) % 5)
    h = judgement.protocols["official"]["H"]
    assert h["p_swap_clustered"]["template"] == expected
    cell = Cell(status="ok", model="m", bench="b", scores=judgement.scores, protocols=judgement.protocols)
    cell = Cell(**{**vars(cell), "extra": judgement.extra})
    path = tmp_path / "cell.json"
    path.write_text(cell.to_json(), encoding="utf-8")
    assert Cell.read(path).score("H") == h


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ci95_clustered", [0.5, 0.2], "the lower bound first"),
        ("p_swap_clustered", {"template": 2}, "a number from 0 to 1"),
        ("clusters", {"template": 2.5}, "where a count belongs"),
    ],
)
def test_a_cell_with_other_clusters_is_refused(tmp_path: Path, name: str, value: object, words: str) -> None:
    embeddings, cases = clustered()
    judgement = pairs.judge(embeddings, cases, protocol="official")
    cell = Cell(status="ok", model="m", bench="b", scores=judgement.scores, protocols=judgement.protocols)
    record = json.loads(cell.to_json())
    record["protocols"]["official"]["H"][name] = value
    (tmp_path / "cell.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        Cell.read(tmp_path / "cell.json")


def test_items_that_share_nothing_have_no_clusters() -> None:
    embeddings, cases = clustered()
    bare = [Case(clips=case.clips, captions=case.captions, match=case.match) for case in cases]
    judgement = pairs.judge(embeddings, bare, protocol="official")
    assert "clusters" not in judgement.protocols["official"]["H"]


def test_in_the_pool_each_item_has_a_chance_of_its_own() -> None:
    items = independent(60)
    rivals = torch.tensor([7, 2, 0] * 20)
    found = pairs.judged("pool", items._replace(n_rival_clips=rivals))
    assert found is not None
    chances = 1 / (rivals + 2).double()
    hits = round(found["F"]["value"] * 60)
    assert found["F"]["chance"] == pytest.approx(float(chances.mean()))
    assert found["F"]["p_chance"] == pytest.approx(hits_p(hits, chances.numpy()))
    assert found["F"]["p_chance"] != pytest.approx(
        binomial_p(hits, 60, chance=float(chances.mean())), rel=0.01
    )
    alike = pairs.judged("pool", items)
    assert alike is not None
    hits = round(alike["G"]["value"] * 60)
    assert alike["G"]["p_chance"] == pytest.approx(binomial_p(hits, 60, chance=1 / 7))


def test_the_mean_margin_is_that_of_the_four_comparisons_with_students_interval() -> None:
    items = independent(50)
    s = items.pair
    four = torch.stack(
        [s[:, 0, 0] - s[:, 1, 0], s[:, 1, 1] - s[:, 0, 1], s[:, 0, 0] - s[:, 0, 1], s[:, 1, 1] - s[:, 1, 0]]
    )
    margin = four.mean(dim=0).numpy()
    found = pairs.mean_margin(items)
    assert found["mean_margin"] == pytest.approx(margin.mean())
    low, high = student.interval(0.95, 49, loc=margin.mean(), scale=margin.std(ddof=1) / 50**0.5)
    assert found["mean_margin_ci95"] == pytest.approx([low, high])
    assert found["margin_d"] == pytest.approx(margin.mean() / margin.std(ddof=1))
    turned = pairs.mean_margin(items.swapped)
    assert turned["mean_margin"] == pytest.approx(-found["mean_margin"])
    assert pairs.mean_margin(independent(1))["mean_margin_ci95"] is None


def test_the_mean_margin_sees_what_h_at_the_floor_cannot() -> None:
    """One caption is closer to both clips by far, and yet each clip leans to its own."""
    rng = torch.Generator().manual_seed(0)
    hub = torch.randn(200, 1, 2, generator=rng, dtype=torch.float64)
    own = 0.02 * torch.eye(2, dtype=torch.float64)
    pair = hub + own + 0.05 * torch.randn(200, 2, 2, generator=rng, dtype=torch.float64)
    items = independent(200)._replace(pair=pair)
    found, h = {**pairs.mean_margin(items), **pairs.assignment(items)}, pairs.judged("official", items)
    assert h is not None
    assert h["H"]["ci95"][1] < h["H"]["chance"]
    assert found["mean_margin_ci95"][0] > 0
    assert found["pair_assignment_ci95"][0] > 0.5
