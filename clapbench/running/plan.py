"""What a configuration asks for, and what of it is missing: found without loading weights."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from clapbench import config, files
from clapbench.benchmarks.base import Benchmark
from clapbench.config.levels import Known
from clapbench.encoders.base import Encoder, Hearing, fingerprint, hearing
from clapbench.encoders.outside import Outside
from clapbench.results import cache
from clapbench.running.clips import ClipCheck
from clapbench.running.devices import check_devices
from clapbench.schema import SCORING_VERSION, Cell
from clapbench.sources import source

log = logging.getLogger(__name__)


# Keys of Lightning's Trainer that leave out a part of the data.
PARTIAL = ("limit_test_batches", "limit_predict_batches", "fast_dev_run", "overfit_batches")


def cell_folder(cfg: DictConfig) -> Path:
    """Where the cell of this configuration lives."""
    return config.sweep_folder(cfg) / str(cfg.model.name) / str(cfg.bench.name)


def check(cfg: DictConfig) -> None:
    """Refuses what cannot work, before anything is made, and puts values in as their kinds have them.

    Keys, types and ranges, files that must be there, probes, the device, and what the benchmark's constructor says.
    """
    config.check(cfg, root="evaluate")
    check_parts(cfg)
    check_devices(cfg)
    if cut := [key for key in PARTIAL if key in cfg.trainer]:
        raise config.ConfigError(f"trainer.{cut[0]}: a cell covers every clip and caption. Take it out.")
    config.check_place(cell_folder(cfg), key="outputs")
    for key in ("source", "text_source"):
        for node in (cfg.model, cfg.bench):
            if node.get(key) is not None:
                source.Source.parse(str(node[key]))
    config.build(cfg.bench)


def check_parts(cfg: DictConfig) -> None:
    """What evaluating and training check alike: probes, places that are written to."""
    config.check_foreign(config.probe_configs(cfg.probes, cfg.probe))
    config.check_place(Path(cfg.outputs), key="outputs")
    config.check_place(Path(cfg.cache_dir), key="cache_dir")


def check_writable(cfg: DictConfig) -> None:
    """ConfigError where the cell's folder or the cache cannot be written."""
    config.check_writable(cell_folder(cfg), key="outputs")
    config.check_writable(Path(cfg.cache_dir), key="cache_dir")


def model_class(cfg: DictConfig) -> tuple[type, dict[str, Any]]:
    """The class of ``cfg.model`` and its arguments."""
    arguments = OmegaConf.to_container(config.without_levels(cfg.model), resolve=True)
    assert isinstance(arguments, dict)
    target = get_class(arguments.pop("_target_"))
    return target, {str(key): value for key, value in arguments.items()}


def encoder_fingerprint(cfg: DictConfig) -> dict[str, Any]:
    """What decides the embeddings on the model's side, without loading weights; raises where a file is missing."""
    target, given = model_class(cfg)
    if issubclass(target, Outside):
        return target.fingerprint(given)
    assert issubclass(target, Encoder)
    record = fingerprint(target, given)
    record["precision"] = str(cfg.trainer.precision)
    if cfg.compile:
        record["compile"] = True
    if not given.get("pretrained", True):
        record["seed"] = cfg.seed  # of the random weights
    return record


def encoder_hearing(cfg: DictConfig) -> Hearing | None:
    """What the model hears of a clip; None for one whose clips are not decoded here, or that does not say."""
    target, given = model_class(cfg)
    return hearing(target, given) if issubclass(target, Encoder) else None


