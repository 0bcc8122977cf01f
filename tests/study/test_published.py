"""The published study's tables against each other, and the files that the report writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from clapbench.study import published
from clapbench.study.published import (
    TABLE_2,
    TABLE_4,
    agrees,
    audit,
    item_counts,
    printed_values,
    recompute,
    unrounded,
)

COLUMNS = (
    "probe spearman spearman_p spearman_p_exact spearman_p_holm pearson pearson_p "
    "printed_spearman printed_pearson agrees"
)


def test_recomputed_numbers_are_those_of_scipy():
    for row in recompute():
        x = printed_values(row.probe)
        assert (row.spearman, row.spearman_p) == pytest.approx(
            tuple(stats.spearmanr(x, published.h_values()))
        )
        assert (row.pearson, row.pearson_p) == pytest.approx(tuple(stats.pearsonr(x, published.h_values())))
        assert (row.printed_spearman, row.printed_pearson) == (
            TABLE_4[row.probe].spearman,
            TABLE_4[row.probe].pearson,
        )


def test_all_rows_agree_but_residual_energy():
    assert {row.probe: row.agrees for row in recompute()} == {
        name: name != "residual_audio_k10" for name in TABLE_4
    }


def test_the_finding_after_its_exact_p_and_correction():
    text = recompute()[0]
    assert text.probe == "rankme_text"
    assert text.spearman == pytest.approx(0.942857, abs=1e-6)
    assert text.spearman_p_exact == pytest.approx(12 / 720)
    assert text.spearman_p_holm == pytest.approx(8 * 12 / 720)


def test_rounding_cannot_explain_the_residual_row():
    found = unrounded("residual_audio_k10")
    spearman, pearson = ((one.min(), one.max()) for one in found)
    assert spearman == pytest.approx((0.542857, 0.6), abs=1e-4)
    assert pearson == pytest.approx((0.5466, 0.6623), abs=1e-3)
    rng = np.random.default_rng(
        0
    )  # values anywhere in what rounds to the tables stay inside the span of the grid
    for _ in range(200):
        x = printed_values("residual_audio_k10") + rng.uniform(-0.005, 0.005, 6)
        y = published.h_values() + rng.uniform(-0.0005, 0.0005, 6)
        assert pearson[0] <= stats.pearsonr(x, y).statistic <= pearson[1]
        assert spearman[0] - 1e-9 <= stats.spearmanr(x, y).statistic <= spearman[1] + 1e-9


def test_ties_of_printed_values_are_left_open():
    """Text Two-NN is printed 1.2 twice: so Spearman is -.03, and the printed -.09 when the tie is broken."""
    assert recompute()[-1].spearman == pytest.approx(-0.029, abs=1e-3)
    assert unrounded("twonn_text").spearman.min() == pytest.approx(-0.0857, abs=1e-4)
    assert agrees("twonn_text")


def test_table_2_is_made_of_whole_items():
    assert item_counts("attribute")[0] == 197
    assert 400 in item_counts("order")
    for f, g, h in zip(*(TABLE_2[name].values for name in "FGH"), strict=True):
        assert h <= min(f, g)


def test_the_audit_names_what_was_asked():
    text = "\n".join(audit())
    for words in (
        "ONLY 6 CELLS",
        "exact p 0.017 (all 720 orders of the cells), 0.13 after Holm",
        "3 models can give none below 0.17",
        "dimension alone gives Spearman +0.84",
        "recomputed +0.58 / +0.61, printed +0.31 / -0.05",
        "Spearman +0.54 to +0.60 and Pearson +0.55 to +0.66",
        "F is each clip choosing its caption",
        "1/40 = 0.025 holds for H under neither reading",
        "400 for order (800 rows), 197 for attribute (394 rows)",
    ):
        assert words in text


def test_the_files(tmp_path: Path):
    rows = published.write(tmp_path / "published")
    table = pd.read_csv(tmp_path / "published" / "correlations.csv")
    assert list(table.columns) == COLUMNS.split()
    assert table["probe"].tolist() == list(TABLE_4)
    assert table["agrees"].tolist() == [row.agrees for row in rows]
    text = (tmp_path / "published" / "audit.txt").read_text(encoding="utf-8")
    assert "A. Bahuguna" in text
    assert "does not follow from the tables" in text
