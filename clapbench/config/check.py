"""Holds a composed configuration to `schema`, before anything is made: keys, types, ranges, files that must be there.

Every error says which key, what was needed, what came, and the nearest thing that exists.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from functools import cache
from pkgutil import resolve_name
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from clapbench.config import conf
from clapbench.config.conf import ConfigError, unknown
from clapbench.config.schema import ROOTS, Part
from clapbench.config.values import fit

MISSING = "???"


def check(cfg: DictConfig, *, root: str) -> None:
    """Refuses what ``cfg`` of ``conf/{root}.yaml`` cannot mean, and puts every value in as its kind has it.

    ``allow_missing=no`` is then False, and ``window=5`` 5.0. Raises `ConfigError` at the first fault.
    """
    given = {key: _resolved(cfg, str(key)) for key in cfg if key != "hydra"}
    check_root_keys(given, root=root)
    kinds = fields_of(ROOTS[root])
    plain_first = sorted(kinds.items(), key=lambda one: part_of(one[1]) is not None)  # parts may name them
    for key, kind in plain_first:
        if key not in given:
            raise ConfigError(
                f"key {key} is missing, and {root}.py needs it. Leave it as conf/{root}.yaml has it."
            )
        for place, value in _fitted(kind, given[key], key=key):
            _put(cfg, place, value)


def check_node(node: DictConfig, *, group: str) -> None:
    """`check` of one node of a config group alone."""
    part = next(
        part for part in map(part_of, fields_of(ROOTS["evaluate"]).values()) if part and part.group == group
    )
    given = OmegaConf.to_container(node, resolve=True, throw_on_missing=False)
    for _ in fitted_node(part, given, key=group):
        pass


def check_root_keys(given: Mapping[Any, Any], *, root: str) -> None:
    """Refuses a top-level key that is none of the program, and tells those of the other program apart."""
    known = fields_of(ROOTS[root]).keys()
    other = "train" if root == "evaluate" else "evaluate"
    for key in map(str, given):
        if key in known:
            continue
        if key in fields_of(ROOTS[other]):
            raise ConfigError(
                f"key {key!r} belongs to {other}.py, this is {root}.py. Type: python {other}.py ... "
                f"(an experiment of {other}.py sets it, or the command line)."
            )
        raise unknown("key", key, known)


def _resolved(cfg: DictConfig, key: str) -> Any:
    """A top-level value with its interpolations filled in; ``???`` where one is missing."""
    try:
        if OmegaConf.is_missing(cfg, key):
            return MISSING
        value = cfg[key]
        if OmegaConf.is_config(value):
            return OmegaConf.to_container(value, resolve=True, throw_on_missing=False)
        return value
    except OmegaConfBaseException as error:
        full = getattr(error, "full_key", None) or key
        raise ConfigError(
            f"{full}: {str(error).splitlines()[0]}. Correct what stands in ${{...}}."
        ) from error


def _fitted(kind: Any, value: Any, *, key: str) -> Iterator[tuple[str, Any]]:
    """The leaves of a value, each as its kind has it."""
    part = part_of(kind)
    if part is not None:
        yield from _fitted_part(part, value, key=key)
    elif dataclasses.is_dataclass(kind):
        fields = fields_of(kind)  # type: ignore[arg-type]
        if not isinstance(value, dict):
            raise ConfigError(f"{key}: needed {', '.join(fields)} under it, got {_told(value)}.")
        for name in value:
            if name not in fields:
                raise unknown(f"key {key}.{name}: argument", name, fields)
        for name, inner in fields.items():
            yield from _fitted(inner, value.get(name), key=f"{key}.{name}")
    else:
        yield key, _leaf(kind, value, key=key)


def _fitted_part(part: Part, value: Any, *, key: str) -> Iterator[tuple[str, Any]]:
    """A node with a ``_target_``, or several by name."""
    if part.many:
        if not isinstance(value, dict) or "_target_" in value:
            raise ConfigError(f"{key}: needed a mapping of names to {part.group} nodes, got {_told(value)}.")
        for name, node in value.items():
            yield from fitted_node(part, node, key=f"{key}.{name}")
    else:
        yield from fitted_node(part, value, key=key)


def fitted_node(part: Part, node: Any, *, key: str) -> Iterator[tuple[str, Any]]:
    """The arguments of a node, each as its kind has it, by dotted key; `ConfigError` at the first fault."""
    if not isinstance(node, dict) or "_target_" not in node:
        options = ", ".join(conf.choices(part.group))
        hint = f"one of {options}" if options else "a mapping with _target_"
        raise ConfigError(f"{key}: needed {hint}; got {_told(node)}. Type {key}=NAME.")
    if part.partial and node.get("_partial_") is not True:
        raise ConfigError(
            f"{key}._partial_: needed true, got {_told(node.get('_partial_'))}. Set it to true."
        )
    parameters = arguments_of(part, node, key=key)
    for name in node:
        if name == "_target_" or (name == "_partial_" and part.partial):
            continue
        if str(name) not in parameters:
            if str(name).startswith("_"):
                raise ConfigError(
                    f"key {key}.{name} is Hydra's own and not for a configuration. Take it out."
                )
            raise unknown(f"key {key}.{name}: argument", name, parameters)
    for name, kind in parameters.items():
        if name in node:
            yield f"{key}.{name}", _leaf(kind, node[name], key=f"{key}.{name}")


def arguments_of(part: Part, node: Mapping[str, Any], *, key: str) -> dict[str, Any]:
    """Argument to kind, of what the node's ``_target_`` builds; `ConfigError` where that is not of the part."""
    name = str(node["_target_"])
    if part.keys is not None and name in part.bases:
        known = fields_of(part.keys)
        if all(str(key) in known or str(key).startswith("_") for key in node):  # no need for a slow import
            return known
    target = _imported(name, key=f"{key}._target_")
    bases = tuple(_imported(base, key=key) for base in part.bases)
    if bases and not (inspect.isclass(target) and issubclass(target, bases)):
        needed = " or ".join(base.rpartition(".")[2] for base in part.bases)
        raise ConfigError(f"{key}._target_: needed a subclass of {needed}, got {name}. Type {key}=NAME.")
    if not callable(target):
        raise ConfigError(f"{key}._target_: needed a class or a function, got {name}. Type {key}=NAME.")
    known = signature_kinds(target)
    if missing := [argument for argument in part.takes if argument not in known]:
        raise ConfigError(
            f"{key}._target_: needed what takes {', '.join(part.takes)}; {name} does not take {', '.join(missing)}. "
            f"Type {key}=NAME."
        )
    ours = fields_of(part.keys) if part.keys is not None else {}
    beside = fields_of(part.told) if part.told is not None else {}
    known = known | {name: kind for name, kind in beside.items() if name not in known}
    return known | {name: kind for name, kind in ours.items() if name in known}


