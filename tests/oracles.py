"""Scores by their definitions, slowly: what the tests hold the fast ones against."""

from __future__ import annotations

import numpy as np

from clapbench.schema import Case, Embeddings
from clapbench.scoring import pairs


def by_loop(embeddings: Embeddings, cases: list[Case]) -> dict[str, dict[str, float]]:
    """F, G and H by the definitions, item by item; ``s(t, c)`` is the cosine of caption t and clip c."""
    clip = dict(zip(embeddings.audio_id, embeddings.audio.astype(np.float64), strict=True))
    caption = dict(zip(embeddings.text_id, embeddings.text.astype(np.float64), strict=True))

    def s(t: str, c: str) -> float:
        return sum(x * y for x, y in zip(clip[c].tolist(), caption[t].tolist(), strict=True))

    matching = {(t, c) for case in cases for i, c in enumerate(case.clips) for t in [case.captions[i]]}
    hits: dict[str, list[tuple[bool, bool]]] = {name: [] for name in pairs.RULES}
    for case in cases:
        (p, r), (tp, tr) = case.clips[:2], case.captions[:2]
        hits["official"].append(
            (s(tp, p) > s(tr, p) and s(tr, r) > s(tp, r), s(tp, p) > s(tp, r) and s(tr, r) > s(tr, p))
        )
        hits["single"].append((s(tp, p) > s(tp, r), s(tp, p) > s(tr, p)))
        clips = [c for c in clip if c != p and (tp, c) not in matching]
        captions = [t for t in caption if t != tp and (t, p) not in matching]
        hits["pool"].append(
            (all(s(tp, p) > s(tp, c) for c in clips), all(s(tp, p) > s(t, p) for t in captions))
        )
        if len(case.clips) == 3:
            own = list(zip(case.clips, case.captions, strict=True))
            f = all(s(t, c) > s(other, c) for c, t in own for other in case.captions if other != t)
            g = all(s(t, c) > s(t, other) for c, t in own for other in case.clips if other != c)
            hits["triplet"].append((f, g))
    return {
        name: {
            "F": sum(f for f, _ in found) / len(found),
            "G": sum(g for _, g in found) / len(found),
            "H": sum(f and g for f, g in found) / len(found),
        }
        for name, found in hits.items()
        if found
    }
