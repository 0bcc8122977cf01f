"""Training pairs: reproducible by (seed, k), without the benchmarks' class pairs, right in their meanings."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations, islice

import numpy as np
import pytest
import torch

from clapbench.sound.synth.captions import clause, described, phrase, words
from clapbench.sound.synth.events import ATTRIBUTES, EVENTS
from clapbench.sound.synth.scenes import held_out
from clapbench.training.pairs import Example, PairBatch, SynthPairs


@lru_cache(maxsize=4)
def pairs(*, seed: int = 1, batch_size: int = 24, swapped_scenes: bool = False) -> SynthPairs:
    return SynthPairs(batch_size=batch_size, seed=seed, neutral=1, varied=1, swapped_scenes=swapped_scenes)


@lru_cache(maxsize=4)
def batches(n: int = 20, *, swapped_scenes: bool = False) -> list[PairBatch]:
    return list(islice(pairs(swapped_scenes=swapped_scenes), n))


@lru_cache(maxsize=1)
def order_examples(n: int = 300) -> list[Example]:
    return [pairs().order(np.random.default_rng(index)) for index in range(n)]


def same(a: PairBatch, b: PairBatch) -> bool:
    return (
        all(torch.equal(x, y) for x, y in zip(a.waves, b.waves, strict=True))
        and (a.captions, a.swapped) == (b.captions, b.swapped)
        and torch.equal(a.meaning, b.meaning)
        and torch.equal(a.swapped_of, b.swapped_of)
    )


def forms(key: str) -> list[str]:
    """Every way in which a caption names a class."""
    neutral = [phrase(key), clause(key)]
    return neutral + [described(key, axis, s) for axis in EVENTS[key].axes for s in ATTRIBUTES[axis]]


def classes(caption: str) -> set[str]:
    """The classes that a caption names: those with a form in it that lies inside no other form in it."""
    text = f" {' '.join(words(caption))} "
    found = {(key, form) for key in EVENTS for form in forms(key) if f" {' '.join(words(form))} " in text}
    return {key for key, form in found if not any(form != other and form in other for _, other in found)}


def test_the_kth_batch_depends_on_the_seed_and_k_alone() -> None:
    again = SynthPairs(batch_size=24, seed=1, neutral=1, varied=1, swapped_scenes=False)
    for first, second in zip(batches(3), islice(again, 3), strict=True):
        assert same(first, second)
    one, two = islice(pairs(), 2)  # iterating anew starts anew
    assert same(one, batches()[0])
    assert same(two, batches()[1])
    assert not same(one, two)


def test_another_seed_gives_other_batches() -> None:
    assert next(iter(pairs(seed=2))).captions != batches()[0].captions


def test_no_class_pair_of_the_benchmarks_occurs() -> None:
    seen = set()
    for batch in batches():
        assert len(batch.captions) == len(batch.waves) == len(batch.meaning) == 24
        for caption in (*batch.captions, *batch.swapped):
            named = classes(caption)
            assert 1 <= len(named) <= 2, caption
            seen |= set(combinations(sorted(named), 2))
    assert len(seen) > 50
    assert not [pair for pair in seen if held_out(*pair)]


def test_a_swapped_caption_has_the_words_of_its_caption_in_other_places() -> None:
    for batch in batches():
        chosen = [batch.captions[index] for index in batch.swapped_of.tolist()]
        assert len(chosen) > 0
        for caption, swapped in zip(chosen, batch.swapped, strict=True):
            assert len(classes(caption)) == 2
            assert words(caption) != words(swapped)
            assert sorted(words(caption)) == sorted(words(swapped))


def test_order_scenes_mean_the_same_in_every_template_and_another_in_the_other_order() -> None:
    captions: dict[str, set[str]] = {}
    for example in order_examples():
        assert example.partner is not None
        assert example.meaning != example.partner.meaning
        assert example.meaning.split(" < ") == example.partner.meaning.split(" < ")[::-1]
        captions.setdefault(example.meaning, set()).add(example.caption)
        captions.setdefault(example.partner.meaning, set()).add(example.partner.caption)
    owners = [caption for group in captions.values() for caption in group]
    assert len(owners) == len(set(owners))  # a caption has one meaning
    assert max(map(len, captions.values())) > 1  # and a meaning several captions


def test_attribute_scenes_mean_the_states_and_not_the_words_around_them() -> None:
    captions: dict[str, set[str]] = {}
    for index in range(300):
        example = pairs().attribute(np.random.default_rng(index))
        assert example.partner is not None
        assert example.meaning != example.partner.meaning
        assert len(example.wave) == len(example.partner.wave)
        captions.setdefault(example.meaning, set()).add(example.caption)
    owners = [caption for group in captions.values() for caption in group]
    assert len(owners) == len(set(owners))
    assert max(map(len, captions.values())) > 1


def test_numbers_of_meaning_are_equal_iff_the_meanings_are() -> None:
    rng = np.random.default_rng(0)
    one, two = pairs().order(rng), pairs().order(rng)
    assert one.partner is not None
    given = iter([one, one.partner, two, one])

    class Listed(SynthPairs):
        def __init__(self) -> None:
            self.batch_size, self.swapped_scenes = 4, False

        def example(self, rng: np.random.Generator) -> Example:
            return next(given)

    a, b, c, d = Listed().batch(rng).meaning.tolist()
    assert a == d
    assert len({a, b, c}) == 3


def test_a_partner_is_the_same_length_with_the_other_caption() -> None:
    for example in order_examples()[:30]:
        partner = example.partner
        assert partner is not None
        assert partner.partner is not None
        assert partner.partner.caption == example.caption
        assert len(partner.wave) == len(example.wave)
        assert not np.array_equal(partner.wave, example.wave)


def test_swapped_scenes_follow_their_scene() -> None:
    for batch in batches(3, swapped_scenes=True):
        assert len(batch.captions) == 24
        place = dict(zip(batch.swapped_of.tolist(), batch.swapped, strict=True))
        row = 0
        while row < 23:
            if row not in place:
                row += 1
                continue
            assert batch.captions[row + 1] == place[row]
            assert place[row + 1] == batch.captions[row]
            row += 2


def test_waves_are_float32_within_full_scale_and_2_to_6_s() -> None:
    for batch in [*batches(), *batches(3, swapped_scenes=True)]:
        for wave in batch.waves:
            assert wave.dtype == torch.float32
            assert 2 * 16_000 <= len(wave) <= 6 * 16_000
            assert 0.0 < float(wave.abs().max()) <= 1.0


@pytest.mark.parametrize("kind", ["order", "attribute", "single"])
def test_every_kind_comes_in_its_share(kind: str) -> None:
    rng, n = np.random.default_rng(4), 400
    meanings = [pairs().example(rng).meaning for _ in range(n)]
    share = {
        "order": sum(" < " in meaning for meaning in meanings) / n,
        "attribute": sum(": [" in meaning for meaning in meanings) / n,
    }
    share["single"] = 1.0 - share["order"] - share["attribute"]
    assert share[kind] == pytest.approx({"order": 0.50, "attribute": 0.37, "single": 0.13}[kind], abs=0.08)


def test_the_loader_gives_batches_as_they_are() -> None:
    assert same(next(iter(pairs().loader())), batches()[0])
