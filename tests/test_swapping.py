"""The swapper: what it exchanges and what it leaves, the same words, back again, and the benchmarks' own partners."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from clapbench.sound.synth.captions import (
    ATTRIBUTE_TEMPLATES,
    ORDER_TEMPLATES,
    attribute_caption,
    order_caption,
)
from clapbench.sound.synth.events import ATTRIBUTES, EVENTS, classes_with
from clapbench.swapping import swap

ORDER = [
    ("A dog barks before a cat meows.", "A cat meows before a dog barks."),
    ("Rain falling after thunder", "Thunder after rain falling"),
    ("A horn is followed by a siren", "A siren is followed by a horn"),
    ("A dog barking, followed shortly by a horn.", "A horn, followed shortly by a dog barking."),
    ("A door slams, then a man laughs", "A man laughs, then a door slams"),
    ("A door slams and then a man laughs!", "A man laughs and then a door slams!"),
    ("First a bell rings, then rain falls", "First rain falls, then a bell rings"),
    ("At first a bell rings and then rain falls", "At first rain falls and then a bell rings"),
    ("Before rain falls, a bell rings", "Before a bell rings, rain falls"),
    (
        "Shortly after a bang, people scream and then run.",
        "Shortly after people scream and then run, a bang.",
    ),
    ("A man speaks. Then a dog barks.", "A dog barks. Then a man speaks."),
    ("Rain falls; afterwards wind blows", "Wind blows; afterwards rain falls"),
    ("Birds sing. A bell rings before a horn, twice.", "Birds sing. A horn, twice before a bell rings."),
    ("A bell rings, then rain falls, then a dog barks", "Rain falls, then a bell rings, then a dog barks"),
    ("a bell rings before rain falls ", "rain falls before a bell rings "),
    ("TV noise followed by rain", "Rain followed by TV noise"),
    ("A DOG BARKS BEFORE A CAT MEOWS", "A CAT MEOWS BEFORE A DOG BARKS"),
]
ATTRIBUTE = [
    ("A loud dog and a quiet cat", "A quiet dog and a loud cat"),
    ("Loud rain, then a quiet engine", "Quiet rain, then a loud engine"),
    (
        "A man whispers softly while a crowd sings loudly.",
        "A man whispers loudly while a crowd sings softly.",
    ),
    ("A high-pitched bell and a low-pitched drum", "A low-pitched bell and a high-pitched drum"),
    (
        "Birds chirp nearby as a truck idles in the distance",
        "Birds chirp in the distance as a truck idles nearby",
    ),
    ("A nearby siren and a distant dog", "A distant siren and a nearby dog"),
    ("A fast repeated knock, a slow clock", "A slow repeated knock, a fast clock"),
    ("A loud beep followed by a quiet beep", "A quiet beep followed by a loud beep"),
    ("A small dog barks loudly, a large dog growls", "A large dog barks loudly, a small dog growls"),
    ("A male voice speaks and a female voice sings", "A female voice speaks and a male voice sings"),
]
NOTHING = [
    "",
    " . ",
    "A dog barks",
    "A dog barks while a cat meows",  # true both ways
    "A dog and a cat",
    "Every now and then a dog barks",  # no order
    "A dog barks and after a while a cat meows",
    "A bell rings before, during and after a speech",
    "A cat meows before and after rain",
    "A knock, one after another",
    "A gunshot before",
    "a dog barks then a dog barks",  # the same
    "Loud and quiet clicks",  # the same the other way round
    "A loud dog and a quiet dog",
    "An adult male and an adult female speak",
    "A big dog and a small dog bark",
    "High heels on a low floor",  # no pitch
    "一只狗在叫",
    "A dog before" + " a" * 2000,
]


@pytest.mark.parametrize(("caption", "other"), [*ORDER, *ATTRIBUTE])
def test_exchanges_and_back(caption: str, other: str) -> None:
    assert swap(caption) == other
    assert swap(other) == caption
    words = [sorted(re.findall(r"\w+", text.casefold())) for text in (caption, other)]
    assert words[0] == words[1]


@pytest.mark.parametrize("caption", NOTHING)
def test_leaves_what_has_nothing_to_exchange(caption: str) -> None:
    assert swap(caption) is None


@pytest.mark.parametrize("template", ORDER_TEMPLATES)
def test_the_partners_of_order_scenes(template: str) -> None:
    for earlier, later in combinations(EVENTS, 2):
        caption, partner = (
            order_caption(template, earlier=a, later=b) for a, b in ((earlier, later), (later, earlier))
        )
        assert swap(caption) == partner
        assert swap(partner) == caption


@pytest.mark.parametrize("template", ATTRIBUTE_TEMPLATES)
@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_the_partners_of_attribute_scenes(template: str, attribute: str) -> None:
    for one, other in combinations(classes_with(attribute), 2):
        caption, partner = (
            attribute_caption(template, attribute, first=(one, a), second=(other, b))
            for a, b in (("high", "low"), ("low", "high"))
        )
        assert swap(caption) == partner
        assert swap(partner) == caption


def test_a_name_that_moves_from_the_front_loses_its_capital() -> None:
    assert swap("A dog barks before German speech") == "German speech before a dog barks"
    assert swap("German speech before a dog barks") == "A dog barks before german speech"
