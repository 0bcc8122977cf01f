"""Listening studies: made from systems, read from what webMUSHRA wrote, post-screened, and told with intervals.

>>> from clapbench.listening import simulate
>>> simulate({"a": 70.0, "b": 40.0}).rejected
{}
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clapbench.lazy import lazily

if TYPE_CHECKING:
    from clapbench.listening.mushra import Mushra as Mushra
    from clapbench.listening.paired import Paired as Paired
    from clapbench.listening.paired import read_paired as read_paired
    from clapbench.listening.ratings import read_mushra as read_mushra
    from clapbench.listening.simulated import simulate as simulate
    from clapbench.listening.webmushra import prepare as prepare

_HOMES = {
    "Mushra": "mushra",
    "Paired": "paired",
    "prepare": "webmushra",
    "read_mushra": "ratings",
    "read_paired": "paired",
    "simulate": "simulated",
}
_lazy = lazily(__name__, {name: f"{__name__}.{home}" for name, home in _HOMES.items()}, file=__file__)
__all__ = ["Mushra", "Paired", "prepare", "read_mushra", "read_paired", "simulate"]


def __getattr__(name: str) -> Any:
    return _lazy.getattr(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_lazy.dir()})
