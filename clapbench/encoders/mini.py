r"""A CLAP small enough to train in minutes on a CPU: 0.8 M parameters, 16 kHz, 128-d.

Audio: log10 mel power, three strided convolutions, two pre-norm transformer blocks. Text: words of a closed
vocabulary, the same blocks. Both sides pool the tokens x_1..x_T to a linear map of
$[\,\mathrm{mean}_t\, x_t,\ \mathrm{mean}_t\, r_t x_t\,]$ with $r_t$ running linearly over [-1.7, 1.7]:
without the second half neither side can break the symmetry of time alone, and order stays unlearned.
Positions are learned on a fixed number of knots and interpolated at r, so they scale with the clip and belong
to no particular length.

``text="bag"`` is the control: it sorts the words before it reads them, so it can tell no two captions apart
that share every word.
"""

from __future__ import annotations

import json
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from clapbench.encoders.base import Encoder, silence_after
from clapbench.kinds import Checkpoint, Name, Rule, Seconds, Sha256, Text
from clapbench.sound.mel import MelPower
from clapbench.sound.synth.captions import vocabulary, words
from clapbench.sources import checkpoints

WIDTH, HEADS, KNOTS, STRIDE = 128, 4, 32, 8
REACH = 1.7  # r of the last token; a uniform r over [-1.7, 1.7] has a standard deviation near 1
GROUP = 32  # clips encoded at once
MARGIN = 12  # frames of silence after the longest clip: more than a token hears beyond its clip, so
# padding to a neighbour's length changes nothing
PAD, UNKNOWN = 0, 1

Reading = Annotated[
    str, Rule("sequence or bag", ("sequence", "bag").__contains__, "sequence")
]  # of a caption


