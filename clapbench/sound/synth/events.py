"""Synthesised sound events: twenty-four classes, five attributes, every parameter drawn from a generator.

An event is rendered from (class, generator, attribute, state). The draws do not depend on attribute and
state: two renderings from equal generators share every parameter except the one that the attribute names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from clapbench.sound.synth import voices
from clapbench.sound.synth.dsp import SAMPLE_RATE, TAIL, Wave, fade, recede
from clapbench.sound.synth.voices import Sound

__all__ = [
    "ATTRIBUTES",
    "EVENTS",
    "SAMPLE_RATE",
    "Draw",
    "EventClass",
    "State",
    "classes_with",
    "draw",
    "render",
]

State = Literal["high", "low"]

# attribute -> the word of its high and of its low state
ATTRIBUTES: dict[str, dict[State, str]] = {
    "loudness": {"high": "loud", "low": "quiet"},
    "duration": {"high": "long", "low": "short"},
    "rate": {"high": "fast", "low": "slow"},
    "distance": {"high": "nearby", "low": "distant"},
    "pitch": {"high": "high-pitched", "low": "low-pitched"},
}


@dataclass(frozen=True)
class EventClass:
    """One class: its words, its voice, its neutral length, and the attributes that can be heard in it.

    ``subject`` does what ``gerund`` and ``verb`` say ("a machine beeping", "a machine beeps"); ``noun`` is
    what an adjective goes with ("a loud beep"). Articles are "a", "an", or "" for masses and plurals.
    """

    key: str
    article: str
    subject: str
    gerund: str
    verb: str
    voice: Callable[[Sound, np.random.Generator], Wave]
    seconds: tuple[float, float]
    axes: tuple[str, ...]
    noun: str
    counted: bool  # the noun takes an article


def event(
    key: str,
    subject: str,
    gerund: str,
    verb: str,
    voice: Callable[[Sound, np.random.Generator], Wave],
    *,
    axes: str = "",
    seconds: tuple[float, float] = (0.6, 1.8),
    noun: str | None = None,
    counted: bool | None = None,
) -> EventClass:
    """The class whose subject is written with its article; ``axes`` beyond loudness and distance."""
    first, _, rest = subject.partition(" ")
    article, name = (first, rest) if first in ("a", "an") else ("", subject)
    return EventClass(
        key=key,
        article=article,
        subject=name,
        gerund=gerund,
        verb=verb,
        voice=voice,
        seconds=seconds,
        axes=("loudness", "distance", *axes.split()),
        noun=noun or name,
        counted=bool(article) if counted is None else counted,
    )


EVENTS: dict[str, EventClass] = {
    item.key: item
    for item in (
        event("bell", "a bell", "ringing", "rings", voices.bell, axes="pitch", seconds=(0.9, 1.8)),
        event("siren", "a siren", "wailing", "wails", voices.siren, axes="duration pitch"),
        event("rain", "rain", "falling", "falls", voices.rain, axes="duration"),
        event("engine", "an engine", "running", "runs", voices.engine, axes="duration pitch"),
        event("beep", "a machine", "beeping", "beeps", voices.beep, axes="rate pitch", noun="beep"),
        event("whistle", "a whistle", "blowing", "blows", voices.whistle, axes="duration pitch"),
        event("clap", "hands", "clapping", "clap", voices.clap, axes="rate", noun="clapping"),
        event("drum", "a drum", "beating", "beats", voices.drum, axes="rate pitch"),
        event("bird", "a bird", "singing", "sings", voices.bird, axes="rate pitch"),
        event("wind", "wind", "blowing", "blows", voices.wind, axes="duration"),
        event("clock", "a clock", "ticking", "ticks", voices.ticking, axes="rate"),
        event("drip", "water", "dripping", "drips", voices.drip, axes="rate", noun="dripping"),
        event("phone", "a phone", "ringing", "rings", voices.phone, axes="duration pitch"),
        event("alarm", "an alarm", "sounding", "sounds", voices.alarm, axes="duration pitch"),
        event("thunder", "thunder", "rumbling", "rumbles", voices.thunder, seconds=(1.0, 1.8)),
        event("footsteps", "footsteps", "passing", "pass", voices.footsteps, axes="rate"),
        event("knock", "knuckles", "knocking", "knock", voices.knock, axes="rate", noun="knocking"),
        event("saw", "a saw", "cutting", "cuts", voices.saw, axes="rate"),
        event("laser", "a laser", "firing", "fires", voices.laser, axes="pitch", seconds=(0.4, 1.4)),
        event("cricket", "a cricket", "chirping", "chirps", voices.cricket, axes="rate"),
        event("explosion", "an explosion", "booming", "booms", voices.explosion, seconds=(0.8, 1.6)),
        event("helicopter", "a helicopter", "hovering", "hovers", voices.helicopter, axes="duration"),
        event("horn", "a car horn", "honking", "honks", voices.horn, axes="duration pitch"),
        event("string", "a string", "twanging", "twangs", voices.string, axes="pitch", seconds=(0.8, 1.8)),
    )
}


def classes_with(attribute: str) -> tuple[str, ...]:
    """The keys of the classes in which ``attribute`` can be heard."""
    return tuple(key for key, item in EVENTS.items() if attribute in item.axes)


@dataclass(frozen=True)
class Draw:
    """An event before it is rendered: everything that its generator decides."""

    sound: Sound
    peak: float  # dBFS
    cutoff: float | None  # Hz, where it is distant
    voice_seed: int
    echo_seed: int

    @property
    def seconds(self) -> float:
        """Length of the rendered event, with its reverberation."""
        return self.sound.seconds + (TAIL if self.cutoff else 0.0)


def draw(
    key: str, rng: np.random.Generator, *, attribute: str | None = None, state: State | None = None
) -> Draw:
    """The parameters of one event; how many numbers it takes from ``rng`` depends on nothing."""
    check_request(key, attribute=attribute, state=state)
    span, level, nuance = rng.uniform(size=3)
    voice_seed, echo_seed = (int(seed) for seed in rng.integers(2**63, size=2))
    high = state == "high"
    low_s, high_s = EVENTS[key].seconds
    if attribute == "duration":
        low_s, high_s = (1.4, 1.9) if high else (0.25, 0.45)
    elif attribute == "rate":
        low_s = max(low_s, 1.2)
    factor = 2.0 if high else 0.5
    sound = Sound(
        seconds=low_s + span * (high_s - low_s),
        pitch=factor if attribute == "pitch" else 1.0,
        rate=factor if attribute == "rate" else 1.0,
    )
    peak, cutoff = -14 + 6 * level, None
    if attribute == "loudness":
        peak = (-3 if high else -21) + 2 * (level - 0.5)
    elif attribute == "distance" and not high:
        peak, cutoff = peak - 10 - 4 * nuance, 1500 + 1000 * nuance
    return Draw(sound=sound, peak=peak, cutoff=cutoff, voice_seed=voice_seed, echo_seed=echo_seed)


def render(
    key: str, rng: np.random.Generator, *, attribute: str | None = None, state: State | None = None
) -> Float[np.ndarray, " n"]:
    """One event of the class ``key``: mono float32 at ``SAMPLE_RATE``, without ``attribute`` a neutral one.

    States: loudness peaks at -3 or -21 dBFS (neutral -14 to -8); duration 1.4 to 1.9 s or 0.25 to 0.45 s;
    rate and pitch twice or half the neutral one (rate over at least 1.2 s); distance dry, or dull, 10 to
    14 dB weaker and with 0.5 s of reverberation. ``ValueError`` where class, attribute and state do not fit.
    """
    drawn = draw(key, rng, attribute=attribute, state=state)
    wave = EVENTS[key].voice(drawn.sound, np.random.default_rng(drawn.voice_seed))
    if drawn.cutoff:
        wave = recede(wave, np.random.default_rng(drawn.echo_seed), cutoff=drawn.cutoff)
    wave = fade(wave)
    return (wave * (10 ** (drawn.peak / 20) / np.abs(wave).max())).astype(np.float32)


def check_request(key: str, *, attribute: str | None, state: State | None) -> None:
    """Refuse a class, attribute or state that does not exist or does not go together."""
    if key not in EVENTS:
        raise ValueError(f"render: needed one of the classes {', '.join(EVENTS)}; got {key!r}.")
    if (attribute is None) != (state is None) or state not in (None, "high", "low"):
        raise ValueError(
            f"render: needed an attribute with its state, high or low; got {attribute!r}, {state!r}."
        )
    if attribute is not None and attribute not in EVENTS[key].axes:
        raise ValueError(
            f"render: {key!r} has the attributes {', '.join(EVENTS[key].axes)}; got {attribute!r}."
        )
