"""Formulas as MathML, which browsers draw by themselves: no script, no font from elsewhere."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>([.,;:)]*)', re.DOTALL)


def on_page_content(html: str, **kwargs: Any) -> str:
    """Called by MkDocs with each page's HTML."""
    return FORMULA.sub(_drawn, html)


def _drawn(found: re.Match[str]) -> str:
    tex = unescape(found[2]).strip()
    for opening, closing in ((r"\(", r"\)"), (r"\[", r"\]")):
        tex = tex.removeprefix(opening).removesuffix(closing)
    if found[1] == "div":
        return convert(tex, display="block") + found[3]
    return f'<span class="formula">{convert(tex)}{found[3]}</span>'  # what follows stays on the line
