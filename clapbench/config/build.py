"""From a node of a configuration to the object, and folders that a command writes to."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from clapbench.config.conf import ConfigError
from clapbench.config.levels import without_levels


def build(node: DictConfig, **arguments: Any) -> Any:
    """``instantiate`` of this node alone, which raises what the constructor raised, without Hydra's wrapping.

    A model's levels, which are no arguments, stay out.
    """
    try:
        return instantiate(without_levels(node), _recursive_=False, **arguments)
    except InstantiationException as error:
        raise error.__cause__ or error from None


def check_place(folder: Path, *, key: str) -> None:
    """Refuses a folder that cannot be made where it is to lie, without making it."""
    above = next((one for one in (folder, *folder.absolute().parents) if one.exists()), Path("/"))
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ConfigError(
            f"{key}: needed a folder that can be written, got {folder}: {above} is none. Set {key}=DIR."
        )


def check_writable(folder: Path, *, key: str) -> None:
    """Makes ``folder`` and writes a file in it, or says which ``key`` to change."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"{key}: needed a folder that can be written, got {folder}: {reason}. Set {key}=DIR."
        ) from error


def sweep_folder(cfg: DictConfig) -> Path:
    """Where the cells of a command lie."""
    return Path(str(cfg.outputs), str(cfg.sweep))
