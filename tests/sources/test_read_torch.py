"""Checkpoints of torch.save: tensors come out, pickled code never runs, what is no checkpoint is told."""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import os
import traceback
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from released import FILES, PARITY

from clapbench.sources import checkpoints


class Malice:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path, call: str) -> None:
        self.path, self.call = path, call

    def __reduce__(self):
        if self.call == "os.system":
            return os.system, (f"touch {self.path}",)
        if self.call == "exec":
            return exec, (f"open({str(self.path)!r}, 'w')",)
        return open, (str(self.path), "w")


class Settings(collections.OrderedDict):
    """A dict with a class of its own, as configuration libraries save."""


def read(path: Path) -> dict[str, torch.Tensor]:
    return checkpoints.read_torch(path, part="model", model="mga")


@pytest.mark.parametrize("call", ["os.system", "exec", "open"])
def test_pickled_code_never_runs(tmp_path: Path, call: str) -> None:
    victim = tmp_path / "victim"
    torch.save({"model": {"w": torch.ones(2)}, "epoch": Malice(victim, call)}, tmp_path / "a.pt")
    with contextlib.suppress(ValueError):  # torch refuses the worst by name; the rest becomes NotTensors
        assert read(tmp_path / "a.pt")["w"].tolist() == [1, 1]
    assert not victim.exists()


@pytest.mark.parametrize(
    "beside",
    [
        argparse.Namespace(lr=1e-3, nested=argparse.Namespace(x=[1])),
        np.float64(0.5),
        np.arange(3),
        Path("a/b"),
        torch.optim.SGD([torch.zeros(1)], lr=0.1).state_dict(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_lies_beside_the_tensors_does_not_matter(tmp_path: Path, beside: object) -> None:
    tensors = {"module.w": torch.arange(3.0), "module.n": torch.tensor(5)}
    torch.save({"model": tensors, "beside": beside}, tmp_path / "a.pt")
    found = read(tmp_path / "a.pt")
    assert {key: value.tolist() for key, value in found.items()} == {"w": [0, 1, 2], "n": 5}


def test_a_dict_of_another_class_is_refused_without_advice_to_run_it(tmp_path: Path) -> None:
    """torch's restricted unpickler fills no others, and its own message advises to run the pickle."""
    torch.save({"model": {"w": torch.ones(1)}, "config": Settings(a=1)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt cannot be read.*SETITEM.*model\.checkpoint=PATH") as caught:
        read(tmp_path / "a.pt")
    assert "weights_only" not in str(caught.value)


def with_pickle(content: bytes) -> bytes:
    """A checkpoint in whose archive the pickle is another one."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved())) as source, zipfile.ZipFile(file, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, content if name.endswith("data.pkl") else source.read(name))
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00ls\x85R.",
        b"\x80\x02" + b"]" * 50_000 + b"a" * 50_000 + b"Q.",
        b"\x80\x02\xff.",
        b"\x80\x02j\xff\xff\xff\xff.",
        b"",
    ],
    ids=["system", "deep", "no pickle", "no memo", "empty"],
)
def test_no_refusal_advises_to_run_the_pickle(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(with_pickle(content))
    with pytest.raises(
        ValueError, match=r"cannot be read as a torch checkpoint: \S+.*model\.checkpoint=PATH"
    ) as caught:
        read(tmp_path / "a.pt")
    shown = "".join(traceback.format_exception(caught.value)).lower()
    assert "weights_only" not in str(caught.value).lower()
    assert "will likely succeed" not in shown


def saved() -> bytes:
    file = io.BytesIO()
    torch.save({"model": {"w": torch.rand(1000)}}, file)
    return file.getvalue()


def zip_of_checkpoint() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("m2d/checkpoint-30.pth", saved())
    return file.getvalue()


def legacy() -> bytes:
    file = io.BytesIO()
    torch.save({"model": {"w": torch.rand(3)}}, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (saved()[:-200], "cut off"),
        (b"<!DOCTYPE html><html>Google Drive - Virus scan warning</html>", "web page"),
        (b"\xef\xbb\xbf\n <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"", "0 bytes"),
        (legacy(), "before 1.6"),
        (zip_of_checkpoint(), r"m2d/checkpoint-30\.pth"),
    ],
    ids=["cut", "html", "html with a mark", "lfs", "empty", "legacy", "zip of it"],
)
def test_what_is_no_checkpoint_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(ValueError, match=rf"model 'mga': .*model\.pt.*{told}.*model\.checkpoint=PATH"):
        read(tmp_path / "model.pt")


@pytest.mark.parametrize(
    "content", [{"state_dict": {"codebook": torch.zeros(1)}}, [torch.zeros(1)], torch.zeros(1)]
)
def test_no_such_part_is_told(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="needs its tensors under 'model', and holds") as caught:
        read(tmp_path / "a.pt")
    assert ("model=mga" in str(caught.value)) == isinstance(content, dict)


@pytest.mark.parametrize("model", sorted(FILES))
def test_each_released_file_is_known_by_its_keys(model: str) -> None:
    manifest = json.loads((PARITY / f"{FILES[model][0]}.manifest.json").read_text(encoding="utf-8"))
    names = [tensor["name"] for tensor in manifest["parts"]["main"]["tensors"]]
    assert checkpoints.which_model(names) == f" It looks like a file of model={model}."


def test_a_folder_of_transformers_is_its_safetensors(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    path, _ = checkpoints.find(checkpoint=str(tmp_path), source=None, sha256=None, model="m2d_2024")
    assert path == tmp_path / "model.safetensors"
