"""Draws of items: whole, seeded, without replacement; what fewer rows say of the distribution behind them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from clapbench.probes.lidar import LiDAR
from clapbench.probes.modality_gap import GapProbe
from clapbench.probes.rankme import RankMe, effective_rank
from clapbench.probes.swap import SwapSeparation
from clapbench.probes.two_nn import TwoNN
from clapbench.schema import Case, Embeddings, Size
from clapbench.study import draws
from clapbench.study.draws import draws_of, measure

IDENTITY = ((True, False), (False, True))


def items(n: int) -> list[Case]:
    """Item i has clips and captions 2 i and 2 i + 1."""
    return [
        Case(clips=(f"{i}.wav", f"{i + 1}.wav"), captions=(f"{i}", f"{i + 1}"), match=IDENTITY)
        for i in range(0, 2 * n, 2)
    ]


def normal(n: int, d: int, seed: int) -> np.ndarray:
    """Rows whose spread falls with the root of the coordinate's number."""
    return np.random.default_rng(seed).standard_normal((n, d)) * np.arange(1, d + 1) ** -0.5


def embeddings(n: int, d: int = 12, seed: int = 0) -> Embeddings:
    ids = tuple(map(str, range(n)))
    return Embeddings(
        audio=normal(n, d, seed).astype(np.float32),
        audio_id=tuple(f"{i}.wav" for i in ids),
        text=normal(n, d, seed + 1).astype(np.float32),
        text_id=ids,
    )


def test_a_draw_holds_whole_items_and_no_row_twice():
    found = list(draws_of(embeddings(40), cases=items(20), size=Size(20, 21), draws=30, seed=0))
    for rows in found:
        assert len(rows.audio) == len(rows.audio.unique()) == 20
        assert len(rows.text) == len(rows.text.unique()) == 21
        assert all(a % 2 == 0 and b == a + 1 for a, b in zip(*[iter(rows.audio.tolist())] * 2, strict=True))
        assert set(rows.audio.tolist()) < set(rows.text.tolist())  # the same items on both sides
        assert all(a < b for a, b in pairwise(rows.text.tolist()))
    assert len({tuple(rows.audio.tolist()) for rows in found}) == 30
    counts = torch.cat([rows.audio for rows in found]).bincount(minlength=40)
    assert counts.sum() == 600
    assert counts.min() > 4  # each row in about half of the draws


def test_draws_come_from_the_seed_alone():
    def drawn(seed: int, width: int) -> list[list[int]]:
        rows = draws_of(embeddings(40, width), cases=items(20), size=Size(10, 10), draws=3, seed=seed)
        return [row.text.tolist() for row in rows]

    assert drawn(0, 12) == drawn(0, 5)  # another model, the same items
    assert drawn(0, 12) != drawn(1, 12)


def test_rows_that_items_share_or_that_no_item_names():
    cases = [*items(3), Case(clips=("0.wav", "9.wav"), captions=("1", "9"), match=IDENTITY)]
    for rows in draws_of(embeddings(10), cases=cases, size=Size(10, 10), draws=3, seed=0):
        assert rows.audio.tolist() == rows.text.tolist() == list(range(10))
    for rows in draws_of(embeddings(10), cases=[], size=Size(4, 2), draws=3, seed=0):
        assert (len(rows.audio), len(rows.text)) == (4, 2)
    with pytest.raises(ValueError, match=r"draws: needed items of these embeddings, got '9.wav'"):
        next(draws_of(embeddings(9), cases=cases, size=Size(4, 4), draws=1, seed=0))
    with pytest.raises(ValueError, match="draws: needed 11 text rows, there are 10"):
        next(draws_of(embeddings(10), cases=cases, size=Size(4, 11), draws=1, seed=0))


def test_over_all_rows_a_draw_is_the_number_itself():
    rows = embeddings(60)
    probes = {"rank": RankMe(side="text"), "separation": SwapSeparation(side="text"), "gap": GapProbe("l2")}
    found = measure(probes, embeddings=rows, cases=items(30), size=Size(60, 60), draws=2, seed=0)
    rank = effective_rank(torch.from_numpy(rows.text)).item()
    assert found["rank"][:5] == (pytest.approx(rank), pytest.approx(rank), pytest.approx(rank), 2, None)
    assert found["separation"].low == found["separation"].high


def test_a_probe_is_that_of_the_drawn_rows():
    rows, size = embeddings(60), Size(30, 20)
    drawn = list(draws_of(rows, cases=items(30), size=size, draws=9, seed=3))
    ranks = [effective_rank(torch.from_numpy(rows.text)[one.text]).item() for one in drawn]
    found = measure(
        {"rank": RankMe(side="text")}, embeddings=rows, cases=items(30), size=size, draws=9, seed=3
    )["rank"]
    assert found.values == pytest.approx(ranks)
    assert found.mean == pytest.approx(np.mean(ranks))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(ranks, [0.025, 0.975])))


def test_a_larger_cloud_at_matched_n_has_the_rank_of_fresh_rows():
    """800 rows of the distribution behind 394 rank higher; drawn down to 394 they rank as these do."""
    fresh = [effective_rank(torch.from_numpy(normal(394, 768, seed))).item() for seed in range(10, 15)]
    whole = effective_rank(torch.from_numpy(normal(800, 768, 0))).item()
    found = measure(
        {"rank": RankMe(side="audio")},
        embeddings=embeddings(800, 768),
        cases=items(400),
        size=Size(394, 394),
        draws=5,
        seed=0,
    )["rank"]
    assert whole > 1.4 * np.mean(fresh)
    assert found.mean == pytest.approx(np.mean(fresh), rel=0.005)


@pytest.mark.parametrize("m", [150, 240])
@pytest.mark.parametrize("probe", [RankMe(side="text"), GapProbe("angle_deg")])
def test_draws_spread_as_whole_samples_do_but_for_the_known_factor(probe, m):
    """What the intervals of a diagnosis rest on: m of n rows, and the spread of m fresh ones times sqrt(1 - m / n)."""
    fresh, spread = [], []
    for seed in range(40):
        rows = embeddings(300, 24, seed=2 * seed)
        rows = Embeddings(rows.audio + 0.5, rows.audio_id, rows.text + 0.3, rows.text_id)
        first = Embeddings(rows.audio[:m], rows.audio_id[:m], rows.text[:m], rows.text_id[:m])
        one = measure({"p": probe}, embeddings=first, cases=[], size=Size(m, m), draws=1, seed=0)["p"]
        fresh.append(one.mean)
        drawn = measure({"p": probe}, embeddings=rows, cases=items(150), size=Size(m, m), draws=30, seed=0)[
            "p"
        ]
        spread.append(drawn.high - drawn.low)
    expected = 2 * 1.96 * np.std(fresh) * (1 - m / 300) ** 0.5
    assert np.median(spread) == pytest.approx(expected, rel=0.35)


def test_a_probe_undefined_in_one_draw_is_undefined_and_says_in_how_many():
    rows = embeddings(40)
    probes = {"lidar": LiDAR(), "ok": TwoNN(side="text")}
    found = measure(probes, embeddings=rows, cases=items(20), size=Size(10, 10), draws=3, seed=0)
    assert found["lidar"][:3] == (None, None, None)
    assert found["lidar"].note.startswith("undefined in 3 of 3 draws: LiDAR: lidar: undefined: needs")
    assert found["ok"].note is None


def test_quantiles_are_numpys():
    values = [float(value) for value in range(41)]
    assert draws.over_draws(values) == (20.0, 1.0, 39.0, 41, None, tuple(values))
