"""The yaml files of conf/: where they lie, which names a group has, what one of them holds.

An installed package carries conf/ inside; a checkout has it at its root. Folders that a user adds by
``--config-dir`` or ``hydra.searchpath`` come first.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

PACKAGE = Path(__file__).parents[1]
CONF = next(folder for folder in (PACKAGE / "conf", PACKAGE.parent / "conf") if folder.is_dir())
STUDIES = "studies"  # the folder of conf/ that is no group: were it called as the key is, Hydra would take it for one


class ConfigError(ValueError):
    """A mistake in what the user asked for."""


TYPED: list[Path] = []  # folders that the command line of this process adds


def folders() -> list[Path]:
    """Where yaml files are looked for, in this order: what the command line adds, Hydra's search path, conf/."""
    places = []
    if HydraConfig.initialized():  # of a job, perhaps in a process of its own
        sources = HydraConfig.get().runtime.config_sources
        places += [f"{source.schema}://{source.path}" for source in sources if source.provider != "hydra"]
    elif GlobalHydra.instance().is_initialized():
        own = GlobalHydra.instance().config_loader().get_sources()
        places += [f"{source.scheme()}://{source.path}" for source in own if source.provider != "hydra"]
    found = [folder_of(place) for place in places if place.startswith(("file://", "pkg://"))]
    return list(dict.fromkeys(folder for folder in [*TYPED, *found, CONF] if folder is not None))


def folder_of(place: str) -> Path | None:
    """The folder of an entry of a search path (``file://DIR``, ``pkg://PACKAGE`` or a path); None where it has none."""
    scheme, _, rest = place.rpartition("://")
    if scheme != "pkg":
        return Path(rest).expanduser().absolute()
    package, _, inside = rest.replace("/", ".").partition(".")
    try:
        folder = Path(str(files(package))).joinpath(*inside.split("."))
    except (ModuleNotFoundError, TypeError):
        return None
    return folder if folder.is_dir() else None


def choices(group: str, *, within: Sequence[Path] | None = None) -> list[str]:
    """The names of the yaml files of a config group."""
    found = {path.stem for folder in within or folders() for path in (folder / group).glob("*.yaml")}
    return sorted(found)


def find(group: str, name: str) -> Path:
    """The file of a choice; `ConfigError` with the nearest where there is none."""
    for folder in folders():
        if (path := folder / group / f"{name}.yaml").is_file():
            return path
    raise unknown(group, name, choices(group))


def study_file(given: str) -> Path:
    """The yaml file of a study: a path, or the name of one in conf/studies. `ConfigError` for another name."""
    if given.endswith((".yaml", ".yml")):
        return Path(given)
    if given not in choices(STUDIES):
        raise unknown("study", given, choices(STUDIES))
    return find(STUDIES, given)


def shipped(path: Path) -> DictConfig | ListConfig:
    """A yaml file, read-only, loaded once per process while it is unchanged."""
    return _loaded(path, path.stat().st_mtime_ns)


@cache
def _loaded(path: Path, changed_ns: int) -> DictConfig | ListConfig:
    try:
        node = OmegaConf.load(path)
    except (YAMLError, UnicodeDecodeError, OSError, OmegaConfBaseException, RecursionError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"{path} cannot be read as YAML: {reason}. Correct it.") from error
    OmegaConf.set_readonly(node, True)
    return node


def sets(path: Path) -> set[str]:
    """The top-level keys and groups that an experiment sets."""
    node = shipped(path)
    if not isinstance(node, DictConfig):
        raise ConfigError(f"{path}: needed a mapping of keys, got a list.")
    entries = [
        str(key) for entry in node.get("defaults", []) if isinstance(entry, DictConfig) for key in entry
    ]
    groups = {entry.removeprefix("override ").strip("/ ").partition("@")[0] for entry in entries}
    return ({str(key) for key in node} | groups) - {"defaults", "hydra"}


def check_own(folder: Path) -> None:
    """Refuses yaml files of a user's folder that cannot be read, or that lack what every file of their group has."""
    for path in sorted(folder.rglob("*.y*ml")):
        group = path.parent.relative_to(folder).as_posix()
        if path.suffix == ".yml":
            raise ConfigError(f"{path}: Hydra reads files that end in .yaml. Rename it.")
        node = shipped(path)
        needed = {"model": ("_target_", "name"), "bench": ("_target_", "name")}.get(group, ())
        plain = OmegaConf.to_container(node)
        missing = [key for key in needed if not isinstance(plain, dict) or key not in plain]
        inherits = isinstance(node, DictConfig) and "defaults" in node
        if missing and not inherits:
            raise ConfigError(
                f"{path}: needed a mapping with {' and '.join(needed)}, it has no {', '.join(missing)}."
            )


def default_choice(group: str) -> list[str]:
    """What conf/evaluate.yaml, or else conf/train.yaml, chooses of a group; nothing for a group that neither has."""
    for root in ("evaluate", "train"):
        base = shipped(CONF / f"{root}.yaml")
        assert isinstance(base, DictConfig)
        entries = [entry for entry in base.defaults if isinstance(entry, DictConfig) and entry.get(group)]
        if entries:
            return [str(entry[group]) for entry in entries]
    return []


def dotted_keys() -> set[str]:
    """Every ``group.key`` and ``section.key`` that some yaml of conf/ holds."""
    found = set()
    for root in ("evaluate", "train"):
        sections = OmegaConf.to_container(shipped(CONF / f"{root}.yaml"))
        assert isinstance(sections, dict)
        del sections["hydra"]
        found |= {
            f"{name!s}.{key!s}" for name, node in sections.items() if isinstance(node, dict) for key in node
        }
    for group in ("model", "bench", "trainer", "logger"):
        nodes = [shipped(find(group, name)) for name in choices(group)]
        found |= {f"{group}.{key!s}" for node in nodes for key in node if key != "_target_"}
    return found


def nearest(name: object, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The closest of ``known`` to a name that is not there."""
    found = difflib.get_close_matches(str(name), sorted(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def unknown(kind: str, name: object, known: Iterable[str]) -> ConfigError:
    """The error for a ``kind`` (model, bench, probe, key ...) that is not there, with the nearest that is."""
    names = sorted(known)
    near = None if name is None else nearest(name, names)
    suggestion = f" Did you mean {near!r}?" if near else ""
    choice = f" Choose from: {', '.join(names)}." if names else ""
    shown = "null" if name is None else repr(str(name))
    return ConfigError(f"{kind} {shown} is not there.{suggestion}{choice}")


def groups() -> set[str]:
    """The names of the config groups, the folders of conf/."""
    return {folder.name for top in folders() for folder in top.iterdir() if folder.is_dir()}
