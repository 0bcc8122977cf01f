r"""M2D-CLAP: a ViT-B/16 over 80 mels at 16 kHz, and a BERT beside it; 768-d.

Audio: $x = (\ln(\mathrm{mel} + 2^{-23}) - \mu) / \sigma$, cut into chunks of 1001 (2025) or 608 (2024) frames. The ViT
encodes each chunk by itself, as 5 rows of up to 62 or 38 patches of 16 x 16. The tokens of all chunks then become one
vector: by a learned token that attends to them (2025), or by their mean and an MLP (2024).

Source: Niizumi et al. 2024 (M2D-CLAP: Masked Modeling Duo Meets CLAP) and the releases of github.com/nttcslab/m2d.
Deviation: captions are truncated to the 512 positions that BERT has, where the original does not truncate.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import BertConfig, BertModel
from transformers.initialization import no_init_weights

from clapbench.encoders.base import silence_after
from clapbench.encoders.stages import StagedEncoder, alike, in_groups
from clapbench.encoders.tokens import TokenEncoder, Tokenizer
from clapbench.kinds import Checkpoint, Name, Place, Seconds, Sha256, Text
from clapbench.sound.mel import MelPower
from clapbench.sources import checkpoints

WIDTH, HEADS, DEPTH = 768, 12, 12
MELS, PATCH = 80, 16
ROWS = MELS // PATCH  # of patches, low frequencies first
N_FFT, HOP = 400, 160  # samples
POSITIONS = 512  # tokens that BERT takes
NORM_STATS = (-7.1, 4.2)  # mean and standard deviation of log-mel, where the file holds none


class M2dAudio(StagedEncoder):
    """The audio side, and what the releases share: front end, window, batches.

    ``window``: seconds from the head, zero-padded to it as the study does, in chunks where it is longer than one;
    None: the clip as it is.
    """

    recipe = 1
    sample_rate = 16_000

    def __init__(
        self, *, name: str, window: Seconds | None, frames: int, audio_proj: type[nn.Module]
    ) -> None:
        super().__init__()
        if window is not None and not window > 0:
            raise ValueError(
                f"model {name!r}: window must be positive seconds or null, got {window}. Set model.window=10."
            )
        self.name, self.window = name, window
        self.mel = MelPower(
            sample_rate=self.sample_rate, n_fft=N_FFT, hop=HOP, n_mels=MELS, f_min=50.0, f_max=8000.0
        )
        with no_init_weights():
            self.backbone = AudioTower(frames=frames, audio_proj=audio_proj())

    def heard(self, waves: list[Float[Tensor, " _"]]) -> list[Float[Tensor, "mels _"]]:
        """Log-mel spectrograms before normalisation.

        Clips of equal length go together here and later, so that no row knows its neighbours; a window makes all
        lengths equal.
        """
        limit = None if self.window is None else round(self.window * self.sample_rate)
        heads = [wave[:limit] for wave in waves]
        least = N_FFT // 2 + 1  # samples: what the spectrum's reflection needs
        padded = [silence_after([head], samples=max(limit or len(head), least))[0] for head in heads]
        groups = alike([len(clip) for clip in padded])
        return in_groups(lambda clips: self.log_mel(torch.stack(clips)), padded, groups=groups)

    def log_mel(self, waves: Float[Tensor, "n samples"]) -> Float[Tensor, "n mels frames"]:
        """`heard` of waves of one length."""
        return torch.log(self.mel(waves) + 2.0**-23)

    def audio_states(self, heard: list[Float[Tensor, "mels _"]]) -> list[Float[Tensor, "rows _ d"]]:
        """The tokens of each clip by frequency and time."""
        groups = alike([clip.shape for clip in heard])
        return in_groups(lambda clips: self.backbone(torch.stack(clips)), heard, groups=groups)

    def audio_head(self, states: list[Float[Tensor, "rows _ d"]]) -> Float[Tensor, "n features"]:
        """The projection of each clip's tokens."""
        groups = alike([clip.shape for clip in states])
        project = self.backbone.audio_proj
        return torch.stack(in_groups(lambda clips: project(torch.stack(clips)), states, groups=groups))


class M2dStacked(M2dAudio):
    """The 3840-d audio features of 2025, without text: M2D's own projection does not take them.

    Arguments are those of conf/model/m2d_stacked.yaml.
    """

    sides = ("audio",)

    def __init__(
        self,
        *,
        name: Name,
        source: Text | None = None,
        checkpoint: Checkpoint | None = None,
        sha256: Sha256 | None = None,
        window: Seconds | None = 10.0,
    ) -> None:
        super().__init__(name=name, window=window, frames=1001, audio_proj=Stacked)
        self.load(
            self.read(checkpoint=checkpoint, source=source, sha256=sha256, part="model"),
            unused=[r"text_encoder\..*", r"backbone\.audio_proj\..*", "logit_scale"],
            rename=lambda tensors: with_norm_stats(tensors, key="backbone.norm_stats"),
        )

    def token_states(self, input_ids: Int[Tensor, "n l"], attention_mask: Int[Tensor, "n l"]) -> list[Tensor]:
        """Refused: this recipe has no text side."""
        raise self._no_text()

    def tokenize(self, captions: list[str]) -> tuple[Int[Tensor, "n l"], Int[Tensor, "n l"]]:
        """Refused: this recipe has no text side."""
        raise self._no_text()

    def _no_text(self) -> ValueError:
        return ValueError(
            f"model {self.name!r}: has no text side: M2D's projection takes {WIDTH}-d features, not these stacked "
            f"{ROWS * WIDTH}-d ones. Set model=m2d for captions; probes of the audio side run with {self.name!r} too."
        )


