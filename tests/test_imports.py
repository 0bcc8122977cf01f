"""Imports go down only: reads every import statement and holds the order of the wings."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / "clapbench"
# Folders and lone modules of the package, the highest first; a line imports only from lines below it.
WINGS = [
    "cli",
    "jobs",
    "hooks",
    "training",
    "running report compare ls",
    "__init__",
    "encoders benchmarks study fetch api",
    "sources config probes metrics results scoring grid",
    "rows",
    "sound files console schema sheets kinds statistics",
    "strict lazy swapping",
]
LEVEL = {wing: -number for number, line in enumerate(WINGS) for wing in line.split()}
KNOWS = {  # library -> the only places that may import it
    "wandb": ["running.loggers"],
    "hydra": ["cli", "jobs", "hooks", "config", "running", "training", "fetch"],
    "pytorch_lightning": ["running", "training"],
    "matplotlib": ["report"],
    "peft": ["training.finetune"],
    "av": ["sound"],
    "soundfile": ["sound", "benchmarks.synthetic"],
    "webdataset": ["training"],
    "braceexpand": ["training"],
    "symusic": ["metrics.symbolic.reading"],
    "partitura": ["metrics.symbolic.musicxml"],
}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")


MODULES = {name_of(path): path for path in PACKAGE.rglob("*.py")}


def imported(path: Path) -> set[str]:
    """Every module that the file imports, as full names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def own_imports(module: str) -> set[str]:
    names = {name.removeprefix("clapbench.") for name in imported(MODULES[module]) if name != "clapbench"}
    return names & MODULES.keys()


def wing_of(module: str) -> str:
    return module.partition(".")[0]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down_only(module: str) -> None:
    assert wing_of(module) in LEVEL, f"clapbench/{module} stands in no line of WINGS: give it one"
    for other in own_imports(module):
        if wing_of(other) != wing_of(module):
            assert LEVEL[wing_of(other)] < LEVEL[wing_of(module)], f"{module} imports {other}, not below it"


def test_no_circle_within_a_wing() -> None:
    def visit(module: str, above: tuple[str, ...]) -> Iterator[str]:
        if module in above:
            yield " -> ".join([*above, module])
        elif module not in seen:
            for other in own_imports(module):
                yield from visit(other, (*above, module))
            seen.add(module)

    seen: set[str] = set()
    assert [circle for module in sorted(MODULES) for circle in visit(module, ())] == []


@pytest.mark.parametrize("library", sorted(KNOWS))
def test_only_these_modules_know_the_library(library: str) -> None:
    users = [
        name
        for name, path in MODULES.items()
        if any(target.partition(".")[0] == library for target in imported(path))
    ]
    allowed = KNOWS[library]
    assert [name for name in users if not any(f"{name}.".startswith(f"{place}.") for place in allowed)] == []


def test_what_is_done_is_told_without_importing_lightning() -> None:
    """Lightning and torchmetrics take seconds to import; checks, finished cells and reports do without them."""
    code = (
        "import sys, clapbench.running.evaluate, clapbench.hooks, clapbench.report, clapbench.encoders.mini;"
        "print([name for name in ('pytorch_lightning', 'torchmetrics', 'wandb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
