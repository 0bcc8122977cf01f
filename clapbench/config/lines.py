"""A command line before Hydra reads it, and what Hydra says of it put into words of use.

Hydra reads ``sweep=12e4567`` as infinity and ``2024_10_05`` as 20241005. Where a key takes text, what is typed is
quoted here, so that a name is the text that was typed. A name or key that is not there gets the nearest that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, get_args, get_origin

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from clapbench.config import conf
from clapbench.config.check import fields_of, part_of, signature_kinds
from clapbench.config.conf import ConfigError, unknown
from clapbench.config.schema import ROOTS

# What tells trainings apart, where it is typed.
NAMING = ("objective", "regularizer", "arm", "finetune", "data", "seed")
# Groups without a key of their own: a yaml of theirs sets keys of others, by the program that takes them.
OVERLAYS = {"evaluate": ("experiment",), "train": ("experiment", "arm")}
LISTS = ("regularizer", "callback", "hydra")  # groups of which a list is chosen
# A bare word of a value, where Hydra would see a number or a truth value; not inside quotes or ${...}.
WORD = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\$\{[^}]*\})|([^\s,\[\]{}:'"()]+)""")
TIME = re.compile(r"\d+(:\d+)+")  # its parts are no words of their own
NUMBERS_INSIDE = re.compile(r"\b(range|interval|int|float|bool|str|json_str|glob)\(")
FLAGS = {  # of Hydra's command line: whether a value follows
    **dict.fromkeys(
        ("-m", "--multirun", "-r", "--run", "--resolve", "--hydra-help", "--version", "-sc"), False
    ),
    **dict.fromkeys(("--shell-completion", "-h", "--help", "--info", "-i"), False),
    **dict.fromkeys(("-c", "--cfg", "-p", "--package", "-cp", "--config-path", "-cn", "--config-name"), True),
    **dict.fromkeys(("-cd", "--config-dir", "--experimental-rerun"), True),
}
NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][+-]?\d[\d_]*)?|[+-]?(inf|nan)", re.IGNORECASE)


def prepare(arguments: Sequence[str], *, root: str) -> list[str]:
    """The arguments of a command as Hydra is to read them. `ConfigError` for names and keys that are not there."""
    folders = search_path(arguments)
    conf.TYPED[:] = folders[:-1] if folders else []
    for folder in conf.TYPED:
        conf.check_own(folder)
    check_flags(arguments)
    flags = [line for line in arguments if not is_override(line)]  # first, as Hydra's parser needs them
    typed = [line for line in arguments if is_override(line)]
    typed = [legible(line, typed, root=root) for line in typed]
    check_keys(typed, root=root)
    check_choices(typed, within=folders)
    check_experiments(typed, root=root)
    ready = [readable(line, typed, root=root) for line in typed]
    if root == "train" and (name := trained_name(typed)):
        ready.append(name)
    return [*flags, *ready]


def is_override(line: str) -> bool:
    """Whether an argument is one of Hydra's overrides, and no flag of its command line."""
    return ("=" in line and not line.startswith("-")) or line.startswith("~")


def check_flags(arguments: Sequence[str]) -> None:
    """Refuses an argument that is neither KEY=VALUE nor one of Hydra's flags."""
    value_follows = False
    for line in arguments:
        flag, equals, value = line.partition("=")
        if value_follows or is_override(line):
            value_follows = False
        elif flag in ("-c", "--cfg") and equals and value not in ("job", "hydra", "all"):
            raise ConfigError(f"{flag}: needed job, hydra or all, got {value!r}.")
        elif flag in FLAGS:
            value_follows = FLAGS[flag] and not equals
        else:
            near = line.lstrip("-").replace(":", "=")
            hint = f" Did you mean {near}?" if "=" in near else ""
            raise ConfigError(f"{line!r}: needed KEY=VALUE, or a flag ({', '.join(FLAGS)}).{hint}")


