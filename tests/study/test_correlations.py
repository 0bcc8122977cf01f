"""Correlation tables of a sweep: every score, benchmark and coefficient, each the number that scipy gives."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sweep_folders
from conftest import FEW_DRAWS
from scipy import stats

from clapbench import files, report
from clapbench.grid import layout
from clapbench.report import tables, wording
from clapbench.report.__main__ import main
from clapbench.schema import Cell
from clapbench.study import correlations, memory
from clapbench.study.evidence import evidence
from clapbench.study.summary import Summary


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return report.build(sweep_folders.study(tmp_path_factory.mktemp("relations") / "s", models=5))


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_the_long_table_has_every_score_benchmark_and_coefficient(found: Summary) -> None:
    table = read(found.sweep.folder / "correlations_long.csv")
    assert {row["score"] for row in table} == {
        "F",
        "G",
        "H",
        "single_F",
        "single_G",
        "single_H",
        "pair_assignment",
    }
    assert {row["bench"] for row in table} == {"pooled", "large", "small"}
    probes = [row for row in table if row["kind"] == "probe"]
    keys = [tuple(row[key] for key in ("score", "bench", "rows", "name", "coefficient")) for row in probes]
    assert len(keys) == len(set(keys)) == 7 * 3 * 2 * 4 * 3
    assert {row["rows"] for row in table if row["kind"] == "null predictor"} == {""}


@pytest.mark.parametrize("bench", ["pooled", "large"])
@pytest.mark.parametrize("rows", ["matched", "all"])
def test_its_numbers_are_those_of_scipy(found: Summary, bench: str, rows: str) -> None:
    chosen = [cell for cell in found.sweep.scored if bench in ("pooled", cell.bench)]
    at = [found.at_matched(cell, "rankme_text") for cell in chosen]
    x = [row.mean if rows == "matched" else row.all_rows for row in at]
    y = [cell.scores["H"] for cell in chosen]
    table = found.long
    mine = table[
        (table["score"] == "H")
        & (table["bench"] == bench)
        & (table["rows"] == rows)
        & (table["name"] == "rankme_text")
    ].set_index("coefficient")["value"]
    assert mine["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic)
    assert mine["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic)
    assert mine["kendall"] == pytest.approx(stats.kendalltau(x, y).statistic)


def test_correlations_csv_is_the_pooled_part_with_both_kinds_of_rows(found: Summary) -> None:
    table = {row["probe"]: row for row in read(found.sweep.folder / "correlations.csv")}
    assert list(table) == [*sweep_folders.PROBES, "dim", "n_rows", "log_n_items", "parameters"]
    pooled = found.long[(found.long["score"] == "H") & (found.long["bench"] == "pooled")]
    for name in sweep_folders.PROBES:
        assert table[name]["rows"] == "matched"
        for coefficient in ("spearman", "pearson", "kendall"):
            both = pooled[(pooled["name"] == name) & (pooled["coefficient"] == coefficient)].set_index(
                "rows"
            )["value"]
            assert float(table[name][coefficient]) == both["matched"]
            assert float(table[name][f"{coefficient}_all_rows"]) == both["all"]
    for name, row in table.items():
        if row["spearman"]:
            assert float(row["spearman_p_exact"]) >= float(row["spearman_p_exact_min"]) > 0
            assert float(row["spearman_p_joint"]) >= float(row["spearman_p_joint_min"]) > 0
        if name in sweep_folders.PROBES:
            assert float(row["spearman_p_maxt"]) >= float(row["spearman_p_joint"])
            assert float(row["spearman_p_maxt"]) >= float(row["spearman_p_maxt_min"]) >= 1 / 120
            assert (row["orders"], row["spearman_tests"]) == ("120", "4")


def test_size_alone_correlates_over_all_rows_and_not_at_matched_n(tmp_path: Path) -> None:
    """One distribution behind every cell, the larger benchmark with the higher H: the confounder of a pooled study."""
    folder = sweep_folders.study(tmp_path / "wide", models=6, d=192, probes=("rankme_text",))
    rank, *nulls = report.build(folder).correlations
    size = next(row for row in nulls if row["probe"] == "n_rows")
    assert rank["spearman_all_rows"] > 0.75
    assert size["spearman"] > 0.75
    assert abs(rank["spearman"]) < 0.6
    assert rank["spearman_p_exact"] > 0.05


def test_null_predictors_know_the_parameters(found: Summary) -> None:
    scored = found.sweep.scored
    nulls = correlations.null_predictors(scored)
    assert list(nulls) == ["dim", "n_rows", "log_n_items", "parameters"]
    assert nulls["parameters"].tolist() == [cell.extra["parameters"] for cell in scored]
    assert np.exp(nulls["log_n_items"]).round().tolist() == [cell.n_items for cell in scored]


def test_the_power_line_takes_the_largest_coefficient(found: Summary) -> None:
    values = {row["probe"]: row["spearman"] for row in found.correlations if row["kind"] == "probe"}
    largest = max(values, key=lambda name: abs(values[name]))
    assert found.power.startswith(
        f"{largest}: if the true Spearman is the {values[largest]:+.2f} found in these 10 cells"
    )
    assert "when 4 different probes are tried" in found.power


def test_cells_say_which_probes_read_the_matches_and_for_older_cells_the_classes_do() -> None:
    def cell(**extra: object) -> Cell:
        probes = dict.fromkeys(("cka", "swap_separation_text", "twonn_text_apart", "mine", "lidar"), 0.5)
        return Cell(status="ok", model="m", bench="b", probes=probes, extra=extra)

    said = [cell(reads_matches=["mine"]), cell(reads_matches=["cka"])]
    assert correlations.reads_matches(said) == {"mine", "cka"}
    assert correlations.reads_matches([cell(), said[0]]) == {"mine", "cka", "lidar"}


def test_a_probe_that_reads_the_matches_is_marked_and_not_the_strongest(tmp_path: Path, capsys) -> None:
    folder = sweep_folders.study(tmp_path / "s")
    for path in folder.glob("*/*/cell.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        record["probes"]["swap_alignment"] = record["scores"]["H"]
        record["extra"]["reads_matches"] = ["swap_alignment"]
        path.write_text(json.dumps(record), encoding="utf-8")
    found = report.build(folder)
    assert next(row for row in found.correlations if row["probe"] == "swap_alignment")[
        "spearman"
    ] == pytest.approx(1)
    assert found.strongest["probe"] != "swap_alignment"
    report.show(found)
    printed = capsys.readouterr().out
    assert "swap_alignment*†" in printed
    assert "† reads the matches" in printed


def judged(h: float, n: int, *, high: float, chance: float = 1 / 6) -> dict[str, object]:
    return {"official": {"H": {"value": h, "n": n, "ci95": [0.0, high], "chance": chance}}}


def test_a_control_is_a_model_below_chance_on_every_benchmark() -> None:
    cells = [
        Cell("ok", "bag", "order", protocols=judged(0.0, 400, high=0.01)),
        Cell("ok", "bag", "attribute", protocols=judged(0.0, 200, high=0.02)),
        Cell("ok", "weak", "order", protocols=judged(0.05, 400, high=0.08)),
        Cell("ok", "weak", "attribute", protocols=judged(0.1, 200, high=0.17)),
        Cell("ok", "unscored", "order"),
    ]
    assert correlations.controls(cells, protocol="official") == ["bag"]
    assert correlations.controls(cells, protocol="single") == []


def test_the_noise_of_a_score_is_that_of_its_items(found: Summary) -> None:
    cells = found.sweep.scored
    h = np.array([cell.scores["H"] for cell in cells])
    n = np.array([cell.n_items for cell in cells])
    row = next(row for row in found.correlations if row["probe"] == "rankme_text")
    assert row["reliability"] == pytest.approx(1 - (h * (1 - h) / (n - 1)).mean() / h.var(ddof=1))
    assert row["pearson_disattenuated"] == pytest.approx(row["pearson"] / row["reliability"] ** 0.5)
    shares = found.long.query("score == 'single_F' and name == 'rankme_text'")
    assert shares["reliability"].notna().all()
    assert found.long.query("score == 'pair_assignment'")["reliability"].isna().all()


def test_where_no_probe_can_pass_it_stands_above_the_table(tmp_path: Path, capsys) -> None:
    found = report.build(sweep_folders.study(tmp_path / "s", models=3, probes=("gap_angle_deg",)))
    sentence = "NO PROBE CAN PASS: 3 models change places in 6 ways, so that no corrected p is below 0.333"
    assert any(sentence in warning for warning in found.warnings)
    report.show(found)
    printed = capsys.readouterr().out
    assert printed.index("NO PROBE CAN PASS") < printed.index("each probe with H")
    assert sentence in (found.sweep.folder / "report/index.html").read_text(encoding="utf-8")


def test_five_models_can_pass_and_the_table_is_whole_in_110_columns(found: Summary) -> None:
    assert not any("NO PROBE" in warning for warning in found.warnings)
    lines, dropped = layout(tables.correlations(found)[0], width=110)
    assert dropped == []
    assert max(len(line) for line in lines) <= 110


def test_equivalence_is_told_in_words(found: Summary) -> None:
    bounds = {row["probe"]: row["spearman_equivalence_bound"] for row in found.probes}
    least = min(bounds, key=bounds.__getitem__)
    wide = replace(found, sweep=replace(found.sweep, margin=bounds[least]))
    assert wording.equivalence(wide) == (
        f"No effect as large as {wording.number(bounds[least], digits=2)}: {least}; undecided for the other 3."
    )
    assert wording.equivalence(found) == (
        "No effect as large as .30: undecided for all 4 probes; these models are too few."
    )
    assert found.record["margin"] == 0.3


def test_what_the_largest_coefficient_hangs_on_is_told_with_names(found: Summary) -> None:
    row = found.strongest
    told = wording.hangs_on(found)
    assert told.startswith(f"Largest coefficient, {row['probe']}: Spearman ")
    assert told.endswith(f"without any one model, most changed by {row['spearman_most_influential']}.")
    assert row["spearman_most_influential"] in {cell.model for cell in found.sweep.scored}
    assert wording.noise(found).startswith("Reliability of H over these cells .")
    assert wording.different(found) == "4 probes tried"


def test_families_and_signs_reach_the_tables(found: Summary, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DRAWS", "LONG_DRAWS"):
        monkeypatch.setattr(correlations, name, 20)
    cells = found.sweep.scored
    probes = {
        name: one
        for name, one in correlations.predictors(cells, found.matched).items()
        if name in ("rankme_text", "gap_angle_deg")
    }
    common = {"protocol": "official", "seed": 0}
    stated = correlations.Stated(
        parts={"rankme_text": "registered", "absent": "registered"}, signs={"rankme_text": "positive"}
    )
    entries = correlations.correlated(cells, probes, stated=stated, **common)
    rows = {row["probe"]: row for row in correlations.wide(entries, probes)}
    assert (rows["rankme_text"]["part"], rows["rankme_text"]["alternative"]) == ("registered", "positive")
    assert rows["rankme_text"]["spearman_p_maxt"] == rows["rankme_text"]["spearman_p_joint"]
    assert (rows["gap_angle_deg"]["part"], rows["gap_angle_deg"]["spearman_tests"]) == (None, 1)
    keys = [memory.key_of(cells, probes, stated=one, **common) for one in (stated, stated._replace(signs={}))]
    assert keys[0] != keys[1]
    assert memory.read(Path("absent"), key=keys[0]) is None


def test_cells_under_different_protocols_are_compared_under_one(tmp_path: Path, capsys) -> None:
    folder = sweep_folders.study(tmp_path / "s")
    for model in ("m0", "m1"):
        path = folder / model / "large/cell.json"
        record = json.loads(path.read_text(encoding="utf-8"))
        record |= {"protocol": "single", "scores": dict.fromkeys("FGH", 0.99)}
        path.write_text(json.dumps(record), encoding="utf-8")
    found = report.build(folder)
    alike = report.build(sweep_folders.study(tmp_path / "alike"))
    assert found.record["correlation_with"] == "H (official), pooled over benchmarks"
    assert [row["spearman"] for row in found.correlations] == [row["spearman"] for row in alike.correlations]
    assert [one.words for one in found.diagnoses] == [one.words for one in alike.diagnoses]
    assert {"single_H", "single_F"} <= set(found.long["score"])
    report.show(found)
    assert "CELLS DIFFER IN bench.protocol" in capsys.readouterr().out


def test_few_cells_are_shouted_about_whatever_the_null_predictors_have(tmp_path: Path, capsys) -> None:
    folder = sweep_folders.study(tmp_path / "s", models=6)
    for path in [*folder.glob("m[1-5]/small/cell.json"), *folder.glob("m[45]/large/cell.json")]:
        record = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(record | {"probes": {}}), encoding="utf-8")
    found = report.build(folder)
    assert (found.n, {row["n"] for row in found.correlations if row["probe"] == "n_rows"}) == (5, {12})
    report.show(found)
    assert "ONLY 5 CELLS" in capsys.readouterr().out


def test_tables_can_be_read_by_pandas_as_they_are(found: Summary) -> None:
    """ "null" alone would come back as not a number."""
    for name in ("correlations", "correlations_long"):
        table = pd.read_csv(found.sweep.folder / f"{name}.csv")
        assert set(table["kind"]) == {"probe", "null predictor"}


def test_the_diagnosis_rests_on_the_items_and_on_draws_of_half_of_matched_n(found: Summary) -> None:
    row = next(
        row
        for row in found.curve
        if (row.model, row.bench, row.probe, row.n_text) == ("m0", "large", "rankme_text", 60)
    )
    one, *others = (
        cell for cell in evidence(found.sweep, found.curve, size=found.size) if cell.bench == "large"
    )
    assert (one.model, one.rank.rows, one.rank.part, one.rank.most) == ("m0", 60, 0.3, 24)
    assert one.rank.values.tolist() == [list(row.values)]
    assert one.hits.mean() == one.h == found.sweep.cells[0].scores["H"]
    assert {other.items for other in others} == {one.items}


def test_seeds_of_a_recipe_are_diagnosed_as_one(tmp_path: Path) -> None:
    folder = sweep_folders.study(tmp_path / "s")
    for seed, model in enumerate(("m0", "m1")):
        for path in folder.glob(f"{model}/*/cell.json"):
            record = json.loads(path.read_text(encoding="utf-8"))
            path.write_text(json.dumps(record | {"recipe": "plain", "seed": seed}), encoding="utf-8")
    found = report.build(folder)
    assert {one.model for one in found.diagnoses} == {"plain", "m2"}
    recipe = next(one for one in evidence(found.sweep, found.curve, size=found.size) if one.seeds)
    assert (recipe.seeds, recipe.hits.shape) == (("m0", "m1"), (2, 100))
    assert recipe.rank.values.shape == (2, FEW_DRAWS)


def test_two_sizes_of_one_benchmark_are_told_and_not_diagnosed_together(tmp_path: Path, capsys) -> None:
    folder = sweep_folders.study(tmp_path / "s")
    sweep_folders.write_cell(folder, model="m9", bench="small", n_items=70, h=0.9, seed=9)
    found = report.build(folder)
    report.show(found)
    assert "NOT ONE BENCHMARK: cells of small have 60, 70 items." in capsys.readouterr().out
    assert not any("m9" in one.words for one in found.diagnoses)


def test_why_a_column_holds_dashes_is_told(tmp_path: Path, capsys) -> None:
    for number in range(4):
        sweep_folders.write_cell(
            tmp_path / "s", model=f"m{number}", bench="b", n_items=20, h=0.5, seed=number
        )
    report.show(report.build(tmp_path / "s"))
    assert "– undefined: H is the same in all 4 cells" in capsys.readouterr().out


def test_cells_without_h_are_told_by_what_they_are_known_by(tmp_path: Path, capsys) -> None:
    folder = sweep_folders.study(tmp_path / "s")
    cell = Cell(
        status="ok",
        model="m0",
        bench="clotho",
        n_items=9,
        scores=dict.fromkeys("FGH"),
        extra={"t2a_R@1": 0.25},
    )
    files.write_text(folder / "m0/clotho/cell.json", cell.to_json())
    found = report.build(folder)
    report.show(found)
    assert "m0 × clotho: t2a_R@1 .250" in capsys.readouterr().out
    assert found.record["cells"][0] | {"t2a_R@1": 0.25} == found.record["cells"][0]
    assert "m0 × clotho: t2a_R@1 .250" in (folder / "report/index.html").read_text(encoding="utf-8")


def test_all_cells_or_those_of_the_last_command(tmp_path: Path) -> None:
    folder = sweep_folders.study(tmp_path / "s")
    sweep_folders.listed(folder, n=None, draws=5, seed=0)
    sweep_folders.write_cell(folder, model="later", bench="small", n_items=60, h=0.5, seed=3)
    assert len(report.build(folder).sweep.cells) == 6
    assert len(report.build(folder, every=True).sweep.cells) == 7
    assert main([str(folder), "--all"]) == 0
    assert "all 7 cells" in json.loads((folder / "summary.json").read_text(encoding="utf-8"))["covers"]
