"""The official protocol as the authors of CompA evaluate it, by a plain loop over the items; ties included."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from clapbench.schema import Case, Embeddings
from clapbench.scoring import pairs


def items(n: int, *, seed: int, tied: bool) -> tuple[list[Case], Embeddings]:
    """Random unit rows of ``n`` items, every fourth with a third pair; ``tied`` makes clips, captions or both alike."""
    rng = np.random.default_rng(seed)
    audio: dict[str, np.ndarray] = {}
    text: dict[str, np.ndarray] = {}
    cases = []
    for item in range(n):
        size = 3 if item % 4 == 0 else 2
        clips, captions = ([f"{kind} {item} {way}" for way in "prt"[:size]] for kind in ("clip", "caption"))
        subject = rng.standard_normal(16)
        for clip, caption in zip(clips, captions, strict=True):
            text[caption] = subject + 0.8 * rng.standard_normal(16)
            audio[clip] = subject + 0.8 * rng.standard_normal(16) + 0.3 * text[caption]
        if tied and item % 6 in (1, 5):
            audio[clips[1]] = audio[clips[0]]
        if tied and item % 6 in (3, 5):
            text[captions[1]] = text[captions[0]]
        match = tuple(tuple(row == column for column in range(size)) for row in range(size))
        cases.append(Case(clips=tuple(clips), captions=tuple(captions), match=match))
    sides = [np.stack(list(side.values())) for side in (audio, text)]
    rows = [(side / np.linalg.norm(side, axis=1, keepdims=True)).astype(np.float32) for side in sides]
    return cases, Embeddings(audio=rows[0], audio_id=tuple(audio), text=rows[1], text_id=tuple(text))


def picks_its_own(s: np.ndarray) -> bool:
    """Whether in every row the own column is above each other one."""
    for row in range(len(s)):
        for column in range(len(s)):
            if column != row and not s[row, row] > s[row, column]:
                return False
    return True


def plain(cases: Sequence[Case], embeddings: Embeddings, *, size: int) -> dict[str, list[bool]]:
    """F, G and H of each item's first ``size`` pairs, by the definition."""
    found: dict[str, list[bool]] = {"F": [], "G": [], "H": []}
    for case in cases:
        if len(case.clips) < size:
            continue
        clips = [embeddings.audio[embeddings.audio_id.index(clip)] for clip in case.clips[:size]]
        captions = [embeddings.text[embeddings.text_id.index(caption)] for caption in case.captions[:size]]
        s = np.array([[sum(clip.astype(float) * caption) for caption in captions] for clip in clips])
        f, g = picks_its_own(s), picks_its_own(s.T)
        found["F"].append(f)
        found["G"].append(g)
        found["H"].append(f and g)
    return found


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("protocol", "size", "n"), [("official", 2, 60), ("triplet", 3, 15)])
def test_scores_are_those_of_a_plain_loop(protocol: str, size: int, n: int, seed: int, tied: bool) -> None:
    cases, embeddings = items(60, seed=seed, tied=tied)
    judged = pairs.judge(embeddings, cases, protocol=protocol)
    expected = plain(cases, embeddings, size=size)
    for name, hits in expected.items():
        assert len(hits) == n
        assert judged.scores[name] == sum(hits) / n
        column = [row[name] for row in judged.items if row[name] is not None]
        assert column == [int(hit) for hit in hits]
    assert judged.ties == (80 if tied else 0)  # 2, 2 and 4 in ten items each
