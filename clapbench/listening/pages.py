"""What a study for webMUSHRA says: the pages that listeners see, and the README for those who run it.

Source: doc/experimenter.md of webMUSHRA; Recommendation ITU-R BS.1534-3 (2015), annex 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from clapbench.listening.answers import TRAINING

LONGEST = 12.0  # s of a clip, and
MOST = 12  # stimuli of a page, beyond which webMUSHRA stops unless it is told not to be strict
PLAIN: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 10_000}  # one line for each text
WELCOME = """You will hear short clips in several versions. On each page rate every version against the reference, from
0 (bad) to 100 (excellent). One of the versions is the reference itself: it is to get 100. Listen with headphones, as
often as you like, and switch between versions at any time."""
VOLUME = "Set a comfortable volume now, and leave it there until the end."
TRY = "This page is for practice: it holds the kinds of versions that follow. Its ratings do not count."
RATE = "Rate the quality of each version against the reference."
THANKS = "Thank you. Send your ratings with the button below."


class Page(NamedTuple):
    """A trial: its id, the file of its reference and those of its blind stimuli, relative to webMUSHRA's root."""

    trial: str
    reference: str
    stimuli: Mapping[str, str]


def config(
    pages: Sequence[Page], *, title: str, test: str, strict: bool, fixed_order: bool
) -> dict[str, Any]:
    """The content of webMUSHRA's yaml; each listener gets the pages in another order, or all in the one given."""
    trials = [_mushra(page, strict=strict) for page in pages]
    training = {**_mushra(pages[0], strict=strict), "id": TRAINING, "name": "Practice", "content": TRY}
    return {
        "testname": title,
        "testId": test,
        "bufferSize": 2048,
        "stopOnErrors": True,
        "showButtonPreviousPage": True,
        "remoteService": "service/write.php",
        "pages": [
            {"type": "generic", "id": "welcome", "name": "Welcome", "content": " ".join(WELCOME.split())},
            {
                "type": "volume",
                "id": "volume",
                "name": "Volume",
                "content": VOLUME,
                "stimulus": pages[0].reference,
                "defaultVolume": 0.5,
            },
            training,
            *(trials if fixed_order else [["random", *trials]]),
            {
                "type": "finish",
                "name": "Thank you",
                "content": THANKS,
                "showResults": False,
                "writeResults": True,
            },
        ],
    }


def text_of(content: Mapping[str, Any]) -> str:
    """The yaml, in the form that webMUSHRA's parser reads: it takes "- - random", as PyYAML writes it, for text."""
    import yaml

    head = yaml.safe_dump({key: value for key, value in content.items() if key != "pages"}, **PLAIN)
    return "\n".join([*head.splitlines(), "pages:", *_listed(content["pages"], indent=4), ""])


def _listed(pages: Sequence[Any], *, indent: int) -> Iterator[str]:
    import yaml

    for page in pages:
        if isinstance(page, list):
            yield f"{' ' * indent}-"
            yield from _listed(page, indent=indent + 4)
        elif isinstance(page, str):
            yield f"{' ' * indent}- {page}"
        else:
            lines = yaml.safe_dump(page, **PLAIN).splitlines()
            yield from (
                f"{' ' * indent}{'  ' if number else '- '}{line}" for number, line in enumerate(lines)
            )


def _mushra(page: Page, *, strict: bool) -> dict[str, Any]:
    return {
        "type": "mushra",
        "id": page.trial,
        "name": "Rating",  # without its number: the order may be another one
        "content": RATE,
        "showWaveform": True,
        "enableLooping": True,
        "strict": strict,
        "reference": page.reference,
        "createAnchor35": False,
        "createAnchor70": False,
        "randomize": True,
        "showConditionNames": False,
        "stimuli": dict(page.stimuli),
    }


README = """# {title}: a MUSHRA study

{systems} in {trials} trials, with a hidden reference and anchors low-passed at 3.5 and 7 kHz. Made by clapbench
{version} with seed {seed}: {stimuli} stimuli a trial, every clip at {level:.1f} LUFS (BS.1770), {rate} Hz, 24 bit.
{notes}
| here | what it is |
|---|---|
| `{test}/` | what goes to the server: `study.yaml` and `clips/`. Names of clips and stimuli tell nothing |
| `key.csv` | which system and clip each stimulus is, with its gain. Keep it off the server |

## Run it

1. Get webMUSHRA (https://github.com/audiolabs/webMUSHRA) onto a web server with PHP, and make its folder `results`
   writable.
2. Copy `{test}/` into its folder `configs/`.
3. Open `http://SERVER/webMUSHRA/?config={test}/study.yaml`. A browser plays at the rate of its sound device, and
   webMUSHRA stops where that is not {rate} Hz.
4. Try it yourself first, then empty `results/{test}/`.

{order} Versions on a page are in another order for each.
The first page of ratings is for practice; reading leaves it out. A questionnaire goes under the last page in
`study.yaml` (doc/experimenter.md of webMUSHRA); whatever its fields are called, the results can be read.

## Read it

    clapbench listening read results/{test}/mushra.csv --key key.csv

## Before you rely on it

- BS.1534-3 wants trained listeners, about 20 of them after post-screening, one kind of headphones or loudspeakers, at
  least 5 clips, and 1.5 times as many clips as systems.
- Loudness is aligned by a meter; BS.1534-3 has experts do it by ear. Listen to it.
- The anchors are the reference behind a filter, at its own level.
- MUSHRA asks how near a version comes to the reference. Music that is generated freely comes near to none: then the
  hidden reference and the anchors show who listens, and how good a system is for itself is better asked in pairs.
"""