class M2dPair(M2dAudio, TokenEncoder):
    """Audio and text: a BERT-base, and its tokenizer. Its text side has no head."""

    towers = {
        "audio": tuple(
            f"backbone.{part}" for part in ("patch_embed", "cls_token", "pos_embed", "blocks", "norm")
        ),
        "text": ("text_encoder",),
    }
    heads = {"audio": ("backbone.audio_proj",), "text": ()}
    blocks = (r"backbone\.blocks\.\d+", r"text_encoder\.encoder\.layer\.\d+")

    def __init__(
        self,
        *,
        name: Name,
        window: Seconds | None,
        frames: int,
        audio_proj: type[nn.Module],
        tokenizer: Text,
    ) -> None:
        super().__init__(name=name, window=window, frames=frames, audio_proj=audio_proj)
        self.tokenizer = Tokenizer(tokenizer, max_length=POSITIONS, model=name)
        with no_init_weights():
            self.text_encoder = BertModel(BertConfig(), add_pooling_layer=False)

    def hidden_states(
        self, input_ids: Int[Tensor, "n l"], attention_mask: Int[Tensor, "n l"]
    ) -> Float[Tensor, "n l d"]:
        """The text encoder's last layer, a vector for each token."""
        return self.text_encoder(input_ids, attention_mask=attention_mask).last_hidden_state


class M2dClap(M2dPair):
    """The release of 2025: chunks of 1001 frames, BERT inside the file. Arguments: conf/model/m2d.yaml."""

    def __init__(
        self,
        *,
        name: Name,
        tokenizer: Text,
        source: Text | None = None,
        checkpoint: Checkpoint | None = None,
        sha256: Sha256 | None = None,
        window: Seconds | None = 10.0,
    ) -> None:
        super().__init__(
            name=name, window=window, frames=1001, audio_proj=SemanticProjector, tokenizer=tokenizer
        )
        self.load(
            self.read(checkpoint=checkpoint, source=source, sha256=sha256, part="model"),
            unused=[r"text_encoder\.text_encoder\.pooler\..*", "logit_scale"],
            rename=lambda tensors: with_norm_stats(
                {
                    key.replace("text_encoder.text_encoder.", "text_encoder."): value
                    for key, value in tensors.items()
                },
                key="backbone.norm_stats",
            ),
            scale=("logit_scale", torch.exp),
        )

    def token_states(
        self, input_ids: Int[Tensor, "n l"], attention_mask: Int[Tensor, "n l"]
    ) -> list[Float[Tensor, " d"]]:
        """BERT's hidden state of [CLS]."""
        return list(self.hidden_states(input_ids, attention_mask)[:, 0])


class M2dClap2024(M2dPair):
    """The release of January 2024: chunks of 608 frames, GTE-base beside the file. Arguments: conf/model/m2d_2024.yaml.

    ``text_checkpoint`` is GTE-base's model.safetensors, or the folder that holds it; its fp16 numbers are computed in
    float32.
    """

    def __init__(
        self,
        *,
        name: Name,
        tokenizer: Text,
        source: Text | None = None,
        checkpoint: Checkpoint | None = None,
        sha256: Sha256 | None = None,
        text_source: Text | None = None,
        text_checkpoint: Place | None = None,
        window: Seconds | None = 10.0,
    ) -> None:
        super().__init__(name=name, window=window, frames=608, audio_proj=MeanProjector, tokenizer=tokenizer)
        weights = self.read(checkpoint=checkpoint, source=source, sha256=sha256, part="model")
        self.load(
            weights,
            into=self.backbone,
            unused=["decoder_.*", "target_.*", "mask_token", "logit_scale"],  # its pre-training's
            rename=lambda tensors: with_norm_stats(tensors, key="norm_stats"),
            scale=("logit_scale", torch.exp),
        )
        if weights.header is not None:  # train.py wrote the text side, too
            return
        path, _ = checkpoints.find(checkpoint=text_checkpoint, source=text_source, sha256=None, model=name)
        checkpoints.load_into(
            self.text_encoder,
            checkpoints.read_safetensors(path, model=name)[0],
            path=path,
            model=name,
            unused=[r"pooler\..*"],
        )

    def token_states(
        self, input_ids: Int[Tensor, "n l"], attention_mask: Int[Tensor, "n l"]
    ) -> list[Float[Tensor, " d"]]:
        """Mean of GTE's hidden states over the caption's tokens, [CLS] and [SEP] among them."""
        present = attention_mask.unsqueeze(-1)
        hidden = self.hidden_states(input_ids, attention_mask)
        return list((hidden * present).sum(dim=1) / present.sum(dim=1))


