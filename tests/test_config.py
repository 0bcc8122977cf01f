"""A configuration that cannot work is refused by name, with the nearest thing that exists."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from clapbench import config
from clapbench.config import ConfigError


def composed(*overrides: str, root: str = "evaluate") -> DictConfig:
    with initialize_config_dir(version_base="1.3", config_dir=str(config.CONF)):
        return compose(root, overrides=list(overrides))


def test_every_group_has_choices() -> None:
    for group in ("model", "bench", "probe", "probe_set", "regularizer", "trainer", "logger", "experiment"):
        assert config.choices(group), group
    assert "mini" in config.choices("model")


@pytest.mark.parametrize(
    "argument",
    [
        "model=mini",
        "model='mini'",
        'model="mini"',
        "bench=synth_order,'synth_attribute'",
        "bench=choice(synth_order,synth_attribute)",
        "model=glob(mini*)",
        "regularizer=[variance,covariance]",
        "regularizer=[variance],[]",
        "experiment=null",
        "probes=[paper,nonsense]",  # names of probes and sets: probe_configs looks at them
        "model.window=nonsense",
        "seed=1",
        "~model",
        "-m",
    ],
)
def test_what_hydra_can_compose_passes(argument: str) -> None:
    config.check_choices([argument])


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("model=minni", r"model 'minni' is not there\. Did you mean 'mini'\? Choose from: .*mini"),
        ("model=mini,minni", "model 'minni' is not there"),
        ("model=mini,'minni'", "model 'minni' is not there"),
        ("bench=synth_ordre", "Did you mean 'synth_order'"),
        ("regularizer=[variance,covarianse]", "regularizer 'covarianse' .* mean 'covariance'"),
        ("+experiment=dmeo", "experiment 'dmeo' is not there. Did you mean 'demo'"),
        ("bench@validation.order=synth_ordr", "bench 'synth_ordr'"),
        ("trainer=zzz", r"trainer 'zzz' is not there\. Choose from"),
    ],
)
def test_a_name_without_a_yaml_is_refused_with_the_nearest(argument: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config.check_choices(["-m", "seed=1", argument])


@pytest.mark.parametrize("elsewhere", ["--config-dir=here", "-cd", "hydra.searchpath=[file://here]"])
def test_another_config_folder_may_hold_the_name(elsewhere: str) -> None:
    config.check_choices([elsewhere, "model=theirs"])


@pytest.mark.parametrize("root", ["evaluate", "train"])
def test_composed_configs_have_known_keys_and_arguments(root: str) -> None:
    cfg = composed(root=root)
    config.check_keys(cfg, root=root)
    config.check_arguments(cfg.model, who="model")
    config.check_arguments(cfg.trainer, who="trainer")


def test_a_key_that_the_root_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"key 'sweeep' is not there\. Did you mean 'sweep'"):
        config.check_keys(composed("+sweeep=a"), root="evaluate")


def test_an_argument_that_the_target_lacks_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.windows: argument 'windows' .* mean 'window'"):
        config.check_arguments(composed("+model.windows=3").model, who="model")


def test_a_value_that_nobody_gave_is_asked_for() -> None:
    node = OmegaConf.create(
        {"_target_": "clapbench.benchmarks.pairs.PairsBenchmark", "name": "x", "csv": "???"}
    )
    with pytest.raises(ConfigError, match=r"bench\.csv: needed a value, got none\. Set bench\.csv=VALUE"):
        config.check_arguments(node, who="bench")


def test_sets_and_names_of_probes_mix_and_none_comes_twice() -> None:
    paper = config.probe_configs("paper")
    assert list(paper) == list(config.probe_configs(["paper", "rankme_audio", "paper"]))
    assert list(config.probe_configs(["gap_l2", "rankme_text", "gap_l2"])) == ["gap_l2", "rankme_text"]
    assert all("_target_" in node for node in paper.values())
    assert set(config.probe_configs(["all"])) == set(config.choices("probe"))
    assert config.probe_configs([]) == {}


def test_an_unknown_probe_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"probe 'rankme_txt' is not there\. Did you mean 'rankme_text'"):
        config.probe_configs(["paper", "rankme_txt"])


def test_a_probe_yaml_holds_one_probe_under_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "probe").mkdir()
    (tmp_path / "probe" / "mine.yaml").write_text("other: {_target_: clapbench.probes.rankme.RankMe}\n")
    monkeypatch.setattr(config, "CONF", tmp_path)
    with pytest.raises(ConfigError, match=r"conf/probe/mine\.yaml: needed one top key, 'mine'"):
        config.probe_configs("mine")


@pytest.mark.parametrize("name", ["demo", "mini_bag-2", "größe", "a.b", "1", 7])
def test_a_path_segment_is_a_folder_name(name: object) -> None:
    config.check_folder_name(name, key="sweep")


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\\b", "a\nb", "/abs", None])
def test_what_is_no_path_segment_is_refused(name: object) -> None:
    with pytest.raises(ConfigError, match="sweep: needed a name that can be a folder"):
        config.check_folder_name(name, key="sweep")


def test_a_writable_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    config.check_writable(tmp_path / "a" / "b", key="outputs")
    assert (tmp_path / "a" / "b").is_dir()
    assert not list((tmp_path / "a" / "b").iterdir())


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_the_way_is_named_with_the_key(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cache_dir: needed a folder .*file.* Set cache_dir=DIR"):
        config.check_writable(tmp_path / "file" / below, key="cache_dir")
