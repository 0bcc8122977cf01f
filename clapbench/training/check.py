"""Whether a training can work, asked before anything is made: its terms, data, callbacks and devices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from omegaconf import DictConfig

from clapbench import config
from clapbench.encoders.base import hearing
from clapbench.running import devices
from clapbench.running.plan import check_parts, model_class
from clapbench.training.data.base import TrainingData
from clapbench.training.regularizers.base import Regularizer, SideRegularizer

# Keys of Lightning's Trainer that leave out a part of validation, or of all.
PARTIAL = ("limit_val_batches", "fast_dev_run", "overfit_batches")


def check(cfg: DictConfig) -> TrainingData:
    """Refuses what cannot work, before anything is made, and puts values in as their kinds have them.

    Returns the data, which it had to read.
    """
    config.check(cfg, root="train")
    check_parts(cfg)
    devices.check_processes(cfg)
    if cut := [key for key in PARTIAL if key in cfg.trainer]:
        raise config.ConfigError(f"trainer.{cut[0]}: validation covers every clip and caption. Take it out.")
    if not cfg.validation:
        raise config.ConfigError(
            "validation: needed a benchmark or more under it, got none. Leave it as it is."
        )
    for node in cfg.validation.values():
        config.build(node)
    if cfg.ckpt_path not in (None, "last") and not Path(cfg.ckpt_path).expanduser().is_file():
        raise config.ConfigError(
            f"ckpt_path: needed last, null or an existing file, got {cfg.ckpt_path}. Correct it."
        )
    check_callbacks(cfg)
    check_length(cfg)
    kind, arguments = model_class(cfg)
    if "text" not in kind.sides:  # type: ignore[attr-defined]
        raise config.ConfigError(
            f"model {arguments['name']!r}: has no text side, and cannot be trained. Choose another model."
        )
    data = build_data(cfg)
    check_terms(cfg, data)
    terms = {name: config.build(node) for name, node in cfg.regularizer.items()}
    check_sides(terms, moving=config.build(cfg.finetune).sides_of(kind))
    return data


def check_length(cfg: DictConfig) -> None:
    """`ConfigError` for a training without an end, or one that ends before the warm-up does."""
    steps, epochs, time = (cfg.trainer.get(key) for key in ("max_steps", "max_epochs", "max_time"))
    if steps in (None, -1) and epochs is None and time is None:
        raise config.ConfigError(
            "trainer.max_steps: needed an end, got no limit of steps, epochs or time. Set trainer.max_epochs=N."
        )
    warmup = cfg.schedule.get("warmup_steps", 0)
    if steps is not None and 0 < steps <= warmup:
        raise config.ConfigError(
            f"schedule.warmup_steps: needed fewer than the {steps} steps of the training, got {warmup}. "
            f"Set schedule.warmup_steps={steps // 10}, or train longer."
        )


def check_callbacks(cfg: DictConfig) -> None:
    """`ConfigError` where what a callback needs, or what needs it, is not there."""
    classes = {str(node._target_).rpartition(".")[2] for node in cfg.callback.values()}
    if cfg.weights == "best" and "ModelCheckpoint" not in classes:
        raise config.ConfigError(
            "weights: best needs callback=[best], which keeps the best checkpoint. Add it."
        )
    if "LearningRateMonitor" in classes and str(cfg.logger._target_).endswith(".none"):
        raise config.ConfigError(
            "callback: LearningRateMonitor needs a logger, got logger=none. Set logger=csv."
        )


def build_data(cfg: DictConfig) -> TrainingData:
    """The LightningDataModule of a configuration, at the rate and window of its encoder."""
    kind, arguments = model_class(cfg)
    heard = hearing(kind, arguments)
    if heard is None:
        raise config.ConfigError(
            f"model {arguments['name']!r}: its class does not say what it hears of a clip."
        )
    data: TrainingData = config.build(cfg.data, hearing=heard, num_workers=cfg.loader.num_workers)
    return data


def check_terms(cfg: DictConfig, data: TrainingData) -> None:
    """`ConfigError` that names the first term with nothing to act on: a single pair, no swapped captions."""
    objective = config.build(cfg.objective)
    terms = {f"regularizer.{key}": config.build(node) for key, node in cfg.regularizer.items()}
    if cfg.data.batch_size < 2:
        spread = [key for key, term in terms.items() if term.needs_spread]
        raise config.ConfigError(
            f"{', '.join(spread) or 'objective'}: needed two pairs or more in a batch, got "
            f"data.batch_size={cfg.data.batch_size}. Raise it."
        )
    for key, term in {"objective": objective, **terms}.items():
        if term.reads_swapped and not data.has_swapped:
            raise config.ConfigError(
                f"{key}: needed swapped captions, the data have none. Set data.swap=rules or data.swapped=COLUMN, or "
                f"choose another {key.partition('.')[0]}."
            )


def check_sides(regularizers: Mapping[str, Regularizer], *, moving: set[str]) -> None:
    """`ConfigError` that names the first term whose side does not move."""
    for name, term in regularizers.items():
        frozen = sorted(term.sides - moving)
        if frozen and (isinstance(term, SideRegularizer) or not term.sides & moving):
            raise config.ConfigError(
                f"regularizer.{name}: acts on the {' and '.join(frozen)} side, which does not move. "
                f"Choose a finetune that moves it, or take {name} out."
            )
