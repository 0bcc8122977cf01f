"""What a model is one of: a recipe, a family of recipes, and the seed of its training; keys of the group ``model``.

They are written into the cell, where a study finds its levels; they are no arguments of the model's class and part of
no cache key, so that naming them embeds nothing anew. A class that takes an argument of that name gets it all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from clapbench.config.check import fields_of, signature_kinds
from clapbench.config.schema import Levels


class Known(NamedTuple):
    """The levels of one model, as its cell has them."""

    recipe: str
    family: str
    seed: int | None


def levels_of(model: Mapping[str, Any] | DictConfig) -> Known:
    """The levels of a model's node: a recipe is the model's name, and a family its recipe, unless something is said.

    >>> levels_of({"name": "mini_s1", "recipe": "mini", "seed": 1})
    Known(recipe='mini', family='mini', seed=1)
    """
    recipe = model.get("recipe") or model["name"]
    seed = model.get("seed")
    return Known(
        recipe=str(recipe),
        family=str(model.get("family") or recipe),
        seed=None if seed is None else int(seed),
    )


def without_levels(node: DictConfig) -> DictConfig:
    """A node without the keys of `Levels` that its ``_target_`` does not take."""
    found = [name for name in fields_of(Levels) if name in node]
    if not found or "_target_" not in node:
        return node
    taken = signature_kinds(get_object(str(node._target_)))
    out = {name for name in found if name not in taken}
    if not out:
        return node
    kept: DictConfig = OmegaConf.masked_copy(node, [str(key) for key in node if key not in out])
    kept._set_parent(node._get_parent())  # where its interpolations look
    return kept


def recipe_of_training(name: str, *, seed: int) -> str:
    """The name of a training without its seed, which trainings of one recipe share.

    >>> recipe_of_training("mini-negclip-seed1", seed=1), recipe_of_training("mini_s1", seed=1)
    ('mini-negclip', 'mini')
    >>> recipe_of_training("mini_s1", seed=2)  # it says something else
    'mini_s1'
    """
    return re.sub(rf"(?<=.)[-_.](?:seed|s)[-_=]?{seed}$", "", name)
