"""From a configuration to a cell: ``evaluate.py`` in one function.

A cell that is done is returned as it is; a cell that lacks only a probe is scored from cached embeddings; else its
clips are encoded first.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from clapbench import config, files, sheets
from clapbench.results import cache
from clapbench.results.provenance import provenance
from clapbench.running.plan import Plan, cell_folder, check, check_writable, read_cell
from clapbench.running.terminal import say
from clapbench.schema import Cell, Judgement
from clapbench.sources import source

log = logging.getLogger(__name__)

UNJUDGED = Judgement(scores=dict.fromkeys(("F", "G", "H")))  # of a model that has no text


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
        with source.settings(allowed=cfg.download, folder=cfg.checkpoint_dir):
            plan = Plan.from_config(cfg)
            old = read_cell(folder)
            if plan.is_met_by(old) and not cfg.force:
                assert old is not None
                say(old, label=label, done="done before")
                return old
            cell, done = compute(cfg, plan=plan, old=old, label=label)
    except Exception as error:
        cell = Cell(
            status="failed",
            model=str(cfg.model.name),
            bench=str(cfg.bench.name),
            error=f"{type(error).__name__}: {error}",
            **provenance(),
        )
        keep_earlier(folder)
        files.write_text(folder / "cell.json", cell.to_json())
        if cfg.debug or not in_sweep():
            raise
        log.error("%s failed. %s", label, cell.error)
        return cell
    files.write_text(folder / "cell.json", cell.to_json())
    say(cell, label=label, done=done)
    return cell


def compute(cfg: DictConfig, *, plan: Plan, old: Cell | None, label: str) -> tuple[Cell, str]:
    """Encodes what is not cached, scores and probes; also says in words what was done."""
    # Seconds of imports, spared where every cell is done.
    from clapbench.running import loggers, probing
    from clapbench.running.encoding import Encoding

    start = time.perf_counter()
    probes = probing.build_probes(cfg)
    stored = Path(cfg.cache_dir) / plan.embeddings
    embeddings = None if cfg.force else cache.find(stored)
    done = "from cached embeddings"
    encoding = Encoding(cfg, benchmark=plan.benchmark, label=label)
    if embeddings is None:
        embeddings = encoding.embeddings()
        cache.save(stored, embeddings)
        done = f"encoded {len(embeddings.audio)} clips, {encoding.clips_per_s:.3g} clips/s"
    certificate = encoding.certificate() if cfg.certify else None
    encoded = time.perf_counter()
    no_text = len(embeddings.text) == 0
    judgement = UNJUDGED if no_text else plan.benchmark.judge(embeddings)
    logger = config.build(cfg.logger, _partial_=True)(
        folder=cell_folder(cfg).parents[1],
        group=str(cfg.sweep),
        run=f"{cfg.model.name}/{cfg.bench.name}",
        run_id=files.key_of([cfg.sweep, cfg.model.name, cfg.bench.name, plan.config_key])[:16],
        content=OmegaConf.to_container(cfg, resolve=True),
    )
    try:
        probed = probing.probe(
            cfg,
            probes=probes,
            embeddings=embeddings,
            judgement=judgement,
            cases=[] if no_text else plan.benchmark.cases(),
            logger=logger,
        )
    finally:
        loggers.finish(logger, summary={"n_items": plan.benchmark.n_items})
    scored = time.perf_counter()
    earlier = plan.reuse(old)
    before = earlier.extra if earlier else {}
    certificate = certificate or before.get("certify")  # it belongs to the embeddings, which are the same
    undefined = {
        name: reason for name, reason in before.get("undefined", {}).items() if name not in probed.values
    } | probed.undefined
    for name, reason in probed.undefined.items():
        if not no_text:  # else half of the probes have no rows, which is said once
            log.warning("%s is undefined here. %s", name, reason)
    if judgement.items:
        table = sheets.text_of(pd.DataFrame(judgement.items))
        files.write_text(cell_folder(cfg) / "items.csv", table)
    cell = Cell(
        status="ok",
        model=str(cfg.model.name),
        bench=str(cfg.bench.name),
        n_items=plan.benchmark.n_items,
        protocol=plan.benchmark.protocol,
        scores=judgement.scores,
        protocols=judgement.protocols,
        extra={
            **embeddings.about,
            **judgement.extra,
            **probing.repeated(embeddings),
            **({"undefined": undefined} if undefined else {}),
            **({"certify": certificate} if certificate else {}),
            "probe_keys": {**before.get("probe_keys", {}), **plan.probes},
        },
        probes={**(earlier.probes if earlier else {}), **probed.values},
        checkpoint=plan.encoder.get("checkpoint", {}),
        embeddings={
            "path": plan.embeddings.as_posix(),
            "key": plan.embeddings_key,
            "n_audio": len(embeddings.audio),
            "n_text": len(embeddings.text),
            "dim": embeddings.dim,
        },
        config_key=plan.config_key,
        dropped_items=plan.benchmark.dropped,
        ties=judgement.ties,
        near_ties=judgement.near_ties,
        runtime_s={"encode": encoded - start, "score": scored - encoded, "total": scored - start},
        **provenance(),
    )
    return cell, done


def keep_earlier(folder: Path) -> None:
    """Puts an ok cell aside as cell.previous.json before a failure takes its place."""
    cell = read_cell(folder)
    if cell is not None and cell.status == "ok":
        files.write_text(folder / "cell.previous.json", cell.to_json())


def in_sweep() -> bool:
    """Whether Hydra runs this as one of several jobs."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
