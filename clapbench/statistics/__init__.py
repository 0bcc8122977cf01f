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
    from clapbench.statistics.bootstrap import interval as interval
    from clapbench.statistics.bootstrap import without_one_model as without_one_model
    from clapbench.statistics.coefficients import correlate as correlate
    from clapbench.statistics.coefficients import partial as partial
    from clapbench.statistics.corrections import benjamini_hochberg as benjamini_hochberg
    from clapbench.statistics.corrections import holm as holm
    from clapbench.statistics.correlation import Row as Row
    from clapbench.statistics.correlation import table as table
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
    "benjamini_hochberg": "corrections",
    "binomial_p": "proportions",
    "cells_needed": "power",
    "correlate": "coefficients",
    "free": "permutation",
    "holm": "corrections",
    "interval": "bootstrap",
    "joint": "permutation",
    "orders": "permutation",
    "partial": "coefficients",
    "permuted": "permutation",
    "sign_p": "proportions",
    "table": "correlation",
    "wilson": "proportions",
    "within": "permutation",
    "without_one_model": "bootstrap",
}
_lazy = lazily(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()}, file=__file__)
__all__ = [
    "Row",
    "benjamini_hochberg",
    "binomial_p",
    "cells_needed",
    "correlate",
    "free",
    "holm",
    "interval",
    "joint",
    "orders",
    "partial",
    "permuted",
    "sign_p",
    "table",
    "wilson",
    "within",
    "without_one_model",
]


def __getattr__(name: str) -> Any:
    return _lazy.getattr(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_lazy.dir()})
