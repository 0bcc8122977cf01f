"""Refuses a configuration that cannot work, before anything runs: names, keys, probes, folders.

Every error says who, what was needed, what came, and the nearest thing that exists.
"""

from __future__ import annotations

import difflib
import inspect
import tempfile
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, QuotedString
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from clapbench import files

CONF = Path(__file__).parents[1] / "conf"


class ConfigError(ValueError):
    """A mistake in what the user asked for."""


def choices(group: str) -> list[str]:
    """The names of the yaml files of a config group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@lru_cache
def shipped(path: Path) -> DictConfig | ListConfig:
    """A yaml file of conf/, read once per process."""
    return OmegaConf.load(path)


def shipped_keys(group: str) -> set[str]:
    """Every key that a yaml of the group holds."""
    return {str(key) for name in choices(group) for key in shipped(CONF / group / f"{name}.yaml")}


def unknown(kind: str, name: object, known: Iterable[str]) -> ConfigError:
    """The error for a ``kind`` (model, bench, probe, key ...) that is not there, with the nearest that is."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
    nearest = f" Did you mean {near[0]!r}?" if near else ""
    return ConfigError(f"{kind} {str(name)!r} is not there.{nearest} Choose from: {', '.join(names)}.")


def check_choices(arguments: Sequence[str]) -> None:
    """Looks for a group option on the command line (``model=...``) without a yaml; the rest is Hydra's."""
    if any(
        argument.startswith(("--config-", "-cp", "-cd", "-cn", "hydra.searchpath")) for argument in arguments
    ):
        return  # another config folder may hold it
    typed = [argument for argument in arguments if "=" in argument and not argument.startswith("-")]
    for override in OverridesParser.create().parse_overrides(typed):
        group = override.key_or_group
        if not (CONF / group).is_dir() or override.is_delete():
            continue
        value = override.value()
        if isinstance(value, Glob):
            continue
        options = value.list if isinstance(value, ChoiceSweep) else [value]
        for option in (name for item in options for name in (item if isinstance(item, list) else [item])):
            name = option.text if isinstance(option, QuotedString) else option
            if name is None and group == "experiment":
                continue
            if str(name) not in choices(group):
                raise unknown(group, name, choices(group))


def probe_configs(names: object) -> dict[str, Any]:
    """Probe name to its config, for names of probes (conf/probe) and of sets of probes (conf/probe_set)."""
    if not isinstance(names, str | list | ListConfig):
        raise ConfigError(f"probes: needed a list of names, as probes=[paper,rankme_text]; got {names!r}.")
    found: dict[str, Any] = {}
    for name in [names] if isinstance(names, str) else names:
        if name in choices("probe_set"):
            listed = shipped(CONF / "probe_set" / f"{name}.yaml")
            if not isinstance(listed, ListConfig):
                raise ConfigError(f"conf/probe_set/{name}.yaml: needed a list of probe names.")
            found |= probe_configs(list(listed))
        elif name in choices("probe"):
            found |= _one_probe(name)
        else:
            raise unknown("probe", name, [*choices("probe"), *choices("probe_set")])
    return found


def probe_key(node: Any) -> str:
    """Of a probe's configuration: a cell keeps it, to know its number from that of another configuration."""
    return files.key_of(OmegaConf.to_container(node))[:16]


def _one_probe(name: str) -> dict[str, Any]:
    config = shipped(CONF / "probe" / f"{name}.yaml")
    if not isinstance(config, DictConfig) or list(config) != [name]:
        raise ConfigError(
            f"conf/probe/{name}.yaml: needed one top key, {name!r}, with _target_ and arguments under it."
        )
    return {name: config[name]}


def check_keys(cfg: DictConfig, *, root: str) -> None:
    """Refuses a key that ``conf/{root}.yaml`` does not have, at the top or in a section without a ``_target_``.

    Hydra lets ``+typo=1`` through, and whatever an experiment of the other entry point sets.
    """
    known, other = root_keys(root), "train" if root == "evaluate" else "evaluate"
    for key in map(str, cfg):
        if key in root_keys(other) - known:
            raise ConfigError(
                f"key {key!r} belongs to {other}.py, this is {root}.py. Type: python {other}.py ..."
            )
        if key not in known | {"hydra"}:
            raise unknown("key", key, known)
    for section in ("loader", "matched", "optimizer"):
        if section in known:
            taken = {str(key) for key in OmegaConf.select(shipped(CONF / f"{root}.yaml"), section)}
            if cfg[section] is None:
                raise ConfigError(f"key {section}: needed {', '.join(sorted(taken))} under it, got null.")
            for key in map(str, cfg[section]):
                if key not in taken:
                    raise unknown(f"key {section}.{key}: argument", key, taken)


def root_keys(root: str) -> set[str]:
    """The top-level keys of a composed ``conf/{root}.yaml``."""
    base = shipped(CONF / f"{root}.yaml")
    assert isinstance(base, DictConfig)
    groups = {str(key) for entry in base.defaults if entry != "_self_" for key in entry}
    return ({str(key) for key in base} | groups) - {"defaults", "hydra"}


def check_arguments(node: DictConfig | None, *, who: str) -> None:
    """Refuses keys that the node's ``_target_`` does not take, and a ``???`` that nobody has filled."""
    if node is None:
        raise ConfigError(f"{who}: needed one of {', '.join(choices(who))}; got null.")
    target = get_object(node._target_)
    parameters = inspect.signature(target).parameters
    for key in node:
        if not str(key).startswith("_") and key not in parameters:
            raise unknown(f"key {who}.{key!s}: argument", str(key), parameters)
    for name in parameters:
        if OmegaConf.is_missing(node, name):
            raise ConfigError(f"{who}.{name}: needed a value, got none. Set {who}.{name}=VALUE.")


def build(node: DictConfig, **arguments: Any) -> Any:
    """``instantiate`` that raises what the constructor raised, without Hydra's wrapping."""
    try:
        return instantiate(node, **arguments)
    except InstantiationException as error:
        raise error.__cause__ or error from None


def check_writable(folder: Path, *, key: str) -> None:
    """Makes ``folder`` and writes a file in it, or says which ``key`` to change."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"{key}: needed a folder that can be written, got {folder}: {error.strerror}. Set {key}=DIR."
        ) from error


def sweep_folder(cfg: DictConfig) -> Path:
    """Where the cells of a command lie. Hydra reads ``sweep=2026`` as a number, which is as good a name."""
    return Path(str(cfg.outputs), str(cfg.sweep))


def check_folder_name(name: object, *, key: str) -> None:
    """Names of sweeps, models and benchmarks are folders: one path segment, not hidden."""
    text = "" if name is None else str(name)
    if not text or text.startswith(".") or any(character in text for character in "/\\\0\n"):
        raise ConfigError(
            f"{key}: needed a name that can be a folder (no slash, no leading dot), got {text!r}. "
            f"Set {key}=NAME."
        )
