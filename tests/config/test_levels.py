"""Recipe, family and seed of a model: told in the cell, and no argument of its class unless that takes one."""

from __future__ import annotations

from omegaconf import OmegaConf

from clapbench import config
from clapbench.config.levels import recipe_of_training


class Taking:
    """A class that takes a seed."""

    def __init__(self, name: str, seed: int = 0) -> None:
        self.name, self.seed = name, seed


NODE = {"_target_": f"{__name__}.Taking", "name": "x", "recipe": "r", "family": None, "seed": 4}


def test_what_is_not_said_follows_from_the_name() -> None:
    assert config.levels_of({"name": "x"}) == ("x", "x", None)
    assert config.levels_of({"name": "x", "recipe": "r", "seed": 0}) == ("r", "r", 0)
    assert config.levels_of(OmegaConf.create(NODE)) == ("r", "r", 4)


def test_only_what_the_class_takes_reaches_it() -> None:
    built = config.build(OmegaConf.create(NODE))
    assert (built.name, built.seed) == ("x", 4)
    assert set(config.without_levels(OmegaConf.create(NODE))) == {"_target_", "name", "seed"}


def test_interpolations_are_filled_in_where_the_node_stands() -> None:
    whole = OmegaConf.create({"word": "y", "model": {**NODE, "name": "${word}"}})
    assert config.build(whole.model).name == "y"


def test_a_training_is_named_by_its_seed_at_the_end_alone() -> None:
    names = {
        "mini-seed1": "mini",
        "mini_s1": "mini",
        "a.s-1": "a",
        "bias1": "bias1",
        "seed1": "seed1",
        "m_s11": "m_s11",
    }
    assert {name: recipe_of_training(name, seed=1) for name in names} == names
