"""Where a result comes from: versions, commit, time."""

from __future__ import annotations

import platform
import subprocess
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("clapbench", "torch", "pytorch-lightning", "torchmetrics", "numpy", "scipy", "transformers")


def provenance() -> dict[str, Any]:
    """Versions, commit and time, for the record of a cell or a checkpoint. Leaves out what cannot be found."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return {
        "versions": found,
        "git_sha": commit(),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def commit() -> str | None:
    """The checkout's commit, with ``-dirty`` where tracked files differ from it; None outside a checkout."""
    asked = ("rev-parse", "--verify", "HEAD"), ("status", "--porcelain", "--untracked-files=no")
    try:
        sha, changes = (
            subprocess.run(
                ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
            )
            for words in asked
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return sha.stdout.strip() + ("-dirty" if changes.stdout.strip() else "")
