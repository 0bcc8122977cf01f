"""From similarities to numbers: F, G and H of pairs, retrieval, zero-shot classification.

The torchmetrics classes of `clapbench.scoring.metrics` and the pure functions beside them, imported when used.

>>> from clapbench.scoring import CompositionalScore
>>> CompositionalScore.__module__
'clapbench.scoring.metrics'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clapbench.lazy import lazily

if TYPE_CHECKING:
    from clapbench.scoring.items import Items as Items
    from clapbench.scoring.items import read_items as read_items
    from clapbench.scoring.metrics import CompositionalScore as CompositionalScore
    from clapbench.scoring.metrics import MAPAtK as MAPAtK
    from clapbench.scoring.metrics import MedianRank as MedianRank
    from clapbench.scoring.metrics import RecallAtK as RecallAtK
    from clapbench.scoring.metrics import ZeroShotAccuracy as ZeroShotAccuracy
    from clapbench.scoring.metrics import ZeroShotMAP as ZeroShotMAP
    from clapbench.scoring.pairs import judge as judge
    from clapbench.scoring.pairs import judged as judged
    from clapbench.scoring.retrieval import match_ranks as match_ranks
    from clapbench.scoring.retrieval import recall_chance as recall_chance
    from clapbench.scoring.retrieval import retrieved as retrieved
    from clapbench.scoring.similarity import margins_of as margins_of
    from clapbench.scoring.similarity import similarities as similarities
    from clapbench.scoring.similarity import similarities_of as similarities_of
    from clapbench.scoring.zeroshot import accuracy_of as accuracy_of
    from clapbench.scoring.zeroshot import classified as classified

_HOMES = {
    "CompositionalScore": "metrics",
    "Items": "items",
    "MAPAtK": "metrics",
    "MedianRank": "metrics",
    "RecallAtK": "metrics",
    "ZeroShotAccuracy": "metrics",
    "ZeroShotMAP": "metrics",
    "accuracy_of": "zeroshot",
    "classified": "zeroshot",
    "judge": "pairs",
    "judged": "pairs",
    "margins_of": "similarity",
    "match_ranks": "retrieval",
    "read_items": "items",
    "recall_chance": "retrieval",
    "retrieved": "retrieval",
    "similarities": "similarity",
    "similarities_of": "similarity",
}
_lazy = lazily(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()}, file=__file__)
__all__ = [
    "CompositionalScore",
    "Items",
    "MAPAtK",
    "MedianRank",
    "RecallAtK",
    "ZeroShotAccuracy",
    "ZeroShotMAP",
    "accuracy_of",
    "classified",
    "judge",
    "judged",
    "margins_of",
    "match_ranks",
    "read_items",
    "recall_chance",
    "retrieved",
    "similarities",
    "similarities_of",
]


def __getattr__(name: str) -> Any:
    return _lazy.getattr(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_lazy.dir()})