def search_path(arguments: Sequence[str]) -> list[Path] | None:
    """The folders that names are looked up in; None where another config folder is named that cannot be read here."""
    added: list[str] = []
    for number, line in enumerate(arguments):
        flag, _, value = line.partition("=")
        if flag in ("--config-dir", "-cd"):
            added += [value or next(iter(arguments[number + 1 :]), "")]
        elif flag in ("--config-path", "-cp", "--config-name", "-cn"):
            return None
        elif flag == "hydra.searchpath":
            added += [place.strip(" '\"") for place in value.strip("[]").split(",") if place.strip()]
    found = [conf.folder_of(place) for place in added]
    if any(folder is None for folder in found):
        return None
    for folder in found:
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"--config-dir: needed a folder with yaml files, found none at {folder}.")
    return [*(folder for folder in found if folder is not None), conf.CONF]


def parsed(lines: Sequence[str]) -> list[Override]:
    """Hydra's reading of overrides. `ConfigError` for one that it cannot read."""
    found = []
    for line in lines:
        try:
            found += OverridesParser.create().parse_overrides([line])
        except (HydraException, ValueError) as error:
            raise ConfigError(unreadable(line)) from error
    return found


def unreadable(line: str) -> str:
    """What to do about an override that Hydra cannot read."""
    key = line.partition("=")[0]
    return (
        f"{line!r} cannot be read as KEY=VALUE. Where the value is text with special signs, quote it, for Hydra and "
        f"the shell: {key}=\"'TEXT'\"; lists are [a,b], sweeps a,b or choice(a,b), with -m."
    )


def check_choices(lines: Sequence[str], *, within: Sequence[Path] | None) -> None:
    """Refuses a choice of a group (``model=...``) without a yaml in the folders; None: another folder may hold it."""
    if within is None:
        return
    for override in parsed(lines):
        group, _, package = override.key_or_group.partition("@")
        if override.is_delete() or not any((folder / group).is_dir() for folder in within):
            continue
        if isinstance(override.value(), list) and group not in LISTS and not package:
            raise ConfigError(
                f"{group}: needed one name, got a list. Type -m {group}=A,B to run a cell for each."
            )
        for name in chosen(override):
            if name not in conf.choices(group, within=within) and not (
                name is None and group in OVERLAYS["train"]
            ):
                raise unknown(group, name, conf.choices(group, within=within))


def chosen(override: Override) -> Iterator[str | None]:
    """The names that an override chooses from a group, those of a sweep and of lists too."""
    value = override.value()
    if isinstance(value, Glob):
        return
    for option in value.list if isinstance(value, ChoiceSweep) else [value]:
        for name in option if isinstance(option, list) else [option]:
            yield name.text if isinstance(name, QuotedString) else None if name is None else str(name)


def check_keys(lines: Sequence[str], *, root: str) -> None:
    """Refuses a key whose first part is none of the program's, and an argument that no choice of a group has."""
    known = fields_of(ROOTS[root])
    for override in parsed(lines):
        key = override.key_or_group
        first, _, rest = key.partition(".")
        if not key:
            raise ConfigError(f"{override.input_line!r}: needed KEY=VALUE, got no key.")
        if first == "hydra":
            check_hydra_key(key, override.value())
        if first in ("hydra", *OVERLAYS[root]) or "/" in first or override.package is not None:
            continue
        if first not in known:
            other = "train" if root == "evaluate" else "evaluate"
            if first in fields_of(ROOTS[other]) or first in OVERLAYS[other]:
                raise ConfigError(
                    f"key {key!r} belongs to {other}.py, this is {root}.py. Type: python {other}.py ..."
                )
            dotted = (one for one in conf.dotted_keys() if one.partition(".")[0] in known)
            inner = sorted(one for one in dotted if one.partition(".")[2] == key)
            if inner:
                raise ConfigError(f"key {key!r} is not there. Did you mean {' or '.join(inner[:3])}?")
            raise unknown("key", key, known)
        if rest and first in ("loader", "matched"):
            names = fields_of(known[first])
            if rest not in names:
                raise unknown(f"key {key}: argument", rest, names)


