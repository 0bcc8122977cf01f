"""Checkpoints: found by path or package source, verified by hash, refused by name where they do not fit."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from clapbench.sources import checkpoints, downloads


def saved(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> Path:
    save_file(tensors, path, metadata=metadata)
    return path


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint in the package's folder of weights."""
    monkeypatch.setattr(downloads, "WEIGHTS", tmp_path)
    return saved(tmp_path / "small.safetensors", {"weight": torch.ones(2, 3)})


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_package_source_is_found_with_and_without_its_hash(shipped: Path) -> None:
    digest = sha256(shipped)
    for fragment in ("", f"#sha256={digest}"):
        found = checkpoints.find(
            checkpoint=None, source=f"package://small.safetensors{fragment}", sha256=None, model="mini"
        )
        assert found == (shipped, digest)


def test_a_hash_may_be_typed_in_upper_case(shipped: Path) -> None:
    digest = sha256(shipped)
    assert checkpoints.find(checkpoint=str(shipped), source=None, sha256=digest.upper(), model="mini") == (
        shipped,
        digest,
    )


@pytest.mark.parametrize("given_as", ["fragment", "sha256", "sha256 of a path"])
def test_another_file_is_refused_with_both_hashes(shipped: Path, given_as: str) -> None:
    wrong = "0" * 64
    with pytest.raises(ValueError, match=rf"model 'mini': .* has SHA-256 {sha256(shipped)}, needed {wrong}"):
        checkpoints.find(
            checkpoint=str(shipped) if given_as == "sha256 of a path" else None,
            source="package://small.safetensors" + (f"#sha256={wrong}" if given_as == "fragment" else ""),
            sha256=None if given_as == "fragment" else wrong,
            model="mini",
        )


def test_a_path_comes_before_the_source_and_its_hash(shipped: Path, tmp_path: Path) -> None:
    other = saved(tmp_path / "other.safetensors", {"weight": torch.zeros(1)})
    path, digest = checkpoints.find(
        checkpoint=str(other),
        source=f"package://small.safetensors#sha256={sha256(shipped)}",
        sha256=None,
        model="m",
    )
    assert (path, digest) == (other, sha256(other))


def test_a_missing_checkpoint_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no checkpoint at .*gone.*model\.checkpoint=PATH.*model=mini"
    ):
        checkpoints.find(checkpoint=str(tmp_path / "gone"), source=None, sha256=None, model="laion")
    with pytest.raises(FileNotFoundError, match=r"needed a checkpoint, got none. Set model\.checkpoint"):
        checkpoints.find(checkpoint=None, source=None, sha256=None, model="laion")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a pickle in a zip", b"\x80\x04."])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"model 'mini': needed a safetensors file at .*model\.pt"):
        checkpoints.read_safetensors(tmp_path / "model.pt", model="mini")


def test_tensors_and_metadata_come_back(tmp_path: Path) -> None:
    path = saved(tmp_path / "a", {"x": torch.arange(3)}, {"vocabulary": '["a"]'})
    tensors, metadata = checkpoints.read_safetensors(path, model="mini")
    assert tensors["x"].tolist() == [0, 1, 2]
    assert metadata == {"vocabulary": '["a"]'}


def test_half_precision_becomes_the_modules_own(tmp_path: Path) -> None:
    weight = torch.tensor([[0.5, -0.25, 3.0]])
    layer = nn.Linear(3, 1, bias=False)
    checkpoints.load_into(layer, {"weight": weight.half()}, path=tmp_path, model="mini")
    assert layer.weight.dtype == torch.float32
    assert torch.equal(layer.weight.data, weight)


def test_keys_that_do_not_fit_are_named_and_nothing_is_loaded(tmp_path: Path) -> None:
    layer = nn.Linear(3, 2)
    before = layer.bias.detach().clone()
    tensors = {"weight": torch.zeros(2, 4), "extra": torch.zeros(1)}
    with pytest.raises(ValueError, match="does not fit") as caught:
        checkpoints.load_into(layer, tensors, path=tmp_path / "a.safetensors", model="mini")
    for words in (
        "missing bias",
        "unexpected extra",
        "weight has shape (2, 4), needed (2, 3)",
        "a.safetensors",
    ):
        assert words in str(caught.value)
    assert torch.equal(layer.bias, before)


