"""The scores as torchmetrics: batches and processes add up, ``compute`` gives what the pure functions give.

States are counts and sums where the formula allows, so a metric takes no memory that grows: only the median rank and
the mean average precision over clips keep numbers for each item. Similarities are cosines or whatever orders alike;
torch tensors, arrays or lists.

Names differ from those of torchmetrics, whose metrics break ties by position where a tie counts as a miss here:
`RecallAtK` is the share of queries with a match among the first k (there ``RetrievalHitRate``), `MAPAtK` divides by
how many matches could be among the first k (there by how many are).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor
from torchmetrics import Metric

from clapbench.rows import Rows, checked
from clapbench.scoring import given
from clapbench.scoring.pairs import NAMES, PROTOCOLS, RULES, Rule, chance
from clapbench.scoring.retrieval import DEPTH, average_precision, match_ranks
from clapbench.scoring.similarity import margins_of
from clapbench.scoring.zeroshot import average_precision as tied_average_precision


class CompositionalScore(Metric):
    """F, G and H of items under a protocol, shares of items from 0 to 1 (see `clapbench.scoring.pairs`).

    ``update`` takes blocks [clip, caption]: n x 2 x 2, or n x 3 x 3 for ``triplet``. ``pool`` compares with every
    other item of the benchmark, so no batch can tell it. Raises ValueError for that, and for another protocol or shape.

    >>> metric = CompositionalScore()
    >>> {name: value.item() for name, value in metric([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.6], [0.1, 0.9]]]).items()}
    {'F': 0.5, 'G': 1.0, 'H': 0.5}
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    hits: Tensor
    n: Tensor

    def __init__(self, protocol: str = "official", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        given.protocol(protocol, who="CompositionalScore")
        self.protocol = protocol
        _apart(self, PROTOCOLS.index(protocol))
        self.add_state("hits", default=torch.zeros(len(NAMES), dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("n", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, similarities: Rows) -> None:
        """Add items."""
        items = given.items(similarities, protocol=self.protocol, who="CompositionalScore")
        rule: Rule = RULES[self.protocol]
        margins = rule(items)
        hits = torch.stack([(getattr(margins, name) > 0).sum() for name in NAMES])
        self.hits += hits.to(self.hits.device)
        self.n += len(margins.F)

    def compute(self) -> dict[str, Float64[Tensor, ""]]:
        """F, G and H; ValueError without items."""
        _refuse_none(self.n, who="CompositionalScore", what="item")
        return dict(zip(NAMES, self.hits.double() / self.n, strict=True))

    @property
    def chance(self) -> dict[str, float]:
        """F, G and H of independent similarities."""
        return chance(self.protocol, given.no_items())


class QueryMetric(Metric):
    """A score over queries, a batch of which comes with every candidate: what R@k, mAP@k and the median rank share."""

    full_state_update = False
    is_differentiable = False
    n: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("n", default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, similarities: Rows, match: Rows) -> None:
        """Add queries: similarities and, alike in shape, which candidates match; each query needs one that does."""
        who = type(self).__name__
        s = checked(similarities, who=who, axes="queries candidates").cpu()
        own = given.match(match, shape=tuple(s.shape), who=who)
        self._add([match_ranks(row, of) for row, of in zip(s, own, strict=True)])
        self.n += len(s)

    @abstractmethod
    def _add(self, ranks: list[Int[Tensor, _]]) -> None:
        """Add the ranks of each query's matches, the first first."""


class RecallAtK(QueryMetric):
    """R@k: the share of queries with a match among the k most similar candidates, 0 to 1. A tie counts as a miss.

    >>> RecallAtK(k=1)([[0.9, 0.1], [0.8, 0.3]], [[True, False], [False, True]]).item()
    0.5
    """

    higher_is_better = True
    hits: Tensor

    def __init__(self, k: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        given.cut(k, who="RecallAtK")
        self.k = k
        _apart(self, k)
        self.add_state("hits", default=torch.tensor(0), dist_reduce_fx="sum")

    def _add(self, ranks: list[Int[Tensor, _]]) -> None:
        self.hits += sum(int(own[0]) <= self.k for own in ranks)

    def compute(self) -> Float64[Tensor, ""]:
        """The share; ValueError without queries."""
        _refuse_none(self.n, who="RecallAtK", what="query")
        return self.hits.double() / self.n


class MAPAtK(QueryMetric):
    """mAP@k: mean over queries of the average precision among the k most similar candidates, 0 to 1.

    >>> round(MAPAtK()([[0.9, 0.8, 0.7]], [[False, True, True]]).item(), 4)
    0.5833
    """

    higher_is_better = True
    total: Tensor

    def __init__(self, k: int = DEPTH, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        given.cut(k, who="MAPAtK")
        self.k = k
        _apart(self, k)
        self.add_state("total", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def _add(self, ranks: list[Int[Tensor, _]]) -> None:
        self.total += sum(average_precision(own, self.k) for own in ranks)

    def compute(self) -> Float64[Tensor, ""]:
        """The mean; ValueError without queries."""
        _refuse_none(self.n, who="MAPAtK", what="query")
        return self.total / self.n


class MedianRank(QueryMetric):
    """medR: the median over queries of the rank of their first match, 1 or more, rounded down.

    >>> MedianRank()([[0.9, 0.1], [0.8, 0.3], [0.2, 0.1]], [[True, False], [False, True], [False, True]]).item()
    2.0
    """

    higher_is_better = False
    first: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("first", default=[], dist_reduce_fx="cat")

    def _add(self, ranks: list[Int[Tensor, _]]) -> None:
        self.first.append(torch.stack([own[0] for own in ranks]).to(self.n.device))

    def compute(self) -> Float64[Tensor, ""]:
        """The median; ValueError without queries."""
        _refuse_none(self.n, who="MedianRank", what="query")
        return _joined(self.first).double().quantile(0.5).floor()


class ZeroShotAccuracy(Metric):
    """The share of clips whose own class is more similar than every other, 0 to 1. A tie counts as a miss.

    ``update`` takes similarities clips x classes and the class of each clip, as its number or as a row of a mask.

    >>> ZeroShotAccuracy()([[0.9, 0.1], [0.8, 0.3]], [0, 1]).item()
    0.5
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    hits: Tensor
    n: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("hits", "n"):
            self.add_state(name, default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, similarities: Rows, target: Rows) -> None:
        """Add clips; ValueError for a clip of several classes, or of none."""
        s = checked(similarities, who="ZeroShotAccuracy", axes="clips captions").cpu()
        match = given.classes(target, shape=tuple(s.shape), who="ZeroShotAccuracy")
        if (match.sum(dim=1) > 1).any():
            raise ValueError(
                "ZeroShotAccuracy: needs one class for each clip; use ZeroShotMAP where clips have more."
            )
        self.hits += int((margins_of(s, match) > 0).sum())
        self.n += len(s)

    def compute(self) -> Float64[Tensor, ""]:
        """The share; ValueError without clips."""
        _refuse_none(self.n, who="ZeroShotAccuracy", what="clip")
        return self.hits.double() / self.n


class ZeroShotMAP(Metric):
    """mAP: mean over the classes that have clips of the average precision over all clips, 0 to 1.

    >>> round(ZeroShotMAP()([[0.9, 0.1], [0.8, 0.3], [0.7, 0.2]], [0, 1, 0]).item(), 4)
    0.9167
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False
    similarities: list[Tensor]
    match: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("similarities", "match"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, similarities: Rows, target: Rows) -> None:
        """Add clips: similarities clips x classes, and each clip's class as a number, or classes as a row of a mask."""
        s = checked(similarities, who="ZeroShotMAP", axes="clips captions").cpu()
        self.match.append(given.classes(target, shape=tuple(s.shape), who="ZeroShotMAP").to(self.device))
        self.similarities.append(s.to(self.device))

    def compute(self) -> Float64[Tensor, ""]:
        """The mean; ValueError without clips."""
        _refuse_none(torch.tensor(len(self.similarities)), who="ZeroShotMAP", what="clip")
        s, match = (_joined(state).cpu() for state in (self.similarities, self.match))
        return torch.tensor(_mean_precision(s, match), dtype=torch.float64)


def _apart(metric: Metric, setting: int) -> None:
    """Keeps compute groups from taking two metrics for one because their first batch gave them equal counts."""
    metric.add_state("setting", default=torch.tensor(setting), dist_reduce_fx="max")


def _mean_precision(s: Float64[Tensor, "k l"], match: Bool[Tensor, "k l"]) -> float:
    values = [tied_average_precision(s[:, t], match[:, t]) for t in range(s.shape[1]) if match[:, t].any()]
    return sum(values) / len(values)


def _joined(state: list[Tensor] | Tensor) -> Tensor:
    """One tensor of a list state, which is one already after it was gathered over processes."""
    return state if isinstance(state, Tensor) else torch.cat(state)


def _refuse_none(n: Tensor, *, who: str, what: str) -> None:
    if not n:
        raise ValueError(f"{who}: needs at least 1 {what}, got 0. Call update first.")
