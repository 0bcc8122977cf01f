"""The original LAION-CLAP, stage by stage, for `encode`: its own functions from sound files to unit rows.

    OTHER_PYTHON bench/original.py REQUEST.json

OTHER_PYTHON is an interpreter with laion-clap 1.1.7 from PyPI; it needs nothing of clapbench. What the original would
fetch is replaced: roberta-base starts from random weights, which the checkpoint overwrites, and a caption's token ids
are those of the request, padded to 77 as its tokenizer pads. Both make it a little faster than it is.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

TOKENS = 77  # to which the original pads every caption
PAD = 1  # <pad> of roberta-base


def main(request: dict) -> None:
    """Writes ``request["answer"]``, an NPZ: audio and text rows, and the seconds of each stage."""
    warnings.simplefilter("ignore")
    seconds = dict.fromkeys(("import", "load", "decode", "mel", "audio", "text"), 0.0)

    @contextmanager
    def timed(stage: str):
        start = time.perf_counter()
        yield
        seconds[stage] += time.perf_counter() - start

    def timing(stage: str, function: Callable) -> Callable:
        def timed_function(*args, **kwargs):
            with timed(stage):
                return function(*args, **kwargs)

        return timed_function

    with timed("import"):
        import numpy as np
        import torch
        import transformers

        class Tokenizer:
            """Token ids of the request in place of roberta-base's."""

            def __call__(self, captions: list[str], **_) -> dict[str, torch.Tensor]:
                ids = torch.full((len(captions), TOKENS), PAD)
                for row, caption in zip(ids, captions):  # noqa: B905 (the other interpreter may be old)
                    row[: len(request["ids"][caption])] = torch.tensor(request["ids"][caption])
                return {"input_ids": ids, "attention_mask": (ids != PAD).long()}

        def untrained(cls: type, name: str) -> transformers.RobertaModel:
            return cls(
                transformers.RobertaConfig(
                    vocab_size=50_265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5
                )
            )

        for tokenizer in (
            transformers.BertTokenizer,
            transformers.RobertaTokenizer,
            transformers.BartTokenizer,
        ):
            tokenizer.from_pretrained = lambda name: Tokenizer()
        transformers.RobertaModel.from_pretrained = classmethod(untrained)
        command, sys.argv = sys.argv, sys.argv[:1]
        import laion_clap
        from laion_clap import hook
        from laion_clap.training import data

        sys.argv = command
    torch.set_num_threads(request["threads"])

    with timed("load"):
        model = laion_clap.CLAP_Module(enable_fusion=request["fusion"], device="cpu", amodel="HTSAT-tiny")
        model.load_ckpt(request["checkpoint"], verbose=False)

    # Parts of the audio stage: files are decoded by librosa; the mel is a module without fusion, a function with it.
    hook.librosa.load = timing("decode", hook.librosa.load)
    data.get_mel = timing("mel", data.get_mel)
    for part in ("spectrogram_extractor", "logmel_extractor"):
        module = getattr(model.model.audio_branch, part)
        module.forward = timing("mel", module.forward)

    step = request["batch"]
    audio, text = [], []
    with torch.no_grad():
        for start in range(0, len(request["clips"]), step):
            with timed("audio"):
                audio.append(model.get_audio_embedding_from_filelist(request["clips"][start : start + step]))
        for start in range(0, len(request["captions"]), step):
            with timed("text"):
                text.append(model.get_text_embedding(request["captions"][start : start + step]))
    seconds["audio"] -= seconds["decode"]
    np.savez(
        request["answer"],
        audio=np.concatenate(audio),
        text=np.concatenate(text),
        seconds=json.dumps(seconds),
    )


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
