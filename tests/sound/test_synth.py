"""Synthesised events and scenes: reproducible to the bit, states isolated, captions closed and balanced."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import numpy as np
import pytest
import scipy.stats

from clapbench.sound.synth.captions import (
    ORDER_TEMPLATES,
    ORDERED,
    described,
    order_caption,
    single_captions,
    vocabulary,
    words,
)
from clapbench.sound.synth.dsp import TAIL
from clapbench.sound.synth.events import ATTRIBUTES, EVENTS, SAMPLE_RATE, classes_with, draw, render
from clapbench.sound.synth.scenes import (
    Pair,
    Scene,
    attribute_item,
    class_pairs,
    held_out,
    layout,
    mix,
    order_item,
)


def event(key: str, *, seed: int = 3, attribute: str | None = None, state: str | None = None) -> np.ndarray:
    return render(key, np.random.default_rng(seed), attribute=attribute, state=state)  # type: ignore[arg-type]


def states(key: str, attribute: str, *, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    return (
        event(key, seed=seed, attribute=attribute, state="high"),
        event(key, seed=seed, attribute=attribute, state="low"),
    )


def centroid(wave: np.ndarray) -> float:
    """Mean frequency of the power spectrum, in Hz."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    return float(np.sum(np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE) * power) / power.sum())


