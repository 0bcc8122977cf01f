"""Full-size stand-ins for the released checkpoints: the originals' keys, shapes and containers, weights from a formula.

Each is written once per test session, to a temporary folder laid out as the released files are, so that the folder can
also be given as ``checkpoint_dir``. Tokenizers are small ones of the same kind as the released.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import synthetic_weights

PARITY = Path(__file__).parent / "reference" / "parity"
FOLDER = Path(tempfile.mkdtemp(prefix="clapbench-released-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)

# model of conf/model: (manifest, checkpoint in the folder)
FILES = {
    "laion": ("laion_fusion", "630k-audioset-fusion-best.pt"),
    "laion_unfused": ("laion", "630k-audioset-best.pt"),
    "mga": ("mga", "model.pt"),
    "m2d": ("m2d_bert", "m2d_clap_vit_base-80x1001p16x16p16kpBpTI-2025/checkpoint-30.pth"),
    "m2d_2024": ("m2d_gte", "m2d_clap_vit_base-80x608p16x16-240128/checkpoint-300.pth"),
}


def manifest(model: str) -> dict:
    return json.loads((PARITY / f"{FILES[model][0]}.manifest.json").read_text(encoding="utf-8"))


def golden(model: str) -> dict[str, np.ndarray]:
    """The numbers that the original code gave for the stand-in (see tests/reference/parity/README.md)."""
    with np.load(PARITY / f"{FILES[model][0]}.npz") as file:
        return {key: file[key] for key in file}


def wave(model: str, clip: int) -> np.ndarray:
    """Golden clip number ``clip``, at the model's own rate."""
    return synthetic_weights.waveform(FILES[model][0], clip)


@cache
def folder(*models: str, salt: str = "", modern: bool = False) -> Path:
    """A folder with the stand-ins of ``models`` and tokenizers, named as the released ones."""
    place = FOLDER / (f"salt-{salt}" if salt else "golden") / ("modern" if modern else "legacy")
    for model in models:
        if not (place / FILES[model][1]).is_file():
            synthetic_weights.write_checkpoint(manifest(model), str(place), salt, modern)
    for name, write in (
        ("roberta-base", write_roberta),
        ("bert-base-uncased", write_bert),
        ("gte-base", write_bert),
    ):
        if not (place / name / "tokenizer_config.json").is_file():
            write(place / name)
    return place


def checkpoint(model: str, *, salt: str = "", modern: bool = False) -> Path:
    return folder(model, salt=salt, modern=modern) / FILES[model][1]


def overrides(model: str) -> list[str]:
    """What makes conf/model/MODEL.yaml use the stand-in, with no network."""
    kind = {"m2d_stacked": "m2d"}.get(model, model)
    place = folder(kind)
    chosen = [f"model.checkpoint={place / FILES[kind][1]}"]
    if model != "m2d_stacked":
        name = "roberta-base" if model.startswith("laion") else "bert-base-uncased"
        chosen.append(f"model.tokenizer={place / name}")
    if model == "m2d_2024":
        chosen.append(f"model.text_checkpoint={place / 'gte-base'}")
    return chosen


def write_roberta(place: Path) -> None:
    """A byte-level tokenizer with the special tokens and the template of roberta-base: one token per byte."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    place.mkdir(parents=True, exist_ok=True)
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *bytes_to_unicode().values(), "<mask>"]
    (place / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (place / "merges.txt").write_text("#version: 0.2\n")
    (place / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "RobertaTokenizer", "model_max_length": 512})
    )


def write_bert(place: Path) -> None:
    """An uncased WordPiece tokenizer in which the words of the golden captions have their ids of bert-base-uncased."""
    words = json.loads((PARITY / "bert_words.json").read_text(encoding="utf-8"))
    tokens = [f"[unused{number}]" for number in range(30522)]
    for word, number in words.items():
        tokens[number] = word
    place.mkdir(parents=True, exist_ok=True)
    (place / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    (place / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 512})
    )
