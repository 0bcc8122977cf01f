"""Progress: encoding in clips per second, training in steps with what validation last said."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from clapbench.console import console, shown
from clapbench.running.batches import ClipBatch


class Rate(ProgressColumn):
    """Finished items per second, in the task's unit."""

    def render(self, task: Task) -> Text:
        """How many units a second."""
        return Text(f"{task.speed or 0.0:.0f} {task.fields['unit']}/s")


class Bar(pl.Callback):
    """A bar that only a terminal shows, gone when its Trainer is done or raises."""

    def __init__(self, last: ProgressColumn) -> None:
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            last,
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Takes the bar away before the error is shown."""
        self.bar.stop()


class EncodingProgress(Bar):
    """Counts clips and captions while a Trainer predicts; ``clips_per_s`` holds the rate afterwards."""

    def __init__(self, *, label: str, n_clips: int, n_captions: int) -> None:
        super().__init__(Rate())
        self.tasks = {
            unit: self.bar.add_task(f"{shown(label)}: {unit}", total=total, unit=unit)
            for unit, total in (("clips", n_clips), ("captions", n_captions))
        }
        self.clips_per_s = 0.0

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Shows a bar for clips and one for captions."""
        self.start = time.perf_counter()
        self.bar.start()

    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Counts a batch."""
        unit = "clips" if isinstance(batch, ClipBatch) else "captions"
        self.bar.advance(self.tasks[unit], len(batch.index))
        if unit == "clips":
            self.clips_per_s = self.bar.tasks[self.tasks[unit]].completed / (time.perf_counter() - self.start)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the bars away."""
        self.bar.stop()


FIRST = ("F", "G", "H", "t2a_R@1", "a2t_R@1", "accuracy")  # of what a benchmark says, for a line


class TrainingProgress(Bar):
    """A bar of steps on a terminal, and a line per validation: loss, rate, and each benchmark's first scores."""

    def __init__(self) -> None:
        super().__init__(TimeRemainingColumn())
        self.start, self.clips = time.perf_counter(), 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Shows a bar of the steps."""
        self.start = time.perf_counter()
        self.task = self.bar.add_task("training", total=int(trainer.estimated_stepping_batches))
        self.bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts a step."""
        self.clips += len(batch.captions) * trainer.world_size
        self.bar.update(self.task, completed=trainer.global_step)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prints the loss and the scores of this step."""
        numbers = trainer.callback_metrics
        told = []
        for bench in sorted({name.partition("/")[0] for name in numbers if "/" in name}):
            found = {name: numbers.get(f"{bench}/{name}") for name in FIRST}
            scores = [f"{name} {value:.3f}" for name, value in found.items() if value is not None]
            if scores:
                told.append(" ".join([bench, *scores]))
        if not told:
            return
        loss = [f"loss {numbers['train/loss']:.3f}"] if "train/loss" in numbers else []
        told = [f"step {trainer.global_step}", *loss, *told]
        if self.clips:
            seconds = time.perf_counter() - self.start
            told.append(f"[dim]{self.clips / seconds:.0f} clips/s, {seconds:.0f} s[/]")
        console.print("  ".join(told), highlight=False, soft_wrap=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the bar away."""
        self.bar.stop()
