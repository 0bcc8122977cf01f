"""The page of every key is the one that the schema makes."""

from __future__ import annotations

from conftest import ROOT

from clapbench.config.reference import page


def test_the_page_is_up_to_date() -> None:
    kept = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page() == kept, "type: python -m clapbench.config.reference > docs/configuration.md"


def test_every_key_says_what_it_needs() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > 200
    assert [line for line in rows if "any value" in line or "|  |  |  |" in line] == []
