"""The three things that a Trainer does here: encode a benchmark, score and probe its embeddings, learn.

Each is a LightningModule of its own, since each needs other parts: `Encode` an encoder alone, `Score` no encoder
at all (so a new probe costs no encoding), `Learn` an encoder, regularisers and an optimizer.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from clapbench.encoders.base import Encoder, unit
from clapbench.probes.base import Probe
from clapbench.probes.paired import bind
from clapbench.running.batches import CaptionBatch, ClipBatch, EncodingPlan, Indexed, row_loader
from clapbench.running.encoding import encode_batch
from clapbench.running.probing import Probing, finite_only
from clapbench.training.contrastive import contrastive_loss
from clapbench.training.pairs import PairBatch
from clapbench.training.regularizers.base import Clouds, Regularizer

log = logging.getLogger(__name__)


class Learn(pl.LightningModule):
    """``trainer.fit``: the contrastive loss plus weighted regularisers; validation measures held-out benchmarks.

    AdamW with a linear warm-up over ``warmup_steps`` and a cosine to 0 at the trainer's ``max_steps``. The
    temperature is learned, from ``temperature`` on, as the logarithm of the scale, which is at most 100 (Radford et
    al. 2021, section 2.5).
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        regularizers: Mapping[str, Regularizer],
        learning_rate: float,
        weight_decay: float,
        betas: Sequence[float],  # two, as yaml gives them
        warmup_steps: int,
        temperature: float,
        probes: Mapping[str, Probe],
        held_out: Mapping[str, EncodingPlan],
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.probing = Probing(probes)
        self.held_out = held_out
        self.regularizers = nn.ModuleDict(dict(regularizers))
        self.log_scale = nn.Parameter(torch.tensor(math.log(1.0 / temperature)))
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.betas, self.warmup_steps = (betas[0], betas[1]), warmup_steps

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """The contrastive loss and each regularizer's term of one batch, logged under their names."""
        clouds = self.clouds(batch)
        similarity = unit(clouds.audio) @ unit(clouds.text).T
        loss = contrastive_loss(clouds.scale * similarity, batch.meaning)
        self.log("train/contrastive", loss.detach())
        for name, regularizer in self.regularizers.items():
            term = regularizer(clouds)
            self.log(f"train/{name}", term.detach())
            loss = loss + term
        self.log("train/loss", loss.detach(), prog_bar=True)
        self.log("train/scale", clouds.scale.detach())
        return loss

    def clouds(self, batch: PairBatch) -> Clouds:
        """Features of both sides; swapped captions only where a regulariser reads them."""
        audio = self.encoder.audio_features(batch.waves)
        wanted = any(term.reads_swapped for term in self.regularizers.values())
        extra = batch.swapped if wanted else []
        text = self.encoder.text_features([*batch.captions, *extra])
        n = len(batch.captions)
        return Clouds(
            audio=audio,
            text=text[:n],
            swapped=text[n:],
            swapped_of=batch.swapped_of if wanted else batch.swapped_of[:0],
            scale=self.log_scale.exp().clamp(max=100.0),
        )

    def on_validation_epoch_start(self) -> None:
        """Starts without rows."""
        self.rows: list[list[Indexed]] = [[] for _ in range(2 * len(self.held_out))]

    def validation_step(
        self, batch: ClipBatch | CaptionBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Encodes one batch of a held-out benchmark."""
        self.rows[dataloader_idx].append(encode_batch(self.encoder, batch))

    def on_validation_epoch_end(self) -> None:
        """The loaders come in pairs: the clips of a benchmark, then its captions."""
        for number, (name, plan) in enumerate(self.held_out.items()):
            audio, text = self.rows[2 * number : 2 * number + 2]
            embeddings = plan.embeddings(audio=audio, text=text)
            bind(self.probing.probes.values(), cases=plan.benchmark.cases(), embeddings=embeddings)
            for batch in row_loader(embeddings):
                self.probing.update(batch.to(self.device))
            numbers = {**plan.benchmark.judge(embeddings).numbers, **self.probing.compute().values}
            self.log_dict(finite_only(numbers, prefix=f"{name}/"))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with a linear warm-up, then a cosine to 0."""
        # Matrices decay; gains, biases and the temperature do not.
        matrices = [parameter for parameter in self.parameters() if parameter.ndim >= 2]
        others = [parameter for parameter in self.parameters() if parameter.ndim < 2]
        optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": self.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=self.learning_rate,
            betas=self.betas,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.learning_rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def learning_rate_factor(self, step: int) -> float:
        """The learning rate at ``step`` in units of its peak, 0 to 1."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        total = max(self.trainer.max_steps, self.warmup_steps + 1)
        progress = (step - self.warmup_steps) / (total - self.warmup_steps)
        return 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
