"""The twenty-four voices: how each class of event makes its sound.

A voice is a function of (sound, rng) to a wave of ``sound.seconds``. It draws its own parameters first,
always the same number of them, and its noise last: two renderings from one seed differ only in ``sound``.
``sound.pitch`` and ``sound.rate`` multiply the register and the repetition rate; 1 is neutral.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clapbench.sound.synth.dsp import Gains, Stroke, Wave, clock, decay, noise, phase, repeat, tone


@dataclass(frozen=True)
class Sound:
    """What a voice is asked for: length in seconds, register and repetition rate relative to neutral."""

    seconds: float
    pitch: float = 1.0
    rate: float = 1.0


def strokes(stroke: Stroke, sound: Sound, *, per_second: float, gains: Gains) -> Wave:
    """A stroke repeated ``per_second``, with these gains in turn."""
    return repeat(stroke, seconds=sound.seconds, per_second=per_second * sound.rate, gains=gains)


def bell(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of a struck bell: inharmonic partials that ring out."""
    hz, ring = rng.uniform(620, 760) * sound.pitch, rng.uniform(0.45, 0.7)
    partials = np.array([1.0, 2.0, 2.41, 3.01, 4.2])
    weights = np.array([1.0, 0.7, 0.6, 0.45, 0.35]) * rng.uniform(0.7, 1.3, 5)
    time = clock(sound.seconds)
    slow, fast = decay(time, seconds=ring), decay(time, seconds=ring / 2)
    rows = weights[:, None] * tone(np.outer(partials * hz, time))
    return slow * rows[:2].sum(0) + fast * rows[2:].sum(0)