def experiments_of(root: str) -> list[str]:
    """The experiments that set nothing which only the other program has."""
    other = "train" if root == "evaluate" else "evaluate"
    theirs = fields_of(ROOTS[other]).keys() - fields_of(ROOTS[root]).keys()
    every = conf.choices("experiment")
    if root == "train":  # a grid of cells sets what both have
        theirs = {*theirs, "sweep"}
    return [name for name in every if not conf.sets(conf.find("experiment", name)) & theirs]


def check_hydra_key(key: str, value: Any) -> None:
    """Refuses what Hydra takes and then fails at."""
    if key in ("hydra.launcher", "hydra.sweeper"):
        raise ConfigError(f"{key}: it is chosen as a group. Type {key.replace('.', '/')}=NAME.")
    if key.startswith("hydra.sweeper.params"):
        raise ConfigError(f"{key}: what is swept is typed as it is. Type -m KEY=A,B.")
    if (
        key == "hydra.sweeper.max_batch_size"
        and value is not None
        and (not isinstance(value, int) or value < 1)
    ):
        raise ConfigError(f"{key}: needed a whole number, 1 or more, or null, got {value!r}. Leave it out.")


def legible(line: str, typed: Sequence[str], *, root: str) -> str:
    """A line that Hydra can read: text with signs that mean something to it (äöü, #, :) is quoted."""
    key, equals, value = line.partition("=")
    if _is_legible(line) or not equals or not takes_text(key.lstrip("+"), typed, root=root):
        return line
    start, end = ("[", "]") if value.startswith("[") and value.endswith("]") else ("", "")
    texts = value.removeprefix(start).removesuffix(end).split(",")
    return f"{key}={start}{','.join(text if _is_legible(f'x={text}') else _as_text(text) for text in texts)}{end}"


def _is_legible(line: str) -> bool:
    try:
        OverridesParser.create().parse_override(line)
    except (HydraException, ValueError):
        return False
    return True


def _as_text(text: str) -> str:
    """Text in quotes, as Hydra reads it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def check_experiments(lines: Sequence[str], *, root: str) -> None:
    """Refuses an experiment that sets what only the other program has."""
    other = "train" if root == "evaluate" else "evaluate"
    for path in experiments(lines):
        if (name := path.stem) not in experiments_of(root):
            raise ConfigError(
                f"experiment {name!r} belongs to {other}.py, this is {root}.py. "
                f"Type: python {other}.py experiment={name}"
            )


def readable(line: str, typed: Sequence[str], *, root: str) -> str:
    """An override in which text stays as it was typed; a change of a probe's argument is added to its node."""
    key, _, value = line.partition("=")
    bare = key.lstrip("+")
    if bare.startswith("probe.") and not key.startswith("+"):
        return f"++{line}"
    computed = NUMBERS_INSIDE.search(value) is not None
    if computed or bare.startswith("hydra") or not any(_is_odd(word) for word in _words(value)):
        return line
    if not takes_text(bare, typed, root=root):
        return line
    if value.startswith("choice(") and value.endswith(")"):  # in which Hydra forgets the quotes
        value = value.removeprefix("choice(").removesuffix(")")
    return f"{key}={_quoted(value)}"


def _words(value: str) -> list[str]:
    return [match.group(2) for match in WORD.finditer(value) if match.group(2)]


def _is_odd(word: str) -> bool:
    """Whether Hydra reads a word as a number or truth value that would not be printed as it was typed."""
    if word.lower() in ("true", "false"):
        return True
    if not NUMBER.fullmatch(word):
        return False
    try:
        return str(int(word)) != word or "_" in word
    except ValueError:
        return repr(float(word.replace("_", ""))) != word or "n" in word.lower()


def _quoted(value: str) -> str:
    if TIME.fullmatch(value):
        return _as_text(value)
    return WORD.sub(
        lambda found: f"'{found.group(2)}'" if found.group(2) and _is_odd(found.group(2)) else found.group(0),
        value,
    )


