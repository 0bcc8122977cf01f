"""Checkpoint files: find them, verify their SHA-256, load them without running pickled code, write them.

A file is named by a path (``model.checkpoint``) or, when that is null, by the yaml's ``source``, a URI that `downloads`
brings to this machine. It is as its authors released it, by ``torch.save`` and under keys of their own, or as train.py
wrote it: safetensors with a module's own keys, and a header that names the encoder's class and how it was trained.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from clapbench.files import sha256_of
from clapbench.sources import downloads
from clapbench.sources.archives import what_it_is
from clapbench.sources.source import Source

# What only the files of one model hold: these keys (a pattern each), and none of those after "without".
SIGNATURES = {
    "mini": {"word_vectors.weight": True},
    "laion": {r"audio_branch\.patch_embed\.mel_conv2d\.weight": True, r"audio_branch\.layers\.0\..*": True},
    "laion_unfused": {
        r"audio_branch\.patch_embed\.mel_conv2d\.weight": False,
        r"audio_branch\.layers\.0\..*": True,
    },
    "mga": {"codebook": True},
    "m2d": {r"backbone\.audio_proj\.sem_token": True},
    "m2d_2024": {r"(backbone\.)?audio_proj\.0\.weight": True, r"(backbone\.)?pos_embed": True},
}


def find(
    *, checkpoint: str | Path | None, source: str | None, sha256: str | None, model: str
) -> tuple[Path, str]:
    """The checkpoint's path and the SHA-256 of its bytes.

    Raises ``FileNotFoundError`` that says what to type when there is none, and ``ValueError`` with both
    hashes when the file is not the one that ``sha256`` or the source promises. ``sha256=None`` promises nothing.
    """
    if checkpoint is not None:
        path, promised = Path(checkpoint).expanduser(), sha256
    elif source is not None:
        path, promised = downloads.fetch(source, who=f"model {model!r}"), sha256
        if source.startswith("package://"):  # what was downloaded has been held to its hash before
            promised = sha256 or Source.parse(source).sha256
    else:
        raise FileNotFoundError(f"model {model!r}: needed a checkpoint, got none. Set model.checkpoint=PATH.")
    if path.is_dir():  # as transformers saves a model
        path = path / "model.safetensors"
    if not path.is_file():
        fetched = f", or model.checkpoint=null to fetch {source.partition('#')[0]}" if source else ""
        raise FileNotFoundError(
            f"model {model!r}: no checkpoint at {path}. Set model.checkpoint=PATH{fetched}, "
            f"or run model=mini to try the pipeline with the weights that clapbench ships."
        )
    found = sha256_of(path)
    if promised is not None and found != promised.lower():
        raise ValueError(
            f"model {model!r}: {path} has SHA-256 {found}, needed {promised}. "
            f"Get the file again, or set model.checkpoint={path} model.sha256=null to use it as it is."
        )
    return path, found


@dataclass(frozen=True)
class Weights:
    """The tensors of a checkpoint; ``header`` is what train.py wrote beside them, None where their authors did."""

    path: Path
    tensors: dict[str, Tensor]
    header: dict[str, str] | None


def read(
    *,
    checkpoint: str | Path | None,
    source: str | None,
    sha256: str | None,
    encoder: str,
    model: str,
    part: str | None = None,
    keys: tuple[str, ...] = ("recipe",),
) -> Weights:
    """The weights of the file that `find` finds, for the encoder of this class.

    A released file has its tensors under the key ``part``; None: only train.py writes files of this encoder. Raises
    ``ValueError`` for a file that another class wrote, or for safetensors without these ``keys`` in their header.
    """
    path, _ = find(checkpoint=checkpoint, source=source, sha256=sha256, model=model)
    if part is not None and not is_safetensors(path):
        return Weights(path, read_torch(path, part=part, model=model), header=None)
    tensors, header = read_safetensors(path, model=model)
    if header.get("class", encoder) != encoder:
        raise ValueError(
            f"model {model!r}: needed weights of {encoder}, and {path} holds those of {header['class']}."
            f"{which_model(tensors)} Choose the model yaml that this checkpoint was trained with."
        )
    if not header.keys() >= set(keys):
        raise ValueError(
            f"model {model!r}: needed {' and '.join(keys)} in the header of {path}, as train.py writes it, got "
            f"{', '.join(header) or 'no header'}.{which_model(tensors)} Set model.checkpoint to weights of {encoder} "
            f"that train.py wrote{', or that its authors released' if part else ''}."
        )
    return Weights(path, tensors, header)


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors: the length of its header, then JSON."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def is_trained(path: Path, *, model: str) -> bool:
    """Whether train.py wrote this file, so that it holds all of its encoder."""
    if not is_safetensors(path):
        return False
    with opened(path, model=model) as file:
        return "recipe" in (file.metadata() or {})


def training_of(path: Path) -> str | None:
    """The name of the training that wrote a file; None for any other file."""
    if not path.is_file() or not is_safetensors(path):
        return None
    with opened(path, model=path.name) as file:
        recipe = json.loads((file.metadata() or {}).get("recipe", "{}"))
    return str(recipe["name"]) if "name" in recipe else None


def write(
    path: Path, tensors: Mapping[str, Tensor], *, dtype: torch.dtype, header: Mapping[str, str], who: str
) -> None:
    """Writes safetensors with this header. Numbers with a fraction are stored in ``dtype``, others as they are.

    A tensor that overflows ``dtype`` is stored in float32. Raises ``ValueError``, and writes nothing, where one holds a
    number that is not finite.
    """
    stored = {key: as_stored(value.detach().cpu(), dtype=dtype) for key, value in tensors.items()}
    if broken := [key for key, value in stored.items() if not value.isfinite().all()]:
        raise ValueError(
            f"{who}: needed finite numbers, and {len(broken)} of {len(stored)} tensors hold others (first: "
            f"{broken[0]}), so nothing is written. Train with a lower learning rate, or in float32."
        )
    save_file(stored, path, metadata=dict(header))


def as_stored(tensor: Tensor, *, dtype: torch.dtype) -> Tensor:
    """A tensor in ``dtype`` if that holds its numbers: whole numbers keep their type, and float32 takes what overflows.

    >>> [as_stored(torch.tensor(x), dtype=torch.float16).dtype for x in (1.0, 1e6, 7)]
    [torch.float16, torch.float32, torch.int64]
    """
    if not tensor.is_floating_point():
        return tensor.contiguous()
    stored = tensor.to(dtype)
    return (stored if stored.isfinite().all() else tensor.float()).contiguous()


def read_safetensors(path: Path, *, model: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by key, and the file's metadata."""
    with opened(path, model=model) as file:
        return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


