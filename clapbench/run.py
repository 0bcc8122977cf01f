"""From a configuration to a result: the one place that instantiates config and writes cells.

``evaluate`` gives the cell of one (model, benchmark); ``fit`` trains and saves a model. A cell that is done is
returned as it is; a cell that lacks only a probe is scored from cached embeddings; else its clips are encoded.
"""

from __future__ import annotations

import logging
import platform
import subprocess
import time
import warnings
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from clapbench import cache, checkpoints, config, tracking
from clapbench.benchmarks.base import Benchmark
from clapbench.data import EncodingPlan, scoring_loader
from clapbench.encoders.base import Encoder, fingerprint
from clapbench.module import Encode, Learn, Measured, Score
from clapbench.progress import EncodingProgress, TrainingProgress
from clapbench.schema import Cell, Embeddings
from clapbench.scores import CHANCE, DIRECTIONS, SCORING_VERSION

log = logging.getLogger(__name__)
console = Console()
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def cell_folder(cfg: DictConfig) -> Path:
    """Where the cell of this configuration lives."""
    return Path(cfg.outputs, cfg.sweep, cfg.model.name, cfg.bench.name)


def check(cfg: DictConfig) -> None:
    """Refuses what cannot work, before anything is made: keys, arguments, probes, names of folders."""
    config.check_keys(cfg, root="evaluate")
    for group in ("model", "bench", "trainer"):
        config.check_arguments(cfg[group], who=group)
    for key in ("model.name", "bench.name", "sweep"):
        config.check_folder_name(OmegaConf.select(cfg, key), key=key)
    config.probe_configs(cfg.probes)


def check_writable(cfg: DictConfig) -> None:
    config.check_writable(cell_folder(cfg), key="outputs")
    config.check_writable(Path(cfg.cache_dir), key="cache_dir")


@dataclass(frozen=True)
class Wanted:
    """What a configuration asks for, found without loading weights."""

    benchmark: Benchmark
    encoder: dict[str, Any]  # fingerprint
    embeddings: Path  # relative to the cache folder
    embeddings_key: str
    config_key: str
    probes: tuple[str, ...]

    @classmethod
    def by(cls, cfg: DictConfig) -> Wanted:
        benchmark = instantiate(cfg.bench)
        arguments = OmegaConf.to_container(cfg.model, resolve=True)
        assert isinstance(arguments, dict)
        target = get_class(arguments.pop("_target_"))
        encoder = fingerprint(target, {str(key): value for key, value in arguments.items()})
        encoder["precision"] = str(cfg.trainer.precision)
        if not arguments.get("pretrained", True):
            encoder["seed"] = cfg.seed  # of the random weights
        content = {"encoder": encoder, "benchmark": benchmark.fingerprint()}
        key = cache.key_of(content)
        return cls(
            benchmark=benchmark,
            encoder=encoder,
            embeddings=cache.embeddings_path(model=cfg.model.name, bench=cfg.bench.name, key=key),
            embeddings_key=key,
            config_key=cache.key_of({**content, "scoring": SCORING_VERSION}),
            probes=tuple(config.probe_configs(cfg.probes)),
        )

    def is_met_by(self, cell: Cell | None) -> bool:
        return self.is_same_as(cell) and set(self.probes) <= set(cell.probes)  # type: ignore[union-attr]

    def is_same_as(self, cell: Cell | None) -> bool:
        """Whether the cell was made from the same content by the same rules, whatever its probes."""
        return cell is not None and cell.status == "ok" and cell.config_key == self.config_key


def standing(cfg: DictConfig) -> str:
    """What evaluating this configuration would do, in words. Renders, encodes and writes nothing."""
    check(cfg)
    benchmark = instantiate(cfg.bench)
    if work := benchmark.preparation():
        return f"{work}, encode, score, {len(config.probe_configs(cfg.probes))} probes"
    wanted = Wanted.by(cfg)
    old = read_cell(cell_folder(cfg))
    if wanted.is_met_by(old) and not cfg.force:
        return "done"
    if (Path(cfg.cache_dir) / wanted.embeddings).is_file() and not cfg.force:
        new = [name for name in wanted.probes if not wanted.is_same_as(old) or name not in old.probes]  # type: ignore[union-attr]
        return f"score cached embeddings, {len(new)} new probes"
    clips, captions = len(benchmark.clips()), len(benchmark.captions())
    return f"encode {clips} clips and {captions} captions, score, {len(wanted.probes)} probes"


def evaluate(cfg: DictConfig) -> Cell:
    """The cell of one (model, benchmark), written to its folder as cell.json.

    Alone, an error is raised. In a sweep it is recorded in the cell, so that the other cells run on; ``debug=true``
    raises there too.
    """
    check(cfg)
    check_writable(cfg)
    quiet_lightning()
    folder = cell_folder(cfg)
    label = f"{cfg.model.name} × {cfg.bench.name}"
    try:
        cell, done = _evaluate(cfg, folder=folder, label=label)
    except Exception as error:
        cell = _failed(cfg, error)
        keep_earlier(folder)
        cache.write_text(folder / "cell.json", cell.to_json())
        if cfg.debug or not in_sweep():
            raise
        log.error("%s failed. %s", label, cell.error)
        return cell
    say(cell, label=label, done=done)
    return cell


