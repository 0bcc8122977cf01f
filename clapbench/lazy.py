"""Names of a package that are imported when somebody asks for them (PEP 562).

`import clapbench` costs a few milliseconds, torch and torchmetrics seconds: a package lists its public names with the
module that each lives in, and pays when one is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple


class Lazy(NamedTuple):
    """What a package's ``__getattr__`` and ``__dir__`` call."""

    getattr: Callable[[str], Any]
    dir: Callable[[], list[str]]


def lazily(package: str, names: Mapping[str, str], *, file: str) -> Lazy:
    """``names`` says which module each public name comes from; modules and folders beside ``file`` are found as well.

    >>> lazily("clapbench", {"Case": "clapbench.schema"}, file=__file__).getattr("Case").__name__
    'Case'
    """
    paths = [path for path in Path(file).parent.iterdir() if not path.name.startswith("_")]
    beside = {path.stem for path in paths if path.suffix == ".py" or (path / "__init__.py").is_file()}

    def get(name: str) -> Any:
        if name in names:
            return getattr(import_module(names[name]), name)
        if name in beside:
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return Lazy(getattr=get, dir=lambda: sorted({*names, *beside}))
