"""JSON as strict as it was written, and what a cell.json may hold: the type and range of every field.

A file that somebody edited, cut or copied from elsewhere is refused here with one reason, before any number of it is
used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

LARGEST = 1e300  # of a number; what is larger was never computed
SCORE = {"value", "direction", "n", "chance", "ci95", "p_chance", "p_swap"}  # F, G or H under a protocol


def loads(content: bytes) -> Any:
    """The JSON in ``content``: UTF-8, finite numbers, no key twice. ValueError says what else it is."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("a file that is no text in UTF-8") from None
    if not text.strip():
        raise ValueError("an empty file")
    if text.startswith("\ufeff"):
        raise ValueError("a file that starts with a byte order mark")

    def constant(name: str) -> Any:
        raise ValueError(f"{name}, which is no JSON")

    def number(digits: str) -> float:
        if not math.isfinite(value := float(digits)):
            raise ValueError(f"the number {digits}, which is infinite")
        return value

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} twice")
        return found

    try:
        return json.loads(text, parse_constant=constant, parse_float=number, object_pairs_hook=distinct)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error}") from None


def check_cell(record: Any, *, schema: int, names: Collection[str]) -> None:
    """ValueError with the first field of a cell's ``record`` that is not what we write; ``names`` are its fields."""
    if not isinstance(record, dict):
        raise ValueError(f"{_kind(record)} in place of an object")
    if type(record.get("schema")) is not int or record["schema"] != schema:
        raise ValueError(f"schema {record.get('schema', 'none')!r:.40}")
    for name in ("status", "model", "bench"):
        if name not in record:
            raise ValueError(f"no field {name}")
    if unknown := [name for name in record if name not in names]:
        raise ValueError(f"the field {unknown[0]!r:.40}, which is none of a cell's")
    _sane(record, "")
    for name, check in CELL.items():
        if name in record:
            check(record[name], name)
    if record["status"] == "ok":
        _complete(record)


def _complete(record: dict[str, Any]) -> None:
    """Of a cell with H: each protocol holds all three scores with all that is said of them."""
    if record.get("scores", {}).get("H") is None:
        return
    for protocol, outcome in record.get("protocols", {}).items():
        for name in ("F", "G", "H"):
            lacking = SCORE - set((outcome or {}).get(name, {})) if outcome is not None else set()
            if lacking:
                raise ValueError(f"protocols.{protocol}.{name} without {', '.join(sorted(lacking))}")


