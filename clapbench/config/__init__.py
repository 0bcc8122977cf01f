"""The configuration: conf/ found and read, held to its schema, and turned into objects."""

from clapbench.config.build import build, check_place, check_writable, sweep_folder
from clapbench.config.check import check, check_node
from clapbench.config.conf import (
    CONF,
    TYPED,
    ConfigError,
    choices,
    find,
    folders,
    shipped,
    study_file,
    unknown,
)
from clapbench.config.levels import levels_of, without_levels
from clapbench.config.probes import check_foreign, probe_changes, probe_configs, probe_key, shipped_probes

__all__ = [
    "CONF",
    "TYPED",
    "ConfigError",
    "build",
    "check",
    "check_foreign",
    "check_node",
    "check_place",
    "check_writable",
    "choices",
    "find",
    "folders",
    "levels_of",
    "probe_changes",
    "probe_configs",
    "probe_key",
    "shipped",
    "shipped_probes",
    "study_file",
    "sweep_folder",
    "unknown",
    "without_levels",
]
