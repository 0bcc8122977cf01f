"""Imports go down only, and never sideways: reads every import statement and holds the layers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

# Modules and packages by layer, lowest first.
LAYERS = [
    {"schema", "console", "provenance", "certify", "files", "cards", "significance", "coefficients", "mpeg"},
    {"downloads", "scores", "permutation", "resampling", "containers"},
    {"decoding"},
    {"audio", "mel", "checkpoints", "synth"},
    {"encoders.base", "benchmarks.base", "probes.base", "regularizers.base"},
    {"encoders.tokens", "encoders.htsat", "encoders.outside", "probes.neighbours", "probes.paired"},
    {"benchmarks.compositional"},
    {"encoders", "benchmarks", "probes", "regularizers", "losses", "correlate", "diagnosis", "draws"},
    {"cache", "training_pairs", "data"},
    {"module", "progress", "cells", "published"},
    {"config", "tracking"},
    {"loops", "matched"},
    {"relations"},
    {"summary"},
    {"printed"},
    {"figures"},
    {"page"},
    {"report", "run", "fit", "fetch", "compare"},
    {"sweep"},
]
KNOWS = {  # library -> the only modules that may import it
    "av": {"decoding"},
    "wandb": {"tracking"},
    "hydra": {"config", "loops", "run", "fit", "fetch", "sweep"},
    "pytorch_lightning": {"module", "progress", "loops", "fit", "tracking"},
}
SYNTH = ["dsp", "voices", "events", "captions", "scenes"]  # lowest first


def modules() -> dict[str, Path]:
    package = ROOT / "clapbench"
    paths = {
        path.relative_to(package).with_suffix("").as_posix().replace("/", "."): path
        for path in package.rglob("*.py")
    }
    return {name: path for name, path in paths.items() if not name.endswith("__init__")}


def imported(path: Path) -> set[str]:
    """Every module that the file imports, as full names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def layer(module: str) -> int:
    for name in (module, module.partition(".")[0]):
        for number, members in enumerate(LAYERS):
            if name in members:
                return number
    raise AssertionError(
        f"clapbench/{module}.py stands in no layer: add it to LAYERS in tests/test_imports.py."
    )


@pytest.mark.parametrize("module", sorted(modules()))
def test_imports_go_down_only(module: str) -> None:
    own = modules()
    for target in imported(own[module]):
        name = target.removeprefix("clapbench.")
        if not target.startswith("clapbench.") or name not in own:
            continue
        if module.startswith("synth.") and name.startswith("synth."):
            below = SYNTH.index(name.removeprefix("synth.")) < SYNTH.index(module.removeprefix("synth."))
            assert below, f"{module} imports {name}, which is not below it"
        else:
            assert layer(name) < layer(module), (
                f"{module} (layer {layer(module)}) imports {name} (layer {layer(name)})"
            )


@pytest.mark.parametrize("library", sorted(KNOWS))
def test_only_these_modules_know_the_library(library: str) -> None:
    users = {
        name
        for name, path in modules().items()
        if any(t.partition(".")[0] == library for t in imported(path))
    }
    assert users <= KNOWS[library]


def test_what_is_done_is_told_without_importing_lightning() -> None:
    """Lightning and torchmetrics take seconds to import; checks, finished cells and reports do without them."""
    code = (
        "import sys, clapbench.run, clapbench.sweep, clapbench.report, clapbench.encoders.mini;"
        "print([name for name in ('pytorch_lightning', 'torchmetrics', 'wandb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