def say(cell: Cell, *, label: str, done: str) -> None:
    """One line per cell, and what a reader of its scores has to know."""
    scores = "  ".join(f"{name} {value:.3f}" for name, value in cell.scores.items() if value is not None)
    notes = []
    if cell.ties:
        notes.append(
            f"{cell.ties} of {4 * (cell.n_items or 0)} comparisons are exact ties, counted as misses"
        )
    if unknown := cell.extra.get("unknown_words"):
        notes.append(f"{unknown:.0%} of the captions' words are unknown to this model")
    console.print(
        f"[bold]{label}[/]  n {cell.n_items}  {scores}  [dim]{done}[/]", highlight=False, soft_wrap=True
    )
    for note in notes:
        console.print(f"  [yellow]{note}[/]", highlight=False, soft_wrap=True)


def _evaluate(cfg: DictConfig, *, folder: Path, label: str) -> tuple[Cell, str]:
    start = time.perf_counter()
    wanted = Wanted.by(cfg)
    old = read_cell(folder)
    if wanted.is_met_by(old) and not cfg.force:
        assert old is not None
        return old, "done before"
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    logger = instantiate(cfg.logger, _partial_=True)(
        folder=folder.parent.parent,
        group=cfg.sweep,
        run=f"{cfg.model.name}/{cfg.bench.name}",
        run_id=cache.key_of([cfg.sweep, cfg.model.name, cfg.bench.name, wanted.config_key])[:16],
        content=OmegaConf.to_container(cfg, resolve=True),
    )
    stored = Path(cfg.cache_dir) / wanted.embeddings
    embeddings = None if cfg.force else cache.find(stored)
    done, encoding, extra = "from cached embeddings", 0.0, {}
    if embeddings is None:
        clock = time.perf_counter()
        encoder = instantiate(cfg.model)
        extra = encoder.coverage(list(wanted.benchmark.captions()))
        embeddings, rate = encode(cfg, encoder=encoder, benchmark=wanted.benchmark, label=label)
        cache.save(stored, embeddings)
        encoding = time.perf_counter() - clock
        done = f"encoded {len(embeddings.audio)} clips, {rate:.0f} clips/s"
    elif wanted.is_same_as(old):
        assert old is not None
        extra = old.extra
    clock = time.perf_counter()
    measured = measure(cfg, embeddings=embeddings, benchmark=wanted.benchmark, logger=logger)
    scoring = time.perf_counter() - clock
    kept = old.probes if old is not None and wanted.is_same_as(old) else {}
    cell = Cell(
        status="ok",
        model=cfg.model.name,
        bench=cfg.bench.name,
        n_items=wanted.benchmark.n_items,
        protocol=wanted.benchmark.protocol,
        scores=measured.score_values(),
        protocols={wanted.benchmark.protocol: with_chance(measured, protocol=wanted.benchmark.protocol)},
        extra={key: value for key, value in extra.items() if key != "undefined"}
        | ({"undefined": measured.undefined} if measured.undefined else {}),
        probes={**kept, **measured.probes},
        checkpoint=wanted.encoder.get("checkpoint", {}),
        embeddings={
            "path": wanted.embeddings.as_posix(),
            "key": wanted.embeddings_key,
            "n_audio": len(embeddings.audio),
            "n_text": len(embeddings.text),
            "dim": embeddings.dim,
        },
        config_key=wanted.config_key,
        ties=int(measured.scores.ties),
        near_ties=int(measured.scores.near_ties),
        runtime_s={"encode": encoding, "score": scoring, "total": time.perf_counter() - start},
        **provenance(),
    )
    cache.write_text(folder / "cell.json", cell.to_json())
    tracking.finish(logger, summary={"n_items": cell.n_items, "ties": cell.ties, **cell.embeddings})
    return cell, done


def encode(
    cfg: DictConfig, *, encoder: Encoder, benchmark: Benchmark, label: str
) -> tuple[Embeddings, float]:
    """Embeddings of the benchmark's distinct clips and captions, and the rate in clips per second."""
    plan = EncodingPlan(encoder=encoder, benchmark=benchmark)
    progress = EncodingProgress(
        label=label, n_clips=len(plan.clips), n_captions=len(plan.encoded), console=console
    )
    trainer = make_trainer(cfg, logger=None, callbacks=[progress])
    batches = trainer.predict(Encode(encoder), plan.loaders(**cfg.loader))
    assert batches is not None
    audio, text = batches
    return plan.embeddings(audio=audio, text=text), progress.clips_per_s


