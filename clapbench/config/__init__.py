"""The configuration: conf/ found and read, held to its schema, and turned into objects."""

from clapbench.config.build import build, check_writable, sweep_folder
from clapbench.config.check import check, check_node
from clapbench.config.conf import CONF, ConfigError, choices, folders, shipped, unknown
from clapbench.config.probes import probe_configs, probe_key, shipped_probes

__all__ = [
    "CONF",
    "ConfigError",
    "build",
    "check",
    "check_node",
    "check_writable",
    "choices",
    "folders",
    "probe_configs",
    "probe_key",
    "shipped",
    "shipped_probes",
    "sweep_folder",
    "unknown",
]
