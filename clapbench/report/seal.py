"""The last line of a page: what it was drawn from, and the hashes of what was drawn, so that it is drawn anew when any
of that is not so any more."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from clapbench import files
from clapbench.study.summary import Summary

FIGURES = ("rankme_n", "probes_h")  # beside the page, where there is something to draw
START, END = "<!-- drawn from ", " -->\n"
SOURCES = Path(__file__).parent  # the modules that draw


def content_of(summary: Summary, *, texts: Mapping[str, str]) -> str:
    """A key of all that the page shows: cells, the ``texts`` of tables and summary.json, and the code that draws."""
    return files.key_of(
        {
            "code": files.key_of_sources(SOURCES),
            "matplotlib": version("matplotlib"),
            "texts": dict(texts),
            "cells": [cell.to_json() for cell in summary.sweep.cells],
        }
    )


def line(content: str, *, html: str, images: Mapping[str, bytes]) -> str:
    """The comment that ends a page: what it was made from, and the hashes of what was made."""
    drawn = {"index.html": _sha256(html.encode("utf-8"))}
    drawn |= {f"{name}.png": _sha256(image) for name, image in images.items()}
    return f"{START}{json.dumps({'content': content, 'sha256': drawn})}{END}"


def holds(folder: Path, *, content: str) -> bool:
    """Whether the page in ``folder`` was drawn from ``content``, and is there with its figures as they were drawn."""
    try:
        html, _, record = (folder / "index.html").read_bytes().rpartition(START.encode())
        said = json.loads(record.removesuffix(END.encode()))
        drawn = dict(said["sha256"])
        pages = [_sha256(html) == drawn.pop("index.html")]
        pages += [_sha256((folder / name).read_bytes()) == digest for name, digest in drawn.items()]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    strays = [name for name in FIGURES if f"{name}.png" not in drawn and (folder / f"{name}.png").exists()]
    return said["content"] == content and all(pages) and not strays


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
