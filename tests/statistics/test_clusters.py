"""Items that belong together: what they are worth, and whole clusters that change sides."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from clapbench.statistics.clusters import count, factors, flip_p, worth
from clapbench.statistics.proportions import sign_p, wilson


def test_known_columns_become_factors_and_events_count_in_either_order() -> None:
    found = factors(
        {
            "template": ["before", "after", "before", "after"],
            "event_a": ["dog", "cat", "dog", "cow"],
            "event_b": ["cat", "dog", "cow", "hen"],
            "kind": ["order"] * 4,
            "id": list("abcd"),
        }
    )
    assert list(found) == ["template", "events"]
    assert found["events"][0] == found["events"][1]
    assert count(found["events"]) == 3
    assert factors({"template": ["x", "x"]}) == factors({"attribute": ["x", "y"]}) == factors({}) == {}


def test_flips_are_those_of_every_sign() -> None:
    rng = np.random.default_rng(0)
    values, codes = rng.integers(-1, 2, size=30), rng.integers(7, size=30)
    sums = np.bincount(codes, weights=values)
    every = np.array([np.dot(signs, sums) for signs in product((-1, 1), repeat=7)])
    assert flip_p(values, codes) == pytest.approx(np.mean(np.abs(every) >= abs(sums.sum())))
    assert flip_p(-values, codes) == flip_p(values, codes)


def test_items_that_are_clusters_of_their_own_give_the_sign_test() -> None:
    values = np.array([1] * 9 + [-1] * 2 + [0] * 5)
    assert flip_p(values, np.arange(16)) == pytest.approx(sign_p(9, 2))
    assert flip_p(np.zeros(4, dtype=int), np.arange(4)) == 1.0


def test_a_cluster_of_like_items_is_worth_one() -> None:
    hits = np.repeat(np.random.default_rng(0).random(40) < 0.5, 10).astype(float)
    found = worth(hits, {"events": np.repeat(np.arange(40), 10)})
    assert found.effect == pytest.approx(10, rel=0.05)
    alone = worth(hits[::10], {"events": np.arange(40)})
    assert alone.effect == pytest.approx(1.0)
    assert 1.96 < found.reach < 2.03


def test_crossed_factors_add_up_and_do_not_count_twice() -> None:
    """Rows and columns of a table: by inclusion and exclusion, and no more than once where both say the same."""
    rng = np.random.default_rng(1)
    row, column = (codes.ravel() for codes in np.indices((12, 15)))
    hits = (rng.standard_normal(12)[row] + rng.standard_normal(15)[column] > 0.3).astype(float)
    both = worth(hits, {"template": row, "events": column})
    each = [worth(hits, {"template": codes}).effect for codes in (row, column)]
    assert max(each) < both.effect < sum(each)
    assert worth(hits, {"template": row, "events": row}).effect == pytest.approx(each[0])


def test_the_clustered_interval_covers_where_templates_differ() -> None:
    """Six templates of 40 items, of unlike difficulty: Wilson's own interval covers less than 70 %."""
    rng = np.random.default_rng(2)
    codes = np.repeat(np.arange(6), 40)
    covered = np.zeros(2)
    for _ in range(400):
        shares = np.clip(0.4 + 0.12 * rng.standard_normal(6), 0, 1)
        hits = (rng.random(240) < shares[codes]).astype(float)
        found = worth(hits, {"template": codes})
        clustered = wilson(hits.sum() / found.effect, 240 / found.effect, z=found.reach)
        covered += [low <= 0.4 <= high for low, high in (wilson(hits.sum(), 240), clustered)]
    assert covered[0] / 400 < 0.8
    assert covered[1] / 400 > 0.92