@contextmanager
def opened(path: Path, *, model: str) -> Iterator[Any]:
    """A safetensors file; ``ValueError`` where it is none, or a broken one."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(
            f"model {model!r}: needed a safetensors file at {path}, got: {error}. "
            f"Set model.checkpoint to a file that train.py wrote."
        ) from error


ADVICE = ("weights_only", "weights only", "torch.load", "safe_globals", "trust")  # torch's, to run a pickle


class NotTensors:
    """Stands for every pickled object of a checkpoint that is not a tensor; takes anything, does nothing."""

    def __init__(self, *arguments: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


def read_torch(path: Path, *, part: str, model: str) -> dict[str, Tensor]:
    """The tensors under the key ``part`` of a ``torch.save`` file, mapped from disk, ``module.`` stripped.

    No pickled code runs: torch's restricted unpickler, in which every class it does not know is `NotTensors`.
    """
    who = f"model {model!r}: {path}"
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{who} holds no weights of torch: it {what_it_is(path)} Get the file again, or set model.checkpoint=PATH."
        )
    with zipfile.ZipFile(path) as archive:
        held = [name for name in archive.namelist() if not name.endswith("/")]
    if not any(name.endswith("data.pkl") for name in held):
        raise ValueError(
            f"{who} is an archive of {', '.join(held[:3])}, not of torch. Unpack it, and set model.checkpoint=PATH to "
            f"the file inside."
        )
    try:
        unknown = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        inert = [(NotTensors, name) for name in unknown]
        with torch.serialization.safe_globals(inert):  # type: ignore[arg-type]
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a damaged pickle fails in any way it likes
        raise ValueError(
            f"{who} cannot be read as a torch checkpoint: {refusal(error)} "
            f"Get the file again, or set model.checkpoint=PATH."
        ) from None  # torch's own words advise to run the pickle, in a traceback as well
    tensors = content.get(part) if isinstance(content, dict) else None
    if not isinstance(tensors, dict):
        keys = ", ".join(map(str, list(content)[:5])) if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"{who} needs its tensors under {part!r}, and holds {keys}.{which_model(keys_of(content))} "
            f"Set model.checkpoint=PATH to a released file of this model."
        )
    return {
        str(key).removeprefix("module."): value for key, value in tensors.items() if isinstance(value, Tensor)
    }


def refusal(error: Exception) -> str:
    """Why torch did not read a pickle: the first line of its words that does not advise to run the pickle after all.

    >>> refusal(RuntimeError("Re-run with weights_only=False, it will likely succeed. WeightsUnpickler error: No."))
    'No.'
    """
    why = str(error).rpartition("WeightsUnpickler error:")[2]
    for line in why.splitlines():
        if line.strip() and not any(word in line.lower() for word in ADVICE):
            return line.strip()
    return f"its pickle is damaged, or asks for more than tensors ({type(error).__name__})."


def keys_of(content: Any) -> set[str]:
    """Every tensor's key in a checkpoint, whatever it lies under."""
    if not isinstance(content, dict):
        return set()
    inner = [value for value in content.values() if isinstance(value, dict)]
    return {
        str(key).removeprefix("module.") for part in (content, *inner) for key in part if isinstance(key, str)
    }


