"""The Trainer's loops, as a configuration asks for them: encode a benchmark, probe its embeddings.

Importing Lightning takes seconds, so `run` imports this module only when there is something to do.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch import Tensor
from torch.utils.data import DataLoader

from clapbench import certify, config
from clapbench.benchmarks.base import Benchmark
from clapbench.data import EncodingPlan, Indexed, row_loader
from clapbench.encoders.base import Encoder
from clapbench.encoders.outside import Outside
from clapbench.module import Encode, Probed, Score
from clapbench.probes.base import Probe
from clapbench.probes.paired import bind
from clapbench.probes.two_nn import count_duplicates
from clapbench.progress import EncodingProgress
from clapbench.schema import Case, Embeddings, Judgement


class Encoding:
    """What needs the model of a configuration: its embeddings of a benchmark, and their certificate."""

    def __init__(self, cfg: DictConfig, *, benchmark: Benchmark, label: str) -> None:
        quiet_lightning()
        self.cfg, self.benchmark, self.label = cfg, benchmark, label
        self.clips_per_s = 0.0  # of the last `embeddings`

    @cached_property
    def model(self) -> Encoder | Outside:
        torch.manual_seed(self.cfg.seed)  # of weights that are not trained
        model: Encoder | Outside = config.build(self.cfg.model)
        if isinstance(model, Encoder) and self.cfg.compile:
            model.compile_towers()
        return model

    def embeddings(self) -> Embeddings:
        """Unit rows of the benchmark's distinct clips and captions."""
        start = time.perf_counter()
        if isinstance(self.model, Outside):
            rows = self._outside(self.benchmark.clips(), self.benchmark.captions())
            self.clips_per_s = len(rows.audio) / (time.perf_counter() - start)
            return rows
        plan = EncodingPlan(encoder=self.model, benchmark=self.benchmark)
        progress = EncodingProgress(label=self.label, n_clips=len(plan.clips), n_captions=len(plan.encoded))
        audio, text = self._predict(plan.loaders(**self.cfg.loader), callbacks=[progress])
        self.clips_per_s = progress.clips_per_s
        return plan.embeddings(audio=audio, text=text)

    def certificate(self) -> dict[str, Any]:
        """The largest drift of each side and trial (see `certify`), on the Trainer's device and in its precision."""
        if isinstance(self.model, Outside):
            if not self.model.certifiable:
                return {"drift": None, "note": "rows from a file: nothing is encoded here"}
            audio, text = self._certify_outside()
        else:
            plan = EncodingPlan(encoder=self.model, benchmark=self.benchmark)
            audio, text = (
                [rows for _, rows in batches] for batches in self._predict(plan.certificate_loaders())
            )
        sides = {name: rows for name, rows in (("audio", audio), ("text", text)) if rows}
        found = {name: certify.drift(rows) for name, rows in sides.items()}
        return {
            "drift": max(value for drifts in found.values() for value in drifts.values()),
            **found,
            **{f"n_{name}": len(rows[0]) for name, rows in sides.items()},
        }

    def _predict(
        self, loaders: Sequence[DataLoader[Any]], callbacks: list[pl.Callback] | None = None
    ) -> tuple[list[Indexed], list[Indexed]]:
        """Encoded batches of clips and of captions; a loader without batches is left out."""
        assert isinstance(self.model, Encoder)
        trainer = make_trainer(self.cfg, logger=None, callbacks=callbacks)
        given = [loader for loader in loaders if len(loader)]
        batches: Any = trainer.predict(Encode(self.model), given)
        audio, text = batches if len(given) == 2 else (batches, [])
        return audio, text

    def _outside(self, clips: Sequence[str], captions: Sequence[str]) -> Embeddings:
        assert isinstance(self.model, Outside)
        return self.model.embed(
            clips={clip: self.benchmark.audio_path(clip) for clip in clips}, captions=captions
        )

    def _certify_outside(self) -> tuple[list[Tensor], list[Tensor]]:
        """Clips and captions go out together, so a trial takes a batch of each."""
        clips, captions = (
            [ids[row] for row in certify.sample(len(ids), most=certify.SAMPLE_OUTSIDE)]
            for ids in (self.benchmark.clips(), self.benchmark.captions())
        )
        n = min(len(clips), len(captions))
        made = [
            self._outside([clips[row] for row in batch], [captions[row] for row in batch])
            for batch in certify.batches(n)
        ]
        text = [torch.from_numpy(rows.text) for rows in made if len(rows.text)]
        return [torch.from_numpy(rows.audio) for rows in made], text


def build_probes(cfg: DictConfig) -> dict[str, Probe]:
    """A Metric per wanted probe, by name."""
    nodes = config.probe_configs(cfg.probes)
    for name, node in nodes.items():
        config.check_arguments(node, who=f"probe.{name}")
    return {name: config.build(node) for name, node in nodes.items()}


def probe(
    cfg: DictConfig,
    *,
    probes: Mapping[str, Probe],
    embeddings: Embeddings,
    judgement: Judgement,
    cases: Sequence[Case],
    logger: Any,
) -> Probed:
    """Probes of embeddings by the Trainer's test loop on its device; ``judgement`` is logged with them."""
    quiet_lightning()
    bind(probes.values(), cases=cases, embeddings=embeddings)
    module = Score(probes=probes, judgement=judgement)
    make_trainer(cfg, logger=logger).test(module, row_loader(embeddings), verbose=False)
    return module.probed


def repeated(embeddings: Embeddings) -> dict[str, int]:
    """How many rows of each side repeat another exactly: intrinsic dimensions leave them out."""
    sides = {"audio": embeddings.audio, "text": embeddings.text}
    return {
        f"repeated_{side}": count_duplicates(torch.from_numpy(rows))
        for side, rows in sides.items()
        if len(rows)
    }


def make_trainer(cfg: DictConfig, *, logger: Any, callbacks: list[pl.Callback] | None = None) -> pl.Trainer:
    """The Trainer of cfg.trainer, without Lightning's own bars, tables and checkpoints."""
    try:
        trainer: pl.Trainer = config.build(
            cfg.trainer,
            logger=logger or False,
            callbacks=callbacks,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            default_root_dir=str(cfg.outputs),
        )
    except MisconfigurationException as error:
        raise config.ConfigError(
            f"trainer: Lightning refuses accelerator={cfg.trainer.accelerator!r}, devices={cfg.trainer.devices!r}: "
            f"{error} Set trainer=cpu or trainer=auto."
        ) from error
    return trainer


def quiet_lightning() -> None:
    """Keeps Lightning's notes on hardware and its tips out of the output; warnings stay."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 calls what torch 2.13 deprecates; a hint on worker processes, where none are needed.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
