"""What an objective and regularisers need, held against the data and what moves, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping

from omegaconf import DictConfig

from clapbench import config
from clapbench.training.data.base import TrainingData
from clapbench.training.regularizers.base import Regularizer, SideRegularizer


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
    if objective.reads_swapped and not data.has_swapped:
        raise config.ConfigError(
            "objective: needed swapped captions, the data have none. Set data.swap=rules or data.swapped=COLUMN, or "
            "objective=infonce."
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
