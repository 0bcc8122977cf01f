"""What an audio-text encoder is to clapbench: waves and captions in, unit rows out.

An adapter owns its model's recipe (sample rate, window, padding, mel, tokeniser) and gives features;
this base class normalises the rows, so that no adapter can forget. The constructor loads the weights.
"""

from __future__ import annotations

import inspect
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from clapbench.files import stable_name
from clapbench.sound.mel import MelPower
from clapbench.sources import checkpoints, tokenizers

# Arguments that only name a model or a place; what lies there counts by its content.
PLACES = {"name", "source", "checkpoint", "sha256", "text_source", "text_checkpoint", "tokenizer"}

Scale = tuple[
    str, Callable[[Tensor], Tensor]
]  # a key, and what makes the factor on cosines of the number there


class Encoder(nn.Module, ABC):
    """One model. Rows of ``embed_*`` have unit length; ``*_features`` are the same rows before that.

    ``recipe`` is a version that a change of preprocessing raises: it is part of the cache key.
    """

    name: str  # as messages and cells call it
    recipe: int
    sample_rate: int  # Hz
    window: float | int | None  # seconds from the head of a clip; None: the whole clip
    sides: tuple[str, ...] = ("audio", "text")  # what it embeds; without text there is nothing to retrieve

    # What training can move apart: the beginnings of parameter names by side. A head leads what its tower hears or
    # reads into the joint space. What is in neither, a fine-tuning of parts leaves alone.
    towers: Mapping[str, tuple[str, ...]] = {}
    heads: Mapping[str, tuple[str, ...]] = {}
    blocks: tuple[str, ...] = ()  # patterns of the modules between which activations may be dropped
    logit_scale: float | None = None  # factor on cosines that the weights were trained with, if known

    @abstractmethod
    def audio_features(self, waves: list[Float[Tensor, " _"]]) -> Float[Tensor, "n d"]:
        """Features of mono float32 waves at ``sample_rate``. No row depends on the others of its batch."""

    @abstractmethod
    def token_features(
        self, input_ids: Int[Tensor, "n l"], attention_mask: Int[Tensor, "n l"]
    ) -> Float[Tensor, "n d"]:
        """Features of tokenised captions; ``attention_mask`` is 1 on tokens and 0 on padding."""

    @abstractmethod
    def tokenize(self, captions: list[str]) -> tuple[Int[Tensor, "n l"], Int[Tensor, "n l"]]:
        """``input_ids`` and ``attention_mask``, padded to the longest caption of the batch."""

    def text_features(self, captions: list[str]) -> Float[Tensor, "n d"]:
        """Features of captions: `tokenize`, then `token_features`."""
        return self.token_features(*self.tokenize(captions))

    def heard(self, waves: list[Float[Tensor, " _"]]) -> list[Tensor]:
        """The front end, which has no weights: what the audio tower gets of each wave. By default the wave.

        These tensors and those of other stages may be views of one that holds the whole batch.
        """
        return list(waves)

    def audio_states(self, heard: list[Tensor]) -> list[Tensor]:
        """The audio tower: what the head gets of each clip. By default the clip's features."""
        return list(self.audio_features(heard))

    def audio_head(self, states: list[Tensor]) -> Float[Tensor, "n d"]:
        """Features of `audio_states`, so that ``audio_head(audio_states(heard(waves)))`` is `audio_features`."""
        return torch.stack(states)

    def text_states(self, captions: list[str]) -> list[Tensor]:
        """The text tower: what the head gets of each caption. By default the caption's features."""
        return list(self.text_features(captions))

    def text_head(self, states: list[Tensor]) -> Float[Tensor, "n d"]:
        """Features of `text_states`."""
        return torch.stack(states)

    def embed_audio(self, waves: list[Float[Tensor, " _"]]) -> Float[Tensor, "n d"]:
        """Unit rows of mono float32 waves at ``sample_rate``; ValueError for one that is empty or not finite."""
        for number, wave in enumerate(waves):
            if len(wave) == 0 or not wave.isfinite().all():
                what = "holds no samples" if len(wave) == 0 else "holds samples that are not finite"
                raise ValueError(
                    f"{type(self).__name__}.embed_audio: needed finite mono waves, "
                    f"wave {number} of {len(waves)} {what}."
                )
        return unit(self.audio_features(waves))

    def embed_text(self, captions: list[str]) -> Float[Tensor, "n d"]:
        """Unit rows of captions, n x d."""
        return unit(self.text_features(captions))

    def embed_tokens(
        self, input_ids: Int[Tensor, "n l"], attention_mask: Int[Tensor, "n l"]
    ) -> Float[Tensor, "n d"]:
        """Unit rows of tokenised captions, n x d."""
        return unit(self.token_features(input_ids, attention_mask))

    def canonical(self, caption: str) -> str:
        """A form shared by exactly those captions that this model cannot tell apart.

        Captions with one canonical form are encoded once, so that their similarities tie to the last bit.
        """
        return caption

    def coverage(self, captions: list[str]) -> dict[str, int | float]:
        """What of these captions the model's text side cannot take in, for the cell's ``extra``."""
        return {}

    @property
    def parameter_count(self) -> int:
        """Parameters of both sides, whether or not this model's recipe reaches them."""
        return sum(parameter.numel() for parameter in self.parameters())

    def compile_towers(self) -> None:
        """Compiles by torch.compile what takes the time: each part of the model, not the front end around it."""
        for part in self.children():
            if not isinstance(part, MelPower):
                part.compile(dynamic=True)

    def metadata(self) -> dict[str, str]:
        """What a checkpoint needs besides its tensors to be loaded again."""
        return {}

    def save(
        self,
        path: Path,
        *,
        recipe: Mapping[str, Any],
        dtype: torch.dtype,
        logit_scale: float | None = None,
        tensors: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Writes the whole encoder, as `checkpoints.write` stores tensors, for `load` to read.

        The header holds the training ``recipe``, the class, `metadata` and the factor on cosines (None: the one that
        the weights came with). ``tensors`` stand in for those of `state_dict`, under its keys.
        """
        scale = self.logit_scale if logit_scale is None else logit_scale
        header = {
            "format": "pt",
            "recipe": json.dumps(recipe),
            "class": class_name(type(self)),
            **self.metadata(),
        }
        checkpoints.write(
            path,
            self.state_dict() if tensors is None else tensors,
            dtype=dtype,
            header=header if scale is None else {**header, "logit_scale": repr(float(scale))},
            who=f"{type(self).__name__}.save",
        )

    def read(
        self,
        *,
        checkpoint: str | Path | None,
        source: str | None,
        sha256: str | None,
        part: str | None = None,
        keys: tuple[str, ...] = ("recipe",),
    ) -> checkpoints.Weights:
        """This encoder's file, for `load`; the arguments are those of `checkpoints.read`."""
        return checkpoints.read(
            checkpoint=checkpoint,
            source=source,
            sha256=sha256,
            part=part,
            keys=keys,
            encoder=class_name(type(self)),
            model=self.name,
        )

    def load(
        self,
        weights: checkpoints.Weights,
        *,
        into: nn.Module | None = None,
        unused: Iterable[str] = (),
        rename: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
        scale: Scale | None = None,
    ) -> None:
        """Fills every module and sets `logit_scale`; the encoder is then ready to evaluate.

        What train.py wrote is loaded as it is. The rest says what a released file of this model is: the module that it
        is of (None: the encoder), ``unused`` and ``rename`` as in `checkpoints.load_into`, and in ``scale`` the key of
        the number that the factor on cosines is made of, and how.
        """
        if weights.header is not None:
            into, unused, rename = self, (), None
        checkpoints.load_into(
            into or self, weights.tensors, path=weights.path, model=self.name, unused=unused, rename=rename
        )
        self.logit_scale = scale_of(weights, scale)
        self.eval()


def unit(features: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Rows at unit length; a row of zeros stays."""
    return nn.functional.normalize(features, dim=-1)


def scale_of(weights: checkpoints.Weights, scale: Scale | None) -> float | None:
    """The factor on cosines that some weights were trained with; None where their file does not say."""
    if weights.header is not None:
        return float(weights.header["logit_scale"]) if "logit_scale" in weights.header else None
    if scale is None or scale[0] not in weights.tensors:
        return None
    key, function = scale
    factor = float(function(weights.tensors[key].double()))
    return factor if 0 < factor < math.inf else None


def class_name(encoder: type[Encoder]) -> str:
    """What a class is called in keys of caches and in headers of checkpoints."""
    return stable_name(f"{encoder.__module__}.{encoder.__qualname__}")


def fingerprint(encoder: type[Encoder], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What decides this encoder's embeddings, found without loading a weight.

    The class, its recipe, every constructor argument but those that only name a place, and the SHA-256 of what lies
    there: checkpoint, text checkpoint (a checkpoint that train.py wrote holds its text side), tokenizer.
    """
    model = arguments["name"]
    record: dict[str, Any] = {
        "class": class_name(encoder),
        "recipe": encoder.recipe,
        "arguments": {key: arguments[key] for key in sorted(arguments.keys() - PLACES)},
    }
    if arguments.get("pretrained", True):
        for what in ("checkpoint", "text_checkpoint"):
            source = what.replace("checkpoint", "source")
            if what in arguments or source in arguments:
                path, sha256 = checkpoints.find(
                    checkpoint=arguments.get(what),
                    source=arguments.get(source),
                    sha256=arguments.get("sha256") if what == "checkpoint" else None,
                    model=model,
                )
                record[what] = {"file": path.name, "sha256": sha256}
                if checkpoints.is_trained(path, model=model):
                    break
    if (tokenizer := arguments.get("tokenizer")) is not None:
        record["tokenizer"] = tokenizers.find_tokenizer(tokenizer, model=model)[1]
    return record


class Hearing(NamedTuple):
    """What of a clip reaches an encoder."""

    sample_rate: int  # Hz
    window: float | int | None  # seconds from the head of a clip; None: the whole clip


def hearing(encoder: type[Encoder], arguments: Mapping[str, Any]) -> Hearing | None:
    """An encoder's `Hearing`, found without loading a weight.

    None where only an instance knows it, and for a window that no constructor takes: that is its refusal to make.
    """
    parameter = inspect.signature(encoder).parameters.get("window")
    default = parameter.default if parameter else getattr(encoder, "window", "unknown")
    window = arguments.get("window", default)
    rate = getattr(encoder, "sample_rate", None)
    known = window is None or (isinstance(window, int | float) and 0 < window < math.inf)
    return Hearing(rate, window) if known and isinstance(rate, int) else None


def silence_after(waves: list[Float[Tensor, " _"]], *, samples: int) -> Float[Tensor, "n samples"]:
    """Waves cut to ``samples`` from the head and zero-padded to it."""
    padded = waves[0].new_zeros(len(waves), samples)
    for row, wave in zip(padded, waves, strict=True):
        row[: min(len(wave), samples)] = wave[:samples]
    return padded
