"""The command `clapbench`: evaluate, train, report, study, compare, listening, fetch, ls. Each reads its own arguments.

Nothing slow is imported before it is known what to do: help and a wrong name are answered at once.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from clapbench.console import complain, tell

PROGRAMS = {
    "evaluate": "score and probe a model on a benchmark, or with -m a sweep of them",
    "train": "train a model with regularisers, or with -m several",
    "report": "the summary of a sweep again, from disk",
    "study": "what a study will test, locked before its cells exist",
    "compare": "two models on the same items",
    "listening": "a listening study: made from systems, read from its answers",
    "fetch": "weights, tokenizers and archives ahead",
    "ls": "sweeps and cells on disk",
}
MODULES = {
    "report": "clapbench.report.__main__",
    "study": "clapbench.report.study",
    "listening": "clapbench.listening.__main__",
}
HELP = {
    "evaluate": """usage: {program} [-m] [KEY=VALUE ...]

One cell: a model on a benchmark. With -m, every combination: {program} -m model=a,b bench=c,d

  model=NAME       {model}
  bench=NAME       {bench}
  experiment=NAME  {experiment}; a grid that is ready to run
  probes=[...]     paper, all, or names of probes
  study=NAME       what is registered: a study.yaml with its lock, or {study}
  logger=NAME      {logger}
  trainer=NAME     {trainer}
  sweep=NAME       folder under outputs; the same name finds its cells again
  plan=true        say what would be done, and stop

  --cfg job        print the composed configuration      --config-dir DIR  yaml files of your own
  --hydra-help     what else Hydra takes

Every key, with type, range and unit: docs/configuration.md. Examples: README.md.""",
    "train": """usage: {program} [-m] [KEY=VALUE ...]

Trains a model; the result goes to outputs/train/NAME: NAME.safetensors, a model card, the curve. With -m, every
combination, and a table of them: {program} -m seed=0,1,2 'regularizer=[],[variance,covariance]'

  model=NAME       {model}
  data=NAME        {data}
  objective=NAME   {objective}
  regularizer=[..] {regularizer}
  arm=NAME         regularisers with their weights, as entropy_-0.3 (conf/arm)
  finetune=NAME    what moves: {finetune}
  optimizer=NAME   {optimizer}; schedule=NAME: {schedule}
  callback=[..]    {callback}
  trainer=NAME     {trainer}
  experiment=NAME  {experiment}; recipes of the embedded models
  seed=N           of weights and of every training draw
  name=NAME        names the training (default: the model's name, with what is typed of objective, regularisers,
                   finetune, data and seed)
  ckpt_path=last   goes on where the same training stopped (default); null: starts anew
  force=true       trains again though the result is there
  plan=true        say what would be done, and stop

  --cfg job        print the composed configuration      --config-dir DIR  yaml files of your own
  --hydra-help     what else Hydra takes

Every key, with type, range and unit: docs/configuration.md. Examples: README.md.""",
}


def usage() -> str:
    """The programs, a line each."""
    lines = [f"  {name:<9} {words}" for name, words in PROGRAMS.items()]
    return "\n".join(
        ["usage: clapbench PROGRAM [ARGUMENTS]", "", *lines, "", "clapbench PROGRAM --help tells of each."]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The console script. Returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        tell(usage())
        return 0 if given else 2
    if given[0] in ("--version", "-V"):
        from clapbench import __version__

        tell(f"clapbench {__version__}")
        return 0
    name, *rest = given
    if name not in PROGRAMS:
        import difflib

        near = difflib.get_close_matches(name, PROGRAMS, n=1)
        suggestion = f" Did you mean {near[0]!r}?" if near else ""
        complain(f"error: program {name!r} is not there.{suggestion} Choose from: {', '.join(PROGRAMS)}.")
        return 2
    if name in HELP:
        return run(name, rest, program=f"clapbench {name}")
    module = importlib.import_module(MODULES.get(name, f"clapbench.{name}"))
    code: int = module.main(rest)
    return code


def run(root: str, arguments: Sequence[str], *, program: str) -> int:
    """``evaluate`` or ``train`` with Hydra's arguments; returns the exit code, where Hydra does not leave with it."""
    if any(flag in arguments for flag in ("-h", "--help")):
        tell(help_of(root, program=program))
        return 0
    from clapbench.config import CONF, lines  # and Hydra

    # Hydra raises in place of printing, so that its words can be put into ours.
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    try:
        sys.path.append(os.getcwd())  # for modules of the user's own, which a yaml of theirs names
    except FileNotFoundError:
        complain("error: the working folder is gone. Change to one that exists.")
        return 1
    try:
        ready = lines.prepare(arguments, root=root)
    except ValueError as mistake:
        complain(f"error: {mistake}")
        return 1
    import hydra

    from clapbench.hooks import one_clear_error
    from clapbench.jobs import JOBS
    from clapbench.running.stopping import stoppable

    sys.argv = [sys.argv[0], *ready]
    with stoppable("Type the same command again to go on."), one_clear_error():
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=root)(JOBS[root])()
    return 0


def help_of(root: str, *, program: str) -> str:
    """What a Hydra program takes, with the names that conf/ holds."""
    from clapbench.config import conf, lines

    groups = [path.name for path in conf.CONF.iterdir() if path.is_dir()]
    names = {group: ", ".join(conf.choices(group)) for group in groups}
    names["experiment"] = ", ".join(lines.experiments_of(root))
    names["study"] = ", ".join(conf.choices(conf.STUDIES))
    return HELP[root].format(program=program, **names)


if __name__ == "__main__":
    sys.exit(main())
