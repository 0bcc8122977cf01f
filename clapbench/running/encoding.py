"""Clips and captions to rows, by the Trainer's predict loop.

Importing Lightning takes seconds, so `evaluate` imports this module only when there is something to do.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from clapbench import config
from clapbench.encoders.base import Encoder, unit
from clapbench.encoders.outside import Outside
from clapbench.running import certificate
from clapbench.running.batches import CaptionBatch, ClipBatch, EncodingPlan, Indexed
from clapbench.running.plan import Plan
from clapbench.running.progress import EncodingProgress
from clapbench.running.stopping import finishing_batches
from clapbench.running.trainer import make_trainer
from clapbench.schema import Embeddings


class Encode(pl.LightningModule):
    """``trainer.predict``: batches of clips or captions to unit rows."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def predict_step(
        self, batch: ClipBatch | CaptionBatch, batch_idx: int, dataloader_idx: int = 0
    ) -> Indexed:
        """The rows of one batch with their positions."""
        return encode_batch(self.encoder, batch)


def encode_batch(encoder: Encoder, batch: ClipBatch | CaptionBatch) -> Indexed:
    """Positions and unit rows, float32 on the CPU."""
    rows = (
        encoder.embed_audio(batch.waves)
        if isinstance(batch, ClipBatch)
        else encoder.embed_text(batch.captions)
    )
    return batch.index, unit(rows.float()).cpu()  # again: in half precision a row is not quite of unit length


class Encoding:
    """What needs the model of a plan: its embeddings of a benchmark, and their certificate."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.benchmark = plan, plan.benchmark
        self.clips_per_s = 0.0  # of the last `embeddings`

    @cached_property
    def model(self) -> Encoder | Outside:
        """The model of the configuration, built when first asked for."""
        torch.manual_seed(self.plan.seed)  # of weights that are not trained
        model: Encoder | Outside = config.build(self.plan.nodes["model"])
        if isinstance(model, Encoder) and self.plan.compile:
            model.compile_towers()
        return model

    def embeddings(self) -> Embeddings:
        """Unit rows of the benchmark's distinct clips and captions."""
        start = time.perf_counter()
        if isinstance(self.model, Outside):
            rows = self._outside(self.benchmark.clips(), self.benchmark.captions())
            self.clips_per_s = len(rows.audio) / (time.perf_counter() - start)
            return rows
        encoded = EncodingPlan(encoder=self.model, benchmark=self.benchmark)
        progress = EncodingProgress(
            label=self.plan.label, n_clips=len(encoded.clips), n_captions=len(encoded.encoded)
        )
        audio, text = self._predict(encoded.loaders(**self.plan.loader), callbacks=[progress])
        self.clips_per_s = progress.clips_per_s
        return encoded.embeddings(audio=audio, text=text)

    def certificate(self) -> dict[str, Any]:
        """The largest drift of each side and trial, on the Trainer's device and in its precision."""
        if isinstance(self.model, Outside):
            if not self.model.certifiable:
                return {"drift": None, "note": "rows from a file: nothing is encoded here"}
            audio, text = self._certify_outside()
        else:
            encoded = EncodingPlan(encoder=self.model, benchmark=self.benchmark)
            audio, text = (
                [rows for _, rows in batches] for batches in self._predict(certificate.loaders(encoded))
            )
        sides = {name: rows for name, rows in (("audio", audio), ("text", text)) if rows}
        found = {name: certificate.drift(rows) for name, rows in sides.items()}
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
        trainer = make_trainer(
            self.plan.nodes["trainer"], root=str(self.plan.folder), logger=None, callbacks=callbacks
        )
        given = [loader for loader in loaders if len(loader)]
        with finishing_batches():
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
            [ids[row] for row in certificate.sample(len(ids), most=certificate.SAMPLE_OUTSIDE)]
            for ids in (self.benchmark.clips(), self.benchmark.captions())
        )
        n = min(len(clips), len(captions))
        made = [
            self._outside([clips[row] for row in batch], [captions[row] for row in batch])
            for batch in certificate.batches(n)
        ]
        text = [torch.from_numpy(rows.text) for rows in made if len(rows.text)]
        return [torch.from_numpy(rows.audio) for rows in made], text
