r"""MGA-CLAP: HTSAT-tiny and BERT-base whose frames and words are read through one codebook; 1024-d, 32 kHz.

Frames (32 of a clip) and words each pass a projection to $e_1..e_T$. With the codes $c_1..c_K$ of a codebook that both
sides share (K = 4096, d = 1024) a clip or caption is a sparse mixture of codes:

$$s_k = \frac{1}{1000} \max_t \frac{m_t\, e_t \cdot c_k}{\sqrt{d}}, \qquad
  x = \sum_k \mathrm{sparsemax}(s)_k\, c_k$$

with m = 1 on frames and words, 0 on [SEP] and padding. A masked position thus says 0, not minus infinity; each caption
has its [SEP], so no code of a caption scores below 0.

The last attention of HTSAT mixes no frames, so that each says what it hears itself: see `LocalBlock`.

Source: Li et al. 2024 (Advancing Multi-grained Alignment for Contrastive Language-Audio Pre-training,
arXiv:2408.07919); https://github.com/Ming-er/MGA-CLAP. Preprocessing is that of its zero-shot classification: ten
seconds from the head, zero-padded, captions as they are given. In training its datasets lower-case captions and blank
(,.!?;:|*"); that is left to the caller here, and the tokenizer lower-cases anyway.
"""

from __future__ import annotations

import math
import re

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import BertConfig, BertModel
from transformers.initialization import no_init_weights
from transformers.models.clap.modeling_clap import ClapAudioEncoder

from clapbench.encoders import htsat
from clapbench.encoders.base import silence_after
from clapbench.encoders.stages import StagedEncoder, in_groups
from clapbench.encoders.tokens import TokenEncoder, Tokenizer, without_padding
from clapbench.kinds import Checkpoint, Name, Sha256, Text, UpTo10s
from clapbench.sound.mel import MelPower

LONGEST = 10.0  # seconds that the model hears
TOKENS = 30  # of a caption, [CLS] and [SEP] included
WIDTH, CODES, DIMENSION = 768, 4096, 1024
TEMPERATURE = 1000.0  # divides a code's score before sparsemax

# What the file holds and the embeddings do not need: training's temperature, parts of HTSAT, and in the last block
# what belongs to attention's weights and to the MLP, which the locality-aware block leaves out.
UNUSED = (
    "temp",
    *(rf"audio_encoder\.audio_enc\.{pattern}" for pattern in htsat.UNUSED),
    r"audio_encoder\.audio_enc\.layers\.3\.blocks\.1\.(mlp|attn\.relative_position).*",
)


class MgaClap(TokenEncoder, StagedEncoder):
    """Arguments are those of conf/model/mga.yaml.

    ``window``: seconds from the head of a clip, at most 10. Raises ValueError for another window or a file of another
    architecture, FileNotFoundError without a file.
    """

    recipe = 1
    sample_rate = 32_000
    window: float
    towers = {"audio": tuple(f"audio_encoder.{part}" for part in htsat.RUN), "text": ("text_encoder",)}
    heads = {"audio": ("frame_proj", "codebook"), "text": ("word_proj", "codebook")}
    blocks = (rf"audio_encoder\.{htsat.BLOCKS}", r"text_encoder\.encoder\.layer\.\d+")

    def __init__(
        self,
        *,
        name: Name,
        source: Text | None = None,
        checkpoint: Checkpoint | None = None,
        sha256: Sha256 | None = None,
        window: UpTo10s = LONGEST,
        tokenizer: Text = "google-bert/bert-base-uncased",
    ) -> None:
        super().__init__()
        if window is None or not 0 < window <= LONGEST:
            raise ValueError(
                f"model {name!r}: window must be above 0 and at most {LONGEST} seconds, all that MGA-CLAP hears, "
                f"got {window}. Set model.window={LONGEST}."
            )
        self.name, self.window = name, window
        self.tokenizer = Tokenizer(tokenizer, max_length=TOKENS, model=name)
        weights = self.read(checkpoint=checkpoint, source=source, sha256=sha256, part="model")

        self.mel = MelPower(sample_rate=self.sample_rate, hop=320, **htsat.MEL)
        with no_init_weights():  # each of them comes from the file
            self.audio_encoder = local_tower()
            self.frame_proj = projection()
            self.text_encoder = BertModel(BertConfig(), add_pooling_layer=False)
            self.word_proj = projection()
        self.codebook = nn.Parameter(torch.empty(CODES, DIMENSION))
        self.load(weights, unused=UNUSED, rename=rename, scale=("temp", torch.reciprocal))

    def heard(self, waves: list[Float[Tensor, " _"]]) -> list[Float[Tensor, "1 1001 64"]]:
        """Log-mel spectrograms of 32 kHz waves."""
        return in_groups(self.log_mel, waves, groups=htsat.groups(waves))

    def log_mel(self, waves: list[Float[Tensor, " _"]]) -> Float[Tensor, "n 1 1001 64"]:
        """Decibels of the head of each clip, zero-padded to 10 s."""
        heard = [wave[: round(self.window * self.sample_rate)] for wave in waves]
        return htsat.decibels(self.mel(silence_after(heard, samples=round(LONGEST * self.sample_rate))))

    def audio_states(self, heard: list[Float[Tensor, "1 1001 64"]]) -> list[Float[Tensor, "32 768"]]:
        """What is heard in each 32nd of the ten seconds: the mean over the tower's two frequency bins."""
        groups = htsat.groups(heard, whole=self.audio_encoder.training)
        return in_groups(lambda clips: self.frames(torch.stack(clips)), heard, groups=groups)

    def frames(self, log_mel: Float[Tensor, "n 1 1001 64"]) -> Float[Tensor, "n 32 768"]:
        """`audio_states` of log-mel spectrograms."""
        return self.audio_encoder(log_mel).last_hidden_state.mean(dim=2).transpose(1, 2)

    def audio_head(self, states: list[Float[Tensor, "32 768"]]) -> Float[Tensor, "n 1024"]:
        """The codebook's mixture over projected frames."""
        frames = self.frame_proj(torch.stack(states))
        heard = torch.ones(frames.shape[:2], dtype=torch.bool, device=frames.device)
        return mix_codes(frames, heard=heard, codes=self.codebook)

    def token_states(
        self, input_ids: Int[Tensor, "n l"], attention_mask: Int[Tensor, "n l"]
    ) -> list[Float[Tensor, "_ 768"]]:
        """The states of each caption's tokens after [CLS]: its words, then [SEP]."""
        ids, mask = without_padding(input_ids, attention_mask)
        states = self.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return [own[1:length] for own, length in zip(states, mask.sum(dim=1).tolist(), strict=True)]

    def text_head(self, states: list[Float[Tensor, "_ 768"]]) -> Float[Tensor, "n 1024"]:
        """The codebook's mixture over projected words; [SEP], the last of each caption, asks for every code by 0."""
        words = self.word_proj(nn.utils.rnn.pad_sequence(states, batch_first=True))
        lengths = torch.tensor([len(own) - 1 for own in states], device=words.device)
        heard = torch.arange(words.shape[1], device=words.device) < lengths.unsqueeze(1)
        return mix_codes(words, heard=heard, codes=self.codebook)