def treble(wave: np.ndarray) -> float:
    """Share of the power above 4 kHz."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    return float(power[np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE) > 4000].sum() / power.sum())


@lru_cache(maxsize=2)
def items(n: int = 500) -> list[Pair]:
    return [make(7, index) for index in range(n) for make in (order_item, attribute_item)]


def test_there_are_24_classes_and_at_least_8_per_attribute() -> None:
    assert len(EVENTS) == 24
    assert all(len(classes_with(attribute)) >= 8 for attribute in ATTRIBUTES)
    assert set(classes_with("loudness")) == set(classes_with("distance")) == set(EVENTS)


@pytest.mark.parametrize("key", EVENTS)
def test_event_is_reproducible_audible_and_within_bounds(key: str) -> None:
    for seed in range(5):
        wave = event(key, seed=seed)
        assert np.array_equal(wave, event(key, seed=seed))
        assert wave.dtype == np.float32
        assert np.isfinite(wave).all()
        assert 0.4 * SAMPLE_RATE - 1 <= len(wave) <= 1.8 * SAMPLE_RATE + 1
        assert -14.1 <= 20 * np.log10(np.abs(wave).max()) <= -7.9
        assert abs(wave[0]) < 1e-3
        spectrum = np.abs(np.fft.rfft(wave)) ** 2
        heard = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE) > 50
        assert spectrum[heard].sum() > 0.9 * spectrum.sum()
    assert not np.array_equal(event(key, seed=0), event(key, seed=1)[: len(event(key, seed=0))])


@pytest.mark.parametrize("key", EVENTS)
def test_loudness_states_differ_by_a_gain_only(key: str) -> None:
    loud, quiet = states(key, "loudness")
    np.testing.assert_allclose(loud / np.abs(loud).max(), quiet / np.abs(quiet).max(), atol=1e-5)
    assert 20 * np.log10(np.abs(loud).max() / np.abs(quiet).max()) == pytest.approx(18, abs=0.01)


@pytest.mark.parametrize("key", EVENTS)
def test_distant_is_weaker_and_reverberates(key: str) -> None:
    near, far = states(key, "distance")
    assert len(far) == len(near) + round(TAIL * SAMPLE_RATE)
    assert 10 <= 20 * np.log10(np.abs(near).max() / np.abs(far).max()) <= 14
    assert treble(far) <= treble(near) + 1e-3
    np.testing.assert_array_equal(near, event(key))


@pytest.mark.parametrize("key", classes_with("duration"))
def test_short_has_the_beginning_of_long(key: str) -> None:
    long, short = states(key, "duration")
    assert 1.4 <= len(long) / SAMPLE_RATE <= 1.9
    assert 0.25 <= len(short) / SAMPLE_RATE <= 0.45
    inside = slice(100, len(short) - 100)  # between the fades
    scale = np.dot(long[inside], short[inside]) / np.dot(short[inside], short[inside])
    np.testing.assert_allclose(long[inside], scale * short[inside], atol=1e-4)


@pytest.mark.parametrize("key", classes_with("rate"))
def test_rate_keeps_the_length_and_repeats_three_times_as_often(key: str) -> None:
    fast, slow = states(key, "rate")
    assert len(fast) == len(slow)
    drawn = [
        draw(key, np.random.default_rng(3), attribute="rate", state=state) for state in ATTRIBUTES["rate"]
    ]
    assert drawn[0].sound.rate / drawn[1].sound.rate >= 3
    assert drawn[0].voice_seed == drawn[1].voice_seed
    assert drawn[0].peak == drawn[1].peak


@pytest.mark.parametrize("key", classes_with("pitch"))
def test_pitch_states_lie_two_octaves_apart(key: str) -> None:
    high, low = states(key, "pitch")
    assert len(high) == len(low)
    assert centroid(high) > 2.2 * centroid(low)


def test_render_refuses_what_does_not_go_together() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="classes bell, siren"):
        render("dog", rng)
    with pytest.raises(
        ValueError, match="'rain' has the attributes loudness, distance, duration; got 'pitch'"
    ):
        render("rain", rng, attribute="pitch", state="high")
    with pytest.raises(ValueError, match="attribute with its state"):
        render("rain", rng, attribute="loudness")


def test_captions_read_as_english() -> None:
    assert (
        order_caption("before", earlier="bell", later="engine") == "A bell ringing before an engine running"
    )
    assert order_caption("before_first", earlier="clap", later="rain") == "Before rain falls, hands clap"
    assert order_caption("after", earlier="clap", later="rain") == "Rain falling after hands clapping"
    assert described("bell", "loudness", "high") == "a loud bell"
    assert described("engine", "distance", "low") == "a distant engine"
    assert described("rain", "duration", "low") == "short rain"
    assert described("drum", "rate", "high") == "a fast beating drum"
    assert described("clap", "rate", "low") == "slow clapping"
    assert single_captions("bell") == ("A bell ringing", "A bell rings")
    assert single_captions("bell", "pitch", "high") == ("A high-pitched bell",)


def test_words_keep_hyphens_and_drop_punctuation() -> None:
    assert words("Before rain falls, a high-pitched bell.") == [
        "before",
        "rain",
        "falls",
        "a",
        "high-pitched",
        "bell",
    ]


def test_both_captions_have_the_same_words_from_a_closed_vocabulary() -> None:
    known = set(vocabulary())
    assert vocabulary() == tuple(sorted(known))
    for item in items():
        pair, swapped = words(item.pair_caption), words(item.reversed_caption)
        assert pair != swapped
        assert Counter(pair) == Counter(swapped)
        assert known.issuperset(pair)
        assert item.pair_caption[0].isupper()


@pytest.mark.parametrize("n", [1, 2, 5, 40, 400])
def test_half_of_the_order_items_say_before_or_after(n: int) -> None:
    said = sum(
        bool({"before", "after"} & set(words(order_item(1, index).pair_caption))) for index in range(n)
    )
    assert said >= n / 2


def test_every_template_names_the_earlier_event_truthfully() -> None:
    for template in ORDER_TEMPLATES:
        text = order_caption(template, earlier="bell", later="rain").lower()
        bell_first = text.index("bell") < text.index("rain")
        assert bell_first == (template in ("before", "followed_by", "and_then", "after_first"))


def test_benchmarks_use_held_out_pairs_only_and_leave_most_for_training() -> None:
    assert held_out("bell", "rain") == held_out("rain", "bell")
    for item in items():
        assert held_out(item.about["event_a"], item.about["event_b"])
    assert 0.25 < len(class_pairs(held=True)) / 276 < 0.4
    for attribute in ATTRIBUTES:
        assert len(class_pairs(attribute, held=True)) * 10 >= 40
        assert class_pairs(attribute, held=False)
    used = Counter(key for pair in class_pairs(held=False) for key in pair)
    assert min(used[key] for key in EVENTS) >= 8


def test_scenes_last_two_to_six_seconds_and_hold_their_events() -> None:
    for item in items():
        assert item.pair.seconds == item.reversed.seconds
        assert item.pair.noise_seed == item.reversed.noise_seed
        for scene in (item.pair, item.reversed):
            assert 2.0 <= scene.seconds <= 6.0
            assert scene.events[0].onset >= 0
            ends = [end(scene, index) for index in range(2)]
            assert scene.events[1].onset >= ends[0] + 0.05 - 1e-9
            assert ends[1] <= scene.seconds + 1e-9


def end(scene: Scene, index: int) -> float:
    spec = scene.events[index]
    drawn = draw(spec.key, np.random.default_rng(spec.seed), attribute=spec.attribute, state=spec.state)
    return spec.onset + drawn.seconds


def test_order_partners_hold_the_same_events_in_the_other_order() -> None:
    for index in range(50):
        item = order_item(7, index)
        first, second = item.pair.events
        assert [(e.key, e.seed) for e in item.reversed.events] == [(e.key, e.seed) for e in (second, first)]
        assert first.onset == item.reversed.events[0].onset


def test_attribute_partners_differ_in_states_alone() -> None:
    for index in range(50):
        item = attribute_item(7, index)
        for pair, swapped in zip(item.pair.events, item.reversed.events, strict=True):
            assert (pair.key, pair.seed, pair.onset) == (swapped.key, swapped.seed, swapped.onset)
            assert {pair.state, swapped.state} == {"high", "low"}
        assert item.pair.events[0].state != item.pair.events[1].state


def test_attribute_captions_name_the_states_of_their_clip() -> None:
    for index in range(200):
        item = attribute_item(7, index)
        for scene, caption in ((item.pair, item.pair_caption), (item.reversed, item.reversed_caption)):
            for spec in scene.events:
                phrase = described(spec.key, item.about["attribute"], spec.state)  # type: ignore[arg-type]
                assert phrase.lower() in caption.lower()
        if item.about["template"] in ORDERED:
            assert item.about["mentioned_first"] == item.about["event_a"]


def test_neither_order_nor_mention_tells_the_state() -> None:
    drawn = [attribute_item(seed, index) for seed in range(3) for index in range(200)]
    high = [item.pair.events[0].state == "high" for item in drawn]
    first = [item.about["mentioned_first"] == item.about["event_a"] for item in drawn]
    free = [item.about["template"] not in ORDERED for item in drawn]
    assert scipy.stats.binomtest(sum(high), len(high)).pvalue > 1e-3
    unclaimed = [a for a, b in zip(first, free, strict=True) if b]
    assert scipy.stats.binomtest(sum(unclaimed), len(unclaimed)).pvalue > 1e-3
    table = [
        [sum((h, f) == (a, b) for h, f in zip(high, first, strict=True)) for b in (0, 1)] for a in (0, 1)
    ]
    assert scipy.stats.chi2_contingency(table).pvalue > 1e-3


def test_attributes_take_turns_and_captions_are_distinct() -> None:
    attributes = Counter(attribute_item(2026, index).about["attribute"] for index in range(200))
    assert set(attributes.values()) == {40}
    for make, n in ((attribute_item, 200), (order_item, 400)):
        drawn = [make(2026, index) for index in range(n)]
        assert len({text for item in drawn for text in (item.pair_caption, item.reversed_caption)}) == 2 * n


def test_mix_is_reproducible_and_does_not_clip() -> None:
    for index in range(15):
        for item in (order_item(5, index), attribute_item(5, index)):
            wave = mix(item.pair)
            assert np.array_equal(wave, mix(item.pair))
            assert len(wave) == round(item.pair.seconds * SAMPLE_RATE)
            assert 10 ** (-30 / 20) < np.abs(wave).max() < 1


def test_layout_fits_any_order_and_refuses_what_is_too_long() -> None:
    plan = layout([1.0, 0.5], np.random.default_rng(0))
    forth, back = plan.onsets([1.0, 0.5]), plan.onsets([0.5, 1.0])
    assert forth[0] == back[0] == plan.lead
    assert forth[1] - 1.0 == pytest.approx(back[1] - 0.5)
    with pytest.raises(ValueError, match="layout: needed events within"):
        layout([4.0, 3.0], np.random.default_rng(0))
