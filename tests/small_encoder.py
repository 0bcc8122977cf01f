"""An encoder of a few hundred parameters with everything that fine-tuning meets: dropout, BatchNorm, blocks, a shared
codebook, and a parameter of no side.
"""

from __future__ import annotations

import zlib
from collections import Counter
from typing import Any

import torch
from conftest import ROOT
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from clapbench.encoders.base import Encoder
from clapbench.training.finetune.base import Finetune

WIDTH, WORDS, FRAME = 8, 64, 16
CAPTIONS = [
    "A dog barks",
    "Rain falls before a dog barks",
    "A dog barks before rain falls",
    "A bell",
    "Loud rain",
]


class Block(nn.Module):
    """A residual layer with the names that adapters look for."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.value = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.value(torch.tanh(self.query(x))))


class Tower(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        for block in self.blocks:
            x = block(x)
        return x


class Small(Encoder):
    """``calls`` counts the rows that each stage was computed for."""

    recipe, sample_rate, window, name = 1, 8_000, None, "small"
    towers = {"audio": ("audio_tower.",), "text": ("words.", "text_tower.")}
    heads = {"audio": ("audio_projection.", "codebook"), "text": ("text_projection.", "codebook")}
    blocks = (r"(audio|text)_tower\.blocks\.\d+",)

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.audio_tower, self.text_tower = Tower(), Tower()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.audio_projection, self.text_projection = (
            nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Dropout(0.5)) for _ in range(2)
        )
        self.codebook = nn.Parameter(torch.randn(WIDTH, WIDTH))
        self.loudness = nn.Parameter(torch.ones(1))
        self.calls: Counter[str] = Counter()

    def heard(self, waves: list[Tensor]) -> list[Tensor]:
        self.calls["heard"] += len(waves)
        return [wave[: len(wave) // FRAME * FRAME].reshape(FRAME, -1)[:WIDTH].std(dim=1) for wave in waves]

    def audio_states(self, heard: list[Tensor]) -> list[Tensor]:
        self.calls["audio"] += len(heard)
        return list(self.audio_tower(self.loudness * torch.stack(heard)))

    def audio_head(self, states: list[Tensor]) -> Tensor:
        return self.audio_projection(torch.stack(states)) @ self.codebook

    def audio_features(self, waves: list[Tensor]) -> Tensor:
        return self.audio_head(self.audio_states(self.heard(waves)))

    def tokenize(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        rows = [
            torch.tensor([1 + zlib.crc32(w.encode()) % (WORDS - 1) for w in text.split()])
            for text in captions
        ]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        return ids.to(self.codebook.device), (ids != 0).long().to(self.codebook.device)

    def token_states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        place = torch.arange(1, input_ids.shape[1] + 1, device=input_ids.device)  # so that order counts
        weight = (attention_mask * place).unsqueeze(-1)
        return self.text_tower((self.words(input_ids) * weight).sum(dim=1) / weight.sum(dim=1))

    def text_states(self, captions: list[str]) -> list[Tensor]:
        self.calls["text"] += len(captions)
        return list(self.token_states(*self.tokenize(captions)))

    def text_head(self, states: list[Tensor]) -> Tensor:
        return self.text_projection(torch.stack(states)) @ self.codebook

    def token_features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.text_head(list(self.token_states(input_ids, attention_mask)))

    def text_features(self, captions: list[str]) -> Tensor:
        return self.text_head(self.text_states(captions))


class OwnHeads(Small):
    """The same without anything that both sides share."""

    heads = {"audio": ("audio_projection.",), "text": ("text_projection.",)}

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        del self.codebook, self.loudness
        self.register_buffer("codebook", torch.eye(WIDTH))
        self.register_buffer("loudness", torch.ones(1))


def waves(n: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [(0.1 + 0.1 * i) * torch.randn(400 + 16 * i, generator=generator) for i in range(n)]


def finetune(name: str, **changes: object) -> Finetune:
    """That of conf/finetune/NAME.yaml."""
    return instantiate(OmegaConf.load(ROOT / "conf" / "finetune" / f"{name}.yaml"), **changes)


def applied(name: str, encoder: Encoder | None = None, **changes: object) -> tuple[Any, Finetune]:
    """An encoder, `OwnHeads` where none is given, with the fine-tuning of that name applied."""
    encoder, chosen = encoder or OwnHeads(), finetune(name, **changes)
    torch.manual_seed(0)
    chosen.apply(encoder)
    return encoder, chosen
