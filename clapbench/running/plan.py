"""What a configuration asks for, and what of it is missing: found without loading weights."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from clapbench import config, files
from clapbench.benchmarks.base import Benchmark
from clapbench.encoders.base import Encoder, fingerprint
from clapbench.encoders.outside import Outside
from clapbench.results import cache
from clapbench.running.devices import check_accelerator
from clapbench.schema import SCORING_VERSION, Cell
from clapbench.sources import source

log = logging.getLogger(__name__)


def cell_folder(cfg: DictConfig) -> Path:
    """Where the cell of this configuration lives."""
    return config.sweep_folder(cfg) / str(cfg.model.name) / str(cfg.bench.name)


def check(cfg: DictConfig) -> None:
    """Refuses what cannot work, before anything is made, and puts values in as their kinds have them.

    Keys, types and ranges, files that must be there, probes, the device, and what the benchmark's constructor says.
    """
    config.check(cfg, root="evaluate")
    config.probe_configs(cfg.probes, cfg.probe)
    check_accelerator(cfg.trainer.accelerator)
    config.build(cfg.bench)


def check_writable(cfg: DictConfig) -> None:
    """ConfigError where the cell's folder or the cache cannot be written."""
    config.check_writable(cell_folder(cfg), key="outputs")
    config.check_writable(Path(cfg.cache_dir), key="cache_dir")


def encoder_fingerprint(cfg: DictConfig) -> dict[str, Any]:
    """What decides the embeddings on the model's side, without loading weights; raises where a file is missing."""
    arguments = OmegaConf.to_container(cfg.model, resolve=True)
    assert isinstance(arguments, dict)
    target = get_class(arguments.pop("_target_"))
    given = {str(key): value for key, value in arguments.items()}
    if issubclass(target, Outside):
        return target.fingerprint(given)
    assert issubclass(target, Encoder)
    record = fingerprint(target, given)
    record["precision"] = str(cfg.trainer.precision)
    if cfg.compile:
        record["compile"] = True
    if not arguments.get("pretrained", True):
        record["seed"] = cfg.seed  # of the random weights
    return record


@dataclass(frozen=True)
class Plan:
    """What a configuration asks for, found without loading weights."""

    benchmark: Benchmark
    encoder: dict[str, Any]  # fingerprint
    embeddings: Path  # relative to the cache folder
    embeddings_key: str
    config_key: str
    probes: dict[str, str]  # name to a key of its configuration
    certificate: bool

    @classmethod
    def from_config(cls, cfg: DictConfig) -> Plan:
        """What the configuration ``cfg`` asks for."""
        benchmark = config.build(cfg.bench)
        encoder = encoder_fingerprint(cfg)
        content = {"encoder": encoder, "benchmark": benchmark.fingerprint()}
        key = files.key_of(content)
        return cls(
            benchmark=benchmark,
            encoder=encoder,
            embeddings=cache.embeddings_path(model=cfg.model.name, bench=cfg.bench.name, key=key),
            embeddings_key=key,
            config_key=files.key_of({**content, "scoring": [SCORING_VERSION, benchmark.protocol]}),
            probes={
                name: config.probe_key(node)
                for name, node in config.probe_configs(cfg.probes, cfg.probe).items()
            },
            certificate=cfg.certify,
        )

    def is_met_by(self, cell: Cell | None) -> bool:
        """Whether the cell holds all that this asks for."""
        done = self.reuse(cell)
        return (
            done is not None and not self.lacking(cell) and (not self.certificate or "certify" in done.extra)
        )

    def reuse(self, cell: Cell | None) -> Cell | None:
        """The cell, if it was made from the same content by the same rules, whatever its probes."""
        same = cell is not None and cell.status == "ok" and cell.config_key == self.config_key
        return cell if same else None

    def lacking(self, cell: Cell | None) -> list[str]:
        """Plan probes that the cell does not hold, or holds from another configuration of the probe."""
        earlier = self.reuse(cell)
        keys = earlier.extra.get("probe_keys", {}) if earlier else {}
        return [name for name, key in self.probes.items() if keys.get(name) != key]


def describe(cfg: DictConfig) -> str:
    """What evaluating this configuration would do, in words. Renders, encodes and writes nothing."""
    check(cfg)
    benchmark = config.build(cfg.bench)
    before = []
    try:
        with source.settings(allowed=False, folder=cfg.checkpoint_dir):
            encoder_fingerprint(cfg)  # for its refusals
    except source.NotHereError as absent:
        if not cfg.download:
            raise
        before.append(f"fetch {absent.what}")
    with source.settings(allowed=cfg.download, folder=cfg.checkpoint_dir):
        if work := benchmark.preparation():
            before.append(work)
    if before:
        return (
            f"{', '.join(before)}, encode, score, {len(config.probe_configs(cfg.probes, cfg.probe))} probes"
        )
    with source.settings(allowed=False, folder=cfg.checkpoint_dir):
        wanted = Plan.from_config(cfg)
    old = read_cell(cell_folder(cfg))
    if wanted.is_met_by(old) and not cfg.force:
        return "done"
    if (Path(cfg.cache_dir) / wanted.embeddings).is_file() and not cfg.force:
        return f"score cached embeddings, {len(wanted.lacking(old))} new probes"
    clips, captions = len(benchmark.clips()), len(benchmark.captions())
    return f"encode {clips} clips and {captions} captions, score, {len(wanted.probes)} probes"


def read_cell(folder: Path) -> Cell | None:
    """The cell in ``folder``, or None; one that cannot be read is said, and counts as none."""
    path = folder / "cell.json"
    if not path.is_file():
        return None
    try:
        return Cell.read(path)
    except ValueError as error:
        log.warning("%s It is run again.", error)
        return None
