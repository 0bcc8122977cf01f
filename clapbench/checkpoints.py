"""Checkpoint files: find them, verify their SHA-256, load them without running pickled code.

A file is named by a path (``model.checkpoint``) or, when that is null, by the yaml's ``source``: a URI whose
scheme says where it comes from and whose fragment, as in a pip requirement, is its known hash:
``package://FILE#sha256=HEX`` is a file shipped inside clapbench/weights.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

WEIGHTS = Path(__file__).parent / "weights"


def find(*, checkpoint: str | None, source: str | None, sha256: str | None, model: str) -> tuple[Path, str]:
    """The checkpoint's path and the SHA-256 of its bytes.

    Raises ``FileNotFoundError`` that says what to type when there is none, and ``ValueError`` with both
    hashes when the file is not the one that ``sha256`` or the source's fragment promises. ``sha256=None``
    promises nothing.
    """
    if checkpoint is not None:
        path, promised = Path(checkpoint).expanduser(), sha256
    elif source is not None and source.startswith("package://"):
        file, _, known = source.removeprefix("package://").partition("#sha256=")
        path, promised = WEIGHTS / file, sha256 or known or None
    else:
        raise FileNotFoundError(
            f"model {model!r}: needed a checkpoint, or a source that starts with package://; got {source!r}. "
            f"Set model.checkpoint=PATH."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"model {model!r}: no checkpoint at {path}. Set model.checkpoint=PATH, "
            f"or run model=mini to try the pipeline with the weights that clapbench ships."
        )
    found = sha256_of(path)
    if promised is not None and found != promised.lower():
        raise ValueError(
            f"model {model!r}: {path} has SHA-256 {found}, needed {promised}. "
            f"Get the file again, or set model.checkpoint={path} model.sha256=null to use it as it is."
        )
    return path, found


def sha256_of(path: Path) -> str:
    """SHA-256 of the file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_safetensors(path: Path, *, model: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by key, and the file's metadata."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"model {model!r}: needed a safetensors file at {path}, got: {error}. "
            f"Set model.checkpoint to a file that train.py wrote."
        ) from error


def load_into(module: nn.Module, tensors: dict[str, Tensor], *, path: Path, model: str) -> None:
    """Copies ``tensors`` into ``module``; an error names missing, unexpected and misshaped keys."""
    wanted = {key: value.shape for key, value in module.state_dict().items()}
    problems = [f"missing {key}" for key in sorted(wanted.keys() - tensors.keys())]
    problems += [f"unexpected {key}" for key in sorted(tensors.keys() - wanted.keys())]
    problems += [
        f"{key} has shape {tuple(tensors[key].shape)}, needed {tuple(shape)}"
        for key, shape in wanted.items()
        if key in tensors and tensors[key].shape != shape
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(
            f"model {model!r}: {path} does not fit: {'; '.join(problems[:5])}{more}. "
            f"Choose the model yaml that this checkpoint was trained with."
        )
    module.load_state_dict(tensors)  # copies into the module's own precision
