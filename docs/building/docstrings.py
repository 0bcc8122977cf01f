"""Docstrings as Markdown: examples become code blocks, names in single backticks links where there is such a page."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

EXAMPLE = re.compile(r"(?m)^(>>> .*(?:\n(?!\s*$).*)*)")


class Docstrings(Extension):
    """Rewrites each docstring once, before it is rendered."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Called by griffe for every object that it has read."""
        if obj.docstring:
            obj.docstring.value = EXAMPLE.sub(r"```python\n\1\n```", obj.docstring.value)
