r"""Compositional retrieval scores F, G and H: does a model bind words to the right sound?

An item is a pair p and its reversed partner r, two clips and their captions. $s_{tc}$ is the cosine of caption t and
clip c. Four protocols judge the same similarities; H always asks for F and G:

- ``official``: F, each clip picks its caption, $s_{pp} > s_{rp}$ and $s_{rr} > s_{pr}$; G, each caption picks its clip,
  $s_{pp} > s_{pr}$ and $s_{rr} > s_{rp}$.
- ``single``: F, $s_{pp} > s_{pr}$; G, $s_{pp} > s_{rp}$.
- ``pool``: F, $s_{pp}$ exceeds caption p with every other clip of the benchmark; G, clip p with every other caption.
  Clips that match p in another item are left out, captions likewise.
- ``triplet``, of items with a third pair: F, each of the 3 clips picks its caption among 3; G, each caption its clip.

F and G change direction between ``official`` and the next two, so tables name the direction. ``>`` is strict: a tie
is a miss. Scores are shares of items, 0 to 1.

Sources: ``official`` and ``triplet`` the evaluation of Ghosh et al. 2024 (CompA), after Thrush et al. 2022 (Winoground,
eq. 1 to 3); ``single`` the formulas of Bahuguna 2026; ``pool`` ordinary retrieval at rank 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import chain, count, permutations
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int
from torch import Tensor

from clapbench.schema import Case, Embeddings, Judgement
from clapbench.scoring.items import Items, items_alone, read_items
from clapbench.scoring.similarity import NEAR_TIE
from clapbench.statistics import clusters
from clapbench.statistics.proportions import hits_p, sign_p, wilson

NAMES = ("F", "G", "H")
CLIP_PICKS, CAPTION_PICKS = "clip->caption", "caption->clip"
DIRECTIONS = {
    "official": {"F": CLIP_PICKS, "G": CAPTION_PICKS, "H": "both"},
    "single": {"F": CAPTION_PICKS, "G": CLIP_PICKS, "H": "both"},
    "pool": {"F": CAPTION_PICKS, "G": CLIP_PICKS, "H": "both"},
    "triplet": {"F": CLIP_PICKS, "G": CAPTION_PICKS, "H": "both"},
}


class Margins(NamedTuple):
    """By how much each item wins F and G: its closest comparison, in cosine; positive is a hit, 0 a tie."""

    F: Float64[Tensor, " n"]
    G: Float64[Tensor, " n"]

    @property
    def H(self) -> Float64[Tensor, " n"]:
        """By how much an item wins both: the smaller of the two."""
        return torch.minimum(self.F, self.G)


def official(items: Items) -> Margins:
    """``F`` by clips, ``G`` by captions, over both pairs of each item."""
    return _each_picks_its_own(items.pair)


def single(items: Items) -> Margins:
    """The pair p alone: ``F`` its caption among the two clips, ``G`` its clip among the two captions."""
    s = items.pair
    return Margins(F=s[:, 0, 0] - s[:, 1, 0], G=s[:, 0, 0] - s[:, 0, 1])


def pool(items: Items) -> Margins:
    """The pair p against every clip, and every caption, of the benchmark."""
    s = items.pair
    return Margins(
        F=s[:, 0, 0] - torch.maximum(s[:, 1, 0], items.rival_clip),
        G=s[:, 0, 0] - torch.maximum(s[:, 0, 1], items.rival_caption[:, 0]),
    )


def triplet(items: Items) -> Margins:
    """``official`` among three, over the items that have a third pair."""
    return _each_picks_its_own(items.triplet)


def _each_picks_its_own(s: Float64[Tensor, "n k k"]) -> Margins:
    own = s.diagonal(dim1=1, dim2=2)
    others = s.masked_fill(torch.eye(s.shape[1], dtype=torch.bool), -torch.inf)
    return Margins(F=(own - others.amax(dim=2)).amin(dim=1), G=(own - others.amax(dim=1)).amin(dim=1))


Rule = Callable[[Items], Margins]
RULES: dict[str, Rule] = {"official": official, "single": single, "pool": pool, "triplet": triplet}
PROTOCOLS = tuple(RULES)


def chance(protocol: str, items: Items) -> dict[str, float]:
    """What ``protocol`` gives items like these when their similarities are independent and continuous.

    From the rule itself: every order of the similarities is as likely. A model that cannot tell captions apart is not
    such a model: the same caption wins for both clips, and its scores lie below.
    """
    if protocol != "pool":
        return {name: float(share) for name, share in _chance_of_orders(protocol).items()}
    return {name: float(share.mean()) for name, share in chances(protocol, items).items()}


def chances(protocol: str, items: Items) -> dict[str, Float64[Tensor, " n"]]:
    """`chance` item by item: under ``pool`` an item whose clip or caption comes again has fewer rivals."""
    if protocol != "pool":
        n = len(items.triplet if protocol == "triplet" else items.pair)
        return {
            name: torch.full((n,), float(share), dtype=torch.float64)
            for name, share in _chance_of_orders(protocol).items()
        }
    # s_pp is the highest of itself and its rivals: 1 / (how many there are). The item's partner is one of them.
    clips, captions = items.n_rival_clips.double() + 2, items.n_rival_captions[:, 0].double() + 2
    return {"F": 1 / clips, "G": 1 / captions, "H": 1 / (clips + captions - 1)}


@lru_cache
def _chance_of_orders(protocol: str) -> dict[str, Fraction]:
    """Exact, over every order of the similarities of one item: 4! of two pairs, 9! of three."""
    size = 3 if protocol == "triplet" else 2
    orders = torch.tensor(list(permutations(range(size * size))), dtype=torch.float64).view(-1, size, size)
    items, n = items_alone(orders), len(orders)
    margins = RULES[protocol](items)
    return {name: Fraction(int((getattr(margins, name) > 0).sum()), n) for name in NAMES}


def ties(items: Items) -> tuple[int, int]:
    """Exact equalities among the four comparisons of ``official`` in each item, and margins within 1e-6."""
    s = items.pair
    margins = torch.cat([(s[:, :, 0] - s[:, :, 1]).flatten(), (s[:, 0] - s[:, 1]).flatten()])
    return int((margins == 0).sum()), int((margins.abs() <= NEAR_TIE).sum())


def judged(
    protocol: str, items: Items, *, factors: clusters.Factors | None = None
) -> dict[str, dict[str, Any]] | None:
    """F, G and H under ``protocol`` with what they are worth; None where it has no items.

    Each: value, direction, n, chance, Wilson interval, the exact p of the count against chance on both sides, and the
    exact label-swap p: exchange the two clips of an item; among items where one labelling alone succeeds, the right one
    does so as often as not if the model cannot tell the clips apart, whatever it is drawn to (see docs/scores.md).

    With ``factors`` (see `clusters`) also ``clusters``, how many each has; ``ci95_clustered``, Wilson's interval of as
    many items as the clustered are worth; ``p_swap_clustered`` by factor, whose clusters are swapped as a whole.
    """
    margins, swapped = RULES[protocol](items), RULES[protocol](items.swapped)
    n = len(margins.F)
    if n == 0:
        return None
    level, each = chance(protocol, items), chances(protocol, items)
    found: dict[str, dict[str, Any]] = {}
    for name in NAMES:
        hit, hit_swapped = getattr(margins, name) > 0, getattr(swapped, name) > 0
        hits = int(hit.sum())
        found[name] = {
            "value": hits / n,
            "direction": DIRECTIONS[protocol][name],
            "n": n,
            "chance": level[name],
            "ci95": list(wilson(hits, n)),
            "p_chance": hits_p(hits, each[name].numpy()),
            "p_swap": sign_p(int((hit & ~hit_swapped).sum()), int((~hit & hit_swapped).sum())),
        }
        if factors:
            signs = hit.long() - hit_swapped.long()
            found[name] |= _clustered(hit.double().numpy(), signs.numpy(), factors)
    return found


def _clustered(
    hit: Float64[np.ndarray, " n"], signs: Int[np.ndarray, " n"], factors: clusters.Factors
) -> dict[str, Any]:
    """What a score is worth if items of one cluster succeed and fail together."""
    worth, n = clusters.worth(hit, factors), len(hit)
    return {
        "clusters": {name: clusters.count(codes) for name, codes in factors.items()},
        "ci95_clustered": list(wilson(hit.sum() / worth.effect, n / worth.effect, z=worth.reach)),
        "p_swap_clustered": {name: clusters.flip_p(signs, codes) for name, codes in factors.items()},
    }


def factors_of(cases: Sequence[Case]) -> clusters.Factors:
    """What the items of ``cases`` share by the benchmark's own columns."""
    shared = (
        [column for column in cases[0].about if all(column in case.about for case in cases)] if cases else []
    )
    return clusters.factors({column: [case.about[column] for case in cases] for column in shared})


