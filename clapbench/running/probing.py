"""From rows to probes, by the Trainer's test loop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from torch import nn
from torchmetrics import MetricCollection

from clapbench import config
from clapbench.probes.base import Probe
from clapbench.probes.paired import bind
from clapbench.probes.two_nn import count_duplicates
from clapbench.running.batches import RowBatch, row_loader
from clapbench.running.stopping import finishing_batches
from clapbench.running.trainer import make_trainer
from clapbench.schema import Case, Embeddings


@dataclass(frozen=True)
class Probed:
    """A value per probe, None where it is undefined on this cloud, the reasons, and which probes read the matches."""

    values: dict[str, float | None]
    undefined: dict[str, str]
    reads_matches: tuple[str, ...] = ()


class Probing(nn.Module):
    """Every wanted probe over the rows that it is given."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        super().__init__()
        self.names = tuple(probes)  # in the order they were asked for, which a MetricCollection forgets
        # Probes of different sides can hold equal states on a first batch; groups would then merge them.
        self.probes = MetricCollection(dict(probes), compute_groups=False)

    def update(self, batch: RowBatch) -> None:
        """Give every probe a batch of rows."""
        self.probes.update(
            audio=batch.audio,
            text=batch.text,
            audio_index=batch.audio_index,
            text_index=batch.text_index,
        )

    def compute(self) -> Probed:
        """A probe that refuses this cloud is None, its reason kept; then everything starts anew."""
        values: dict[str, float | None] = {}
        undefined: dict[str, str] = {}
        for name in self.names:
            try:
                values[name] = float(self.probes[name].compute())
            except ValueError as reason:
                values[name], undefined[name] = None, str(reason)
        self.probes.reset()
        reading = tuple(name for name in self.names if self.probes[name].reads_matches)
        return Probed(values=values, undefined=undefined, reads_matches=reading)


def finite_only(numbers: Mapping[str, float | None], *, prefix: str = "") -> dict[str, float]:
    """The numbers that there are, as loggers take them."""
    return {
        f"{prefix}{name}": float(value)
        for name, value in numbers.items()
        if value is not None and math.isfinite(value)
    }


class Score(pl.LightningModule):
    """``trainer.test``: probes rows."""

    probed: Probed

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        super().__init__()
        self.probing = Probing(probes)

    def test_step(self, batch: RowBatch, batch_idx: int) -> None:
        """Give every probe a batch of rows."""
        self.probing.update(batch)

    def on_test_epoch_end(self) -> None:
        """Compute every probe, and log what is a number."""
        self.probed = self.probing.compute()


def build_probes(nodes: Mapping[str, DictConfig]) -> dict[str, Probe]:
    """A Metric per probe, by name."""
    return {name: config.build(node) for name, node in nodes.items()}


def probe(
    probes: Mapping[str, Probe],
    *,
    embeddings: Embeddings,
    cases: Sequence[Case],
    trainer: DictConfig,
    root: str,
) -> Probed:
    """Probes of embeddings by the test loop of the configured ``trainer``, on its device."""
    bind(probes.values(), cases=cases, embeddings=embeddings)
    module = Score(probes)
    with finishing_batches():
        make_trainer(trainer, root=root, logger=None).test(module, row_loader(embeddings), verbose=False)
    return module.probed


def repeated(embeddings: Embeddings) -> dict[str, int]:
    """How many rows of each side repeat another exactly: intrinsic dimensions leave them out."""
    sides = {"audio": embeddings.audio, "text": embeddings.text}
    return {
        f"repeated_{side}": count_duplicates(torch.from_numpy(rows))
        for side, rows in sides.items()
        if len(rows)
    }
