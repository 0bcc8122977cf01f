"""A configuration that cannot work is refused by name, with the nearest thing that exists."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from clapbench import config
from clapbench.config import ConfigError, conf, lines
from clapbench.config.check import fitted_node
from clapbench.config.schema import Part
from clapbench.config.values import fit
from clapbench.kinds import Name


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
    lines.prepare([argument], root="train" if "regularizer" in argument else "evaluate")


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
        lines.check_choices([argument], within=[config.CONF])


@pytest.mark.parametrize(
    "flag", ["--config-dir={}", "--config-dir {}", "-cd {}", "hydra.searchpath=[file://{}]"]
)
def test_another_config_folder_may_hold_the_name(
    flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conf, "TYPED", [])
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "theirs.yaml").write_text("_target_: theirs.Model\nname: theirs\n")
    lines.prepare([*flag.format(tmp_path).split(), "model=theirs"], root="evaluate")
    with pytest.raises(ConfigError, match="model 'thers' is not there"):
        lines.prepare([*flag.format(tmp_path).split(), "model=thers"], root="evaluate")


def test_a_config_folder_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="--config-dir: needed a folder"):
        lines.prepare(["--config-dir=/nowhere", "model=mini"], root="evaluate")


@pytest.mark.parametrize("root", ["evaluate", "train"])
def test_what_is_shipped_passes(root: str) -> None:
    config.check(composed(root=root), root=root)


def test_values_become_what_their_kinds_have() -> None:
    cfg = composed("force=yes", "bench.allow_missing=off", "model.window=5", "sweep=2026", "certify=0")
    config.check(cfg, root="evaluate")
    assert (cfg.force, cfg.bench.allow_missing, cfg.certify) == (True, False, False)
    assert (repr(cfg.model.window), cfg.sweep) == ("5.0", "2026")
    config.check(cfg, root="evaluate")  # once more changes nothing
    assert cfg.sweep == "2026"


def test_interpolations_are_filled_in_or_named() -> None:
    cfg = composed("sweep=s${seed}", "seed=3", "bench.seed=${seed}")
    config.check(cfg, root="evaluate")
    assert (cfg.sweep, cfg.bench.seed) == ("s3", 3)
    with pytest.raises(ConfigError, match=r"sweep: .*sed"):
        config.check(composed("sweep=s${sed}"), root="evaluate")


class Mine:
    """A user's class with arguments of plain types, of kinds, and without either."""

    def __init__(
        self, *, name: str, rate: float, on: bool = False, ways: list[int] | None = None, free=None
    ) -> None:
        self.arguments = (name, rate, on, ways, free)


def test_signatures_of_anybody_are_checked() -> None:
    part = Part("mine")
    node = {
        "_target_": f"{__name__}.Mine",
        "name": 7,
        "rate": 1,
        "on": "no",
        "ways": [1, 2],
        "free": {"a": 1},
    }
    assert dict(fitted_node(part, node, key="mine")) == {
        "mine.name": "7",
        "mine.rate": 1.0,
        "mine.on": False,
        "mine.ways": [1, 2],
        "mine.free": {"a": 1},
    }
    for wrong, words in [
        ({"rate": "fast"}, "mine.rate: needed a number, got 'fast'"),
        ({"ways": 3}, "mine.ways: needed a list, each a whole number, or null"),
        ({"free": {"a": {"_target_": "os.getcwd"}}}, r"mine.free.a: .* would run code"),
        ({"free": [{"_target_": "os.getcwd"}]}, r"mine.free\[0\]: .* would run code"),
        ({"rat": 1}, "argument 'rat' is not there. Did you mean 'rate'"),
        ({"name": "???"}, "mine.name: needed a value, got none. Set mine.name=VALUE"),
    ]:
        with pytest.raises(ConfigError, match=words):
            dict(fitted_node(part, {**node, **wrong}, key="mine"))


def test_sets_and_names_of_probes_mix_and_none_comes_twice() -> None:
    paper = config.probe_configs("paper")
    assert list(paper) == list(config.probe_configs(["paper", "rankme_audio", "paper"]))
    assert list(config.probe_configs(["gap_l2", "rankme_text", "gap_l2"])) == ["gap_l2", "rankme_text"]
    assert all("_target_" in node for node in paper.values())
    assert set(config.probe_configs(["all"])) == set(config.shipped_probes()) - {"lidar"}
    assert config.probe_configs([]) == {}


def test_an_argument_of_a_probe_can_be_changed_and_its_key_with_it() -> None:
    plain = config.probe_configs(["paper"])
    changed = config.probe_configs(["paper"], {"residual_text_k5": {"k": 7}})
    assert changed["residual_text_k5"].k == 7
    assert plain["residual_text_k5"].k == 5
    keys = [{name: config.probe_key(node) for name, node in nodes.items()} for nodes in (plain, changed)]
    assert [name for name in keys[0] if keys[0][name] != keys[1][name]] == ["residual_text_k5"]
    with pytest.raises(ConfigError, match=r"probe\.residual_text_k5\.k: needed a whole number"):
        config.probe_configs(["paper"], {"residual_text_k5": {"k": "many"}})


def test_the_key_of_a_probe_knows_no_module() -> None:
    one, other = (
        OmegaConf.create({"_target_": f"clapbench.{place}.RankMe", "side": "text"}) for place in ("a.b", "c")
    )
    assert config.probe_key(one) == config.probe_key(other)
    assert config.probe_key(one) != config.probe_key(OmegaConf.create({**one, "_target_": "mine.RankMe"}))


def test_an_unknown_probe_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"probe 'rankme_txt' is not there\. Did you mean 'rankme_text'"):
        config.probe_configs(["paper", "rankme_txt"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("RankMe\n", "needed names of probes as top keys"),
        ("mine: 3\n", "needed names of probes as top keys"),
        (
            "rankme_text: {_target_: clapbench.probes.rankme.RankMe}\n",
            "'rankme_text' stands in .*mine.yaml as well",
        ),
    ],
)
def test_a_probe_yaml_holds_probes_by_their_names(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "probe").mkdir()
    (tmp_path / "probe" / "mine.yaml").write_text(text)
    monkeypatch.setattr(conf, "folders", lambda: [tmp_path, config.CONF])
    with pytest.raises(ConfigError, match=words):
        config.probe_configs("rankme_text")


@pytest.mark.parametrize("name", ["demo", "mini_bag-2", "größe", "a.b", "1", 7])
def test_a_path_segment_is_a_folder_name(name: object) -> None:
    assert fit(Name, name, key="sweep") == str(name)


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", ".hidden", "a/b", "a\\b", "a\nb", "/abs", None, "x" * 201]
)
def test_what_is_no_path_segment_is_refused(name: object) -> None:
    with pytest.raises(ConfigError, match="sweep: needed a name that can be a folder"):
        fit(Name, name, key="sweep")


def test_a_writable_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    config.check_writable(tmp_path / "a" / "b", key="outputs")
    assert (tmp_path / "a" / "b").is_dir()
    assert not list((tmp_path / "a" / "b").iterdir())


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_in_the_way_is_named_with_the_key(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cache_dir: needed a folder .*file.* Set cache_dir=DIR"):
        config.check_writable(tmp_path / "file" / below, key="cache_dir")
