"""A number that is not defined: NaN that says why."""

from __future__ import annotations


class Undefined(float):
    """NaN with a ``reason``, in words that follow the name of what was measured.

    >>> import math
    >>> found = Undefined("it has no notes")
    >>> found, math.isnan(found), found.reason
    (Undefined('it has no notes'), True, 'it has no notes')
    """

    reason: str

    def __new__(cls, reason: str) -> Undefined:
        """NaN for this reason."""
        made = super().__new__(cls, "nan")
        made.reason = reason
        return made

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]
        """What pickle and copy make it from again."""
        return (self.reason,)

    def __repr__(self) -> str:
        return f"Undefined({self.reason!r})"


def reason_of(value: float) -> str | None:
    """Why ``value`` is undefined; None where it is a number."""
    return value.reason if isinstance(value, Undefined) else None
