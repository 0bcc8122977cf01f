"""From a configuration to a cell: ``evaluate.py`` in one function.

A cell that is done is returned as it is; a cell that lacks only a probe is scored from cached embeddings; else its
clips are encoded first. Each function is a step: `find_plan`, `embed`, `measure`, `make_cell`, `write`.
"""

from __future__ import annotations

import logging
import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from clapbench import config, files
from clapbench.results import cache
from clapbench.results.provenance import provenance
from clapbench.results.rows import rows_of_records
from clapbench.running import loggers
from clapbench.running.plan import Plan, cell_folder, check, check_writable, label_of, read_cell
from clapbench.running.stopping import raise_if_stopped, stoppable
from clapbench.running.terminal import say
from clapbench.schema import Cell, Embeddings, Judgement
from clapbench.sources import source

if TYPE_CHECKING:  # it imports Lightning
    from clapbench.running.probing import Probed

log = logging.getLogger(__name__)

UNJUDGED = Judgement(scores=dict.fromkeys(("F", "G", "H")))  # of a model that has no text
GO_ON = "Type the same command again to go on: cells that are done stay, this one starts anew."


def evaluate(cfg: DictConfig) -> Cell:
    """The cell of one (model, benchmark), written to its folder as cell.json.

    Alone, an error is raised. In a sweep it is recorded in the cell, so that the other cells run on; ``debug=true``
    raises there too. A `config.ConfigError` is always raised, and leaves the folder as it was.
    """
    check(cfg)
    check_writable(cfg)
    with stoppable(GO_ON), source.settings(allowed=cfg.download, folder=cfg.checkpoint_dir):
        try:
            return done_or_made(cfg)
        except config.ConfigError:
            raise
        except Exception as error:
            cell = write_failure(cfg, error)
            if cfg.debug or not in_sweep():
                raise
            return cell


def done_or_made(cfg: DictConfig) -> Cell:
    """The cell as it is where it meets the plan, else made."""
    old = read_cell(cell_folder(cfg))
    plan = find_plan(cfg, old=old)
    if plan.is_met_by(old) and not plan.force:
        assert old is not None
        cell = told_anew(plan, old)
        say(cell, label=plan.label, done="done before")
        return cell
    return make(plan, old=old)


def told_anew(plan: Plan, cell: Cell) -> Cell:
    """A cell that is done with the levels that the plan's model is said to have; written again where they differ."""
    levels = plan.levels._asdict()
    if all(getattr(cell, name) == value for name, value in levels.items()):
        return cell
    found = replace(cell, **levels)
    files.write_text(plan.folder / "cell.json", found.to_json())
    return found


def find_plan(cfg: DictConfig, *, old: Cell | None) -> Plan:
    """The plan, its clips checked where they are to be encoded: what cannot be read changes what there is to do."""
    plan = Plan.from_config(cfg)
    if not plan.force and (plan.is_met_by(old) or plan.stored.is_file()):
        return plan
    return plan.checked()


def make(plan: Plan, *, old: Cell | None) -> Cell:
    """Encodes what is not cached, scores and probes, writes the cell, and tells the logger and the reader."""
    from clapbench.running.probing import build_probes, finite_only  # seconds of imports

    start = time.perf_counter()
    probes = build_probes(plan.probes)  # refused before anything is encoded
    rows = embed(plan)
    encoded = time.perf_counter()
    judgement, probed = measure(plan, probes=probes, embeddings=rows.embeddings)
    scored = time.perf_counter()
    runtime = {"encode": encoded - start, "score": scored - encoded, "total": scored - start}
    made = make_cell(
        plan, rows=rows, judgement=judgement, probed=probed, earlier=plan.reuse(old), runtime=runtime
    )
    cell = write(plan, made, items=judgement.items)
    loggers.record(plan, numbers=finite_only({**judgement.numbers, **probed.values}))
    say(cell, label=plan.label, done=rows.done)
    return cell


@dataclass(frozen=True)
class Rows:
    """The embeddings of a plan, and where they are from, in words."""

    embeddings: Embeddings
    certificate: dict[str, Any] | None
    done: str


def embed(plan: Plan) -> Rows:
    """Cached embeddings, or new ones, and their certificate where it is asked for."""
    from clapbench.running.encoding import Encoding

    encoding = Encoding(plan)
    embeddings = None if plan.force else cache.find(plan.stored)
    done = "from cached embeddings"
    if embeddings is None:
        embeddings = encoding.embeddings()
        cache.save(plan.stored, embeddings)
        done = f"encoded {len(embeddings.audio)} clips, {encoding.clips_per_s:.3g} clips/s"
        raise_if_stopped()
    return Rows(embeddings, encoding.certificate() if plan.certificate else None, done)