def siren(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of a siren that sweeps up and down."""
    hz, sweep = rng.uniform(740, 860) * sound.pitch, rng.uniform(2.0, 2.8)
    start, depth = rng.uniform(), rng.uniform(0.38, 0.45)
    octaves = depth * tone(sweep * clock(sound.seconds) + start)
    return tone(phase(hz * 2**octaves), (1.0, 0.45, 0.25))


def rain(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of rain: a band of noise with patter."""
    low, high = rng.uniform(1200, 1800), rng.uniform(6000, 7500)
    patter = np.abs(rng.standard_normal(round(2.1 * 400))) ** 3  # 400 drops a second
    gain = 0.5 + 0.5 * patter[(clock(sound.seconds) * 400).astype(np.int64)] / 3
    return np.minimum(gain, 2.5) * noise(rng, sound.seconds, low=low, high=high)


def engine(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of an engine: harmonics that wobble."""
    hz, wobble = rng.uniform(90, 108) * sound.pitch, rng.uniform(5, 8)
    depth = rng.uniform(0.02, 0.05)
    time = clock(sound.seconds)
    cycles = phase(hz * (1 + depth * tone(wobble * time)))
    stroke = 1 + 0.4 * tone(cycles / 4)
    hum = stroke * tone(cycles, tuple(1 / k**0.8 for k in range(1, 21)))
    return hum + 0.15 * noise(rng, sound.seconds, low=60.0, high=10 * hz)


def beep(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of beeps of one pitch."""
    hz, per_second, on = rng.uniform(900, 1080) * sound.pitch, rng.uniform(4.2, 5.2), rng.uniform(0.05, 0.065)
    time = clock(on)
    edge = np.minimum(1.0, np.minimum(time, on - time) / 0.004)
    return strokes(edge * tone(hz * time), sound, per_second=per_second, gains=np.ones(1))


def whistle(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of a whistle with trill and breath."""
    hz, trill = rng.uniform(1750, 2050) * sound.pitch, rng.uniform(9, 13)
    depth, breath = rng.uniform(0.03, 0.05), rng.uniform(0.25, 0.4)
    time = clock(sound.seconds)
    glide = 1 - 0.3 * np.exp(-time / 0.03)
    clear = tone(phase(hz * glide * (1 + depth * tone(trill * time))))
    return clear + breath * noise(rng, sound.seconds, low=0.8 * hz, high=min(1.6 * hz, 7500.0))


def clap(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of hand claps."""
    centre, per_second, ring = rng.uniform(1100, 1500), rng.uniform(3.8, 4.8), rng.uniform(0.012, 0.02)
    gains = rng.uniform(0.6, 1.0, 32)
    time = clock(0.12)
    double = decay(time, seconds=ring) + 0.7 * np.roll(decay(time, seconds=ring), 160) * (time > 0.01)
    burst = double * noise(rng, 0.12, low=centre * 0.8, high=centre * 2.2)
    return strokes(burst, sound, per_second=per_second, gains=gains)


def drum(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of drum strokes."""
    hz, per_second, ring = rng.uniform(140, 165) * sound.pitch, rng.uniform(3.4, 4.4), rng.uniform(0.06, 0.09)
    gains = rng.uniform(0.7, 1.0, 32)
    time = clock(0.3)
    body = decay(time, seconds=ring) * tone(phase(hz * (1 + 0.6 * np.exp(-time / 0.02))), (1.0, 0.3))
    skin = 0.12 * decay(time, seconds=0.008) * noise(rng, 0.3, low=3 * hz, high=14 * hz)
    return strokes(body + skin, sound, per_second=per_second, gains=gains)


def bird(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of a bird: chirps that bend."""
    hz, per_second, bend = (
        rng.uniform(2350, 2750) * sound.pitch,
        rng.uniform(4.2, 5.2),
        rng.uniform(0.25, 0.34),
    )
    gains = rng.uniform(0.7, 1.0, 32)
    time = clock(0.085)
    arch = np.sin(np.pi * time / 0.085)
    chirp = arch * tone(phase(hz * (1 + bend * np.cos(2 * np.pi * time / 0.085))))
    return strokes(chirp, sound, per_second=per_second, gains=gains)


def wind(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of wind: low noise in gusts."""
    low, high = rng.uniform(250, 350), rng.uniform(500, 800)
    gust, start = rng.uniform(1.2, 2.2), rng.uniform()
    swell = 0.6 + 0.4 * tone(gust * clock(sound.seconds) + start)
    calm = noise(rng, sound.seconds, low=low, high=high)
    howl = noise(rng, sound.seconds, low=2 * high, high=2.2 * high)
    return swell * calm + 0.35 * swell**3 * howl


def ticking(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of a clock that ticks and tocks."""
    hz, per_second, ring = rng.uniform(2900, 3500), rng.uniform(3.8, 4.6), rng.uniform(0.003, 0.005)
    tock = rng.uniform(0.45, 0.6)
    time = clock(0.05)
    click = decay(time, seconds=ring, attack=0.0005) * (tone(hz * time) + 0.7 * tone(1.9 * hz * time))
    return strokes(click, sound, per_second=per_second, gains=np.array([1.0, tock]))


def drip(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of dripping water: blips that rise."""
    hz, per_second, rise = rng.uniform(650, 850), rng.uniform(3.2, 4.2), rng.uniform(1.0, 1.5)
    gains = rng.uniform(0.6, 1.0, 32)
    time = clock(0.11)
    drop = decay(time, seconds=0.028) * tone(phase(hz * (1 + rise * time / 0.06)))
    return strokes(drop, sound, per_second=per_second, gains=gains)


def phone(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of a phone that rings in two tones."""
    hz, ratio = rng.uniform(1150, 1300) * sound.pitch, rng.uniform(1.24, 1.28)
    trill, burst = rng.uniform(15, 18), rng.uniform(0.22, 0.28)
    time = clock(sound.seconds)
    upper = (time * trill) % 1 > 0.5
    ringing = (time % (burst + 0.1)) < burst
    return ringing * tone(phase(hz * np.where(upper, ratio, 1.0)), (1.0, 0.5))


def alarm(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of an alarm of two tones in turn."""
    hz, ratio, change = rng.uniform(760, 860) * sound.pitch, rng.uniform(1.45, 1.55), rng.uniform(5.0, 6.2)
    upper = (clock(sound.seconds) * change) % 1 > 0.5
    return tone(phase(hz * np.where(upper, ratio, 1.0)), (1.0, 0.0, 0.5))


def thunder(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of thunder: low noise that rolls."""
    high, rolls = rng.uniform(110, 180), rng.uniform(3.0, 5.0)
    weights = rng.uniform(0.3, 1.0, 16)
    time = clock(sound.seconds)
    roll = np.interp(time * rolls, np.arange(16), weights) * np.exp(-time / sound.seconds)
    return roll * noise(rng, sound.seconds, low=60.0, high=high)


def footsteps(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of footsteps."""
    per_second, high, scrape = rng.uniform(2.8, 3.4), rng.uniform(250, 380), rng.uniform(0.2, 0.35)
    gains = rng.uniform(0.75, 1.0, 32)
    time = clock(0.16)
    thud = decay(time, seconds=0.02) * noise(rng, 0.16, low=90.0, high=high)
    grit = scrape * np.sin(np.pi * time / 0.16) ** 2 * noise(rng, 0.16, low=3500.0, high=7000.0)
    return strokes(thud + grit, sound, per_second=per_second, gains=gains)


def knock(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of knocks on wood."""
    hz, per_second, ring = rng.uniform(380, 480), rng.uniform(3.8, 4.8), rng.uniform(0.016, 0.026)
    gains = rng.uniform(0.75, 1.0, 32)
    time = clock(0.14)
    wood = tone(hz * time) + 0.8 * tone(2.3 * hz * time) + 0.4 * tone(3.7 * hz * time)
    return strokes(decay(time, seconds=ring) * wood, sound, per_second=per_second, gains=gains)


def saw(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of a saw that goes to and fro."""
    per_second, teeth, low = rng.uniform(2.6, 3.4) * sound.rate, rng.uniform(35, 50), rng.uniform(1800, 2600)
    back = rng.uniform(0.4, 0.6)
    time = clock(sound.seconds)
    cycle = time * per_second
    stroke = np.sin(np.pi * cycle) ** 2 * np.where(cycle % 2 < 1, 1.0, back)
    rasp = (0.6 + 0.4 * tone(teeth * time)) * noise(rng, sound.seconds, low=low, high=2 * low)
    return stroke * rasp


def laser(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of laser shots: falling sweeps."""
    top, bottom = rng.uniform(3000, 3500) * sound.pitch, rng.uniform(280, 380) * sound.pitch
    zap, gain = rng.uniform(0.26, 0.36), rng.uniform(0.7, 1.0)
    time = clock(zap)
    ray = np.minimum(1.0, (zap - time) / 0.05) * tone(phase(top * (bottom / top) ** (time / zap)))
    return strokes(ray, sound, per_second=1 / (zap + 0.08), gains=np.array([1.0, gain]))


def cricket(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of a cricket: pulses in groups."""
    hz, per_second, pulses = rng.uniform(4300, 5000), rng.uniform(4.0, 4.8), rng.uniform(38, 46)
    gains = rng.uniform(0.8, 1.0, 32)
    time = clock(0.078)
    rub = np.sin(np.pi * pulses * time) ** 2 * tone(hz * time)
    return strokes(rub, sound, per_second=per_second, gains=gains)


def explosion(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of an explosion: a crack and a boom."""
    boom, crack, high = rng.uniform(0.25, 0.4), rng.uniform(0.06, 0.1), rng.uniform(350, 500)
    time = clock(sound.seconds)
    body = decay(time, seconds=boom) * noise(rng, sound.seconds, low=50.0, high=high)
    return body + 0.8 * decay(time, seconds=crack) * noise(rng, sound.seconds, low=500.0, high=5000.0)


def helicopter(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of a helicopter: noise chopped by the blades."""
    blades, high, start = rng.uniform(10.5, 13.5), rng.uniform(600, 900), rng.uniform()
    chop = np.exp(-4 * ((clock(sound.seconds) * blades + start) % 1))
    thump = noise(rng, sound.seconds, low=80.0, high=high)
    return chop * thump + 0.25 * (0.3 + chop) * noise(rng, sound.seconds, low=1500.0, high=3000.0)


def horn(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of a car horn: two tones at once."""
    hz, third = rng.uniform(370, 420) * sound.pitch, rng.uniform(1.23, 1.28)
    bright = rng.uniform(0.3, 0.6)
    brass = tuple(1 / k ** round(bright, 1) for k in range(1, 8))
    cycles = hz * clock(sound.seconds)
    return tone(cycles, brass) + tone(third * cycles, brass)


def string(sound: Sound, rng: np.random.Generator) -> Wave:
    """The sound of a plucked string."""
    hz, ring, stiff = rng.uniform(290, 340) * sound.pitch, rng.uniform(0.5, 0.8), rng.uniform(0.0003, 0.0006)
    pluck = rng.uniform(0.12, 0.2)
    time = clock(sound.seconds)
    damping = np.exp(-0.35 * time / ring)
    wave = np.zeros_like(time)
    for order in range(9, 0, -1):  # Horner: partial k has been damped k times
        partial = order * hz * np.sqrt(1 + stiff * order**2)
        wave = (wave + np.sin(np.pi * order * pluck) / order * tone(partial * time)) * damping
    return wave * np.exp(-0.5 * time / ring)
