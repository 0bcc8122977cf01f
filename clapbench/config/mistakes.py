"""What Hydra and OmegaConf say of a command line, in words that name the key, the nearest and what to type."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from clapbench.config import conf
from clapbench.config.conf import ConfigError, nearest
from clapbench.config.lines import chosen, is_override, parsed

NOT_THERE = re.compile(r"Could not (?:override|delete from config\.) '([^']+)'")
AMBIGUOUS = re.compile(r"Ambiguous value for argument '([^']+)'")


def in_our_words(error: Exception, arguments: Sequence[str]) -> str:
    """The message of an error; of Hydra's advice to append a key, or to read its pages, nothing is left."""
    if isinstance(error, ConfigError) or not isinstance(error, HydraException | OmegaConfBaseException):
        return str(error)
    text = str(error)
    if found := NOT_THERE.search(text):
        return lacking(found.group(1), arguments)
    if found := AMBIGUOUS.search(text):
        return f"{found.group(1)!r} holds several values. Add -m to run a cell for each, or quote it to mean one text."
    lines = [
        line
        for line in text.splitlines()
        if line.strip() and "hydra.cc" not in line and "To append" not in line
    ]
    return " ".join(lines[:3])


def lacking(key: str, arguments: Sequence[str]) -> str:
    """That a key is not there, which choices of its group have it, and the nearest that is."""
    group, _, name = key.partition(".")
    if not name:
        return f"key {key!r} is not there."
    nodes = {choice: conf.shipped(conf.find(group, choice)) for choice in conf.choices(group)}
    having = [
        choice for choice, node in nodes.items() if OmegaConf.select(node, name) is not None or name in node
    ]
    mine = _chosen_of(group, arguments)
    where = f" of {group}={','.join(mine)}" if mine else ""
    known = {str(inner) for choice, node in nodes.items() if not mine or choice in mine for inner in node}
    near = nearest(name, known - {"_target_"})
    if having and near != name:
        return (
            f"key {key!r} is not there{where}; that key is one of {group}={','.join(having[:4])}. "
            f"A key goes to every {group} of a command: type one command for those that have it (the same sweep=NAME "
            f"puts the cells into one folder)."
        )
    suggestion = f" Did you mean {group}.{near}?" if near else ""
    there = f" There are: {', '.join(sorted(known - {'_target_'}))}." if known else ""
    return f"key {key!r} is not there{where}.{suggestion}{there}"


def _chosen_of(group: str, arguments: Sequence[str]) -> list[str]:
    """The choices of a group that a command line names, or else the shipped one."""
    lines = [line for line in arguments if is_override(line) and line.lstrip("+").startswith(f"{group}=")]
    typed = [name for override in parsed(lines) for name in chosen(override) if name]
    return typed or conf.default_choice(group)
