"""What an objective and regularisers need, held against the data and what moves, before anything is trained."""

from __future__ import annotations

from omegaconf import DictConfig

from clapbench import config
from clapbench.encoders.base import Encoder
from clapbench.training.data.base import TrainingData
from clapbench.training.regularizers.base import SideRegularizer


def check_terms(cfg: DictConfig, *, encoder: type[Encoder], name: str, data: TrainingData) -> None:
    """`ConfigError` that names the first term with nothing to act on: no text, a frozen side, no swapped captions."""
    if "text" not in encoder.sides:
        raise config.ConfigError(f"model {name!r}: has no text side, and cannot be trained. Choose another model.")
    moving = config.build(cfg.finetune).moving_sides(encoder, model=name)
    objective = config.build(cfg.objective)
    terms = {f"regularizer.{key}": config.build(node) for key, node in cfg.regularizer.items()}
    if cfg.data.batch_size < 2:
        spread = [key for key, term in terms.items() if term.needs_spread]
        raise config.ConfigError(
            f"{', '.join(spread) or 'objective'}: needed two pairs or more in a batch, got "
            f"data.batch_size={cfg.data.batch_size}. Raise it."
        )
    if objective.reads_swapped and not data.has_swapped:
        raise config.ConfigError(
            "objective: needed swapped captions, the data have none. Set data.swap=rules or data.swapped=COLUMN, or "
            "objective=infonce."
        )
    for key, term in terms.items():
        frozen = sorted(term.sides - moving)
        if frozen and (isinstance(term, SideRegularizer) or not term.sides & moving):
            raise config.ConfigError(
                f"{key}: acts on the {' and '.join(frozen)} side, which does not move. "
                f"Choose a finetune that moves it, or take {key} out."
            )
