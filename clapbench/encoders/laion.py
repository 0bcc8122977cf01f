"""LAION-CLAP: HTSAT-tiny and RoBERTa-base, each through two linear layers into one 512-d space.

Two released checkpoints: 630k-audioset-fusion-best (``fusion=True``), trained to fuse views of clips beyond 10 s, and
630k-audioset-best. They differ in their mel bank, HTK without norm against Slaney's; all clips are cut to 10 s here,
and the original, too, fuses nothing where no clip is longer.

Both are 48 kHz models and get 48 kHz, whatever the study's text says (32 kHz). Beyond 10 s the original crops at
random, so a clip has many embeddings; here its head is taken, so it has one.

Source: Wu et al. 2023 (Large-scale Contrastive Language-Audio Pretraining with Feature Fusion and Keyword-to-Caption
Augmentation); https://github.com/LAION-AI/CLAP, as released on PyPI: laion-clap 1.1.7.
"""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import RobertaConfig, RobertaModel
from transformers.initialization import no_init_weights

from clapbench.encoders import htsat
from clapbench.encoders.stages import StagedEncoder, in_groups
from clapbench.encoders.tokens import TokenEncoder, Tokenizer, without_padding
from clapbench.kinds import Checkpoint, Name, Sha256, Text, UpTo10s
from clapbench.sound.mel import MelPower

LONGEST = 10.0  # seconds that the model hears
TOKENS = 77  # of a caption, <s> and </s> included
INT16 = 32767.0

# What the file holds and the embeddings do not need: the temperatures and heads of training, and parts of HTSAT.
UNUSED = (
    r"logit_scale_[at]",
    r"(audio|text)_transform\..*",
    *(rf"audio_branch\.{pattern}" for pattern in htsat.UNUSED),
)


class LaionClap(TokenEncoder, StagedEncoder):
    """Arguments are those of conf/model/laion.yaml.

    ``window``: seconds from the head of a clip, at most 10. Raises ValueError for another window or a file of another
    architecture, FileNotFoundError without a file.
    """

    recipe = 1
    sample_rate = 48_000
    window: float
    towers = {"audio": tuple(f"audio_branch.{part}" for part in htsat.RUN), "text": ("text_branch",)}
    heads = {"audio": ("audio_projection",), "text": ("text_projection",)}
    blocks = (rf"audio_branch\.{htsat.BLOCKS}", r"text_branch\.encoder\.layer\.\d+")

    def __init__(
        self,
        *,
        name: Name,
        source: Text | None = None,
        checkpoint: Checkpoint | None = None,
        sha256: Sha256 | None = None,
        window: UpTo10s = LONGEST,
        tokenizer: Text = "roberta-base",
        fusion: bool,
    ) -> None:
        super().__init__()
        if window is None or not 0 < window <= LONGEST:
            raise ValueError(
                f"model {name!r}: window must be above 0 and at most {LONGEST} seconds, all that LAION-CLAP hears, "
                f"got {window}. Set model.window={LONGEST}."
            )
        self.name, self.window = name, window
        self.tokenizer = Tokenizer(tokenizer, max_length=TOKENS, model=name)
        weights = self.read(checkpoint=checkpoint, source=source, sha256=sha256, part="state_dict")

        self.mel = MelPower(
            sample_rate=self.sample_rate,
            hop=480,
            **htsat.MEL,
            scale="htk" if fusion else "slaney",
            norm=None if fusion else "slaney",
        )
        with no_init_weights():  # each of them comes from the file
            self.audio_branch = htsat.audio_tower(fusion=fusion)
            self.audio_projection = projection()
            self.text_branch = RobertaModel(
                RobertaConfig(
                    vocab_size=50_265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5
                )
            )
            self.text_projection = projection()
        self.load(
            weights,
            unused=UNUSED,
            rename=partial(htsat.rename, prefix="audio_branch.", to="audio_branch."),
            scale=("logit_scale_a", torch.exp),
        )

    def heard(self, waves: list[Float[Tensor, " _"]]) -> list[Float[Tensor, "1 1001 64"]]:
        """Log-mel spectrograms of 48 kHz waves."""
        return in_groups(self.log_mel, waves, groups=htsat.groups(waves))

    def log_mel(self, waves: list[Float[Tensor, " _"]]) -> Float[Tensor, "n 1 1001 64"]:
        """Decibels of the head of each clip, filled up to 10 s."""
        heard = round(self.window * self.sample_rate)
        filled = [repeat_pad(wave[:heard], samples=round(LONGEST * self.sample_rate)) for wave in waves]
        return htsat.decibels(self.mel(through_int16(torch.stack(filled))))

    def audio_states(self, heard: list[Float[Tensor, "1 1001 64"]]) -> list[Float[Tensor, " 768"]]:
        """HTS-AT's pooled output for each clip."""
        groups = htsat.groups(heard, whole=self.audio_branch.training)
        return in_groups(
            lambda clips: self.audio_branch(torch.stack(clips)).pooler_output, heard, groups=groups
        )

    def audio_head(self, states: list[Float[Tensor, " 768"]]) -> Float[Tensor, "n 512"]:
        """The projection of clips."""
        return self.audio_projection(torch.stack(states))

    def token_states(
        self, input_ids: Int[Tensor, "n l"], attention_mask: Int[Tensor, "n l"]
    ) -> list[Float[Tensor, " 768"]]:
        """RoBERTa's pooled output for each caption."""
        ids, mask = without_padding(input_ids, attention_mask)
        return list(self.text_branch(input_ids=ids, attention_mask=mask).pooler_output)

    def text_head(self, states: list[Float[Tensor, " 768"]]) -> Float[Tensor, "n 512"]:
        """The projection of captions."""
        return self.text_projection(torch.stack(states))


def projection() -> nn.Sequential:
    """The two layers that lead a tower's 768 numbers into the joint space."""
    return nn.Sequential(nn.Linear(768, 512), nn.ReLU(), nn.Linear(512, 512))


def through_int16(wave: Float[Tensor, "*b samples"]) -> Float[Tensor, "*b samples"]:
    """What is left of ``wave`` after a file of 16-bit samples, truncated toward zero.

    >>> through_int16(torch.tensor([0.5, -0.5, 2.0])) * 32767
    tensor([ 16383., -16383.,  32767.])
    """
    return (wave.clamp(-1.0, 1.0) * INT16).trunc() / INT16


def repeat_pad(wave: Float[Tensor, " _"], *, samples: int) -> Float[Tensor, " samples"]:
    """``wave`` as many whole times as fit into ``samples``, then silence; its head where it is longer.

    >>> repeat_pad(torch.tensor([1.0, 2.0, 3.0]), samples=8)
    tensor([1., 2., 3., 1., 2., 3., 0., 0.])
    """
    repeated = wave[:samples].repeat(max(samples // len(wave), 1))
    return nn.functional.pad(repeated, (0, samples - len(repeated)))
