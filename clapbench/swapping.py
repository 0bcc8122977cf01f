"""A caption with two things in it exchanged: the same words, another scene. Plain rules of English, no model.

| rule | caption | swapped |
|---|---|---|
| attributes | A loud dog and a quiet cat | A quiet dog and a loud cat |
| order | A dog barks before a cat meows. | A cat meows before a dog barks. |
| order, told first | After rain falls, a bell rings | After a bell rings, rain falls |

Attributes go first: the first word that has an opposite further on changes places with it. Else what stands on both
sides of the first word of order does, up to the next one, within a sentence. The words stay; the first letter of the
caption and its last mark stay in their places. ``swap(swap(caption))`` is the caption again, unless a word that moves
away from the front has a capital of its own (a name), which cannot be seen there.

Not swapped: what is true both ways (``while``, ``and``), and words that are no order (``now and then``, ``after a
while``). Sources of the two kinds of captions: Ghosh et al. 2024 (CompA), sections on order and attribute; Yuksekgonul
et al. 2023 (When and Why Vision-Language Models Behave like Bags-of-Words) for swapped captions as negatives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

CLAUSE_ENDS = r"(?=\s*(?:$|[,.;!]|\b(?:and|as|while|with|then|before|after|followed)\b))"
PITCHED = (
    r"(?=[ -](?:pitch|pitched|pitches|frequency|tone|toned|tones|note|notes)\b)"  # or high is no attribute
)
# Two sides of an axis; any word of one has any of the other for an opposite. Adjectives and adverbs stay apart, and no
# word begins with a vowel, so that "a" stays right.
AXES = (
    ("loud|noisy|deafening", "quiet|soft|faint|muted"),
    ("louder", "quieter|softer|fainter"),
    ("loudly|noisily", "quietly|softly|faintly"),
    ("long|prolonged", "short|brief"),
    ("longer", "shorter"),
    ("fast|quick|rapid", "slow"),
    ("faster|quicker", "slower"),
    ("quickly|rapidly", "slowly"),
    (rf"nearby(?!{CLAUSE_ENDS})", "distant|faraway|far-off"),
    (
        rf"nearby{CLAUSE_ENDS}|in the foreground|up close|close by",
        "in the background|in the distance|far away",
    ),
    ("closer|nearer", "farther"),
    ("big|large|huge", "small|tiny"),
    ("bigger|larger", "smaller"),
    ("heavy|strong", "(?<!traffic )light|gentle|weak"),
    ("heavily|strongly", "lightly|gently|weakly"),
    (rf"high{PITCHED}", rf"low{PITCHED}"),
    ("higher", "lower"),
    ("shrill", "deep"),
    ("sharp", "dull|muffled"),
    ("male", "female"),
)
WORDS = [re.compile(rf"\b(?:(?P<high>{high})|{low})\b", re.IGNORECASE) for high, low in AXES]
# Between two attributes of one thing, or of two that do the same: "loud and quiet", "male and an adult female", and
# where the same noun follows, "large cat and a small" cat.
TOGETHER = re.compile(
    r"(?:\s+(?P<noun>\w+)\s*(?:,|\band\b|\bor\b)|[\s,]*(?:and|or|but)?)[\s,]*(?:(?:an?|the)\s+)?(?:adult\s+|young\s+)?",
    re.IGNORECASE,
)
EVEN = re.compile(r"\s*(?:,|\band\b|\bas\b|\bwhile\b|\bwith\b)\s*(?:an?\s+|the\s+)?", re.IGNORECASE)

# What follows on a word of order and makes it none.
NO_ORDER = (
    r"(?!(?:and|or|another|each|the other|that|which|this|long|it all)\b|(?:a|some) (?:while|moment|bit)\b)"
)
SHORTLY = r"(?:just |right |shortly |immediately |soon |directly |long )?"
BETWEEN = re.compile(
    r"(?P<link>"
    rf",?\s+{SHORTLY}(?:before|after|prior to)\s+{NO_ORDER}"
    r"|,?\s+(?:(?:and|which|that) )?(?:is |are |was |were )?(?:closely |shortly |immediately |soon |then )?"
    r"(?:followed|preceded) (?:closely |shortly |immediately |soon )?by\s+"
    r"|[,;]?\s+(?:and |but )?(?<!now and )then,?\s+"
    r"|[,;]?\s+(?:and |but )?(?:afterwards|subsequently),?\s+"
    r"|[.;]\s+(?:and )?(?:then|afterwards|next|after that|subsequently),?\s+"
    r")",
    re.IGNORECASE,
)
FIRST = re.compile(r"(?:at )?first(?:ly)?,?\s+", re.IGNORECASE)
TOLD_FIRST = re.compile(
    rf"(?P<head>{SHORTLY}(?:before|after|following|prior to)\s+){NO_ORDER}(?P<one>[^,]+?)(?P<link>,\s+)(?P<other>.+)",
    re.IGNORECASE | re.DOTALL,
)
SENTENCE = re.compile(
    r"(?<=[.!?;])\s+(?!(?:and )?(?:then|afterwards|next|after that|subsequently)\b)", re.IGNORECASE
)
HANGING = re.compile(r"\b(?:and|or|but|during)[\s,]*$", re.IGNORECASE)  # as in "before, during and after"
LONGEST = 2000  # characters of a caption that is looked at
MARKS = " \t\r\n.!?"


def swap(caption: str) -> str | None:
    """The caption with two things exchanged; None where the rules find nothing, and never the caption itself.

    >>> swap("A loud dog and a quiet cat."), swap("Rain falls, then a bell rings"), swap("A dog barks")
    ('A quiet dog and a loud cat.', 'A bell rings, then rain falls', None)
    """
    for rule in (attributes_swapped, order_swapped) if len(caption) <= LONGEST else ():
        swapped = rule(caption)
        if swapped is not None and swapped.casefold() != caption.casefold():
            return swapped
    return None


def attributes_swapped(caption: str) -> str | None:
    """The caption with the first attribute that has an opposite further on and that opposite exchanged; else None.

    Not where it says the same then: "loud and quiet clicks", "a loud dog and a quiet dog".
    """
    pairs = [pair for words in WORDS if (pair := opposites(list(words.finditer(caption)), caption))]
    if not pairs:
        return None
    first, second = min(pairs, key=lambda pair: pair[0].start())
    one, other = first.group(), second.group()
    if one[:1].isupper() and not one.isupper() and other[:1].islower():
        one, other = one[:1].lower() + one[1:], other[:1].upper() + other[1:]
    between = caption[first.end() : second.start()]
    swapped = f"{caption[: first.start()]}{other}{between}{one}{caption[second.end() :]}"
    return swapped if parts(swapped) != parts(caption) else None


def opposites(found: list[re.Match[str]], caption: str) -> tuple[re.Match[str], re.Match[str]] | None:
    """The first two words of opposite sides of an axis that do not stand together."""
    for place, first in enumerate(found):
        second = next(
            (word for word in found[place + 1 :] if bool(word["high"]) != bool(first["high"])), None
        )
        if second is None:
            continue
        together = TOGETHER.fullmatch(caption, first.end(), second.start())
        noun = together["noun"] if together else None
        if together is None or (noun and not re.match(rf"\s+{noun}\b", caption[second.end() :])):
            return first, second
    return None


def parts(caption: str) -> list[str]:
    """What a caption puts side by side, in no order, without articles."""
    return sorted(EVEN.split(re.sub(r"^(?:an?|the)\s+", "", caption.casefold().strip(MARKS))))


def order_swapped(caption: str) -> str | None:
    """The caption with what stands around its first word of order exchanged; None where there is none."""
    for start, end in sentences(caption):
        sentence = caption[start:end]
        swapped = told_first_swapped(sentence) or sides_swapped(sentence)
        if swapped is not None and swapped.casefold() != sentence.casefold():
            return f"{caption[:start]}{swapped}{caption[end:]}"
    return None


def sentences(caption: str) -> Iterator[tuple[int, int]]:
    """Where each sentence begins and ends, without spaces around it and marks behind it."""
    start = 0
    for end in [*(gap.start() for gap in SENTENCE.finditer(caption)), len(caption)]:
        text = caption[start:end]
        first = start + len(text) - len(text.lstrip())
        yield first, max(first, start + len(text.rstrip(MARKS)))
        start = end


def told_first_swapped(sentence: str) -> str | None:
    """``After X, Y`` as ``After Y, X``."""
    told = TOLD_FIRST.fullmatch(sentence)
    if told is None or not told["other"].strip():
        return None
    return f"{told['head']}{told['other']}{told['link']}{told['one']}"


def sides_swapped(sentence: str) -> str | None:
    """``X before Y`` as ``Y before X``; of more things in a row the first two that differ."""
    head = FIRST.match(sentence)
    start = head.end() if head else 0
    links = [link for link in BETWEEN.finditer(sentence, start) if link.start() > start]
    ends = [*(link.start() for link in links), len(sentence)]
    for link, end in zip(links, ends[1:], strict=True):
        one, other = sentence[start : link.start()], sentence[link.end() : end]
        whole = re.search(r"\w", one) and re.search(r"\w", other) and not HANGING.search(one)
        if whole and one.casefold() != other.casefold():
            if start == 0 and sentence[:1].isupper() and not sentence.isupper():
                one, other = lowered(one), other[:1].upper() + other[1:]
            return f"{sentence[:start]}{other}{link['link']}{one}{sentence[end:]}"
        start = link.end()
    return None


def lowered(text: str) -> str:
    """Without the capital of a sentence's beginning; "I", "TV" and the like keep theirs.

    >>> lowered("A dog"), lowered("TV noise"), lowered("I'm talking")
    ('a dog', 'TV noise', "I'm talking")
    """
    word = re.match(r"\w*", text).group()  # type: ignore[union-attr]
    has_own = word == "I" or (len(word) > 1 and not word[1:].islower())
    return text if has_own else text[:1].lower() + text[1:]
