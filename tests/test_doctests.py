"""Every example in a docstring of the package is true."""

from __future__ import annotations

import ast
import doctest
import importlib
from pathlib import Path

import pytest

import clapbench

PACKAGE = Path(clapbench.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "    >>> " in path.read_text(encoding="utf-8"))


def test_there_are_examples() -> None:
    assert len(FILES) >= 5


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_the_examples_of_a_module_hold(path: Path) -> None:
    """Docstrings come from the source: doctest's own finder passes over functions that a decorator wraps."""
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    module = importlib.import_module(name.removesuffix(".__init__"))
    runner, examples = doctest.DocTestRunner(), 0
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, documented) and (text := ast.get_docstring(node)):
            who = f"{name}.{getattr(node, 'name', '')}"
            test = doctest.DocTestParser().get_doctest(text, dict(vars(module)), who, str(path), 0)
            examples += len(test.examples)
            runner.run(test)
    assert examples > 0
    assert runner.failures == 0
