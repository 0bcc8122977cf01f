"""Where a result comes from: versions, commit, time."""

from __future__ import annotations

import platform
import subprocess
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any


def provenance() -> dict[str, Any]:
    """Versions, commit and time, for a cell's record."""
    packages = ("clapbench", "torch", "pytorch-lightning", "torchmetrics", "numpy", "scipy", "transformers")
    found = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    commit = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "versions": found,
        "git_sha": commit.stdout.strip() or None,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
