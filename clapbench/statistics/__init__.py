"""Arrays in, evidence out: coefficients, permutation p, intervals over models, corrections, power. Knows no cells.

The functions are here by name, imported when used.

>>> from clapbench.statistics import holm
>>> holm([0.01, 0.04])
[0.02, 0.04]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clapbench.lazy import lazily

if TYPE_CHECKING:
    from clapbench.statistics.bayes import bayes_factor as bayes_factor
    from clapbench.statistics.bootstrap import interval as interval
    from clapbench.statistics.coefficients import correlate as correlate
    from clapbench.statistics.coefficients import partial as partial
    from clapbench.statistics.corrections import holm as holm
    from clapbench.statistics.corrections import max_t as max_t
    from clapbench.statistics.correlation import Row as Row
    from clapbench.statistics.correlation import table as table
    from clapbench.statistics.influence import without_models as without_models
    from clapbench.statistics.permutation import distances as distances
    from clapbench.statistics.permutation import free as free
    from clapbench.statistics.permutation import joint as joint
    from clapbench.statistics.permutation import orders as orders
    from clapbench.statistics.permutation import permuted as permuted
    from clapbench.statistics.permutation import within as within
    from clapbench.statistics.power import cells_needed as cells_needed
    from clapbench.statistics.proportions import binomial_p as binomial_p
    from clapbench.statistics.proportions import sign_p as sign_p
    from clapbench.statistics.proportions import wilson as wilson

_HOMES = {
    "Row": "correlation",
    "bayes_factor": "bayes",
    "binomial_p": "proportions",
    "cells_needed": "power",
    "correlate": "coefficients",
    "distances": "permutation",
    "free": "permutation",
    "holm": "corrections",
    "interval": "bootstrap",
    "joint": "permutation",
    "max_t": "corrections",
    "orders": "permutation",
    "partial": "coefficients",
    "permuted": "permutation",
    "sign_p": "proportions",
    "table": "correlation",
    "wilson": "proportions",
    "within": "permutation",
    "without_models": "influence",
}
_lazy = lazily(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()}, file=__file__)
__all__ = [
    "Row",
    "bayes_factor",
    "binomial_p",
    "cells_needed",
    "correlate",
    "distances",
    "free",
    "holm",
    "interval",
    "joint",
    "max_t",
    "orders",
    "partial",
    "permuted",
    "sign_p",
    "table",
    "wilson",
    "within",
    "without_models",
]


def __getattr__(name: str) -> Any:
    return _lazy.getattr(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_lazy.dir()})
