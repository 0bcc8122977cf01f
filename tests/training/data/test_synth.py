"""Synthesised pairs: each by (seed, number) alone, without the benchmarks' class pairs, right in their meanings."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import lru_cache
from itertools import chain, combinations

import numpy as np
import pytest
import torch
from training_data import batches, clips

from clapbench.encoders.base import Hearing
from clapbench.sound.synth.captions import clause, described, phrase, words
from clapbench.sound.synth.events import ATTRIBUTES, EVENTS
from clapbench.sound.synth.scenes import held_out
from clapbench.swapping import swap
from clapbench.training.data.base import Pair
from clapbench.training.data.synth import SynthPairs, Told

N = 400


def synth(
    *, seed: int = 1, swapped_scenes: bool = False, pool: int | None = N, **arguments: object
) -> SynthPairs:
    given = {"batch_size": 24, "neutral": 1, "varied": 1, "hearing": Hearing(16_000, 10.0), **arguments}
    return SynthPairs(seed=seed, swapped_scenes=swapped_scenes, pool=pool, **given)  # type: ignore[arg-type]


shared = lru_cache(maxsize=2)(lambda swapped_scenes=False: synth(swapped_scenes=swapped_scenes))


@lru_cache(maxsize=2)
def pairs(*, swapped_scenes: bool = False) -> list[Pair]:
    return [shared(swapped_scenes).pair(number) for number in range(N)]


def forms(key: str) -> list[str]:
    """Every way in which a caption names a class."""
    neutral = [phrase(key), clause(key)]
    return neutral + [described(key, axis, s) for axis in EVENTS[key].axes for s in ATTRIBUTES[axis]]


def classes(caption: str) -> set[str]:
    """The classes that a caption names: those with a form in it that lies inside no other form in it."""
    text = f" {' '.join(words(caption))} "
    found = {(key, form) for key in EVENTS for form in forms(key) if f" {' '.join(words(form))} " in text}
    return {key for key, form in found if not any(form != other and form in other for _, other in found)}


def test_a_pair_depends_on_the_seed_and_its_number_alone() -> None:
    again = synth()
    for number in (7, 3, 250, 3):
        assert again.pair(number) == pairs()[number]
        assert torch.equal(again.wave(number), shared().wave(number))
    copy = pickle.loads(pickle.dumps(again))  # as a worker gets it: without what is rendered
    assert len(pickle.dumps(again)) < 5e6
    assert torch.equal(copy.wave(3), again.wave(3))
    assert [synth(seed=2).pair(n).caption for n in range(9)] != [pair.caption for pair in pairs()[:9]]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_drawn_from_the_pool(workers: int) -> None:
    data = synth(pool=50, num_workers=workers)
    given = batches(data)
    assert [len(batch.clips) for batch in given] == [17, 17, 16]
    assert sorted(chain.from_iterable(clips(given))) == sorted(f"synth/{number}" for number in range(50))
    for batch in given:
        for clip, wave, caption in zip(batch.clips, batch.waves, batch.captions, strict=True):
            number = int(clip.removeprefix("synth/"))
            assert torch.equal(wave, shared().wave(number))
            assert caption == pairs()[number].caption


def test_without_a_pool_there_is_no_end() -> None:
    data = synth(pool=None)
    assert data.n_batches is None
    data.resumed = 10**6
    assert next(iter(data.train_dataloader())).clips[:2] == ["synth/24000000", "synth/24000001"]


def test_no_class_pair_of_the_benchmarks_occurs() -> None:
    seen = set()
    for pair in pairs():
        for caption in filter(None, (pair.caption, pair.swapped)):
            named = classes(caption)
            assert 1 <= len(named) <= 2, caption
            seen |= set(combinations(sorted(named), 2))
    assert len(seen) > 50
    assert not [pair for pair in seen if held_out(*pair)]


def test_a_swapped_caption_has_the_words_of_its_caption_in_other_places() -> None:
    scenes = [pair for pair in pairs() if pair.swapped is not None]
    assert 0.8 * N < len(scenes) < N
    for pair in scenes:
        assert len(classes(pair.caption)) == 2
        assert words(pair.caption) != words(str(pair.swapped))
        assert sorted(words(pair.caption)) == sorted(words(str(pair.swapped)))
        assert swap(pair.caption) == pair.swapped
        assert pair.swapped_meaning not in (None, pair.meaning)
    assert all(pair.swapped_meaning is None for pair in pairs() if pair.swapped is None)


def told(kind: Callable[[SynthPairs, np.random.Generator], Told], n: int = 300) -> list[Told]:
    return [kind(shared(), np.random.default_rng(index)) for index in range(n)]


def test_order_scenes_mean_the_same_in_every_template_and_another_in_the_other_order() -> None:
    captions: dict[str, set[str]] = {}
    for scene, partner in told(SynthPairs.order):
        assert partner is not None
        assert scene.meaning.split(" < ") == partner.meaning.split(" < ")[::-1]
        assert scene.events == partner.events[::-1]
        captions.setdefault(scene.meaning, set()).add(scene.caption)
        captions.setdefault(partner.meaning, set()).add(partner.caption)
    owners = [caption for group in captions.values() for caption in group]
    assert len(owners) == len(set(owners))  # a caption has one meaning
    assert max(map(len, captions.values())) > 1  # and a meaning several captions


def test_attribute_scenes_mean_the_states_and_not_the_words_around_them() -> None:
    captions: dict[str, set[str]] = {}
    for scene, partner in told(SynthPairs.attribute):
        assert partner is not None
        assert scene.meaning != partner.meaning
        assert [event.key for event in scene.events] == [event.key for event in partner.events]
        assert {event.state for event in scene.events} == {"high", "low"}
        captions.setdefault(scene.meaning, set()).add(scene.caption)
    owners = [caption for group in captions.values() for caption in group]
    assert len(owners) == len(set(owners))
    assert max(map(len, captions.values())) > 1


def test_a_partner_is_next_to_its_scene_of_the_same_length_and_noise() -> None:
    data = shared(True)
    for number in range(0, 40, 2):
        one, other = pairs(swapped_scenes=True)[number : number + 2]
        if one.swapped is None:  # a single event, and another one
            assert other.swapped is None
            continue
        assert (one.swapped, one.swapped_meaning) == (other.caption, other.meaning)
        assert (other.swapped, other.swapped_meaning) == (one.caption, one.meaning)
        a, b = data.wave(number), data.wave(number + 1)
        assert len(a) == len(b)
        assert not torch.equal(a, b)
        assert torch.equal(a[:8], b[:8])  # the same noise before any event
    for batch in batches(data)[:3]:
        assert {number ^ 1 for number in numbers(batch.clips)} == set(numbers(batch.clips))


def numbers(names: list[str]) -> list[int]:
    return [int(name.removeprefix("synth/")) for name in names]


def test_a_pool_that_parts_a_scene_from_its_partner_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got pool=41. Set data.pool=42"):
        synth(pool=41, swapped_scenes=True)
    assert synth(pool=41).n_pairs == 41


def test_waves_are_float32_within_full_scale_and_2_to_6_s() -> None:
    for number in range(0, N, 5):
        wave = shared().wave(number)
        assert wave.dtype == torch.float32
        assert 2 * 16_000 <= len(wave) <= 6 * 16_000
        assert 0.0 < float(wave.abs().max()) <= 1.0


def test_waves_are_as_the_encoder_hears_them() -> None:
    data = synth(hearing=Hearing(48_000, 1.5))
    for number in range(5):
        wave, own = data.wave(number), shared().wave(number)
        assert len(wave) == 72_000
        assert float(wave.square().mean()) == pytest.approx(float(own[:24_000].square().mean()), rel=0.02)
    assert len(synth(hearing=Hearing(8_000, None)).wave(0)) == -(-len(shared().wave(0)) // 2)


def test_every_kind_comes_in_its_share() -> None:
    meanings = [str(pair.meaning) for pair in pairs()]
    order = sum(" < " in meaning for meaning in meanings) / N
    attribute = sum(": [" in meaning for meaning in meanings) / N
    assert order == pytest.approx(0.50, abs=0.08)
    assert attribute == pytest.approx(0.37, abs=0.08)


def test_what_decides_the_pairs_is_its_content() -> None:
    assert shared().has_swapped
    assert shared().content == {
        "pairs": N,
        "seed": 1,
        "neutral": 1,
        "varied": 1,
        "swapped_scenes": False,
    }


def test_a_sound_is_not_taken_for_another_of_its_number() -> None:
    given = [synth(), synth(seed=2), synth(varied=2), synth(neutral=2), synth(swapped_scenes=True)]
    assert len({data.identity(3) for data in given}) == len(given)
    assert synth(pool=10).identity(3) == synth().identity(3) != synth().identity(4)
