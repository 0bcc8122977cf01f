"""docs/configuration.md: every key with its kind, default and meaning, made from `schema`, signatures and conf/.

python -m clapbench.config.reference > docs/configuration.md
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from clapbench.config import conf
from clapbench.config.check import arguments_of, fields_of, part_of
from clapbench.config.probes import PROBE
from clapbench.config.schema import ROOTS, Part
from clapbench.config.values import words

HEAD = """# Configuration

Every key of `evaluate.py` and `train.py`. This page is made by `python -m clapbench.config.reference` from the schema
that commands are checked by (`clapbench/config/schema.py`, and the signatures of what a `_target_` names) and from
conf/.

A truth value may be typed as true, false, yes, no, on or off. A name is the text that was typed: `sweep=2024_10_05` and
`model.name=1_0` are those folders. `${...}` is filled in by the job that it stands in: `seed=0,1 'name=m${seed}'`.
"""
GROUPS = (
    *("model", "bench", "trainer", "logger"),
    *("data", "objective", "regularizer", "finetune", "optimizer", "schedule", "callback"),
)
COMMENT = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z_]\w*):.*?(?:\s#\s*(?P<words>.*))?$")

Row = tuple[str, str, str, str]  # key, kind, default, meaning


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for root in ROOTS:
        parts += [f"## {root}.py", "", _table(_root_rows(root)), ""]
    for group in GROUPS:
        parts += [f"## {group}", ""]
        for name in conf.choices(group):
            title = _title(conf.find(group, name))
            parts += [f"### `{group}={name}`", "", title, "", _table(_choice_rows(group, name)), ""]
    parts += [
        "## probe",
        "",
        "`probes=[paper,NAME]` chooses; `probe.NAME.ARGUMENT=VALUE` changes an argument.",
        "",
    ]
    for name in conf.choices("probe"):
        parts += [f"### {name}.yaml", "", _table(_probe_rows(conf.find("probe", name))), ""]
    return "\n".join(parts).rstrip() + "\n"


def _root_rows(root: str) -> Iterator[Row]:
    path = conf.CONF / f"{root}.yaml"
    defaults, meanings = _plain(path), comments(path)
    for key, kind in fields_of(ROOTS[root]).items():
        part = part_of(kind)
        if part is not None and part.many:
            yield key, f"a {part.group} under each name", "", meanings.get(key, "")
        elif part is not None:
            yield key, f"one of {part.group}, below", ", ".join(conf.default_choice(part.group)), ""
        elif dataclasses.is_dataclass(kind):
            for name, inner in fields_of(kind).items():  # type: ignore[arg-type]
                dotted = f"{key}.{name}"
                yield dotted, words(inner), _default(defaults[key][name]), meanings.get(dotted, "")
        else:
            yield key, words(kind), _default(defaults[key]), meanings.get(key, "")


def _choice_rows(group: str, name: str) -> Iterator[Row]:
    path = conf.find(group, name)
    node, meanings, prefix = _plain(path), comments(path), f"{group}."
    if _part(group).many and group != "bench":  # under a name of its own
        node, prefix = node[name], f"{group}.{name}."
        meanings = {key.rpartition(".")[2]: value for key, value in meanings.items()}
    for key, kind in arguments_of(_part(group), node, key=group).items():
        if key in node:
            yield f"{prefix}{key}", words(kind), _default(node[key]), meanings.get(key, "")


def _part(group: str) -> Part:
    """The part that holds nodes of a group."""
    kinds = [kind for root in ROOTS.values() for kind in fields_of(root).values()]
    return next(part for kind in kinds if (part := part_of(kind)) is not None and part.group == group)


def _probe_rows(path: Path) -> Iterator[Row]:
    text = path.read_text(encoding="utf-8")
    for name, node in _plain(path).items():
        title = re.search(rf"#\s*(.*)\n{re.escape(name)}:", text)
        kinds = arguments_of(PROBE, node, key=f"probe.{name}")
        given = [f"{key}={value}" for key, value in node.items() if key != "_target_"]
        yield (
            name,
            "; ".join(f"{key}: {words(kind)}" for key, kind in kinds.items()),
            _default(", ".join(given)) if given else "",
            title.group(1) if title else "",
        )


def _plain(path: Path) -> dict[str, Any]:
    plain = OmegaConf.to_container(conf.shipped(path))
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def comments(path: Path) -> dict[str, str]:
    """The comment behind each key of a yaml file, by dotted key."""
    found: dict[str, str] = {}
    above = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        match = COMMENT.match(line)
        if match is None:
            continue
        key = f"{above}.{match['key']}" if match["indent"] else match["key"]
        above = above if match["indent"] else match["key"]
        if match["words"]:
            found[key] = match["words"].strip()
    return found


def _title(path: Path) -> str:
    """The comment at the head of a yaml file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(line[1:].strip() for line in lines if line.startswith("#"))


def _default(value: Any) -> str:
    if value == "???":
        return "to be given"
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    text = f"[{','.join(map(str, value))}]" if isinstance(value, list) else text
    return f"`{text if len(text) <= 60 else text[:57] + '...'}`"


def _table(rows: Iterable[Row]) -> str:
    head = ["| key | needs | default | means |", "|---|---|---|---|"]
    return "\n".join([*head, *(f"| `{key}` | {' | '.join(map(_cell, rest))} |" for key, *rest in rows)])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(page(), end="")