@dataclass(frozen=True)
class Plan:
    """What a configuration asks for, found without loading weights: all that later steps read of it."""

    model: str
    bench: str
    sweep: str
    levels: Known  # of the model
    folder: Path  # of the cell
    cache: Path  # folder

    benchmark: Benchmark
    clips: ClipCheck | None  # that nobody has made; None: nothing is left to check
    encoder: dict[str, Any]  # fingerprint
    embeddings: Path  # relative to the cache folder
    embeddings_key: str
    config_key: str
    probes: dict[str, DictConfig]

    certificate: bool
    force: bool
    compile: bool
    seed: int  # of weights that are not trained
    loader: dict[str, Any]  # arguments of `EncodingPlan.loaders`
    nodes: dict[str, DictConfig]  # model, trainer and logger, to be built
    content: dict[str, Any]  # the whole configuration, for the logger

    @classmethod
    def from_config(cls, cfg: DictConfig) -> Plan:
        """The one visit to the configuration. Raises ``ValueError`` where clips are known to be broken."""
        benchmark: Benchmark = config.build(cfg.bench)
        encoder = encoder_fingerprint(cfg)
        whole = benchmark.fingerprint()
        cache_folder, heard = Path(cfg.cache_dir), encoder_hearing(cfg)
        own = [str(key) for key in cfg if key != "hydra"]  # before a job runs, hydra is not filled in
        content = OmegaConf.to_container(OmegaConf.masked_copy(cfg, own), resolve=True)
        assert isinstance(content, dict)
        plan = cls(
            model=str(cfg.model.name),
            bench=str(cfg.bench.name),
            sweep=str(cfg.sweep),
            levels=config.levels_of(cfg.model),
            folder=cell_folder(cfg),
            cache=cache_folder,
            benchmark=benchmark,
            clips=heard and ClipCheck.of(benchmark, hearing=heard, fingerprint=whole, cache=cache_folder),
            encoder=encoder,
            **content_keys(encoder, benchmark, fingerprint=whole, model=cfg.model.name),
            probes=config.probe_configs(cfg.probes, cfg.probe),
            certificate=cfg.certify,
            force=cfg.force,
            compile=cfg.compile,
            seed=cfg.seed,
            loader={str(key): value for key, value in cfg.loader.items()},
            nodes={name: cfg[name] for name in ("model", "trainer", "logger")},
            content={str(key): value for key, value in content.items()},
        )
        known = plan.clips.remembered() if plan.clips else None
        return plan if known is None else plan.without(known)

    @property
    def label(self) -> str:
        """The cell as people read it."""
        return label_of(self.model, self.bench)

    @property
    def stored(self) -> Path:
        """The file of the embeddings."""
        return self.cache / self.embeddings

    def checked(self) -> Plan:
        """This plan once every clip was decoded, without what cannot be; all such clips are told together."""
        return self if self.clips is None else self.without(self.clips.run())

    def without(self, broken: dict[str, str]) -> Plan:
        """This plan for the items that are left: their content is what the keys stand for."""
        if not broken:
            return replace(self, clips=None)
        self.benchmark.leave_out(broken)
        keys = content_keys(
            self.encoder, self.benchmark, fingerprint=self.benchmark.fingerprint(), model=self.model
        )
        return replace(self, clips=None, **keys)

    @property
    def probe_keys(self) -> dict[str, str]:
        """What tells each probe's configuration from another, by name."""
        return {name: config.probe_key(node) for name, node in self.probes.items()}

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
        """Probes of the plan that the cell does not hold, or holds from another configuration of the probe."""
        earlier = self.reuse(cell)
        keys = earlier.extra.get("probe_keys", {}) if earlier else {}
        return [name for name, key in self.probe_keys.items() if keys.get(name) != key]


def content_keys(
    encoder: dict[str, Any], benchmark: Benchmark, *, fingerprint: str, model: str
) -> dict[str, Any]:
    """The fields of a `Plan` that name its content."""
    content = {"encoder": encoder, "benchmark": fingerprint}
    key = files.key_of(content)
    return {
        "embeddings": cache.embeddings_path(model=str(model), bench=benchmark.name, key=key),
        "embeddings_key": key,
        "config_key": files.key_of({**content, "scoring": [SCORING_VERSION, benchmark.protocol]}),
    }


def label_of(model: object, bench: object) -> str:
    """How messages name a cell."""
    return f"{model} × {bench}"


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
    old = read_cell(wanted.folder)
    if wanted.is_met_by(old) and not wanted.force:
        return "done"
    if wanted.stored.is_file() and not wanted.force:
        return f"score cached embeddings, {len(wanted.lacking(old))} new probes"
    clips, captions = len(wanted.benchmark.clips()), len(wanted.benchmark.captions())
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
