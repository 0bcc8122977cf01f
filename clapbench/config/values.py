"""One value held to its kind: what it must be, in words, and what it is once words for no are false."""

from __future__ import annotations

import types
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from clapbench.config.conf import ConfigError
from clapbench.kinds import Number, Rule, Unit

LAX = ConfigDict(coerce_numbers_to_str=True, allow_inf_nan=False, arbitrary_types_allowed=True)
NOUNS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    Path: "a path",
    type(None): "null",
}


def fit(kind: Any, value: Any, *, key: str) -> Any:
    """``value`` as its kind has it. `ConfigError` with the key, what was needed and what came."""
    try:
        adapter = _adapter(kind)
    except (PydanticSchemaGenerationError, PydanticUserError, TypeError):  # a type that is none of ours
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise ConfigError(
            f"{key}: needed {_broken(kind, error)}, got {_shown(value)}. Set {key}={example(kind)}."
        ) from None


def _broken(kind: Any, error: ValidationError) -> str:
    """The words of the rule that a value breaks, where it breaks one, else those of its kind."""
    rules = [str(one["ctx"]["error"]) for one in error.errors() if one["type"] == "value_error"]
    null = ", or null" if type(None) in get_args(kind) else ""
    return f"{rules[0]}{null}" if rules else words(kind)


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)[:200]


@cache
def _adapter(kind: Any) -> Any:  # a TypeAdapter
    return TypeAdapter(kind, config=LAX)


def words(kind: Any) -> str:
    """What a kind is, as it follows "needed" in an error and stands in the reference page.

    >>> words(Annotated[int, Ge(1), Unit("rows")] | None), words(Literal["cpu", "gpu"])
    ('a whole number of rows, 1 or more, or null', 'cpu or gpu')
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _either([words(one) for one in dict.fromkeys(arguments)])
    if origin is Literal:
        return _either([str(one) for one in arguments])
    if origin is Annotated:
        return _constrained(arguments[0], arguments[1:])
    if origin in (list, tuple, Sequence) or (origin and issubclass(origin, Sequence)):
        return f"a list, each {words(arguments[0])}" if arguments else "a list"
    if kind is Any or kind in (dict,) or origin is not None:
        return "a mapping" if origin is not None or kind is dict else "any value"
    return NOUNS.get(kind, getattr(kind, "__name__", str(kind)))


def _constrained(base: Any, constraints: Sequence[Any]) -> str:
    """The words for a type under constraints: a rule's own, or noun, unit and range."""
    if rules := [one.words for one in constraints if isinstance(one, Rule)]:
        return rules[-1]  # the strictest
    for one in constraints:
        if isinstance(one, Len) and one.min_length == one.max_length:
            return f"a list of {one.min_length}, each {words(get_args(base)[0])}"
    unit = next((f" of {one.name}" for one in constraints if isinstance(one, Unit)), "")
    low = next((one for one in constraints if isinstance(one, Ge | Gt)), None)
    high = next((one for one in constraints if isinstance(one, Le | Lt)), None)
    noun = NOUNS[float] if any(isinstance(one, Number) for one in constraints) else words(base)
    return f"{noun}{unit}{_range(low, high)}"


def _range(low: Ge | Gt | None, high: Le | Lt | None) -> str:
    """A range in words, as they follow a noun: ", 1 or more", " from 0 to 256", " above 0 and at most 10"."""
    if isinstance(low, Ge) and isinstance(high, Le):
        return f" from {low.ge} to {high.le}"
    start = "" if low is None else f" above {low.gt}" if isinstance(low, Gt) else f", {low.ge} or more"
    end = "" if high is None else f" below {high.lt}" if isinstance(high, Lt) else f" at most {high.le}"
    return f"{start} and{end}" if start and end else start or end


def _either(options: Sequence[str]) -> str:
    options = list(dict.fromkeys(options))
    separator = ", or " if any("," in option for option in options) or "null" in options else " or "
    return ", ".join(options[:-1]) + separator + options[-1] if len(options) > 1 else options[0]


def example(kind: Any) -> str:
    """A value of the kind, to be typed."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return example(next((one for one in arguments if one is not type(None)), kind))
    if origin is Literal:
        return str(arguments[0])
    if origin is not Annotated:
        return {bool: "false", int: "1", float: "1.0"}.get(kind, "VALUE")
    base, constraints = arguments[0], arguments[1:]
    for one in constraints:
        if isinstance(one, Rule):
            return one.example
        if isinstance(one, Ge | Gt):
            return str(one.ge if isinstance(one, Ge) else 1 if one.gt == 0 else one.gt)
    return example(base)
