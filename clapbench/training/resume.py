"""Checkpoints that an unfinished training goes on from, and whether what lies in its folder is of this training."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.trainer.states import TrainerFn
from safetensors import SafetensorError, safe_open

from clapbench import files
from clapbench.config import ConfigError
from clapbench.encoders.base import PLACES
from clapbench.running import stopping
from clapbench.training import processes

# What decides a result. Of the trainer, what changes the numbers; where a callback may end the training or choose its
# weights, what it sees counts, too.
DECIDES = (
    *("fingerprint", "content", "model", "data", "objective", "regularizer", "finetune", "optimizer"),
    *("schedule", "seed", "trainer", "callback", "weights", "checkpoint_dtype"),
)
TRAINER = (
    *("max_steps", "max_epochs", "accumulate_grad_batches", "precision"),
    *("gradient_clip_val", "gradient_clip_algorithm"),
)


def decisive(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What of a recipe decides the result of its training."""
    watched = bool(recipe.get("callback"))
    keys = (*DECIDES, "validation") if watched else DECIDES
    found = {key: recipe[key] for key in keys if key in recipe}
    of_trainer = (*TRAINER, "val_check_interval") if watched else TRAINER
    found["trainer"] = {key: value for key, value in recipe["trainer"].items() if key in of_trainer}
    if watched:  # where a callback writes decides nothing, and names the seed
        nodes = recipe["callback"].items()
        found["callback"] = {
            name: {key: value for key, value in node.items() if key != "dirpath"} for name, node in nodes
        }
    found["model"] = {key: value for key, value in recipe["model"].items() if key not in PLACES}
    return found


class Keep(Checkpoint):
    """Writes the checkpoint ``path`` every ``every`` steps, and when a signal asks the training to end; then ends it.

    Between steps nothing is half done, so a training that goes on from here takes the same course. Lightning runs
    checkpoints after all other callbacks, whose state this one holds; it is to be the last of them.
    """

    def __init__(self, path: Path, *, every: int) -> None:
        self.path, self.every = path, every
        self.step, self.stepped = 0, False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning has put its handlers around ours, which save before they end."""
        self.step = trainer.global_step
        stopping.handle_again()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After a step, unless validation follows."""
        self.stepped = trainer.global_step != self.step  # else gradients accumulate
        self.step = trainer.global_step
        if self.stepped and not validates_now(trainer):
            self.look(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """After a step's validation, so that its numbers are not lost."""
        if trainer.state.fn == TrainerFn.FITTING and self.stepped:
            self.look(trainer)

    def look(self, trainer: pl.Trainer) -> None:
        """Saves where it is time, and ends where any process was asked to."""
        asked = processes.agreed(stopping.STATE.asked or 0)
        if asked or trainer.global_step % self.every == 0:
            self.save(trainer)
        if asked:
            raise stopping.Stopped(signal.Signals(asked))

    def save(self, trainer: pl.Trainer) -> None:
        """The checkpoint, whole or not at all."""
        if processes.rank() > 0:
            trainer.save_checkpoint(self.path)  # takes part, and writes nothing
            return
        with files.replacing(self.path) as temporary:
            trainer.save_checkpoint(temporary)


def validates_now(trainer: pl.Trainer) -> bool:
    """Whether validation follows the batch that has just ended."""
    if trainer.check_val_every_n_epoch is not None or trainer.val_check_batch is None:
        return False
    return (trainer.fit_loop.total_batch_idx + 1) % trainer.val_check_batch == 0


@dataclass(frozen=True)
class Found:
    """What lies in a training's folder: its result, or a checkpoint with the step where it goes on; or neither."""

    result: Path | None = None
    checkpoint: Path | None = None
    step: int = 0


def find(cfg: DictConfig, recipe: Mapping[str, Any], *, weights: Path, last: Path) -> Found:
    """What a training with ``recipe`` finds. `ConfigError` where it is of another one, which would be lost."""
    if weights.is_file() and not cfg.force:
        check_same(held_recipe(weights), recipe, what=weights, remedy="or force=true to train it anew")
        return Found(result=weights)
    if cfg.ckpt_path is None:
        return Found()
    path = last if cfg.ckpt_path == "last" else Path(cfg.ckpt_path).expanduser()
    if not path.is_file():
        return Found()
    held = read_checkpoint(path)
    check_same(held["hyper_parameters"], recipe, what=path, remedy="or ckpt_path=null to start anew")
    return Found(checkpoint=path, step=int(held["global_step"]))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of a training, read without running code."""
    try:
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a damaged file fails in any way it likes
        raise ConfigError(
            f"ckpt_path: {path} cannot be read as a checkpoint ({type(error).__name__}). "
            f"Set ckpt_path to another one, or ckpt_path=null to start anew."
        ) from None
    if not isinstance(held, dict) or not {"hyper_parameters", "global_step"} <= held.keys():
        raise ConfigError(f"ckpt_path: {path} is no checkpoint of train.py. Set ckpt_path=last or null.")
    return held


def held_recipe(path: Path) -> dict[str, Any]:
    """The recipe in the header of a result; empty where it has none."""
    try:
        with safe_open(path, framework="pt") as file:
            found: dict[str, Any] = json.loads((file.metadata() or {}).get("recipe", "{}"))
            return found
    except (SafetensorError, ValueError):
        return {}


def check_same(earlier: Mapping[str, Any], now: Mapping[str, Any], *, what: Path, remedy: str) -> None:
    """`ConfigError` with the keys that differ between two recipes and decide a result."""
    if not {"model", "trainer"} <= earlier.keys():
        raise ConfigError(
            f"{what} does not say what it was trained by. Set name=NAME for this training, {remedy}."
        )
    before, after = decisive(earlier), decisive(now)
    differ = [text for key in {**before, **after} for text in differing(before.get(key), after.get(key), key)]
    if differ:
        more = f" and {len(differ) - 6} more" if len(differ) > 6 else ""
        raise ConfigError(
            f"{what} is of another configuration: {', '.join(differ[:6])}{more}. "
            f"Type the configuration that it has, set name=NAME for this one, {remedy}."
        )


def differing(earlier: Any, now: Any, key: str) -> Iterator[str]:
    """The dotted keys whose values differ, with both."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        for name in {**earlier, **now}:
            yield from differing(earlier.get(name), now.get(name), f"{key}.{name}")
    elif earlier != now:
        yield f"{key} (was {json.dumps(earlier)[:60]}, is {json.dumps(now)[:60]})"
