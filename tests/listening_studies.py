"""Listening studies in the forms that tools write, with scores that are known."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import soundfile

STIMULI = ("anchor35", "anchor70", "reference", "sys_a", "sys_b")
LEVELS = {"anchor35": 20, "anchor70": 40, "reference": 98, "sys_a": 75, "sys_b": 55}
WEB = ("session_uuid", "trial_id", "rating_stimulus", "rating_score", "rating_time", "rating_comment")
WEB_PAIRED = ("trial_id", "choice_reference", "choice_non_reference", "choice_answer", "choice_time")
Rating = tuple[str, str, str, object]  # listener, trial, stimulus, score


def ratings(*, listeners: int = 4, trials: int = 3, seed: int = 0, noise: float = 6.0) -> list[Rating]:
    """Whole scores of every stimulus, the reference between 91 and 100, stimuli in another order each time."""
    rng = np.random.default_rng(seed)
    found: list[Rating] = []
    for listener in range(listeners):
        offset = rng.normal(0, 4)
        for trial in range(trials):
            for stimulus in rng.permutation(STIMULI).tolist():
                score = LEVELS[stimulus] + offset + noise * rng.standard_normal()
                if stimulus == "reference":
                    score = float(rng.integers(91, 101))
                found.append(
                    (
                        f"u{listener}",
                        f"t{trial}",
                        stimulus,
                        int(np.clip(round(score), 0, 89 if stimulus != "reference" else 100)),
                    )
                )
    return found


def written(
    path: Path, header: Sequence[object], rows: Iterable[Sequence[object]], *, separator: str = ","
) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows([header, *rows])
    return path


def long(
    path: Path, rows: Iterable[Rating], *, header: Sequence[str] = ("listener", "trial", "stimulus", "score")
) -> Path:
    return written(path, header, rows)


def web(
    path: Path,
    rows: Iterable[Rating],
    *,
    own: Sequence[str] = ("email", "age"),
    uuid: bool = True,
    test: str = "study",
) -> Path:
    """As webMUSHRA writes it; the own columns hold the listener's name and the same age for all."""
    answers = [str(one) if place == 0 else "30" for place, one in enumerate(own)]
    lines = []
    for number, (listener, trial, stimulus, score) in enumerate(rows):
        given = [f"{listener}@example.org" if place == 0 else answers[place] for place in range(len(own))]
        ids = [listener] if uuid else []
        lines.append([test, *given, *ids, trial, stimulus, score, 1000 + number, ""])
    return written(path, ["session_test_id", *own, *(WEB if uuid else WEB[1:])], lines)


def sounds(
    folder: Path, *, seed: int, clips: int = 3, rate: int = 44_100, seconds: float = 0.8, gain: float = 0.1
) -> Path:
    """Stereo noise, another one in each clip and channel; the channels differ in level."""
    folder.mkdir(parents=True)
    for clip in range(clips):
        rng = np.random.default_rng([seed, clip])
        noise = rng.standard_normal((round(rate * seconds), 2)) * [1.0, 0.6]
        soundfile.write(folder / f"clip_{clip}.wav", np.clip(gain * noise, -1, 1), rate, subtype="FLOAT")
    return folder