class MiniClap(Encoder):
    """Arguments are those of conf/model/mini.yaml. ``pretrained=False`` starts from random weights."""

    recipe = 1
    sample_rate = 16_000

    def __init__(
        self,
        *,
        name: Name,
        source: Text | None = None,
        checkpoint: Checkpoint | None = None,
        sha256: Sha256 | None = None,
        window: Seconds | None = 6.0,
        text: Reading = "sequence",
        pretrained: bool = True,
    ) -> None:
        super().__init__()
        if text not in ("sequence", "bag"):
            raise ValueError(f"model {name!r}: text must be 'sequence' or 'bag', got {text!r}.")
        if window is not None and window <= 0:
            raise ValueError(f"model {name!r}: window must be positive seconds or null, got {window}.")
        self.name, self.window, self.text = name, window, text
        self.words: tuple[str, ...] = vocabulary()
        tensors: dict[str, Tensor] = {}
        if pretrained:
            path, _ = checkpoints.find(checkpoint=checkpoint, source=source, sha256=sha256, model=name)
            tensors, metadata = checkpoints.read_safetensors(path, model=name)
            if not {"vocabulary", "text"} <= metadata.keys():
                raise ValueError(
                    f"model {name!r}: needed the keys vocabulary and text in the header of {path}. "
                    f"Set model.checkpoint to a MiniClap that train.py wrote."
                )
            self.words = tuple(json.loads(metadata["vocabulary"]))
            if metadata["text"] != text:  # the same tensors fit both, so only the header can tell
                raise ValueError(
                    f"model {name!r}: {path} was trained with text={metadata['text']!r}, "
                    f"text={text!r} was asked for. Set model.text={metadata['text']}."
                )
        self.index = {word: number for number, word in enumerate(self.words, start=UNKNOWN + 1)}

        self.mel = MelPower(
            sample_rate=self.sample_rate, n_fft=512, hop=320, n_mels=64, f_min=50.0, f_max=8000.0
        )
        self.convolutions = nn.Sequential(
            nn.Conv1d(64, WIDTH, kernel_size=5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(WIDTH, WIDTH, kernel_size=5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(WIDTH, WIDTH, kernel_size=3, stride=2, padding=1),
        )
        self.audio_tower = Tower()
        self.word_vectors = nn.Embedding(len(self.words) + UNKNOWN + 1, WIDTH)
        self.text_tower = Tower()
        if pretrained:
            checkpoints.load_into(self, tensors, path=path, model=name)

    def audio_features(self, waves: list[Float[Tensor, " _"]]) -> Float[Tensor, "n d"]:
        """Clips of similar length go together, so that little silence is computed."""
        order = sorted(range(len(waves)), key=lambda index: len(waves[index]))
        groups = [order[start : start + GROUP] for start in range(0, len(order), GROUP)]
        rows = torch.cat([self._audio([waves[index] for index in group]) for group in groups])
        return rows[torch.tensor(order).argsort()]

    def _audio(self, waves: list[Float[Tensor, " _"]]) -> Float[Tensor, "n d"]:
        limit = max(map(len, waves)) if self.window is None else round(self.window * self.sample_rate)
        waves = [wave[:limit] for wave in waves]
        longest = max(map(len, waves))
        power = self.mel(silence_after(waves, samples=longest + MARGIN * self.mel.hop))
        # Fixed scaling: a normalisation per clip would erase loudness. Silence is -2, full scale near 4.
        tokens = self.convolutions((torch.log10(power + 1e-6) + 3.0) / 1.5).transpose(1, 2)
        frames = torch.tensor([1 + len(wave) // self.mel.hop for wave in waves])
        present = torch.arange(tokens.shape[1]) < ((frames + STRIDE - 1) // STRIDE).unsqueeze(1)
        return self.audio_tower(tokens, present.to(tokens.device))

    def token_features(
        self, input_ids: Int[Tensor, "n l"], attention_mask: Int[Tensor, "n l"]
    ) -> Float[Tensor, "n d"]:
        """Features of captions given as word numbers."""
        return self.text_tower(self.word_vectors(input_ids), attention_mask.bool())

    def tokenize(self, captions: list[str]) -> tuple[Int[Tensor, "n l"], Int[Tensor, "n l"]]:
        """Word numbers, those outside the vocabulary as one unknown word; padded with `PAD`."""
        rows = [[self.index.get(word, UNKNOWN) for word in self._read(caption)] for caption in captions]
        ids = torch.full((len(rows), max(map(len, rows))), PAD)
        for row, numbers in zip(ids, rows, strict=True):
            row[: len(numbers)] = torch.tensor(numbers)
        device = self.word_vectors.weight.device
        return ids.to(device), (ids != PAD).long().to(device)

    def _read(self, caption: str) -> list[str]:
        read = words(caption)
        if not read:
            raise ValueError(f"model {self.name!r}: caption {caption!r} has no word. Give it at least one.")
        return sorted(read, key=lambda word: self.index.get(word, UNKNOWN)) if self.text == "bag" else read

    def canonical(self, caption: str) -> str:
        """The caption's words, unknown ones alike; of a bag of words in the vocabulary's order."""
        return " ".join(word if word in self.index else "<unknown>" for word in self._read(caption))

    def coverage(self, captions: list[str]) -> dict[str, int | float]:
        """``unknown_words``: the share of words outside the vocabulary, all read as one unknown word."""
        read = [word for caption in captions for word in words(caption)]
        return {"unknown_words": sum(word not in self.index for word in read) / max(len(read), 1)}

    def metadata(self) -> dict[str, str]:
        """The vocabulary and the way words are read, for the checkpoint's header."""
        return {"vocabulary": json.dumps(self.words), "text": self.text}


class Tower(nn.Module):
    """Positions, two pre-norm blocks, pooling: what audio and text share in shape, not in weights."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(0.5 * torch.randn(KNOTS, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH)
        self.project = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Float[Tensor, "n t d"], present: Bool[Tensor, "n t"]) -> Float[Tensor, "n d"]:
        """``present`` marks the tokens that belong to the clip or caption; they come first in each row."""
        ratio = self.ratio(present)
        x = x + self.interpolate(ratio)
        for block in self.blocks:
            x = block(x, present)
        weight = present / present.sum(dim=1, keepdim=True)
        moments = torch.stack([weight, weight * ratio], dim=1) @ self.norm(x)
        return self.project(moments.flatten(1))

    @staticmethod
    def ratio(present: Bool[Tensor, "n t"]) -> Float[Tensor, "n t"]:
        """r of each token: -1.7 at the first, 1.7 at the last that is present, 0 for a single one."""
        last = present.sum(dim=1, keepdim=True) - 1
        steps = torch.arange(present.shape[1], device=present.device)
        return torch.where(last > 0, (2.0 * steps / last.clamp(min=1) - 1.0).clamp(max=1.0) * REACH, 0.0)

    def interpolate(self, ratio: Float[Tensor, "n t"]) -> Float[Tensor, "n t d"]:
        """Position vectors at r, linear between the two nearest knots."""
        place = (ratio / REACH + 1.0) / 2.0 * (KNOTS - 1)
        knots = torch.arange(KNOTS, device=ratio.device)
        return (1.0 - (place.unsqueeze(-1) - knots).abs()).clamp(min=0.0) @ self.positions


class Block(nn.Module):
    """A pre-norm transformer block; padding is attended to by nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.merge = nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH)
        )

    def forward(self, x: Float[Tensor, "n t d"], present: Bool[Tensor, "n t"]) -> Float[Tensor, "n t d"]:
        """Attention over what is ``present`` and an MLP, each with a residual."""
        n, t, _ = x.shape
        queries, keys, values = (
            self.qkv(self.attention_norm(x)).view(n, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        )
        heads = nn.functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=present[:, None, None, :]
        )
        x = x + self.merge(heads.transpose(1, 2).reshape(n, t, WIDTH))
        return x + self.mlp(x)
