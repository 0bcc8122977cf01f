"""Where messages to people go: one rich console, wide enough for the tables when the output is a file or a pipe."""

from __future__ import annotations

import os

from rich.console import Console

console = Console()
if not console.is_terminal and "COLUMNS" not in os.environ:
    console = Console(width=110)