class LocalBlock(nn.Module):
    r"""MGA's locality-aware block: values as they are, not mixed by attention, and no MLP.

    $u = s + \mathrm{proj}(V(\mathrm{norm}_1(s)))$, then $u + \mathrm{norm}_2(u)$.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.value = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)

    def forward(
        self,
        patches: Float[Tensor, "n patches d"],
        input_dimensions: tuple[int, int],
        output_attentions: bool | None = False,
        always_partition: bool | None = False,
    ) -> tuple[Float[Tensor, "n patches d"]]:
        """Stands where a block of `ClapAudioEncoder` stood; no patch looks at another, so only ``patches`` counts."""
        residual = patches + self.proj(self.value(self.norm1(patches)))
        return (residual + self.norm2(residual),)


def local_tower() -> ClapAudioEncoder:
    """HTSAT-tiny with a locality-aware block in the place of its last."""
    tower = htsat.audio_tower(fusion=False)
    tower.get_submodule("layers.3.blocks").register_module("1", LocalBlock(WIDTH))
    return tower


def projection() -> nn.Sequential:
    """The layers that lead frames or words to the width of the codebook."""
    return nn.Sequential(
        nn.LayerNorm(WIDTH),
        nn.Linear(WIDTH, DIMENSION),
        nn.GELU(),
        nn.LayerNorm(DIMENSION),
        nn.Linear(DIMENSION, DIMENSION),
    )


def rename(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The original's keys as those of `MgaClap`. Of the last block's query, key and value only value is kept."""
    last = "audio_encoder.layers.3.blocks.1."
    own = {
        f"{last}layernorm_before.": f"{last}norm1.",
        f"{last}attention.self.value.": f"{last}value.",
        f"{last}attention.output.dense.": f"{last}proj.",
        f"{last}layernorm_after.": f"{last}norm2.",
        "text_encoder.text_encoder.": "text_encoder.",
    }
    renamed = {}
    for key, value in htsat.rename(tensors, prefix="audio_encoder.audio_enc.", to="audio_encoder.").items():
        if re.match(rf"{re.escape(last)}attention\.self\.(query|key)\.", key):
            continue
        prefix = next((prefix for prefix in own if key.startswith(prefix)), "")
        renamed[own.get(prefix, "") + key.removeprefix(prefix)] = value
    return renamed


def mix_codes(
    x: Float[Tensor, "n t d"], *, heard: Bool[Tensor, "n t"], codes: Float[Tensor, "k d"]
) -> Float[Tensor, "n d"]:
    """The mixture of ``codes`` that the rows of each ``x`` ask for; rows not ``heard`` ask for every code by 0.

    In float32 whatever the precision around it.
    """
    with torch.autocast(x.device.type, enabled=False):
        x, codes = x.float(), codes.float()
        scores = x @ codes.T / math.sqrt(x.shape[-1]) * heard.unsqueeze(-1)
        return sparsemax(scores.amax(dim=1) / TEMPERATURE) @ codes


def sparsemax(z: Float[Tensor, "*n k"]) -> Float[Tensor, "*n k"]:
    r"""The point of the probability simplex nearest to ``z``: like softmax, but with exact zeros.

    $p_i = \max(z_i - \tau, 0)$ with $\tau = (\sum_{j \le m} z_{(j)} - 1) / m$, where $z_{(1)} \ge z_{(2)} \ge \ldots$
    and m is the largest j with $1 + j\, z_{(j)} > \sum_{i \le j} z_{(i)}$.

    Source: Martins and Astudillo 2016 (From Softmax to Sparsemax), algorithm 1.

    >>> sparsemax(torch.tensor([1.0, 0.5, -1.0]))
    tensor([0.7500, 0.2500, 0.0000])
    """
    z = z - z.amax(dim=-1, keepdim=True)  # changes nothing, and keeps the sums small
    falling = z.sort(dim=-1, descending=True).values
    sums = falling.cumsum(dim=-1)
    rank = torch.arange(1, z.shape[-1] + 1, device=z.device)
    size = (1 + rank * falling > sums).sum(dim=-1, keepdim=True)
    threshold = (sums.gather(-1, size - 1) - 1) / size
    return (z - threshold).clamp(min=0)