def _imported(name: str, *, key: str) -> Any:
    try:
        return resolve_name(name)
    except Exception as error:  # whatever importing somebody's module raises
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise ConfigError(f"{key}: needed what can be imported, got {name}: {reason}") from error


@cache
def signature_kinds(target: Any) -> dict[str, Any]:
    """Argument to annotation (Any where there is none) of a class or function.

    Where a constructor passes ``**arguments`` on, those of the class that it inherits from belong to it.
    """
    found: dict[str, Any] = {}
    is_class = inspect.isclass(target)
    makers = (
        [vars(one)["__init__"] for one in target.__mro__ if "__init__" in vars(one)] if is_class else [target]
    )
    for maker in makers:
        parameters = list(inspect.signature(maker).parameters.values())[1 if is_class else 0 :]
        try:
            hints = get_type_hints(maker, include_extras=True)
        except Exception:  # names that exist for type checkers alone
            hints = {}
        named = (one.name for one in parameters if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL))
        found |= {name: hints.get(name, Any) for name in named if name not in found}
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            break
    return found


def _leaf(kind: Any, value: Any, *, key: str) -> Any:
    """A value as its kind has it; nothing that Hydra would build something from."""
    if isinstance(value, str) and value == MISSING:
        raise ConfigError(f"{key}: needed a value, got none. Set {key}=VALUE.")
    if (place := _target_in(value)) is not None:
        raise ConfigError(
            f"{key}{place}: needed a value, got one with _target_, which would run code. Give the value itself."
        )
    return value if kind is Any else fit(kind, value, key=key)


def _target_in(value: Any, place: str = "") -> str | None:
    """Where a value holds a key that Hydra would build something from, or None."""
    if isinstance(value, dict):
        if any(str(key).startswith("_") and str(key).endswith("_") for key in value):
            return place
        found = (_target_in(inner, f"{place}.{key}") for key, inner in value.items())
        return next((one for one in found if one is not None), None)
    if isinstance(value, list):
        found = (_target_in(inner, f"{place}[{number}]") for number, inner in enumerate(value))
        return next((one for one in found if one is not None), None)
    return None


def _put(cfg: DictConfig, place: str, value: Any) -> None:
    old = OmegaConf.select(cfg, place)
    plain = OmegaConf.to_container(old) if OmegaConf.is_config(old) else old
    if type(plain) is not type(value) or plain != value:
        with read_write(cfg), open_dict(cfg):
            OmegaConf.update(cfg, place, value, merge=False)


@cache
def fields_of(section: type) -> dict[str, Any]:
    """Field to kind of a dataclass of `schema`."""
    return get_type_hints(section, include_extras=True)


def part_of(kind: Any) -> Part | None:
    """The `Part` that a field of `schema` holds, if it does."""
    if get_origin(kind) is not Annotated:
        return None
    return next((one for one in get_args(kind)[1:] if isinstance(one, Part)), None)


def _told(value: Any) -> str:
    return "null" if value is None else repr(value)[:200]
