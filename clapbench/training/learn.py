"""What a Trainer trains: an objective and regularisers over the features of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from clapbench.encoders.base import unit
from clapbench.running.batches import CaptionBatch, ClipBatch, Indexed
from clapbench.training.clouds import Clouds, gather_clouds
from clapbench.training.data.base import NumberedPairs, PairBatch, number_of
from clapbench.training.features import Features
from clapbench.training.finetune.base import Finetune
from clapbench.training.objectives.base import Objective
from clapbench.training.prepare import prepare
from clapbench.training.processes import rank
from clapbench.training.regularizers.base import Regularizer
from clapbench.training.schedules import schedule_of


class NotFiniteError(ValueError):
    """A training that has left the numbers: it would go on for nothing."""


class Learn(pl.LightningModule):
    """``trainer.fit``: the objective plus weighted regularisers; ``trainer.validate`` encodes held-out benchmarks.

    ``optimizer`` and ``schedule`` are completed here, with the parameters that ``finetune`` lets move and the number of
    steps that Lightning estimates. ``recipe`` is the configuration in plain values: it goes with every checkpoint.
    Every process computes the whole loss, from the rows of all of them.
    """

    strict_loading = False  # a checkpoint holds what moves; the rest comes from the model's own file

    def __init__(
        self,
        *,
        features: Features,
        finetune: Finetune,
        objective: Objective,
        regularizers: Mapping[str, Regularizer],
        optimizer: Callable[..., torch.optim.Optimizer],
        schedule: Callable[..., LRScheduler],
        recipe: dict[str, Any],
    ) -> None:
        super().__init__()
        self.features, self.finetune = features, finetune
        self.encoder = features.encoder
        self.objective, self.regularizers = objective, nn.ModuleDict(dict(regularizers))
        self.make_optimizer, self.make_schedule = optimizer, schedule
        self.reads_swapped = any(term.reads_swapped for term in (objective, *regularizers.values()))
        self.save_hyperparameters(recipe, logger=False)

    def setup(self, stage: str) -> None:
        """Before training, computes once what does not move, where the data have an end."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        finite = isinstance(data, NumberedPairs) and data.n_pairs is not None
        if stage == "fit" and finite and self.features.stores:
            self.trainer.precision_plugin.convert_module(self.encoder).to(self.trainer.strategy.root_device)
            data.leave_out(prepare(self.features, data, swapped=self.reads_swapped))
            data.is_kept = self.features.is_kept

    def on_train_batch_start(self, batch: PairBatch, batch_idx: int) -> None:
        """What is drawn in a step, as dropout is, depends on seed, batch and process: a resume draws the same."""
        torch.manual_seed(
            number_of(f"{self.hparams['seed']} {self.trainer.fit_loop.total_batch_idx} {rank()}")
        )

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """The loss of one batch; it and each term are logged under their names."""
        clouds = gather_clouds(self.clouds(batch))
        terms = {"objective": self.objective(clouds)}
        terms |= {name: regularizer(clouds) for name, regularizer in self.regularizers.items()}
        self.refuse_not_finite(clouds, terms)
        loss = torch.stack(list(terms.values())).sum()
        numbers = {name: term.detach() for name, term in terms.items()} | {"loss": loss.detach()}
        numbers |= {f"cosine_{side}": mean_cosine(clouds.side(side)) for side in ("audio", "text")}
        numbers["scale"] = self.objective.scale.detach()
        self.log_dict({f"train/{name}": value.float() for name, value in numbers.items()}, batch_size=1)
        return loss

    def clouds(self, batch: PairBatch) -> Clouds:
        """Features of both sides; swapped captions only where a term reads them."""
        swapped = batch.swapped if self.reads_swapped else []
        audio = self.features.audio(batch.waves, batch.clips)
        text = self.features.text([*batch.captions, *swapped])
        n, m = len(batch.captions), len(swapped)
        return Clouds(
            audio=audio,
            text=text[:n],
            swapped=text[n:],
            swapped_of=batch.swapped_of[:m],
            clip=batch.clip_id,
            caption=batch.caption_id,
            swapped_caption=batch.swapped_id[:m],
            step=self.trainer.global_step,
        )

    def refuse_not_finite(self, clouds: Clouds, terms: Mapping[str, Tensor]) -> None:
        """`NotFiniteError` that names the first of features and terms that is no number any more."""
        if torch.stack([term.detach() for term in terms.values()]).isfinite().all():
            return
        sides = {f"the {side} features": clouds.side(side) for side in ("audio", "text")}
        named = sides | {f"the term {name}": term for name, term in terms.items()}
        what, value = next((name, value) for name, value in named.items() if not value.isfinite().all())
        told = f"is {value.item()}" if value.ndim == 0 else "hold what is no number"
        raise NotFiniteError(
            f"step {self.trainer.global_step}: {what} {told}. Lower optimizer.lr or the term's weight"
            f"{', or set trainer.precision=32-true' if '16' in str(self.trainer.precision) else ''}."
        )

    def validation_step(  # type: ignore[override]
        self, batch: ClipBatch | CaptionBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> Indexed:
        """Unit rows of one batch of a held-out benchmark, with their positions."""
        if isinstance(batch, ClipBatch):
            keys = [f"validation {dataloader_idx} {index}" for index in batch.index.tolist()]
            rows = self.features.audio(batch.waves, keys)
        else:
            rows = self.features.text(batch.captions)
        return batch.index.cpu(), unit(
            unit(rows).float()
        ).cpu()  # in half precision a row is not quite of unit length

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The configured optimizer over what moves and the temperature, and its schedule over the estimated steps."""
        groups = self.finetune.groups(self.encoder)
        base = self.make_optimizer.keywords  # type: ignore[attr-defined]  # of the partial
        rates = [
            {
                "params": group["params"],
                "name": group["name"],
                **({"lr": base["lr"] * group["rate"]} if "lr" in base else {}),
                **({} if group["decays"] else {"weight_decay": 0.0}),
            }
            for group in groups
        ]
        learned = {"params": list(self.objective.parameters()), "weight_decay": 0.0, "name": "objective"}
        optimizer = self.make_optimizer([*rates, learned])
        steps = self.trainer.estimated_stepping_batches
        if steps == float("inf") or steps < 1:
            raise ValueError(
                "trainer: the data have no end or no known number, so the training has none. Set trainer.max_steps=N."
            )
        schedule = schedule_of(self.make_schedule, optimizer, total_steps=int(steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        """A step, after which the scale is brought back into its range."""
        super().optimizer_step(*arguments, **named)
        self.objective.hold()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leaves out what does not move: the model's own file has it.

        What was computed by it is on disk from here on, so that a training that goes on reads the same rows.
        """
        self.features.flush()
        kept = self.kept()
        checkpoint["state_dict"] = {
            key: value for key, value in checkpoint["state_dict"].items() if key in kept
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """ValueError for a checkpoint that lacks what moves here."""
        lacking = sorted(self.kept() - checkpoint["state_dict"].keys())
        if lacking:
            raise ValueError(
                f"ckpt_path: the checkpoint lacks {len(lacking)} tensors that this training moves ({lacking[0]}, ...). "
                f"Set finetune and model as they were, or ckpt_path=null to start anew."
            )

    def kept(self) -> set[str]:
        """The keys of a checkpoint's tensors."""
        moving = {f"encoder.{key}" for key in self.finetune.trained_keys(self.encoder)}
        return moving | {f"objective.{key}" for key in self.objective.state_dict()}


def mean_cosine(rows: Tensor) -> Tensor:
    """The mean cosine between two different rows: near 1, they all point in one direction."""
    n = len(rows)
    total = unit(rows.detach().float()).sum(dim=0).square().sum()
    return (total - n) / max(n * (n - 1), 1)
