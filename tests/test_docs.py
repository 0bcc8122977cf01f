"""The documentation is true: snippets run, commands compose, links and pages are there."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name

import pytest
import yaml
from conftest import ROOT, Compose
from hydra.core.global_hydra import GlobalHydra
from sweep_folders import listed, write_cell

from clapbench import cli, compare
from clapbench.running.plan import check

DOCS = ROOT / "docs"
SMALL = {
    "train": [
        *("logger=none", "validation.order.n=10", "validation.attribute.n=10"),
        "schedule.warmup_steps=0",
    ],
    "evaluate": ["logger=none", "bench.n=10"],
}
FIRST_HOUR = (DOCS / "first_hour.md").read_text(encoding="utf-8")


def fenced(language: str) -> list[str]:
    """The blocks of the first hour in this language."""
    return re.findall(rf"```{language}\n(.*?)```", FIRST_HOUR, re.DOTALL)


def commands() -> Iterator[list[str]]:
    for block in fenced("sh"):
        yield from (shlex.split(line) for line in block.splitlines() if line)


def test_the_snippets_of_the_first_hour_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "outputs" / "first"
    cells = [
        (model, bench) for model in ("mini", "mini_negatives", "mini_bag") for bench in ("synth_order", "b")
    ]
    for seed, (model, bench) in enumerate(cells):
        write_cell(sweep, model=model, bench=bench, n_items=20, h=0.1 * seed, seed=seed)
    listed(sweep)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in fenced("python"):
        exec(compile(block, "docs/first_hour.md", "exec"), names)
    assert (tmp_path / "mine.npz").is_file()
    assert "rankme_text" in capsys.readouterr().out


@pytest.mark.parametrize("line", list(commands()), ids=" ".join)
def test_the_commands_of_the_first_hour_are_there(line: list[str], composed: Compose, tmp_path: Path) -> None:
    program, *arguments = line
    if program == "make":
        assert f"\n{arguments[0]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
    elif arguments[0] == "-m":
        assert find_spec(arguments[1])
    else:
        assert (ROOT / arguments[0]).is_file()
        config = tmp_path / "model" / "my_clap.yaml"
        config.parent.mkdir()
        config.write_text(fenced("yaml")[0], encoding="utf-8")
        own = [f"hydra.searchpath=[file://{tmp_path}]"] if "--config-dir" in arguments else []
        overrides = [argument for argument in arguments[1:] if "=" in argument]
        first = [re.sub(r"=([^,\[]+),.*", r"=\1", override) for override in overrides]  # of a sweep's values
        cfg = composed(Path(arguments[0]).stem, *own, *first)
        if cfg.model.get("file") is None and "csv" not in cfg.bench:
            check(cfg)


@pytest.mark.slow
def test_every_command_of_the_page_on_training_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a tenth of the data and a few steps, in one folder and in the order of the page."""
    page = (DOCS / "train.md").read_text(encoding="utf-8")
    snippet, *others = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    lines = [line for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    assert others == []
    assert len(lines) >= 10
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    exec(compile(snippet.replace("600", "40"), "docs/train.md", "exec"), {})
    for line in lines:
        _, program, *typed = shlex.split(line)
        monkeypatch.setattr(sys, "argv", [program])
        if program == "-m":
            assert compare.main(typed[1:]) == 0, line
            continue
        root = program.removesuffix(".py")
        small = [re.sub(r"trainer.(max_steps|val_check_interval)=\d+", r"trainer.\1=1", one) for one in typed]
        GlobalHydra.instance().clear()
        code: object = 0
        try:
            cli.run(root, [*small, *SMALL[root]], program=program)
        except SystemExit as end:
            code = end.code
        assert not code, line
    told = capsys.readouterr().out
    assert "over seeds" in told
    trained = {path.parent.name for path in tmp_path.glob("outputs/train/*/README.md")}
    assert {"first", "heads", "adapters", "best", "two", "mini-negclip-csv"} <= trained


def test_every_page_is_in_the_navigation_and_every_link_leads_somewhere() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert {page for page in pages if f" {page}\n" not in text} == set()
    assert yaml.safe_load(text)["theme"]["font"] is False
    for page in pages:
        for link in re.findall(r"\]\((?!http)([^)#]+)", (DOCS / page).read_text(encoding="utf-8")):
            assert (DOCS / page).parent.joinpath(link).is_file(), f"{page} links to {link}"


def test_the_reference_names_modules_that_there_are() -> None:
    named = [
        name
        for path in (DOCS / "reference").glob("*.md")
        for name in re.findall(r"(?m)^::: (\S+)", path.read_text())
    ]
    assert len(named) > 30
    for name in named:
        assert resolve_name(name)
