"""What an objective and regularisers need, held against the data and what moves, before anything is trained."""

from __future__ import annotations

from omegaconf import DictConfig

from clapbench import config
from clapbench.encoders.base import Encoder
from clapbench.training.data.base import TrainingData


def check_terms(cfg: DictConfig, *, encoder: type[Encoder], name: str, data: TrainingData) -> None:
    """`ConfigError` that names the first term with nothing to act on: no text, a frozen side, no swapped captions."""
    if "text" not in encoder.sides:
        raise config.ConfigError(f"model {name!r}: has no text side, and cannot be trained. Choose another model.")
    moving = config.build(cfg.finetune).moving_sides(encoder, model=name)
    terms = {"objective": config.build(cfg.objective)}
    terms |= {f"regularizer.{key}": config.build(node) for key, node in cfg.regularizer.items()}
    for key, term in terms.items():
        if term.reads_swapped and not data.has_swapped:
            raise config.ConfigError(
                f"{key}: needed swapped captions, the data have none. Set data.swap=rules or data.swapped=COLUMN, "
                f"or take {key} out."
            )
        frozen = [side for side in getattr(term, "sides", ()) if side not in moving]
        if frozen:
            raise config.ConfigError(
                f"{key}: acts on the {' and '.join(frozen)} side, which does not move. "
                f"Set finetune=all or another that moves it, or take {key} out."
            )
        if getattr(term, "needs_spread", False) and cfg.data.batch_size < 2:
            raise config.ConfigError(
                f"{key}: needed two pairs or more in a batch, got data.batch_size={cfg.data.batch_size}. Raise it."
            )
