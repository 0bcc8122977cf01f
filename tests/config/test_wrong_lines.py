"""Wrong command lines: each is one clear error, before anything is written, rendered or fetched."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from hydra.core.global_hydra import GlobalHydra

from clapbench import cli

# A line, and words of its error. {here} is an empty folder, {root} the repository.
EVALUATE = {
    # keys
    "modle=mini": "key 'modle' is not there. Did you mean 'model'?",
    "model.nmae=x": "Did you mean model.name?",
    "batch_size=0": "Did you mean loader.batch_size?",
    "loader.batchsize=8": "argument 'batchsize' is not there. Did you mean 'batch_size'?",
    "matched.m=8": "argument 'm' is not there",
    "+typo=1": "key 'typo' is not there",
    "-m +typo=1,2": "key 'typo' is not there",
    "+model.windows=3": "argument 'windows' is not there. Did you mean 'window'?",
    "trainer.precison=32-true": "Did you mean trainer.precision?",
    "+trainer.no_such=1": "argument 'no_such' is not there",
    "logger.mode=onlne": "logger.mode: needed online, offline or disabled",
    "logger.project=a/b": "logger.project: needed a project's name",
    "trainer.devices=2": "needed one device",
    "+trainer.limit_predict_batches=1": "a cell covers every clip",
    "logger.projekt=x": "Did you mean logger.project?",
    "bench.items=10": "bench=attribute,order have it",
    "-m bench=synth_order,order bench.items=10": "bench=synth_order has no key 'items'",
    "optimizer.learning_rate=1": "belongs to train.py",
    "experiment=mini_vicreg": "experiment 'mini_vicreg' belongs to train.py",
    "experiment=dmeo": "Did you mean 'demo'?",
    "model=minni": "model 'minni' is not there. Did you mean 'mini'?",
    "bench=synth_oder": "Did you mean 'synth_order'?",
    "probes=[papr]": "probe 'papr' is not there. Did you mean 'paper'?",
    "probe.rankme_tex.side=audio": "Did you mean 'rankme_text'?",
    "probe.rankme_text.sides=audio": "argument 'sides' is not there",
    "probe.cka.side=audio": "'cka' is not among the probes",
    "model=mini,mini_bag": "Add -m",
    "~model": "key model is missing, and evaluate.py needs it",
    "foo": "needed KEY=VALUE",
    "model:mini": "Did you mean model=mini?",
    "-model=mini": "Did you mean model=mini?",
    "=3": "got no key",
    "model=[mini,mini_bag]": "needed one name, got a list",
    "+model=mini_bag": "a choice is there already",
    "model=null": "model null is not there",
    "regularizer=[variance]": "belongs to train.py",
    "sweep=${nope}": "sweep: Interpolation key 'nope' not found",
    "-m seed=range(0,0)": "the sweep has no job",
    "-m model=glob(zzz*)": "the sweep has no job",
    "hydra.mode=foo": "foo",
    "sweep=cache": "none of cache",
    "model.name=report": "none of cache",
    "model.source=/nope": "needed package://FILE",
    "model.checkpoint={root}/README.md": "needed a checkpoint",
    "outputs=/dev/null/x": "outputs: needed a folder that can be written",
    "cache_dir=/dev/null": "cache_dir: needed a folder that can be written",
    "logger=csv logger._target_=json.dumps": "needed what takes folder, group",
    "logger._target_=os.sep": "needed a class or a function",
    "probe.rankme_text=3": "probe: needed arguments by probe, as probe.rankme_text.center=true",
    "probe.rankme_text.side=left": "side must be 'audio' or 'text', got 'left'",
    "probe.gap_l2.field=l3": "field must be one of",
    "matched={a:1}": "set what is under it",
    "+experiment=demo": "Type experiment=NAME",
    "seed=range(3)": "Add -m",
    "hydra.launcher=null": "Type hydra/launcher=NAME",
    "-m hydra.sweeper.max_batch_size=0": "1 or more",
    "-m seed=range(20000) model.name=m${seed}": "at most 10000",
    "-m plan=true,false": "plan: needed one value",
    "--cfg=xx": "needed job, hydra or all",
    "bench.root=/dev/null": "bench.root: needed a folder that can be written",
    "hydra.run.dir=/dev/null/x": "hydra.run.dir: needed a folder that can be written",
    # numbers
    "loader.batch_size=0": "loader.batch_size: needed a whole number from 1 to 65536, got 0",
    "loader.batch_size=-1": "got -1",
    "loader.batch_size=abc": "got 'abc'",
    "loader.batch_size=null": "got null",
    "loader.batch_size=1.5": "got 1.5",
    "loader.batch_size=true": "got true",
    "loader.num_workers=-1": "from 0 to 256",
    "loader.num_workers=abc": "got 'abc'",
    "loader.num_workers=1.5": "got 1.5",
    "loader.num_workers=1000000": "from 0 to 256",
    "bench.n=0": "bench.n: needed a whole number",
    "bench.n=-5": "got -5",
    "bench.n=abc": "got 'abc'",
    "bench.n=1.5": "got 1.5",
    "bench.n=null": "got null",
    "bench.n=1e3": "got 1000.0",
    "bench=synth_attribute bench.n=7": "multiple of",
    "bench.seed=-1": "bench.seed: needed",
    "bench.seed=abc": "bench.seed: needed",
    "bench.seed=null": "bench.seed: needed",
    "bench.protocol=offical": "protocol",
    "seed=10^23": "cannot be read",
    "seed=100000000000000000000000": "seed: needed a whole number",
    "seed=-1": "seed: needed a whole number",
    "model.window=-1": "model.window: needed a number of seconds above 0",
    "model.window=0": "got 0",
    "model.window=abc": "got 'abc'",
    "model.window=nan": "got nan",
    "model.window=1e9": "at most 86400",
    "model=laion model.window=null": "model.window: needed a number of seconds above 0 and at most 10, got null",
    "model=mga model.window=11": "at most 10",
    "model=mga model.window=null": "at most 10, got null",
    "model=laion_unfused model.window=0": "above 0 and at most 10, got 0",
    "model.text=bags": "needed sequence or bag",
    "matched.n=2": "4 or more",
    "matched=null": "matched: needed n, draws under it",
    "loader=null": "loader: needed batch_size, num_workers under it",
    # truth values
    "force=maybe": "force: needed true or false, got 'maybe'",
    "force=null": "got null",
    "force=2": "got 2",
    "certify=abc": "certify: needed true or false",
    "download=nope": "download: needed true or false",
    "bench.allow_missing=perhaps": "bench.allow_missing: needed true or false",
    # devices
    "trainer.precision=foo": "trainer.precision: needed 32-true, 16-mixed, bf16-mixed or 64-true",
    "trainer.precision=null": "got null",
    "trainer.precision=16-true": "trainer.precision: needed",
    "trainer.accelerator=qpu": "trainer.accelerator: needed",
    "trainer.devices=-1": "trainer.devices: needed",
    "trainer.devices=0": "trainer.devices: needed",
    "trainer.devices=abc": "trainer.devices: needed",
    "trainer._target_=foo.bar": "foo.bar",
    "trainer=null": "trainer",
    # names and places
    "sweep=a/b": "sweep: needed a name that can be a folder",
    "sweep=.hidden": "sweep: needed a name",
    "sweep=": "sweep: needed a name",
    "model.name=": "model.name: needed a name",
    "model.name=null": "model.name: needed a name",
    "bench.name=a/b": "bench.name: needed a name",
    "probes=[]": "probes: needed a list of names",
    "outputs=null": "outputs: needed a folder that can be written",
    "outputs=": "outputs: needed a folder that can be written",
    "cache_dir=null": "cache_dir: needed a folder that can be written",
    "hydra.run.dir=": "hydra.run.dir: needed a folder",
    "checkpoint_dir=/nowhere": "checkpoint_dir: needed an existing folder",
    "model=laion model.checkpoint=/no/file.pt": "model.checkpoint: needed an existing file",
    "model.sha256=12e4567": "model.sha256: needed a SHA-256",
    "bench=order bench.root=/nowhere": "bench.root: needed an existing file or folder",
    "bench=pairs bench.csv=/no.csv bench.root=/": "bench.csv: needed an existing file",
    "bench=pairs": "bench.csv: needed a value",
    "model=precomputed model.file=/no.npz": "model.file: needed an existing file",
    # what would run code
    "++bench.root={_target_:pathlib.Path.touch,self:{here}/made}": "would run code",
    "+model.name={_target_:os.getcwd}": "would run code",
    "model._target_=os.system": "needed a subclass of Encoder or Outside",
    "bench._target_=clapbench.encoders.mini.MiniClap": "needed a subclass of Benchmark",
    "+trainer._partial_=true": "Hydra's own",
}
TRAIN = {
    "optimizer.lr=-1": "optimizer.lr: needed a number above 0",
    "optimizer.lr=abc": "got 'abc'",
    "optimizer.learning_rate=1": "optimizer=adamw has no key 'learning_rate'",
    "optimizer.betas=[]": "optimizer.betas: needed a list of 2",
    "optimizer.betas=[2,3]": "optimizer.betas: needed a list of 2",
    "optimizer.weight_decay=-1": "optimizer.weight_decay: needed",
    "optimizer.momentum=1": "optimizer=adamw has no key 'momentum'",
    "optimizer=adam": "Did you mean 'adamw'?",
    "optimizer._partial_=false": "optimizer._partial_: needed true",
    "optimizer._target_=torch.nn.Linear": "needed a subclass of Optimizer",
    "objective.temperature=0": "objective.temperature: needed a number above 0",
    "objective=negclap": "Did you mean 'negclip'?",
    "schedule.warmup_steps=-1": "schedule.warmup_steps: needed",
    "callback=[bests]": "Did you mean 'best'?",
    "weights=best": "weights: best needs callback=[best]",
    "weights=worst": "weights: needed last or best",
    "callback=[learning_rate] logger=none": "needs a logger",
    "ckpt_path=nowhere.ckpt": "ckpt_path: needed last, null or an existing file",
    "save_every=0": "save_every: needed",
    "force=maybe": "force: needed true or false",
    "data.bach_size=4": "Did you mean data.batch_size?",
    "data.batch_size=0": "data.batch_size: needed a whole number of pairs, 1 or more",
    "data.batch_size=1": "objective: needed two pairs or more in a batch",
    "data.batch_size=1 regularizer=[variance,centroid]": "regularizer.variance: needed two pairs or more",
    "data.batch_size=-4": "1 or more",
    "trainer.max_steps=-5": "trainer.max_steps: needed",
    "trainer.max_steps=0": "trainer.max_steps: needed",
    "trainer.max_steps=abc": "trainer.max_steps: needed",
    "trainer.val_check_interval=0": "trainer.val_check_interval: needed",
    "trainer.gradient_clip_val=-1": "trainer.gradient_clip_val: needed",
    "trainer._target_=foo.bar": "foo.bar",
    "regularizer=[variance] regularizer.variance.weight=-1": "regularizer.variance.weight: needed",
    "regularizer=[variance] regularizer.variance.weight=abc": "regularizer.variance.weight: needed",
    "regularizer=[variance] regularizer.variance.side=left": "needed audio, text or both",
    "regularizer=[varance]": "Did you mean 'variance'?",
    "validation=null": "validation: needed",
    "checkpoint_dtype=float8": "checkpoint_dtype: needed float16, bfloat16 or float32",
    "experiment=demo": "experiment 'demo' belongs to evaluate.py",
    "matched.n=4": "belongs to evaluate.py",
    "-m optimizer.weight_decay=0,1": "two jobs would write",
    "name=a/b": "name: needed a name",
    "name= seed=1": "name: needed a name",
    "trainer.devices=2": "trainer.strategy: needed ddp",
    "trainer=ddp trainer.accelerator=cpu trainer.num_nodes=2": "trainer.num_nodes: needed a process on each machine",
    "trainer=ddp trainer.accelerator=cpu trainer.devices=3 data.batch_size=2": "needed a pair for each of 3 processes",
    "model=precomputed model.file={here}": "needed a subclass of Encoder",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["program"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    GlobalHydra.instance().clear()
    yield tmp_path
    GlobalHydra.instance().clear()


def typed(root: str, line: str) -> int:
    """The exit code of a command line, in this process."""
    try:
        return cli.run(root, line.split(), program=f"python {root}.py")
    except SystemExit as end:
        return int(end.code or 0)


def refused(root: str, line: str, words: str, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = line.replace("{here}", str(here)).replace("{root}", str(ROOT))
    assert typed(root, line) != 0, line
    error = capfd.readouterr().err
    assert words in error
    assert error.count("error: ") == 1
    assert len(error.strip().splitlines()) <= 6
    assert "Traceback" not in error
    assert "append" not in error
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("line", EVALUATE)
def test_a_wrong_line_of_evaluate(line: str, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refused("evaluate", line, EVALUATE[line], here, capfd)


@pytest.mark.parametrize("line", TRAIN)
def test_a_wrong_line_of_train(line: str, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refused("train", line, TRAIN[line], here, capfd)


def test_a_wrong_line_leaves_an_existing_cell_alone(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    cell = here / "outputs" / "default" / "mini" / "synth_order" / "cell.json"
    cell.parent.mkdir(parents=True)
    cell.write_text("as it was")
    assert typed("evaluate", "trainer.precision=foo") == 1
    assert typed("evaluate", "-m model=mini trainer.accelerator=qpu") == 1
    assert cell.read_text() == "as it was"
    assert [path for path in here.rglob("*") if path.is_file()] == [cell]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sweep=2024_10_05", "mini × synth_order"),
        ("sweep=12e4567", "mini × synth_order"),
        ("model.name=1_0", "1_0 × synth_order"),
        ("model.name=007 bench.name=true", "007 × true"),
        ("-m model.name=choice(1_0,2_0)", "2_0 × synth_order"),
        ("model.name=größe#1 bench.name=it's", "größe#1 × it's"),
        ("-m model.name=größe,b#2", "b#2 × synth_order"),
        ("-m model.name=1_0,2e3", "2e3 × synth_order"),
        ("outputs=2024_10", "mini × synth_order"),
        ("bench.allow_missing=no force=yes", "mini × synth_order"),
        ("-m model=glob(mini_*)", "mini_vicreg × synth_order"),
        ("-m bench.n=10,20 bench.name=n${bench.n}", "mini × n20"),
        ("-m seed=range(2) sweep=s model.name=m${seed}", "m1 × synth_order"),
        ("-m seed=choice(3,4) sweep=s model.name=m${seed}", "m4 × synth_order"),
        ("model=precomputed model.file=12e45", "precomputed × synth_order"),
    ],
)
def test_names_are_the_text_that_was_typed(
    line: str, words: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / "12e45").touch()
    code = typed("evaluate", f"{line} plan=yes")
    output = capfd.readouterr()
    assert (code, words in output.out) == (0, True), output
    assert [path.name for path in here.iterdir()] == ["12e45"]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("", ["mini"]),
        ("model=mini_bag", ["mini_bag"]),
        ("-m seed=0,1 regularizer=[variance],[covariance]", ["mini-variance-seed0", "mini-covariance-seed1"]),
        ("-m model=mini,mini_bag regularizer=[],[variance]", ["mini", "mini_bag-variance"]),
        (
            "-m objective=infonce,negclip seed=0,1",
            [f"mini-{one}-seed{n}" for one in ("infonce", "negclip") for n in (0, 1)],
        ),
        ("finetune=all seed=3", ["mini-all-seed3"]),
        ("-m seed=0,1,2 model.name=m${seed}", ["m0", "m1", "m2"]),
        ("-m seed=0,1 name=t${seed}", ["t0", "t1"]),
        ("experiment=mini_vicreg", ["mini_vicreg"]),
        ("experiment=mini_vicreg seed=1", ["mini_vicreg-seed1"]),
    ],
)
def test_trainings_are_named_apart(
    line: str, names: list[str], here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert typed("train", f"{line} plan=true") == 0
    told = capfd.readouterr().out
    for name in names:
        assert f"outputs/train/{name}\n" in told


@pytest.mark.parametrize("root", ["evaluate", "train"])
def test_help_is_of_the_program(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(root, "--help") == 0
    assert "mini_vicreg" in capsys.readouterr().out
