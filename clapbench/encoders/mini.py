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

from clapbench.encoders.base import silence_after
from clapbench.encoders.stages import StagedEncoder, in_groups, similar
from clapbench.encoders.strided import Halvings
from clapbench.kinds import Checkpoint, Name, Rule, Seconds, Sha256, Text
from clapbench.sound.mel import MelPower
from clapbench.sound.synth.captions import vocabulary, words

WIDTH, HEADS, KNOTS, STRIDE = 128, 4, 32, 8
REACH = 1.7  # r of the last token; a uniform r over [-1.7, 1.7] has a standard deviation near 1
GROUP = 32  # clips encoded at once
MARGIN = 12  # frames of silence after the longest clip: more than a token hears beyond its clip, so
# padding to a neighbour's length changes nothing
PAD, UNKNOWN = 0, 1

Reading = Annotated[
    str, Rule("sequence or bag", ("sequence", "bag").__contains__, "sequence")
]  # of a caption


class MiniClap(StagedEncoder):
    """Arguments are those of conf/model/mini.yaml. ``pretrained=False`` starts from random weights."""

    recipe = 1
    sample_rate = 16_000
    towers = {
        "audio": ("convolutions", *(f"audio_tower.{part}" for part in ("positions", "blocks", "norm"))),
        "text": ("word_vectors", *(f"text_tower.{part}" for part in ("positions", "blocks", "norm"))),
    }
    heads = {"audio": ("audio_tower.project",), "text": ("text_tower.project",)}
    blocks = (r"(audio|text)_tower\.blocks\.\d+",)

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
        weights = None
        if pretrained:
            weights = self.read(
                checkpoint=checkpoint, source=source, sha256=sha256, keys=("vocabulary", "text")
            )
            assert weights.header is not None
            self.words = tuple(json.loads(weights.header["vocabulary"]))
            if weights.header["text"] != text:  # the same tensors fit both, so only the header can tell
                raise ValueError(
                    f"model {name!r}: {weights.path} was trained with text={weights.header['text']!r}, "
                    f"text={text!r} was asked for. Set model.text={weights.header['text']}."
                )
        self.index = {word: number for number, word in enumerate(self.words, start=UNKNOWN + 1)}

        self.mel = MelPower(
            sample_rate=self.sample_rate, n_fft=512, hop=320, n_mels=64, f_min=50.0, f_max=8000.0
        )
        self.convolutions = Halvings(
            nn.Conv1d(64, WIDTH, kernel_size=5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(WIDTH, WIDTH, kernel_size=5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(WIDTH, WIDTH, kernel_size=3, stride=2, padding=1),
        )
        self.audio_tower = Tower()
        self.word_vectors = nn.Embedding(len(self.words) + UNKNOWN + 1, WIDTH)
        self.text_tower = Tower()
        if weights is not None:
            self.load(weights)

    def heard(self, waves: list[Float[Tensor, " _"]]) -> list[Float[Tensor, "_ 64"]]:
        """Log-mel of each clip by frame, `MARGIN` frames of silence at its end."""
        limit = None if self.window is None else round(self.window * self.sample_rate)
        heads = [wave[:limit] for wave in waves]
        order = sorted(range(len(heads)), key=lambda number: len(heads[number]))
        groups = [order[start : start + GROUP] for start in range(0, len(order), GROUP)]
        return in_groups(self._log_mels, heads, groups=groups)

    def _log_mels(self, waves: list[Float[Tensor, " _"]]) -> list[Float[Tensor, "_ 64"]]:
        longest = max(map(len, waves))
        power = self.mel(silence_after(waves, samples=longest + MARGIN * self.mel.hop)).transpose(1, 2)
        frames = [1 + len(wave) // self.mel.hop + MARGIN for wave in waves]
        return [clip[:own] for clip, own in zip(scaled(power), frames, strict=True)]

    def audio_states(self, heard: list[Float[Tensor, "_ 64"]]) -> list[Float[Tensor, " moments"]]:
        """The two moments of each clip's tokens; clips of similar length go together, so that little is padding."""
        lengths = [len(clip) - MARGIN for clip in heard]
        return in_groups(self._moments, heard, groups=similar(lengths, least=GROUP))

    def _moments(self, heard: list[Float[Tensor, "_ 64"]]) -> Float[Tensor, "n moments"]:
        tokens = torch.tensor([-(-(len(clip) - MARGIN) // STRIDE) for clip in heard], device=heard[0].device)
        count = int(tokens.max())
        silence = float(scaled(heard[0].new_zeros(1)))
        clips = heard[0].new_full((len(heard), STRIDE * (count + 1), heard[0].shape[1]), silence)
        for row, clip in zip(clips, heard, strict=True):
            row[: len(clip)] = clip[: len(row)]
        clips[:, -2:] = 0  # the padding of the next
        present = torch.arange(count, device=tokens.device) < tokens.unsqueeze(1)
        return self.audio_tower(self.convolutions(clips)[:, :count], present)

    def audio_head(self, states: list[Float[Tensor, " moments"]]) -> Float[Tensor, "n d"]:
        """The projection of the moments."""
        return self.audio_tower.project(torch.stack(states))

    def token_states(
        self, input_ids: Int[Tensor, "n l"], attention_mask: Int[Tensor, "n l"]
    ) -> list[Float[Tensor, " moments"]]:
        """The two moments of captions given as word numbers."""
        return list(self.text_tower(self.word_vectors(input_ids), attention_mask.bool()))

    def text_head(self, states: list[Float[Tensor, " moments"]]) -> Float[Tensor, "n d"]:
        """The projection of the moments."""
        return self.text_tower.project(torch.stack(states))

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

    def forward(self, x: Float[Tensor, "n t d"], present: Bool[Tensor, "n t"]) -> Float[Tensor, "n moments"]:
        """What `project` reads. ``present`` marks the tokens of the clip or caption; they come first in each row."""
        ratio = self.ratio(present)
        x = x + self.interpolate(ratio)
        for block in self.blocks:
            x = block(x, present)
        weight = present / present.sum(dim=1, keepdim=True)
        moments = torch.stack([weight, weight * ratio], dim=1) @ self.norm(x)
        return moments.flatten(1)

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
        parts = self.qkv(self.attention_norm(x)).chunk(3, dim=-1)
        queries, keys, values = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts)
        heads = nn.functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=present[:, None, None, :]
        )
        x = x + self.merge(heads.transpose(1, 2).flatten(2))
        return x + self.mlp(x)


def scaled(power: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """Mel power as the convolutions get it: silence is -2, full scale near 4.

    A scaling per clip would erase loudness, so it is fixed.
    """
    return (torch.log10(power + 1e-6) + 3.0) / 1.5
