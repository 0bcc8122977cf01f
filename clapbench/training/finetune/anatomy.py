"""The parts of an encoder: towers and heads by side, and the rest; and where on each side training begins to move.

A parameter belongs to every part that claims the beginning of its name (a codebook that both sides read belongs to both
heads), to ``rest`` where none does. What moves is what requires a gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from torch import nn

from clapbench.encoders.base import Encoder
from clapbench.kinds import Rule

REST = "rest"
PARTS = ("audio.tower", "audio.head", "text.tower", "text.head", REST)
Part = Annotated[str, Rule(f"one of {', '.join(PARTS)}", PARTS.__contains__, "text.head")]

# The last stage of a side that does not move: what can be computed once for each clip or caption.
Cut = Literal["features", "states", "heard"]


def prefixes(encoder: Encoder | type[Encoder]) -> Mapping[str, tuple[str, ...]]:
    """The beginnings of names by part, of the parts that the encoder has."""
    declared = {
        f"{side}.{kind}": found
        for kind, sides in (("tower", encoder.towers), ("head", encoder.heads))
        for side, found in sides.items()
    }
    return {part: declared[part] for part in PARTS if declared.get(part)}


def parts_of(name: str, encoder: Encoder) -> set[str]:
    """The parts that claim a parameter or module; none: the rest, or a module that holds parts."""
    return {part for part, found in prefixes(encoder).items() if f"{name}.".startswith(found)}


def moving(encoder: Encoder) -> set[str]:
    """The parts of which something moves."""
    found: set[str] = set()
    for name, parameter in encoder.named_parameters(remove_duplicate=False):
        if parameter.requires_grad:
            found |= parts_of(name, encoder) or {REST}
    return found


def cut_of(encoder: Encoder, *, side: str) -> Cut:
    """Where ``side`` begins to move: behind its features, its tower's states, or what its tower hears or reads.

    A class that declares a head and does not compute its stages apart has no cut between them.
    """
    parts = moving(encoder)
    if REST in parts or f"{side}.tower" in parts:
        return "heard"
    if f"{side}.head" not in parts:
        return "features"
    stage = f"{side}_states"
    return "heard" if getattr(type(encoder), stage) is getattr(Encoder, stage) else "states"


def moving_sides(encoder: Encoder) -> set[str]:
    """The sides whose features training changes."""
    return {side for side in encoder.sides if cut_of(encoder, side=side) != "features"}


def moving_modules(encoder: Encoder) -> set[str]:
    """Names of the modules of parts that move; one that holds parts is among them where all of it moves."""
    parts = moving(encoder)
    found = set()
    for name, module in encoder.named_modules(remove_duplicate=False):
        own = parts_of(name, encoder)
        if own & parts if own else all_moves(module, rest=REST in parts):
            found.add(name)
    return found


def all_moves(module: nn.Module, *, rest: bool) -> bool:
    """Whether every parameter of a module moves; of one that has none, whether the ``rest`` does."""
    flags = [parameter.requires_grad for parameter in module.parameters()]
    return all(flags) if flags else rest