def assignment(items: Items) -> dict[str, Any]:
    """How often the right labelling of an item beats the swapped one, and what hubs cost F and G of ``official``.

    ``pair_assignment``: share of items with s_pp + s_rr > s_pr + s_rp, chance 1/2. With a and b the margins of F's two
    comparisons, F asks a + b > |a - b|: the assignment against how much closer one caption is to both clips. So F's
    share is that of assignment minus that of items lost to such a caption, and likewise for G and clips:

    ``hub_captions`` = (assignment - F) / (1 - F), ``hub_clips`` = (assignment - G) / (1 - G): the shares of the missing
    F and G that a caption, or a clip, closer to everything explains. NaN where nothing is missing.
    """
    s = items.pair
    right = s[:, 0, 0] + s[:, 1, 1] > s[:, 0, 1] + s[:, 1, 0]
    margins = official(items)
    missing = {"hub_captions": ~(margins.F > 0), "hub_clips": ~(margins.G > 0)}
    shares = {name: float((right & miss).sum() / miss.sum()) for name, miss in missing.items()}
    return {
        "pair_assignment": float(right.double().mean()),
        "pair_assignment_ci95": list(wilson(int(right.sum()), len(right))),
        **shares,
    }


def mean_margin(items: Items) -> dict[str, Any]:
    """By how much the right labelling of an item beats the swapped one: what tells models apart where H is near 0.

    ``mean_margin``: the mean over items of m = (s_pp + s_rr - s_pr - s_rp) / 2, in cosine, half of what `assignment`
    asks to be above 0, which is the mean of the four comparisons of ``official``; swapping the clips turns its sign, so
    it is 0 on average for a model that cannot tell them apart. ``mean_margin_ci95``: by Student's t over items.
    ``margin_d``: the mean in standard deviations over items, which does not depend on how wide a model spreads its
    cosines (Cohen 1988, eq. 2.5.2).
    """
    from scipy.special import stdtrit

    s, n = items.pair, len(items.pair)
    margin = (s[:, 0, 0] + s[:, 1, 1] - s[:, 0, 1] - s[:, 1, 0]) / 2
    mean = float(margin.mean())
    spread = float(margin.std()) if n > 1 else math.nan
    half = float(stdtrit(max(n - 1, 1), 0.975)) * spread / math.sqrt(n)
    return {
        "mean_margin": mean,
        "mean_margin_ci95": [mean - half, mean + half] if n > 1 else None,
        "margin_d": mean / spread if spread > 0 else None,
    }


