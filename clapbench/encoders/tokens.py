"""Captions to token ids by a tokenizer of the Hugging Face hub, loaded at the first caption.

Rows are padded to the longest of their batch. A caption beyond the model's limit is truncated as the original does, its
end-of-sentence token kept, and `truncated` counts them.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from clapbench.encoders.base import Encoder
from clapbench.sources import tokenizers


class Tokenizer:
    """``name`` is a folder or a name on the hub; ``max_length`` (tokens, special ones included) is the limit."""

    def __init__(self, name: str, *, max_length: int, model: str) -> None:
        self.name, self.max_length, self.model = name, max_length, model

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer  # a slow import

        folder, _ = tokenizers.find_tokenizer(self.name, model=self.model)
        try:
            return AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(
                f"model {self.model!r}: {folder} holds no tokenizer that transformers can load: {error}. "
                f"Set model.tokenizer=PATH to a folder with tokenizer.json."
            ) from error

    def __call__(
        self, captions: list[str], *, device: torch.device
    ) -> tuple[Int[Tensor, "n l"], Int[Tensor, "n l"]]:
        """``input_ids`` and ``attention_mask`` on ``device``."""
        rows = self._tokenizer(
            captions, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
        )
        return rows["input_ids"].to(device), rows["attention_mask"].to(device)

    def canonical(self, caption: str) -> str:
        """The tokens of ``caption`` as a string: captions with the same tokens are one to the model."""
        ids = self._tokenizer(caption, truncation=True, max_length=self.max_length)["input_ids"]
        return " ".join(map(str, ids))

    def truncated(self, captions: list[str]) -> int:
        """How many captions are longer than ``max_length`` tokens, special ones included."""
        rows = self._tokenizer(captions, truncation=False, verbose=False)["input_ids"]
        return sum(len(row) > self.max_length for row in rows)


class TokenEncoder(Encoder):
    """An encoder whose captions go through the `Tokenizer` that its constructor sets."""

    tokenizer: Tokenizer

    def tokenize(self, captions: list[str]) -> tuple[Int[Tensor, "n l"], Int[Tensor, "n l"]]:
        """Token ids and mask by the model's own tokenizer, on the model's device."""
        return self.tokenizer(captions, device=next(self.parameters()).device)

    def canonical(self, caption: str) -> str:
        """The caption's tokens: captions with the same ones cannot be told apart."""
        return self.tokenizer.canonical(caption)

    def coverage(self, captions: list[str]) -> dict[str, int | float]:
        """``truncated_captions``: how many captions are longer than the model reads."""
        return {"truncated_captions": self.tokenizer.truncated(captions)}


def without_padding(
    input_ids: Int[Tensor, "n l"], attention_mask: Int[Tensor, "n l"]
) -> tuple[Int[Tensor, "n used"], Int[Tensor, "n used"]]:
    """Both, cut after the last token of the longest caption: what follows is padding in every row."""
    used = int(attention_mask.any(dim=0).nonzero().max()) + 1
    return input_ids[:, :used], attention_mask[:, :used]
