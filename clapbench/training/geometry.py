"""Live geometry: what validation says of the held-out benchmarks, step by step, and a word where a side collapses."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from clapbench import files, sheets
from clapbench.probes.base import Probe
from clapbench.probes.paired import bind
from clapbench.probes.rankme import effective_rank
from clapbench.running.batches import EncodingPlan, Indexed, row_loader
from clapbench.running.probing import Probing, finite_only
from clapbench.schema import Embeddings
from clapbench.training import processes

log = logging.getLogger(__name__)

COLLAPSED = 0.99  # mean cosine between two clips, or two captions
FIRST_LOOK = 25  # steps: before, random weights may still point in one direction
LOST_RANK = 0.25  # of the rank before training


class Geometry(pl.Callback):
    """Scores and probes of ``held_out`` at each validation, from the rows that the module's validation step returns.

    They are logged as BENCHMARK/NAME, so that any callback can monitor them, and kept in ``curve`` by step. Under
    several processes each encodes its share, and each computes the same numbers from the rows of all. ``chosen`` holds
    the numbers of weights that are not those of the last step.
    """

    def __init__(
        self, *, held_out: Mapping[str, EncodingPlan], probes: Mapping[str, Probe], curve: Curve
    ) -> None:
        self.held_out, self.probing, self.curve = held_out, Probing(probes), curve
        self.seconds = 0.0  # that validation has taken
        self.ranks: dict[str, float] = {}  # of each side of each benchmark at its first validation
        self.warned: set[str] = set()
        self.choosing = False
        self.chosen: dict[str, float] | None = None
        self.chosen_step: int | None = None

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts without rows."""
        self.began = time.perf_counter()
        self.rows: list[list[Indexed]] = [[] for _ in range(2 * len(self.held_out))]

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keeps the rows of a batch."""
        self.rows[dataloader_idx].append(outputs)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The loaders come in pairs: the clips of a benchmark, then its captions."""
        if trainer.sanity_checking:
            return
        rows = processes.joined(self.rows)
        numbers: dict[str, float] = {}
        for number, (name, plan) in enumerate(self.held_out.items()):
            embeddings = plan.embeddings(audio=rows[2 * number], text=rows[2 * number + 1])
            numbers |= self.measure(name, plan, embeddings)
        if self.choosing:
            self.chosen = numbers
            return
        pl_module.log_dict(numbers, sync_dist=processes.world() > 1)
        self.seconds += time.perf_counter() - self.began
        loss = trainer.callback_metrics.get("train/loss")
        self.curve.add(trainer.global_step, numbers | ({} if loss is None else {"train/loss": float(loss)}))

    def measure(self, name: str, plan: EncodingPlan, embeddings: Embeddings) -> dict[str, float]:
        """Scores and probes of one benchmark, as loggers take them; says where a side has lost its rank."""
        bind(self.probing.probes.values(), cases=plan.benchmark.cases(), embeddings=embeddings)
        for batch in row_loader(embeddings):
            self.probing.update(batch)
        for side, rows in (("audio", embeddings.audio), ("text", embeddings.text)):
            rank = float(effective_rank(torch.from_numpy(rows)))
            first = self.ranks.setdefault(f"{name} {side}", rank)
            if rank < LOST_RANK * first:
                self.warn(side, f"RankMe of {name} is {rank:.1f}, and was {first:.1f} before training")
        return finite_only(
            {**plan.benchmark.judge(embeddings).numbers, **self.probing.compute().values}, prefix=f"{name}/"
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks at the features of every tenth batch while the run is young, then of fewer."""
        step = trainer.global_step
        if step >= FIRST_LOOK and step % max(10, step // 20) == 0:
            numbers = trainer.callback_metrics
            self.look({side: float(numbers[f"train/cosine_{side}"]) for side in ("audio", "text")}, step=step)

    def look(self, cosines: Mapping[str, float], *, step: int) -> None:
        """Warns of a side whose rows point in one direction, by their mean cosine in a batch."""
        for side, cosine in cosines.items():
            if cosine > COLLAPSED:
                self.warn(side, f"two rows of a batch have a mean cosine of {cosine:.3f}", step=step)

    def state_dict(self) -> dict[str, Any]:
        """The ranks before training, which a resume compares with."""
        return {"ranks": self.ranks}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes them up again."""
        self.ranks = dict(state_dict["ranks"])

    def warn(self, side: str, told: str, *, step: int | None = None) -> None:
        """Says once of a side that it collapses."""
        if side not in self.warned and processes.rank() == 0:
            at = "" if step is None else f"step {step}: "
            log.warning(
                "%sthe %s side is collapsing: %s. Lower optimizer.lr, or keep it apart with "
                "regularizer=[variance,covariance].",
                at,
                side,
                told,
            )
        self.warned.add(side)


class Curve:
    """Numbers by step, in a CSV that is rewritten with each: whatever ends a training, what it said is on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.steps: dict[int, dict[str, float]] = {}

    def start(self, *, until: int | None) -> None:
        """Reads what an earlier run of the same training wrote up to the step where it goes on; None: starts anew."""
        if until is None or not self.path.is_file():
            return
        for row in sheets.read(self.path):
            numbers = {key: float(value) for key, value in row.items() if key != "step" and value}
            if int(row["step"]) <= until:
                self.steps[int(row["step"])] = numbers

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """The numbers of a step, in place of those it had."""
        self.steps[step] = dict(numbers)
        if processes.rank() == 0:
            names = list(dict.fromkeys(name for one in self.steps.values() for name in one))
            rows = [{"step": step, **one} for step, one in sorted(self.steps.items())]
            files.write_text(self.path, sheets.text_of(["step", *names], rows))

    @property
    def before(self) -> dict[str, float]:
        """The numbers of the first step, those of untrained weights."""
        return self.steps[min(self.steps)]

    @property
    def after(self) -> dict[str, float]:
        """The numbers of the last step."""
        return self.steps[max(self.steps)]


def validation_loaders(
    held_out: Mapping[str, EncodingPlan], *, batch_size: int, num_workers: int | None
) -> list[Any]:
    """Clips and captions of each benchmark, this process's share of them."""
    share = (processes.rank(), processes.world())
    return [
        loader
        for plan in held_out.values()
        for loader in plan.loaders(batch_size=batch_size, num_workers=num_workers, share=share)
    ]
