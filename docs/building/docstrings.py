"""Docstrings as Markdown: examples become code blocks, the fields of a record a table with their comments."""

from __future__ import annotations

import re
from typing import Any

from griffe import Attribute, Class, Docstring, Extension, Object

EXAMPLE = re.compile(r"(?m)^(>>> .*(?:\n(?!\s*$).*)*)")
RECORDS = ("NamedTuple", "dataclass")


class Docstrings(Extension):
    """Rewrites each docstring once, before it is rendered."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Called by griffe for every object that it has read."""
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(r"```python\n\1\n```", obj.docstring.value)

    def on_class_members(self, *, cls: Class, **kwargs: Any) -> None:
        """Called by griffe when it has read what a class holds."""
        kinds = [str(base) for base in cls.bases] + [str(decorator.value) for decorator in cls.decorators]
        if any(kind.partition("(")[0].rpartition(".")[2] in RECORDS for kind in kinds):
            text = cls.docstring.value if cls.docstring else ""
            fields = [one for one in cls.members.values() if isinstance(one, Attribute) and _is_field(one)]
            cls.docstring = Docstring(text + _table(fields), parent=cls, lineno=cls.lineno)


def _is_field(one: Attribute) -> bool:
    return (
        one.annotation is not None
        and not one.has_labels("property")
        and "ClassVar" not in str(one.annotation)
    )


def _table(fields: list[Attribute]) -> str:
    """A row for each field: its name, its type, and what the comment behind it says."""
    lines = ["", "", "| field | type | |", "|---|---|---|"]
    for one in fields:
        line = one.filepath.read_text(encoding="utf-8").splitlines()[(one.lineno or 1) - 1]  # type: ignore[union-attr]
        comment = line.partition("  # ")[2]
        lines.append(f"| `{one.name}` | `{one.annotation}` | {comment.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) if fields else ""