def which_model(keys: Iterable[str]) -> str:
    """`` It looks like model=NAME.`` for the model whose files hold such keys; empty where none does."""
    names = set(keys)
    for model, signature in SIGNATURES.items():
        if all(
            wanted == any(re.fullmatch(pattern, key) for key in names)
            for pattern, wanted in signature.items()
        ):
            return f" It looks like a file of model={model}."
    return ""


def load_into(
    module: nn.Module,
    tensors: dict[str, Tensor],
    *,
    path: Path,
    model: str,
    unused: Iterable[str] = (),
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
) -> None:
    """Copies ``tensors`` into ``module``; an error names missing, unexpected and misshaped keys.

    ``unused`` are patterns of keys that such files hold and the embeddings do not need; ``position_ids``, which
    transformers before 4.31 saved, is always one. ``rename`` turns what is left into the module's own keys.
    """
    ignored = re.compile("|".join([r"(?:.*\.)?position_ids", *unused]))
    kept = {key: value for key, value in tensors.items() if not ignored.fullmatch(key)}
    given = rename(kept) if rename else kept
    wanted = {key: value.shape for key, value in module.state_dict().items()}
    problems = [f"missing {key}" for key in sorted(wanted.keys() - given.keys())]
    problems += [f"unexpected {key}" for key in sorted(given.keys() - wanted.keys())]
    problems += [
        f"{key} has shape {tuple(given[key].shape)}, needed {tuple(shape)}"
        for key, shape in wanted.items()
        if key in given and given[key].shape != shape
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(
            f"model {model!r}: {path} does not fit: {'; '.join(problems[:5])}{more}.{which_model(tensors)} "
            f"Choose the model yaml that this checkpoint was trained with."
        )
    module.load_state_dict(given)  # copies into the module's own precision