def with_norm_stats(tensors: dict[str, Tensor], *, key: str) -> dict[str, Tensor]:
    """``tensors``, and under ``key`` what the original takes where a file lacks it."""
    return {key: torch.tensor(NORM_STATS), **tensors}


class AudioTower(nn.Module):
    """Log-mel of any length to tokens; ``frames`` to a chunk. Modules bear the names that they have in the files."""

    norm_stats: Tensor

    def __init__(self, *, frames: int, audio_proj: nn.Module) -> None:
        super().__init__()
        self.frames, self.columns = frames, frames // PATCH
        self.register_buffer("norm_stats", torch.tensor(NORM_STATS))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, WIDTH, kernel_size=PATCH, stride=PATCH)})
        self.cls_token = nn.Parameter(torch.empty(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + ROWS * self.columns, WIDTH))
        self.blocks = nn.Sequential(*(Block(heads=HEADS, ratio=4, eps=1e-6) for _ in range(DEPTH)))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.audio_proj = audio_proj

    def forward(self, log_mel: Float[Tensor, "n mels frames"]) -> Float[Tensor, "n rows columns d"]:
        """Tokens by frequency and time, those of all chunks side by side: what ``audio_proj`` takes."""
        mean, std = self.norm_stats
        chunks = ((log_mel - mean) / std).to(self.cls_token.dtype).split(self.frames, dim=-1)
        return torch.cat([self._encode(chunk) for chunk in chunks], dim=2)

    def _encode(self, chunk: Float[Tensor, "n mels frames"]) -> Float[Tensor, "n rows columns d"]:
        """Zero-pads a chunk to whole patches; of a full one, frames beyond the last column are left out."""
        image = chunk[:, None, :, : self.columns * PATCH]
        image = nn.functional.pad(image, (0, -image.shape[-1] % PATCH))
        patches = self.patch_embed["proj"](image).movedim(1, -1)
        first, positions = self.pos_embed.split([1, ROWS * self.columns], dim=1)
        # A shorter chunk takes the head of each frequency row of positions.
        patches = patches + positions.unflatten(1, (ROWS, -1))[:, :, : patches.shape[2]]
        cls = (self.cls_token + first).expand(len(chunk), -1, -1)
        encoded = self.norm(self.blocks(torch.cat([cls, patches.flatten(1, 2)], dim=1)))
        return encoded[:, 1:].unflatten(1, patches.shape[1:3])


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, *, heads: int, ratio: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(WIDTH, eps=eps)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(WIDTH, 3 * WIDTH), "proj": nn.Linear(WIDTH, WIDTH)})
        self.norm2 = nn.LayerNorm(WIDTH, eps=eps)
        self.mlp = nn.Sequential(
            OrderedDict(
                fc1=nn.Linear(WIDTH, ratio * WIDTH), gelu=nn.GELU(), fc2=nn.Linear(ratio * WIDTH, WIDTH)
            )
        )

    def forward(self, x: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """Attention and MLP, each with a residual."""
        qkv = self.attn["qkv"](self.norm1(x)).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(queries, keys, values)
        x = x + self.attn["proj"](mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class SemanticProjector(nn.Module):
    """2025: a learned token goes through one block with all tokens, and is the clip's features."""

    def __init__(self) -> None:
        super().__init__()
        self.sem_token = nn.Parameter(torch.empty(1, 1, WIDTH))
        self.sem_blocks = nn.Sequential(Block(heads=1, ratio=1, eps=1e-5))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-5)

    def forward(self, tokens: Float[Tensor, "n rows columns d"]) -> Float[Tensor, "n d"]:
        """The semantic token after its blocks have read all patches."""
        semantic = self.sem_token.expand(len(tokens), -1, -1)
        return self.norm(self.sem_blocks(torch.cat([semantic, tokens.flatten(1, 2)], dim=1))[:, 0])


class MeanProjector(nn.Sequential):
    """2024: the mean of all tokens through an MLP."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))

    def forward(self, tokens: Float[Tensor, "n rows columns d"]) -> Float[Tensor, "n d"]:
        """The projection of the mean over all patches."""
        return super().forward(tokens.mean(dim=(1, 2)))


class Stacked(nn.Module):
    """The five tokens of a time column side by side, their mean over time: 3840-d."""

    def forward(self, tokens: Float[Tensor, "n rows columns d"]) -> Float[Tensor, "n stacked"]:
        """The mean over time of the patches of one time step, stacked along frequency."""
        return tokens.transpose(1, 2).flatten(2).mean(dim=1)