def test_a_long_list_of_misfits_is_cut(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"and 3 more\."):
        checkpoints.load_into(
            nn.Linear(1, 1), {f"k{i}": torch.zeros(1) for i in range(6)}, path=tmp_path, model="m"
        )


def test_what_is_written_keeps_whole_numbers_and_what_half_precision_cannot_hold(tmp_path: Path) -> None:
    tensors = {
        "weight": torch.tensor([0.5, -3.0]),
        "large": torch.tensor([1.0, 1e6]),
        "steps": torch.tensor(70_000),
        "mask": torch.tensor([True, False]),
        "turned": torch.arange(6.0).view(2, 3).T,
    }
    path = tmp_path / "a.safetensors"
    checkpoints.write(path, tensors, dtype=torch.float16, header={"recipe": "{}"}, who="test")
    back, header = checkpoints.read_safetensors(path, model="m")
    kinds = {"large": torch.float32, "steps": torch.int64, "mask": torch.bool}
    assert {key: value.dtype for key, value in back.items()} == dict.fromkeys(tensors, torch.float16) | kinds
    assert all(torch.equal(back[key].to(value.dtype), value) for key, value in tensors.items())
    assert header == {"recipe": "{}"}


def test_numbers_that_are_not_finite_are_refused_by_name_and_nothing_is_written(tmp_path: Path) -> None:
    tensors = {
        "good": torch.ones(2),
        "bad": torch.tensor([1.0, torch.nan]),
        "worse": torch.tensor(-torch.inf),
    }
    path = tmp_path / "a.safetensors"
    with pytest.raises(ValueError, match=r"test: .* 2 of 3 tensors hold others \(first: bad\)"):
        checkpoints.write(path, tensors, dtype=torch.float32, header={}, who="test")
    assert not path.exists()


def read(path: Path, *, encoder: str = "LaionClap", part: str | None = "state_dict") -> checkpoints.Weights:
    return checkpoints.read(
        checkpoint=str(path), source=None, sha256=None, encoder=encoder, model="laion", part=part
    )


def test_weights_of_another_class_are_refused_with_both_names(tmp_path: Path) -> None:
    path = saved(tmp_path / "a", {"codebook": torch.zeros(1)}, {"recipe": "{}", "class": "MgaClap"})
    with pytest.raises(
        ValueError,
        match=r"model 'laion': needed weights of LaionClap, and .*/a holds those of MgaClap\. .* model=mga\.",
    ):
        read(path)
    assert read(path, encoder="MgaClap").header == {"recipe": "{}", "class": "MgaClap"}


def test_weights_from_before_classes_were_named_are_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "a", {"weight": torch.zeros(1)}, {"recipe": "{}"})
    assert set(read(path).tensors) == {"weight"}


@pytest.mark.parametrize("part", ["state_dict", None])
def test_safetensors_that_nobody_here_wrote_are_refused(part: str | None, tmp_path: Path) -> None:
    path = saved(tmp_path / "a", {"weight": torch.zeros(1)}, {"format": "pt"})
    advice = r"train\.py wrote, or that its authors released\." if part else r"train\.py wrote\."
    with pytest.raises(ValueError, match=rf"needed recipe in the header of .*/a, .* got format\. .*{advice}"):
        read(path, part=part)


def test_what_was_released_has_no_header(tmp_path: Path) -> None:
    torch.save({"state_dict": {"module.weight": torch.ones(2)}}, tmp_path / "a.pt")
    weights = read(tmp_path / "a.pt")
    assert weights.header is None
    assert weights.tensors["weight"].tolist() == [1.0, 1.0]
    assert not checkpoints.is_trained(tmp_path / "a.pt", model="m")


def test_a_broken_header_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes((100).to_bytes(8, "little") + b"{")
    with pytest.raises(ValueError, match="model 'm': needed a safetensors file at"):
        checkpoints.is_trained(tmp_path / "a", model="m")