def measure(plan: Plan, *, probes: Any, embeddings: Embeddings) -> tuple[Judgement, Probed]:
    """What the benchmark says of the embeddings, and what the probes say."""
    from clapbench.running import probing

    no_text = len(embeddings.text) == 0
    judgement = UNJUDGED if no_text else plan.benchmark.judge(embeddings)
    probed = probing.probe(
        probes,
        embeddings=embeddings,
        cases=[] if no_text else plan.benchmark.cases(),
        trainer=plan.nodes["trainer"],
        root=str(plan.folder),
    )
    for name, reason in probed.undefined.items():
        if not no_text:  # else half of the probes have no rows, which is said once
            log.warning("%s is undefined here. %s", name, reason)
    return judgement, probed


def make_cell(
    plan: Plan,
    *,
    rows: Rows,
    judgement: Judgement,
    probed: Probed,
    earlier: Cell | None,
    runtime: dict[str, float],
) -> Cell:
    """The cell, with what an ``earlier`` one of the same content holds besides."""
    embeddings, benchmark = rows.embeddings, plan.benchmark
    return Cell(
        status="ok",
        model=plan.model,
        bench=plan.bench,
        n_items=benchmark.n_items,
        protocol=benchmark.protocol,
        scores=judgement.scores,
        protocols=judgement.protocols,
        extra=make_extra(plan, rows=rows, judgement=judgement, probed=probed, earlier=earlier),
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
        dropped_items=benchmark.dropped,
        ties=judgement.ties,
        near_ties=judgement.near_ties,
        runtime_s=runtime,
        first_scored=earlier.known_since if earlier else None,
        **plan.levels._asdict(),
        **provenance(),
    )


def make_extra(
    plan: Plan, *, rows: Rows, judgement: Judgement, probed: Probed, earlier: Cell | None
) -> dict[str, Any]:
    """What a cell says besides scores and probes; counts of what was left out where there are any."""
    from clapbench.running.probing import repeated

    before = earlier.extra if earlier else {}
    # A certificate belongs to the embeddings, which are the same; a probe's node to its value.
    certificate = rows.certificate or before.get("certify")
    kept = {name: node for name, node in before.get("probe_nodes", {}).items() if name not in plan.probes}
    nodes = {**kept, **config.probe_changes(plan.probes)}
    undefined = {
        name: reason for name, reason in before.get("undefined", {}).items() if name not in probed.values
    } | probed.undefined
    reading = [name for name in before.get("reads_matches", []) if name not in probed.values]
    left_out = {"missing_clips": plan.benchmark.missing, "broken_clips": len(plan.benchmark.broken)}
    return {
        **rows.embeddings.about,
        **judgement.extra,
        **repeated(rows.embeddings),
        **{name: count for name, count in left_out.items() if count},
        **({"undefined": undefined} if undefined else {}),
        **({"certify": certificate} if certificate else {}),
        "reads_matches": [*reading, *probed.reads_matches],
        "probe_keys": {**before.get("probe_keys", {}), **plan.probe_keys},
        **({"probe_nodes": nodes} if nodes else {}),
    }


def write(plan: Plan, cell: Cell, *, items: tuple[dict[str, Any], ...]) -> Cell:
    """Writes items.csv, then the cell, which knows its hash; what a failure left goes."""
    if items:
        path = plan.folder / "items.csv"
        files.write_text(path, rows_of_records(items).csv)
        cell.extra["items_sha256"] = files.sha256_of(path)
    files.write_text(plan.folder / "cell.json", cell.to_json())
    (plan.folder / "failed.txt").unlink(missing_ok=True)
    return cell


def write_failure(cfg: DictConfig, error: Exception) -> Cell:
    """Records a failed cell, its traceback in failed.txt; an ok one is kept beside it as cell.previous.json."""
    folder = cell_folder(cfg)
    cell = Cell(
        status="failed",
        model=str(cfg.model.name),
        bench=str(cfg.bench.name),
        error=f"{type(error).__name__}: {error}",
        **config.levels_of(cfg.model)._asdict(),
        **provenance(),
    )
    keep_earlier(folder)
    files.write_text(folder / "failed.txt", "".join(traceback.format_exception(error)))
    files.write_text(folder / "cell.json", cell.to_json())
    words = f"{cell.error} " if in_sweep() else ""  # alone, it is raised, and said then
    label = label_of(cfg.model.name, cfg.bench.name)
    log.error("%s failed. %sTraceback: %s", label, words, folder / "failed.txt")
    return cell


def keep_earlier(folder: Path) -> None:
    """Puts an ok cell aside as cell.previous.json before a failure takes its place."""
    cell = read_cell(folder)
    if cell is not None and cell.status == "ok":
        files.write_text(folder / "cell.previous.json", cell.to_json())


def in_sweep() -> bool:
    """Whether Hydra runs this as one of several jobs."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
