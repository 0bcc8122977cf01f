"""Every key of a configuration: its type, its range and its unit, at one place for the checks and the reference page.

The fields of `Evaluate` and `Train` are the keys of a composed conf/evaluate.yaml and conf/train.yaml. A field
that is a dataclass is a section. A `Part` holds a node that some class is built from (``_target_``): its keys are the
arguments of that class, and their kinds stand in its constructor's signature, so a new model is one file and one yaml.
Defaults and what a key means stand in the yaml files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len

from clapbench.kinds import (
    BatchSize,
    Count,
    Folder,
    Name,
    Names,
    Number,
    Output,
    Positive,
    Rows,
    Rule,
    Seed,
    Share,
    Text,
    Weight,
    Whole,
    Workers,
)


@dataclass(frozen=True)
class Part:
    """A node with a ``_target_``, chosen from a config group.

    ``bases`` are dotted names of the classes of which the target is one; none where any callable serves. ``many`` holds
    nodes by name. ``keys`` is a dataclass of the kinds that stand in for a signature of somebody else's. ``takes`` are
    arguments that clapbench gives besides. ``told`` is a dataclass of keys that go into the cell and, unless the target
    takes an argument of that name, not to it. A ``partial`` node is completed by clapbench (``_partial_: true``).
    """

    group: str
    bases: tuple[str, ...] = ()
    many: bool = False
    keys: type | None = None
    takes: tuple[str, ...] = ()
    told: type | None = None
    partial: bool = False


@dataclass
class Loader:
    """How clips and captions are brought to the model."""

    batch_size: BatchSize
    num_workers: Workers | None


@dataclass
class Matched:
    """A sweep's probes at one number of rows."""

    n: Rows | None
    draws: Annotated[int, Ge(2)]


@dataclass
class Optimizer:
    """Keys of torch's optimizers that conf/ or people set; others go to them as they are."""

    lr: Positive
    weight_decay: Weight
    betas: Annotated[list[Share], Len(2, 2)]
    momentum: Share


@dataclass
class Levels:
    """What a model is one of. These keys decide no embedding, so they are in no key of a cache."""

    recipe: Text | None
    family: Text | None
    seed: Seed | None


Duration = Annotated[
    str,
    Rule("a time as DD:HH:MM:SS", re.compile(r"\d+:\d\d?:\d\d?:\d\d?").fullmatch, "00:01:30:00"),
]


@dataclass
class Trainer:
    """Keys of Lightning's Trainer that conf/ or people set; others go to it as they are."""

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"]
    devices: Count | Literal["auto"]
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "64-true"]
    strategy: Text
    num_nodes: Count
    max_steps: Count | Literal[-1]
    max_epochs: Count | None
    max_time: Duration | None
    val_check_interval: Count | Annotated[float, Number(), Gt(0), Le(1)]
    num_sanity_val_steps: Whole
    gradient_clip_val: Positive | None
    accumulate_grad_batches: Count


ProbeArguments = Annotated[
    dict[str, dict[str, Any]],
    Rule("arguments by probe, as probe.rankme_text.center=true", lambda text: True, "{}"),
]
MODELS = ("clapbench.encoders.base.Encoder", "clapbench.encoders.outside.Outside")
BENCHMARK = ("clapbench.benchmarks.base.Benchmark",)
ModelPart = Annotated[Mapping[str, Any], Part("model", MODELS, told=Levels)]
BenchPart = Annotated[Mapping[str, Any], Part("bench", BENCHMARK)]
TrainerPart = Annotated[Mapping[str, Any], Part("trainer", ("pytorch_lightning.Trainer",), keys=Trainer)]
LOGGER_TAKES = ("folder", "group", "run", "run_id", "content")
LoggerPart = Annotated[Mapping[str, Any], Part("logger", takes=LOGGER_TAKES)]


@dataclass
class Evaluate:
    """The keys of ``evaluate.py``."""

    model: ModelPart
    bench: BenchPart
    trainer: TrainerPart
    logger: LoggerPart
    study: Text | None
    sweep: Name
    outputs: Output
    cache_dir: Output
    probes: Names
    probe: ProbeArguments
    seed: Seed
    force: bool
    download: bool
    checkpoint_dir: Folder | None
    certify: bool
    compile: bool
    plan: bool
    debug: bool
    matched: Matched
    margin: Share
    loader: Loader


@dataclass
class Train:
    """The keys of ``train.py``."""

    model: Annotated[Mapping[str, Any], Part("model", MODELS[:1], told=Levels)]
    regularizer: Annotated[
        Mapping[str, Any],
        Part("regularizer", ("clapbench.training.regularizers.base.Regularizer",), many=True),
    ]
    validation: Annotated[Mapping[str, Any], Part("bench", BENCHMARK, many=True)]
    trainer: TrainerPart
    logger: LoggerPart
    data: Annotated[
        Mapping[str, Any],
        Part("data", ("clapbench.training.data.base.TrainingData",), takes=("hearing", "num_workers")),
    ]
    objective: Annotated[
        Mapping[str, Any], Part("objective", ("clapbench.training.objectives.base.Objective",))
    ]
    finetune: Annotated[Mapping[str, Any], Part("finetune", ("clapbench.training.finetune.base.Finetune",))]
    optimizer: Annotated[
        Mapping[str, Any], Part("optimizer", ("torch.optim.Optimizer",), keys=Optimizer, partial=True)
    ]
    schedule: Annotated[Mapping[str, Any], Part("schedule", partial=True)]
    callback: Annotated[Mapping[str, Any], Part("callback", ("pytorch_lightning.Callback",), many=True)]
    name: Name
    outputs: Output
    cache_dir: Output
    checkpoint_dtype: Literal["float16", "bfloat16", "float32"]
    probes: Names
    probe: ProbeArguments
    seed: Seed
    study: Text | None
    ckpt_path: Text | None
    save_every: Count
    weights: Literal["last", "best"]
    force: bool
    download: bool
    checkpoint_dir: Folder | None
    plan: bool
    debug: bool
    loader: Loader


ROOTS: dict[str, type] = {"evaluate": Evaluate, "train": Train}
