"""What Hydra and OmegaConf say of a command line, in words that name the key, the nearest and what to type."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from clapbench.config import conf
from clapbench.config.conf import ConfigError, nearest
from clapbench.config.lines import chosen, is_override, parsed

NOT_THERE = re.compile(r"Could not (?:override|delete from config\.) '([^']+)'")
INTERPOLATION = re.compile(r"Interpolation key '([^']+)' not found\s+full_key: (\S+)")
CHOSEN = re.compile(
    r"(?:Could not append\. |Multiple values for |key ')'?([\w/@]+)'?[\s\S]*(?:already|override)"
)
HYDRAS = re.compile(r"hydra\.cc|To append|full_key:|object_type|See ")
MULTIRUN = re.compile(r"Sweep parameters '([^']+)' requires --multirun")
AMBIGUOUS = re.compile(r"Ambiguous value for argument '([^']+)'")


def in_our_words(error: Exception, arguments: Sequence[str]) -> str:
    """The message of an error; of Hydra's advice to append a key, or to read its pages, nothing is left."""
    if isinstance(error, YAMLError | RecursionError):
        reason = " ".join(str(error).split())[:300]
        return f"a yaml file cannot be read, or names itself: {reason}. Correct it."
    if isinstance(error, ConfigError) or not isinstance(error, HydraException | OmegaConfBaseException):
        return str(error)
    text = str(error)
    if found := NOT_THERE.search(text):
        return lacking(found.group(1), arguments)
    if found := AMBIGUOUS.search(text):
        return f"{found.group(1)!r} holds several values. Add -m to run a cell for each, or quote it as one text."
    if found := MULTIRUN.search(text):
        return f"{found.group(1)!r} stands for several values. Add -m to run a cell for each."
    if found := INTERPOLATION.search(text):
        return f"{found.group(2)}: ${{{found.group(1)}}} names a key that is not there. Correct it."
    if found := CHOSEN.search(text):
        return f"{found.group(1)}: a choice is there already. Type {found.group(1)}=NAME, without a plus."
    cause = f" {error.__cause__}" if text.startswith("Error merging") and error.__cause__ else ""
    lines = [line for line in f"{text}{cause}".splitlines() if line.strip() and not HYDRAS.search(line)]
    return " ".join(line.strip() for line in lines[:3])


def lacking(key: str, arguments: Sequence[str]) -> str:
    """That a choice of a group has no such key, which have it, and the nearest that there is."""
    group, _, name = key.partition(".")
    if not name:
        inner = sorted(one for one in conf.dotted_keys() if one.startswith(f"{key}."))
        return (
            f"key {key}: set what is under it, one by one: {', '.join(inner)}."
            if inner
            else f"key {key!r} is not there."
        )
    nodes = {choice: conf.shipped(conf.find(group, choice)) for choice in conf.choices(group)}
    if not nodes:  # a section
        near = nearest(key, conf.dotted_keys())
        return f"key {key!r} is not there." + (f" Did you mean {near!r}?" if near else "")
    having = [choice for choice, node in nodes.items() if name in _keys(node)]
    mine = [choice for choice in _chosen_of(group, arguments) if choice in nodes and choice not in having]
    where = f"{group}={','.join(mine)} has no key {name!r}" if mine else f"key {key!r} is not there"
    if having:
        return (
            f"{where}; {group}={','.join(having)} {'has' if len(having) == 1 else 'have'} it. A key goes to every "
            f"{group} of a command: type one command for each kind; the same sweep=NAME makes one folder."
        )
    known = {inner for choice, node in nodes.items() if not mine or choice in mine for inner in _keys(node)}
    near = nearest(name, known)
    suggestion = f" Did you mean {group}.{near}?" if near else ""
    there = f" It has: {', '.join(sorted(known))}." if known else ""
    return f"{where}.{suggestion}{there}"


def _keys(node: DictConfig | ListConfig) -> set[str]:
    return {str(key) for key in node if key != "_target_"} if isinstance(node, DictConfig) else set()


def _chosen_of(group: str, arguments: Sequence[str]) -> list[str]:
    """The choices of a group that a command line names, or else the shipped one."""
    lines = [line for line in arguments if is_override(line) and line.lstrip("+").startswith(f"{group}=")]
    typed = [name for override in parsed(lines) for name in chosen(override) if name]
    return typed or conf.default_choice(group)
