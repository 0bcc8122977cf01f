"""`python -m clapbench.fetch`: what it gets, tells, refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import released

from clapbench import fetch
from clapbench.sources.source import DownloadError


def test_files_in_a_folder_are_told_with_hash_licence_and_citation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    folder = released.folder("m2d_2024")
    assert fetch.main(["model=m2d_2024,mini", "bench=synth_order", f"checkpoint_dir={folder}"]) == 0
    out = capsys.readouterr().out
    for words in (
        "checkpoint-300.pth",
        "model.safetensors",
        "tokenizer",
        "NTT's own",
        "Niizumi",
        "nothing to fetch",
    ):
        assert words in out


def test_what_cannot_be_fetched_fails_the_command_and_not_the_rest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: str, *, who: str) -> Path:
        if "safetensors" in source:
            return Path(__file__)
        raise DownloadError(f"{who}: no network")

    monkeypatch.setattr(fetch.downloads, "fetch", refuse)
    monkeypatch.setattr(fetch.tokenizers, "fetch_tokenizer", refuse)
    monkeypatch.setattr(fetch.downloads, "find_local", lambda source: Path(__file__))
    assert fetch.main(["model=mga,mini"]) == 1
    told = capsys.readouterr()
    assert told.err.count("error: model 'mga': no network") == 2
    assert "mini" in told.out


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("model=laoin", "Did you mean 'laion'"),
        ("probe=rankme", "needed model=NAME or bench=NAME"),
        ("model=", "needed model="),
    ],
)
def test_a_mistake_is_named(typed: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch.main([typed]) == 1
    assert message in capsys.readouterr().err


def test_help_says_where_files_go(capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch.main(["--help"]) == 0
    assert "CLAPBENCH_CACHE" in capsys.readouterr().out
