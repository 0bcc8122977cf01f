"""From a configuration to a cell: ``evaluate.py`` in one function.

A cell that is done is returned as it is; a cell that lacks only a probe is scored from cached embeddings; else its
clips are encoded first.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from clapbench import cache, config, downloads
from clapbench.benchmarks.base import Benchmark
from clapbench.console import console
from clapbench.encoders.base import Encoder, fingerprint
from clapbench.encoders.outside import Outside
from clapbench.provenance import provenance
from clapbench.schema import SCORING_VERSION, Cell, Judgement

log = logging.getLogger(__name__)

UNJUDGED = Judgement(scores=dict.fromkeys(("F", "G", "H")))  # of a model that has no text


def cell_folder(cfg: DictConfig) -> Path:
    """Where the cell of this configuration lives."""
    return config.sweep_folder(cfg) / str(cfg.model.name) / str(cfg.bench.name)


def check(cfg: DictConfig) -> None:
    """Refuses what cannot work, before anything is made: keys, arguments, probes, names of folders."""
    config.check_keys(cfg, root="evaluate")
    for group in ("model", "bench", "logger"):
        config.check_arguments(cfg[group], who=group)
    ours = config.shipped_keys("trainer")
    if cfg.trainer is None or set(cfg.trainer) - ours:  # else there is no need to import Lightning
        config.check_arguments(cfg.trainer, who="trainer")
    for key in ("model.name", "bench.name", "sweep"):
        config.check_folder_name(OmegaConf.select(cfg, key), key=key)
    config.probe_configs(cfg.probes)
    if not (isinstance(cfg.seed, int) and cfg.seed >= 0):
        raise config.ConfigError(f"seed: needed a whole number, 0 or more, got {cfg.seed}. Set seed=0.")
    n, draws = cfg.matched.n, cfg.matched.draws
    if not (n is None or (isinstance(n, int) and n >= 4)) or not (isinstance(draws, int) and draws >= 2):
        raise config.ConfigError(
            f"matched: needed n null or at least 4 rows, and at least 2 draws; got n={n}, draws={draws}. "
            f"Set matched.n=null matched.draws=40."
        )
    if str(cfg.trainer.precision) in ("16-true", "bf16-true"):
        raise config.ConfigError(
            f"trainer.precision: needed one that keeps the clips in float32, got {cfg.trainer.precision}. "
            f"Set trainer.precision=bf16-mixed, 16-mixed or 32-true."
        )


def check_writable(cfg: DictConfig) -> None:
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
class Wanted:
    """What a configuration asks for, found without loading weights."""

    benchmark: Benchmark
    encoder: dict[str, Any]  # fingerprint
    embeddings: Path  # relative to the cache folder
    embeddings_key: str
    config_key: str
    probes: dict[str, str]  # name to a key of its configuration
    certificate: bool

    @classmethod
    def by(cls, cfg: DictConfig) -> Wanted:
        benchmark = config.build(cfg.bench)
        encoder = encoder_fingerprint(cfg)
        content = {"encoder": encoder, "benchmark": benchmark.fingerprint()}
        key = cache.key_of(content)
        return cls(
            benchmark=benchmark,
            encoder=encoder,
            embeddings=cache.embeddings_path(model=cfg.model.name, bench=cfg.bench.name, key=key),
            embeddings_key=key,
            config_key=cache.key_of({**content, "scoring": [SCORING_VERSION, benchmark.protocol]}),
            probes={name: config.probe_key(node) for name, node in config.probe_configs(cfg.probes).items()},
            certificate=cfg.certify,
        )

    def is_met_by(self, cell: Cell | None) -> bool:
        done = self.reuse(cell)
        return (
            done is not None and not self.lacking(cell) and (not self.certificate or "certify" in done.extra)
        )

    def reuse(self, cell: Cell | None) -> Cell | None:
        """The cell, if it was made from the same content by the same rules, whatever its probes."""
        same = cell is not None and cell.status == "ok" and cell.config_key == self.config_key
        return cell if same else None

    def lacking(self, cell: Cell | None) -> list[str]:
        """Wanted probes that the cell does not hold, or holds from another configuration of the probe."""
        earlier = self.reuse(cell)
        keys = earlier.extra.get("probe_keys", {}) if earlier else {}
        return [name for name, key in self.probes.items() if keys.get(name) != key]


def standing(cfg: DictConfig) -> str:
    """What evaluating this configuration would do, in words. Renders, encodes and writes nothing."""
    check(cfg)
    benchmark = config.build(cfg.bench)
    before = []
    try:
        with downloads.settings(allowed=False, folder=cfg.checkpoint_dir):
            encoder_fingerprint(cfg)  # for its refusals
    except downloads.NotHereError as absent:
        if not cfg.download:
            raise
        before.append(f"fetch {absent.what}")
    with downloads.settings(allowed=cfg.download, folder=cfg.checkpoint_dir):
        if work := benchmark.preparation():
            before.append(work)
    if before:
        return f"{', '.join(before)}, encode, score, {len(config.probe_configs(cfg.probes))} probes"
    with downloads.settings(allowed=False, folder=cfg.checkpoint_dir):
        wanted = Wanted.by(cfg)
    old = read_cell(cell_folder(cfg))
    if wanted.is_met_by(old) and not cfg.force:
        return "done"
    if (Path(cfg.cache_dir) / wanted.embeddings).is_file() and not cfg.force:
        return f"score cached embeddings, {len(wanted.lacking(old))} new probes"
    clips, captions = len(benchmark.clips()), len(benchmark.captions())
    return f"encode {clips} clips and {captions} captions, score, {len(wanted.probes)} probes"


def evaluate(cfg: DictConfig) -> Cell:
    """The cell of one (model, benchmark), written to its folder as cell.json.

    Alone, an error is raised. In a sweep it is recorded in the cell, so that the other cells run on; ``debug=true``
    raises there too.
    """
    check(cfg)
    check_writable(cfg)
    folder = cell_folder(cfg)
    label = f"{cfg.model.name} × {cfg.bench.name}"
    try:
        with downloads.settings(allowed=cfg.download, folder=cfg.checkpoint_dir):
            wanted = Wanted.by(cfg)
            old = read_cell(folder)
            if wanted.is_met_by(old) and not cfg.force:
                assert old is not None
                say(old, label=label, done="done before")
                return old
            cell, done = compute(cfg, wanted=wanted, old=old, label=label)
    except Exception as error:
        cell = Cell(
            status="failed",
            model=str(cfg.model.name),
            bench=str(cfg.bench.name),
            error=f"{type(error).__name__}: {error}",
            **provenance(),
        )
        keep_earlier(folder)
        cache.write_text(folder / "cell.json", cell.to_json())
        if cfg.debug or not in_sweep():
            raise
        log.error("%s failed. %s", label, cell.error)
        return cell
    cache.write_text(folder / "cell.json", cell.to_json())
    say(cell, label=label, done=done)
    return cell


def compute(cfg: DictConfig, *, wanted: Wanted, old: Cell | None, label: str) -> tuple[Cell, str]:
    """Encodes what is not cached, scores and probes; also says in words what was done."""
    from clapbench import loops, tracking  # seconds of imports, spared where every cell is done

    start = time.perf_counter()
    probes = loops.build_probes(cfg)
    stored = Path(cfg.cache_dir) / wanted.embeddings
    embeddings = None if cfg.force else cache.find(stored)
    done = "from cached embeddings"
    encoding = loops.Encoding(cfg, benchmark=wanted.benchmark, label=label)
    if embeddings is None:
        embeddings = encoding.embeddings()
        cache.save(stored, embeddings)
        done = f"encoded {len(embeddings.audio)} clips, {encoding.clips_per_s:.3g} clips/s"
    certificate = encoding.certificate() if cfg.certify else None
    encoded = time.perf_counter()
    no_text = len(embeddings.text) == 0
    judgement = UNJUDGED if no_text else wanted.benchmark.judge(embeddings)
    logger = config.build(cfg.logger, _partial_=True)(
        folder=cell_folder(cfg).parents[1],
        group=str(cfg.sweep),
        run=f"{cfg.model.name}/{cfg.bench.name}",
        run_id=cache.key_of([cfg.sweep, cfg.model.name, cfg.bench.name, wanted.config_key])[:16],
        content=OmegaConf.to_container(cfg, resolve=True),
    )
    try:
        probed = loops.probe(
            cfg,
            probes=probes,
            embeddings=embeddings,
            judgement=judgement,
            cases=[] if no_text else wanted.benchmark.cases(),
            logger=logger,
        )
    finally:
        tracking.finish(logger, summary={"n_items": wanted.benchmark.n_items})
    scored = time.perf_counter()
    earlier = wanted.reuse(old)
    before = earlier.extra if earlier else {}
    certificate = certificate or before.get("certify")  # it belongs to the embeddings, which are the same
    undefined = {
        name: reason for name, reason in before.get("undefined", {}).items() if name not in probed.values
    } | probed.undefined
    for name, reason in probed.undefined.items():
        if not no_text:  # else half of the probes have no rows, which is said once
            log.warning("%s is undefined here. %s", name, reason)
    if judgement.items:
        table = pd.DataFrame(judgement.items).to_csv(index=False, lineterminator="\n")
        cache.write_text(cell_folder(cfg) / "items.csv", table)
    cell = Cell(
        status="ok",
        model=str(cfg.model.name),
        bench=str(cfg.bench.name),
        n_items=wanted.benchmark.n_items,
        protocol=wanted.benchmark.protocol,
        scores=judgement.scores,
        protocols=judgement.protocols,
        extra={
            **embeddings.about,
            **judgement.extra,
            **loops.repeated(embeddings),
            **({"undefined": undefined} if undefined else {}),
            **({"certify": certificate} if certificate else {}),
            "probe_keys": {**before.get("probe_keys", {}), **wanted.probes},
        },
        probes={**(earlier.probes if earlier else {}), **probed.values},
        checkpoint=wanted.encoder.get("checkpoint", {}),
        embeddings={
            "path": wanted.embeddings.as_posix(),
            "key": wanted.embeddings_key,
            "n_audio": len(embeddings.audio),
            "n_text": len(embeddings.text),
            "dim": embeddings.dim,
        },
        config_key=wanted.config_key,
        dropped_items=wanted.benchmark.dropped,
        ties=judgement.ties,
        near_ties=judgement.near_ties,
        runtime_s={"encode": encoded - start, "score": scored - encoded, "total": scored - start},
        **provenance(),
    )
    return cell, done


def say(cell: Cell, *, label: str, done: str) -> None:
    """One line per cell, and what a reader of its scores has to know."""
    scores = "  ".join(f"{name} {value:.3f}" for name, value in cell.headline.items())
    lines = [f"[bold]{label}[/]  n {cell.n_items}  {scores}  [dim]{done}[/]"]
    if height := (cell.protocols.get(cell.protocol) or {}).get("H"):
        low, high = height["ci95"]
        lines.append(
            f"  [dim]H: 95 % {low:.3f} to {high:.3f}, chance {height['chance']:.3f} (p {height['p_chance']:.2g}), "
            f"label swap p {height['p_swap']:.2g}[/]"
        )
    if cell.dropped_items:
        lines.append(f"  [yellow]{cell.dropped_items} items left out: their clips are missing[/]")
    if cell.ties:
        lines.append(f"  [yellow]{cell.ties} comparisons are exact ties, each counted as a miss[/]")
    for side, what in (("audio", "clips"), ("text", "captions")):
        if same := cell.extra.get(f"repeated_{side}"):
            lines.append(
                f"  [yellow]{same} {what} have the embedding of another; intrinsic dimensions leave them out[/]"
            )
    if unknown := cell.extra.get("unknown_words"):
        lines.append(f"  [yellow]{unknown:.0%} of the captions' words are unknown to this model[/]")
    if cut := cell.extra.get("truncated_captions"):
        lines.append(f"  [yellow]{cut} captions are longer than this model reads, and were truncated[/]")
    if cell.embeddings.get("n_text") == 0:
        lines.append("  [yellow]audio only: nothing is retrieved, probes of the audio side stand[/]")
    if certificate := cell.extra.get("certify"):
        told = certificate.get("note") or f"largest drift {certificate['drift']:.1e} (L2)"
        lines.append(f"  [dim]certificate: {told}[/]")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


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


def keep_earlier(folder: Path) -> None:
    """Puts an ok cell aside as cell.previous.json before a failure takes its place."""
    cell = read_cell(folder)
    if cell is not None and cell.status == "ok":
        cache.write_text(folder / "cell.previous.json", cell.to_json())


def in_sweep() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