def _sane(value: Any, where: str) -> None:
    """Everywhere: numbers of a size that can be computed with, and text that can be written."""
    if isinstance(value, dict):
        for key, item in value.items():
            _sane(key, where)
            _sane(item, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            _sane(item, where)
    elif isinstance(value, int | float) and not -LARGEST < value < LARGEST:
        raise ValueError(f"{where}: a number beyond {LARGEST:g}")
    elif isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(f"{where or 'a key'}: text with half a character") from None


Check = Callable[[Any, str], None]


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _refuse(value: Any, where: str, needed: str) -> None:
    got = f"{value!r:.60}" if isinstance(value, str | int | float) else _kind(value)
    raise ValueError(f"{where}: {got}, where {needed} belongs")


def _number(low: float | int = -LARGEST, high: float | int = LARGEST, *, null: bool = False) -> Check:
    def check(value: Any, where: str) -> None:
        if value is None and null:
            return
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            bounds = "" if (low, high) == (-LARGEST, LARGEST) else f" from {low:g} to {high:g}"
            _refuse(value, where, f"a number{bounds.replace(f' to {LARGEST:g}', '')}")

    return check


def _count(*, null: bool = False) -> Check:
    def check(value: Any, where: str) -> None:
        if not (value is None and null) and (type(value) is not int or value < 0):
            _refuse(value, where, "a count")

    return check


def _text(*, null: bool = False) -> Check:
    def check(value: Any, where: str) -> None:
        if not (value is None and null) and not isinstance(value, str):
            _refuse(value, where, "text")

    return check


def _record(check: Check | None = None, **known: Check) -> Check:
    """An object; ``known`` keys are looked at where they are there, all others by ``check``."""

    def look(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            _refuse(value, where, "an object")
        for name, item in value.items():
            if one := known.get(name, check):
                one(item, f"{where}.{name}")

    return look


def _list(check: Check) -> Check:
    def look(value: Any, where: str) -> None:
        if not isinstance(value, list):
            _refuse(value, where, "a list")
        for item in value:
            check(item, where)

    return look


def _optional(check: Check) -> Check:
    return lambda value, where: None if value is None else check(value, where)


def check_name(value: Any, where: str) -> None:
    """Names are folders."""
    if not isinstance(value, str) or not value or value.startswith(".") or set(value) & set("/\\\0"):
        _refuse(value, where, "a name that can be a folder")


def _status(value: Any, where: str) -> None:
    if value not in ("ok", "failed"):
        _refuse(value, where, "'ok' or 'failed'")


def _inside(value: Any, where: str) -> None:
    """A path that stays in the folder it starts from, on any system."""
    if (
        not isinstance(value, str)
        or not value
        or "\0" in value
        or PureWindowsPath(value).drive
        or PureWindowsPath(value).root
        or ".." in {*PurePosixPath(value).parts, *PureWindowsPath(value).parts}
    ):
        _refuse(value, where, "a relative path inside the cache folder")


def _bounds(value: Any, where: str) -> None:
    if not isinstance(value, list) or len(value) != 2:
        _refuse(value, where, "two bounds")
    for bound in value:
        _number()(bound, where)
    if value[0] > value[1]:
        _refuse(f"{value[0]} to {value[1]}", where, "the lower bound first")


def _interval(value: Any, where: str) -> None:
    _bounds(value, where)
    for bound in value:
        SHARE(bound, where)


def _time(value: Any, where: str) -> None:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        _refuse(value, where, "a time as ISO 8601 writes it")


SHARE = _number(0, 1)
OUTCOME = _record(
    value=SHARE,
    direction=_text(),
    n=_count(),
    chance=SHARE,
    ci95=_interval,
    p_chance=SHARE,
    p_swap=SHARE,
    clusters=_record(_count()),
    ci95_clustered=_interval,
    p_swap_clustered=_record(SHARE),
)
HEADLINE = dict.fromkeys(("t2a_R@1", "a2t_R@1", "accuracy", "mAP"), SHARE)
CELL: dict[str, Check] = {
    "status": _status,
    "model": check_name,
    "bench": check_name,
    "error": _text(null=True),
    "n_items": _count(null=True),
    "protocol": _text(),
    "scores": _record(_number(0, 1, null=True)),
    "protocols": _record(_optional(_record(F=OUTCOME, G=OUTCOME, H=OUTCOME))),
    "extra": _record(
        **HEADLINE,
        parameters=_number(0, null=True),
        pair_assignment=_number(0, 1, null=True),
        pair_assignment_ci95=_optional(_interval),
        mean_margin=_number(-2, 2, null=True),
        mean_margin_ci95=_optional(_bounds),
        undefined=_record(_text()),
        probe_keys=_record(_text()),
        reads_matches=_list(_text()),
        items_sha256=_text(),
    ),
    "probes": _record(_number(null=True)),
    "checkpoint": _record(),
    "embeddings": _record(path=_inside, key=_text(), n_audio=_count(), n_text=_count(), dim=_count()),
    "config_key": _text(null=True),
    "dropped_items": _count(),
    "ties": _count(),
    "near_ties": _count(),
    "runtime_s": _record(_number(0)),
    "versions": _record(_text()),
    "recipe": _text(null=True),
    "family": _text(null=True),
    "seed": _count(null=True),
    "git_sha": _text(null=True),
    "created": _optional(_time),
    "first_scored": _optional(_time),
}