def takes_text(key: str, typed: Sequence[str], *, root: str) -> bool:
    """Whether a key takes text: by the schema, or by the signature of what its node builds."""
    first, _, rest = key.partition(".")
    kinds = fields_of(ROOTS[root])
    if not rest:
        return first in kinds and _is_text(kinds[first])
    part = part_of(kinds[first]) if first in kinds else None
    beside = [kind for kind in (part.keys, part.told) if kind is not None] if part is not None else []
    if any(_is_text(fields_of(kind).get(rest)) for kind in beside):
        return True
    nodes = [OmegaConf.select(node, rest.rpartition(".")[0]) or node for node in nodes_of(first, typed)]
    name = rest.rpartition(".")[2]
    for node in nodes:
        if not isinstance(node, DictConfig) or "_target_" not in node:
            continue
        if _is_text(signature_kinds(resolve_name(str(node._target_))).get(name)):
            return True
    return False


def nodes_of(group: str, typed: Sequence[str]) -> list[DictConfig]:
    """The yaml files that a command line may choose for a group: those typed, or all there are."""
    names = [
        name
        for line in typed
        if line.lstrip("+").startswith(f"{group}=")
        for override in parsed([line])
        for name in chosen(override)
        if name
    ]
    known = conf.choices(group)
    found = [conf.shipped(conf.find(group, name)) for name in names if name in known] or [
        conf.shipped(conf.find(group, name)) for name in known
    ]
    return [node for node in found if isinstance(node, DictConfig)]


def _is_text(kind: Any) -> bool:
    """Whether a kind admits text and no number."""
    if kind is None or kind is Any:
        return False
    if get_origin(kind) is Annotated:
        return _is_text(get_args(kind)[0])
    arguments = get_args(kind)
    if (
        get_origin(kind) is not None
        and isinstance(get_origin(kind), type)
        and issubclass(get_origin(kind), Sequence)
    ):
        return any(one in (str, Any) or str in get_args(one) or _is_text(one) for one in arguments)
    if arguments and get_origin(kind) is not None:
        return any(_is_text(one) for one in arguments) and not any(one in (int, float) for one in arguments)
    return kind in (str, Path)


def trained_name(typed: Sequence[str]) -> str | None:
    """The override that tells trainings apart by what was typed of `NAMING`; None beside a name, typed or set."""
    keys = {override.key_or_group for override in parsed(typed)}
    told = [key for key in NAMING if key in keys]
    if (
        keys & {"name", "model.name"}
        or not told
        or any("name" in conf.sets(one) for one in experiments(typed))
    ):
        return None
    return f"name='${{clapbench.trained_name:{'+'.join(told)}}}'"


def experiments(typed: Sequence[str]) -> list[Path]:
    """The yaml files of the experiments that a command line chooses."""
    known = conf.choices("experiment")
    lines = [line for line in typed if line.lstrip("+").startswith("experiment=")]
    names = [name for override in parsed(lines) for name in chosen(override)]
    return [conf.find("experiment", name) for name in names if name in known]


def name_of_training(told: str, *, _root_: DictConfig) -> str:
    """``mini-negclip-variance-covariance-seed1``: the model with what a command line said of `NAMING`."""
    parts = [str(_root_.model.name)]
    for key in told.split("+"):
        if key == "regularizer":
            parts += map(str, _root_.regularizer)
        elif key == "seed":
            parts.append(f"seed{_root_.seed}")
        else:
            parts.append(choice_of(_root_, key))
    return "-".join(parts)


def choice_of(cfg: DictConfig, group: str) -> str:
    """The yaml that a composed configuration has of a group, as far as Hydra knows it."""
    choices = OmegaConf.select(cfg, "hydra.runtime.choices")
    if choices is None and HydraConfig.initialized():  # a job's own configuration has no hydra node
        choices = HydraConfig.get().runtime.choices
    return str((choices or {}).get(group, group))
