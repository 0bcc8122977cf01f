"""What each yaml needs to be tried offline: the one place to touch when a yaml is added.

Every file of conf/model, conf/bench, conf/probe, conf/objective, conf/regularizer, conf/finetune, conf/optimizer,
conf/schedule, conf/callback, conf/data, conf/trainer, conf/logger and
conf/experiment has an entry here: the overrides that make it small and local. Values are functions of a temporary
folder.
"""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import compa_folders
import numpy as np
import released
import soundfile

Overrides = Callable[[Path], list[str]]


def nothing(folder: Path) -> list[str]:
    return []


def few_items(folder: Path) -> list[str]:
    return ["bench.n=10"]


def pairs_folder(folder: Path, items: int = 3) -> list[str]:
    """Items in the CompA format, as noise bursts."""
    rng = np.random.default_rng(0)
    rows = ["pair_caption,reversed_pair_caption,pair_file,reversed_pair_file"]
    for item in range(items):
        files = [f"{item}_{way}.wav" for way in ("pair", "reversed")]
        for file in files:
            soundfile.write(folder / file, 0.1 * rng.standard_normal(8000), 8000)
        rows.append(f"Dog {item} before cat,Cat before dog {item},{','.join(files)}")
    (folder / "items.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return [f"bench.csv={folder / 'items.csv'}", f"bench.root={folder}"]


def compa_order(folder: Path) -> list[str]:
    """Four items, the last with a third pair."""
    return [f"bench.root={compa_folders.order(folder / 'order', items=4)}", "bench.items=4"]


def compa_attribute(folder: Path) -> list[str]:
    return [f"bench.root={compa_folders.attribute(folder / 'attribute', items=4)}", "bench.items=4"]


def captioned_clips(folder: Path) -> list[str]:
    """Three clips with a caption each, as noise bursts."""
    return clips_in_csv(folder, header="file,caption", cells=["Rain falling", "A dog barking", "A bell"])


def few_events(folder: Path) -> list[str]:
    """A small bank of events."""
    return ["data.pool=8", "data.neutral=1", "data.varied=1", "data.batch_size=4"]


def clips_to_train_on(folder: Path) -> list[str]:
    """Four clips with a caption each, as noise bursts."""
    captions = ["Rain before wind", "A dog barking", "A bell", "Loud rain and a quiet bell"]
    given = clips_in_csv(folder, header="file,caption", cells=captions)
    return [*(line.replace("bench.", "data.", 1) for line in given), "data.batch_size=2"]


def shards_to_train_on(folder: Path) -> list[str]:
    """Two shards of these clips, with a caption in a text file next to each."""
    clips_to_train_on(folder)
    for number, clips in enumerate(("02", "13")):
        with tarfile.open(folder / f"{number}.tar", "w") as archive:
            for clip in clips:
                (folder / f"{clip}.txt").write_text(f"Bell {clip} rings before rain falls", encoding="utf-8")
                archive.add(folder / f"{clip}.wav", arcname=f"{clip}.wav")
                archive.add(folder / f"{clip}.txt", arcname=f"{clip}.txt")
    return [f"data.shards=[{folder}/0.tar,{folder}/1.tar]", "data.batch_size=2"]


def labelled_clips(folder: Path) -> list[str]:
    """Three clips of two classes, as noise bursts."""
    return clips_in_csv(folder, header="file,label", cells=["rain", "dog", "rain"])


def clips_in_csv(folder: Path, *, header: str, cells: list[str]) -> list[str]:
    rng = np.random.default_rng(0)
    rows = [header]
    for number, cell in enumerate(cells):
        soundfile.write(folder / f"{number}.wav", 0.1 * rng.standard_normal(8000), 8000)
        rows.append(f"{number}.wav,{cell}")
    (folder / "clips.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return [f"bench.csv={folder / 'clips.csv'}", f"bench.root={folder}"]


def released_checkpoint(model: str) -> Overrides:
    """A full-size stand-in for a released checkpoint, and its tokenizer."""
    return lambda folder: released.overrides(model)


def embeddings_file(folder: Path) -> list[str]:
    """Random rows for the clips and captions of `OUTSIDE`."""
    rng = np.random.default_rng(0)
    sides = {side: rng.standard_normal((len(ids), 8)) for side, ids in OUTSIDE.items()}
    np.savez(folder / "rows.npz", **sides, **{f"{side}_id": np.array(ids) for side, ids in OUTSIDE.items()})
    return [f"model.file={folder / 'rows.npz'}"]


def other_interpreter(folder: Path) -> list[str]:
    """An encoder of file names and captions by their bytes, in an interpreter of its own."""
    (folder / "by_bytes.py").write_text(
        "import numpy as np\n"
        "def rows(words):\n"
        "    return np.stack([np.bincount(list(word.encode()), minlength=256) + 1.0 for word in words])\n"
        "def embed(clips, captions):\n"
        "    return rows([clip.rsplit('/', 1)[-1] for clip in clips]), rows(captions)\n"
    )
    return [f"model.python={sys.executable}", "model.entry=by_bytes:embed", f"model.path={folder}"]


OUTSIDE = {
    "audio": ["a.wav", "sub/b.wav", "c.flac"],
    "text": ["Rain", "A dog before rain", "Rain before a dog"],
}

FIXTURES: dict[str, dict[str, Overrides]] = {
    "model": {
        **dict.fromkeys(
            ["mini", "mini_vicreg", "mini_negatives", "mini_scene", "mini_centroid", "mini_bag"], nothing
        ),
        **dict.fromkeys(
            [f"{recipe}_s{seed}" for recipe in ("mini", "mini_vicreg", "mini_negatives") for seed in (1, 2)],
            nothing,
        ),
        **{
            model: released_checkpoint(model)
            for model in ("laion", "laion_unfused", "mga", "m2d", "m2d_2024", "m2d_stacked")
        },
        "precomputed": embeddings_file,
        "external": other_interpreter,
    },
    "bench": {
        "synth_order": few_items,
        "synth_attribute": few_items,
        "pairs": pairs_folder,
        "order": compa_order,
        "attribute": compa_attribute,
        "retrieval": captioned_clips,
        "zeroshot": labelled_clips,
    },
    "data": {"synth": few_events, "csv": clips_to_train_on, "webdataset": shards_to_train_on},
    "probe": dict.fromkeys(
        [
            *(
                "align_uniform",
                "cka",
                "hubness",
                "lidar",
                "modality_gap",
                "mutual_knn",
                "neighbour_dimension",
            ),
            *(
                "rankme",
                "relative_gap",
                "residual_energy",
                "separability",
                "spectral_decay",
                "spectrum",
                "swap",
                "two_nn",
            ),
        ],
        nothing,
    ),
    "probe_set": dict.fromkeys(["paper", "all"], nothing),
    "objective": dict.fromkeys(["infonce", "negclip", "own_negatives", "sigmoid", "swapped_choice"], nothing),
    "regularizer": dict.fromkeys(
        [
            *("alignment", "barlow", "centroid", "covariance", "koleo"),
            *("sigreg", "spectral_entropy", "uniformity", "variance"),
        ],
        nothing,
    ),
    "finetune": dict.fromkeys(["all", "text", "audio", "projection", "lora"], nothing),
    "optimizer": dict.fromkeys(["adamw", "sgd"], nothing),
    "schedule": dict.fromkeys(["cosine", "constant"], nothing),
    "callback": dict.fromkeys(["best", "early_stopping", "learning_rate"], nothing),
    "trainer": {
        **dict.fromkeys(["auto", "cpu", "gpu"], nothing),
        "ddp": lambda folder: ["trainer.accelerator=cpu"],
    },
    "logger": {"none": nothing, "csv": nothing, "wandb": lambda folder: ["logger.mode=offline"]},
    "arm": dict.fromkeys(
        [
            "none",
            *(f"entropy_{dose}" for dose in ("-0.3", "-0.1", "0.1", "1")),
            *(f"{term}_{dose}" for term in ("centroid", "vicreg") for dose in ("0.3", "1", "3")),
        ],
        nothing,
    ),
    "experiment": dict.fromkeys(
        [
            "demo",
            *("mini", "mini_vicreg", "mini_negatives", "mini_scene", "mini_centroid", "mini_bag"),
        ],
        nothing,
    )
    | dict.fromkeys(["regularizer_study", "regularizer_study_small"], lambda folder: ["name=one"]),
}


def overrides(group: str, name: str, folder: Path) -> list[str]:
    """The overrides for conf/GROUP/NAME.yaml, its own choice included."""
    try:
        return [f"{group}={name}", *FIXTURES[group][name](folder)]
    except KeyError:
        raise AssertionError(
            f"conf/{group}/{name}.yaml has no entry in tests/fixtures.py. Add {name!r} to FIXTURES[{group!r}] with a "
            f"function of a temporary folder that makes what the yaml needs to run offline (a generated checkpoint, "
            f"a tiny folder) and returns the overrides that point to it, or `nothing` if it needs none."
        ) from None
