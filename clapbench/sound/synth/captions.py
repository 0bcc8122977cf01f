"""Captions from a closed vocabulary: one event, two in order, two that differ in an attribute.

Every template names both events by phrases of the same form, so exchanging the two events (order) or the two
attribute words (attribute) gives a caption with exactly the same bag of words.
"""

from __future__ import annotations

import re
from functools import lru_cache

from clapbench.sound.synth.events import ATTRIBUTES, EVENTS, State

# {a}, {b}: "a bell ringing"; {a_clause}, {b_clause}: "a bell rings". a is the earlier event.
ORDER_TEMPLATES: dict[str, str] = {
    "before": "{a} before {b}",
    "followed_by": "{a} followed by {b}",
    "after": "{b} after {a}",
    "and_then": "{a_clause} and then {b_clause}",
    "before_first": "before {b_clause}, {a_clause}",
    "after_first": "after {a_clause}, {b_clause}",
}

# {x}, {y}: "a loud bell". x is the one mentioned first.
ATTRIBUTE_TEMPLATES: dict[str, str] = {
    "and": "{x} and {y}",
    "both_and": "both {x} and {y}",
    "as_well_as": "{x} as well as {y}",
    "followed_by": "{x} followed by {y}",
    "and_then": "{x} and then {y}",
}

# The attribute templates that claim an order: there x is the earlier event.
ORDERED = frozenset({"followed_by", "and_then"})


def phrase(key: str) -> str:
    """The neutral noun phrase: "a bell ringing", "rain falling"."""
    item = EVENTS[key]
    return f"{item.article} {item.subject} {item.gerund}".strip()


def clause(key: str) -> str:
    """The neutral clause: "a bell rings", "hands clap"."""
    item = EVENTS[key]
    return f"{item.article} {item.subject} {item.verb}".strip()


def described(key: str, attribute: str, state: State) -> str:
    """The noun phrase with an attribute: "a loud bell", "quiet rain", "a fast beating drum"."""
    item = EVENTS[key]
    noun = f"{item.gerund} {item.subject}" if attribute == "rate" and item.counted else item.noun
    return f"{'a ' if item.counted else ''}{ATTRIBUTES[attribute][state]} {noun}"


def sentence(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def order_caption(template: str, *, earlier: str, later: str) -> str:
    """The caption of a scene in which the class ``earlier`` sounds before the class ``later``."""
    text = ORDER_TEMPLATES[template].format(
        a=phrase(earlier), b=phrase(later), a_clause=clause(earlier), b_clause=clause(later)
    )
    return sentence(text)


def attribute_caption(
    template: str, attribute: str, *, first: tuple[str, State], second: tuple[str, State]
) -> str:
    """The caption that mentions ``first`` (class and state), then ``second``."""
    x, y = (described(key, attribute, state) for key, state in (first, second))
    return sentence(ATTRIBUTE_TEMPLATES[template].format(x=x, y=y))


def single_captions(key: str, attribute: str | None = None, state: State | None = None) -> tuple[str, ...]:
    """Captions of one event alone: phrase and clause of a neutral one, or the phrase with its attribute."""
    if attribute is None or state is None:
        return sentence(phrase(key)), sentence(clause(key))
    return (sentence(described(key, attribute, state)),)


def words(caption: str) -> list[str]:
    """The words of a caption: lower case, no punctuation, hyphens kept.

    >>> words("Before rain falls, a high-pitched bell rings.")
    ['before', 'rain', 'falls', 'a', 'high-pitched', 'bell', 'rings']
    """
    return re.findall(r"[a-z0-9]+(?:['-][a-z0-9]+)*", caption.lower())


@lru_cache(maxsize=1)
def vocabulary() -> tuple[str, ...]:
    """Every word that a class or a template can produce, sorted."""
    texts = [*ORDER_TEMPLATES.values(), *ATTRIBUTE_TEMPLATES.values()]
    texts = [re.sub(r"\{\w+\}", " ", text) for text in texts]
    for key, item in EVENTS.items():
        texts += [phrase(key), clause(key)]
        texts += [described(key, axis, state) for axis in item.axes for state in ATTRIBUTES[axis]]
    return tuple(sorted({word for text in texts for word in words(text)}))
