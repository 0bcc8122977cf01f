"""Probes of a configuration: names of probes and of sets become nodes, with the arguments that a user changed.

A file of conf/probe holds the probes of one formula, by name; a file of conf/probe_set is a list of names.
``probe.NAME.ARGUMENT=VALUE`` changes an argument of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from clapbench import files
from clapbench.config import conf
from clapbench.config.build import build
from clapbench.config.check import fitted_node
from clapbench.config.conf import ConfigError, unknown
from clapbench.config.schema import Part

VERSION = 1  # part of a probe's key; of those whose number changed since:
VERSIONS = {"MutualKNN": 2, "SwapAlignment": 2}
PROBE = Part("probe", ("clapbench.probes.base.Probe",))


def shipped_probes() -> dict[str, DictConfig]:
    """Every probe of conf/probe by its name. `ConfigError` for a file that holds something else, or a name twice."""
    found = [conf.find("probe", name) for name in conf.choices("probe")]
    return dict(_probes_in(tuple((path, path.stat().st_mtime_ns) for path in found)))


@cache
def _probes_in(paths: tuple[tuple[Path, int], ...]) -> dict[str, DictConfig]:
    """The probes of files, read once per process while they are unchanged."""
    found: dict[str, DictConfig] = {}
    origin: dict[str, Path] = {}
    for path, _ in paths:
        nodes = conf.shipped(path)
        if not isinstance(nodes, DictConfig) or not all(
            isinstance(node, DictConfig) and "_target_" in node for node in nodes.values()
        ):
            raise ConfigError(
                f"{path}: needed names of probes as top keys, with _target_ and arguments under each."
            )
        for key in map(str, nodes):
            if key in found:
                raise ConfigError(f"{path}: the probe {key!r} stands in {origin[key]} as well. Rename one.")
            found[key], origin[key] = nodes[key], path
    return found


def probe_configs(
    names: object, changed: Mapping[str, Any] | DictConfig | None = None
) -> dict[str, DictConfig]:
    """Probe name to its node, for names of probes (conf/probe) and of sets of probes (conf/probe_set).

    ``changed`` holds arguments by probe (the key ``probe`` of a configuration); each must be of a probe chosen.
    """
    if not isinstance(names, str | list | ListConfig):
        raise ConfigError(f"probes: needed a list of names, as probes=[paper,rankme_text]; got {names!r}.")
    known = shipped_probes()
    chosen: dict[str, DictConfig] = {}
    for name in [names] if isinstance(names, str) else names:
        if name in conf.choices("probe_set"):
            path = conf.find("probe_set", name)
            listed = conf.shipped(path)
            if not isinstance(listed, ListConfig):
                raise ConfigError(f"{path}: needed a list of probe names.")
            if name in map(str, listed):
                raise ConfigError(f"{path}: the set names itself. Take {name!r} out of it.")
            chosen |= probe_configs(list(listed))
        elif name in known:
            chosen[name] = known[name]
        else:
            raise unknown("probe", name, [*known, *conf.choices("probe_set")])
    return {
        name: _with(chosen[name], changes, name=name) for name, changes in _changes(chosen, changed, known)
    }


def _changes(
    chosen: Mapping[str, DictConfig], changed: Mapping[str, Any] | DictConfig | None, known: Mapping[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    """The arguments to change of each chosen probe."""
    given = (
        OmegaConf.to_container(changed, resolve=True) if isinstance(changed, DictConfig) else changed or {}
    )
    assert isinstance(given, dict)
    for name in given:
        if name not in chosen:
            if name in known:
                raise ConfigError(
                    f"probe.{name!s}: {name!r} is not among the probes. Add it: probes=[paper,{name!s}]."
                )
            raise unknown("probe", name, chosen)
    return [(name, given.get(name, {})) for name in chosen]


def _with(node: DictConfig, changes: Any, *, name: str) -> DictConfig:
    if not changes:
        return node
    shipped = OmegaConf.to_container(node)
    assert isinstance(shipped, dict)
    merged = {str(key): value for key, value in {**shipped, **changes}.items()}
    fitted = {
        place.rpartition(".")[2]: value for place, value in fitted_node(PROBE, merged, key=f"probe.{name}")
    }
    return OmegaConf.create({**merged, **fitted})


def probe_changes(nodes: Mapping[str, DictConfig]) -> dict[str, Any]:
    """The nodes that conf/ does not hold as they are: a cell keeps them, so that its probes can be measured again."""
    ours = {
        name: node
        for path in sorted((conf.CONF / "probe").glob("*.yaml"))
        for name, node in conf.shipped(path).items()
    }
    return {name: OmegaConf.to_container(node) for name, node in nodes.items() if ours.get(name) != node}


def check_foreign(nodes: Mapping[str, DictConfig]) -> None:
    """Refuses nodes that conf/ does not hold as they are, where their class is not there or refuses its arguments."""
    for name, plain in probe_changes(nodes).items():
        for _ in fitted_node(PROBE, plain, key=f"probe.{name}"):
            pass
        try:
            build(nodes[name])
        except (ValueError, TypeError) as error:
            raise ConfigError(f"probe.{name}: {error}") from error


def probe_key(node: DictConfig) -> str:
    """Of a probe's configuration: a cell keeps it, to know its number from that of another configuration."""
    arguments = OmegaConf.to_container(node)
    assert isinstance(arguments, dict)
    target = files.stable_name(str(arguments.pop("_target_")))
    return files.key_of([VERSIONS.get(target, VERSION), target, arguments])[:16]