def measure(cfg: DictConfig, *, embeddings: Embeddings, benchmark: Benchmark, logger: Any) -> Measured:
    """Scores and probes of embeddings, by the Trainer's test loop on its device."""
    probes = {name: instantiate(node) for name, node in config.probe_configs(cfg.probes).items()}
    module = Score(probes=probes)
    loader = scoring_loader(embeddings, benchmark.cases())
    make_trainer(cfg, logger=logger).test(module, loader, verbose=False)
    return module.measured


def make_trainer(cfg: DictConfig, *, logger: Any, callbacks: list[pl.Callback] | None = None) -> pl.Trainer:
    return instantiate(
        cfg.trainer,
        logger=logger or False,
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=str(cfg.outputs),
    )


def with_chance(measured: Measured, *, protocol: str) -> dict[str, dict[str, Any]]:
    """Each score with its direction and what the rule gives independent similarities."""
    return {
        name: {
            "value": value,
            "direction": DIRECTIONS[protocol][name],
            "chance": float(getattr(CHANCE[protocol], name)),
        }
        for name, value in measured.score_values().items()
    }


def read_cell(folder: Path) -> Cell | None:
    """The cell in ``folder``, or None; one that cannot be read is put aside and said."""
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


def _failed(cfg: DictConfig, error: Exception) -> Cell:
    return Cell(
        status="failed",
        model=cfg.model.name,
        bench=cfg.bench.name,
        error=f"{type(error).__name__}: {error}",
        **provenance(),
    )


def provenance() -> dict[str, Any]:
    """Versions, commit and time, for a cell's record."""
    packages = ("clapbench", "torch", "pytorch-lightning", "torchmetrics", "numpy", "scipy", "transformers")
    found = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    commit = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "HEAD"],
        cwd=config.CONF,
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "versions": found,
        "git_sha": commit.stdout.strip() or None,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def in_sweep() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def quiet_lightning() -> None:
    """Keeps Lightning's notes on hardware and its tips out of the output; warnings stay."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 calls what torch 2.13 deprecates; a hint on worker processes, where none are needed.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")


def check_training(cfg: DictConfig) -> None:
    """`check` for train.py."""
    config.check_keys(cfg, root="train")
    nodes = {group: cfg[group] for group in ("model", "trainer", "data")}
    for group in ("regularizer", "validation"):
        nodes |= {f"{group}.{name}": node for name, node in cfg[group].items()}
    for who, node in nodes.items():
        config.check_arguments(node, who=who)
    config.check_folder_name(cfg.model.name, key="model.name")
    config.probe_configs(cfg.probes)
    if cfg.checkpoint_dtype not in DTYPES:
        raise config.ConfigError(
            f"checkpoint_dtype: needed one of {', '.join(DTYPES)}; got {cfg.checkpoint_dtype!r}."
        )


def fit(cfg: DictConfig) -> Path:
    """Trains ``cfg.model`` and saves it; returns the checkpoint's path.

    Writes outputs/train/NAME/NAME.safetensors with the recipe in its header, and prints its SHA-256 and the
    command that evaluates it.
    """
    check_training(cfg)
    folder = Path(cfg.outputs, "train", cfg.model.name)
    config.check_writable(folder, key="outputs")
    quiet_lightning()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)

    encoder = instantiate(cfg.model)
    held_out = {
        name: EncodingPlan(encoder=encoder, benchmark=instantiate(node))
        for name, node in cfg.validation.items()
    }
    learner = Learn(
        encoder=encoder,
        regularizers={name: instantiate(node) for name, node in cfg.regularizer.items()},
        probes={name: instantiate(node) for name, node in config.probe_configs(cfg.probes).items()},
        held_out=held_out,
        **cfg.optimizer,
    )
    recipe = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(recipe, dict)
    logger = instantiate(cfg.logger, _partial_=True)(
        folder=folder,
        group="train",
        run=cfg.model.name,
        run_id=cache.key_of(recipe)[:16],
        content=recipe,
    )
    loaders = [loader for plan in held_out.values() for loader in plan.loaders(**cfg.loader)]
    trainer = make_trainer(cfg, logger=logger, callbacks=[TrainingProgress(console=console)])
    trainer.fit(learner, instantiate(cfg.data).loader(), loaders)
    path = folder / f"{cfg.model.name}.safetensors"
    with cache.replacing(path) as temporary:
        encoder.save(temporary, recipe=recipe | provenance(), dtype=DTYPES[cfg.checkpoint_dtype])
    digest = checkpoints.sha256_of(path)
    tracking.finish(logger, summary={"sha256": digest})
    choice = HydraConfig.get().runtime.choices["model"] if HydraConfig.initialized() else "mini"
    console.print(
        f"wrote {path}\nSHA-256 {digest}\n"
        f"evaluate it: python evaluate.py model={choice} model.name={cfg.model.name} model.checkpoint={path}",
        highlight=False,
        soft_wrap=True,
    )
    return path