def judge(embeddings: Embeddings, cases: Sequence[Case], *, protocol: str) -> Judgement:
    """Items under every protocol; ``protocol`` fills the scores and the columns F, G, H of the items."""
    items = read_items(embeddings, cases)
    factors, thirds = factors_of(cases), [case for case in cases if len(case.clips) == 3]
    own = {name: factors_of(thirds) if name == "triplet" else factors for name in RULES}
    protocols = {name: judged(name, items, factors=own[name]) for name in RULES}
    chosen = protocols[protocol]
    exact, near = ties(items)
    return Judgement(
        scores={name: chosen[name]["value"] if chosen else None for name in NAMES},
        protocols=protocols,
        extra={**assignment(items), **mean_margin(items)},
        items=tuple(rows(items, cases, protocol=protocol)),
        ties=exact,
        near_ties=near,
    )


COMPUTED = ("item", *(f"{of}_{pair}" for of in ("caption", "clip") for pair in ("p", "r", "third")))
COMPUTED += ("s_pp", "s_pr", "s_rp", "s_rr", *NAMES, *(f"margin_{name}" for name in NAMES))  # of items.csv


def beside_computed(columns: Sequence[str]) -> dict[str, str]:
    """What a benchmark's own columns are called in items.csv, where a computed one may have their name.

    >>> beside_computed(["template", "H", "user_H"])
    {'template': 'template', 'H': 'user_H_2', 'user_H': 'user_H'}
    """
    found: dict[str, str] = {}
    for column in columns:
        names = chain([f"user_{column}"], (f"user_{column}_{number}" for number in count(2)))
        taken = {*COMPUTED, *columns, *found.values()}
        found[column] = next(name for name in names if name not in taken) if column in COMPUTED else column
    return found


def rows(items: Items, cases: Sequence[Case], *, protocol: str) -> Iterator[dict[str, Any]]:
    """The rows of items.csv: one per case, s_tc with t the caption and c the clip, then the case's own columns.

    Margins are those of ``protocol``: by how much the closest comparison is won, in cosine. Empty for an item that the
    protocol does not judge. A case's own column never stands in for a computed one (see `beside_computed`).
    """
    margins = iter(zip(*(side.tolist() for side in RULES[protocol](items)), strict=True))
    pairs = ("p", "r", "third") if len(items.triplet) else ("p", "r")
    for number, (case, s) in enumerate(zip(cases, items.pair.tolist(), strict=True)):
        judges = protocol != "triplet" or len(case.clips) == 3
        f, g = next(margins) if judges else (None, None)
        yield {
            "item": number,
            **dict(zip([f"caption_{pair}" for pair in pairs], case.captions, strict=False)),
            **dict(zip([f"clip_{pair}" for pair in pairs], case.clips, strict=False)),
            **{"s_pp": s[0][0], "s_pr": s[1][0], "s_rp": s[0][1], "s_rr": s[1][1]},
            "F": None if f is None else int(f > 0),
            "G": None if g is None else int(g > 0),
            "H": None if f is None or g is None else int(f > 0 and g > 0),
            "margin_F": f,
            "margin_G": g,
            **{name: case.about[column] for column, name in beside_computed(list(case.about)).items()},
        }
