"""Probes over their free choices: the grid, the coefficients against those at matched N, stability, the figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import scipy.stats
from sweep_folders import listed, study, write_cell

from clapbench import config
from clapbench.report import multiverse as command
from clapbench.results import sweep as sweeps
from clapbench.schema import Cell
from clapbench.study import matched
from clapbench.study.multiverse import Choice, Multiverse, families, range_of, run
from clapbench.study.summary import summarize


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = study(tmp_path_factory.mktemp("sweeps") / "s", models=3, probes=("rankme_text", "twonn_text"))
    listed(found, draws=2)
    return found


@pytest.fixture(scope="module")
def found(folder: Path) -> Multiverse:
    return run(folder, n_draws=2)


def test_probes_that_differ_in_their_choices_alone_are_one_family() -> None:
    names = ["residual_text_k5", "residual_text_k1", "residual_audio_k1", "alpha_req_text", "cka", "gap_l2"]
    residual, other, alpha, cka, gap = families(config.probe_configs(names))
    assert (residual.name, residual.members) == ("residual_text", ("residual_text_k5", "residual_text_k1"))
    assert residual.points[:2] == ({"k": 5, "center": False}, {"k": 1, "center": False})
    assert len(residual.points) == 10
    assert (other.name, other.fixed) == ("residual_audio_k1", {"side": "audio"})
    assert alpha.points[0] == {"first": 4, "last": 100, "weights": "1/i"}
    assert {"first": 1, "last": None, "weights": "equal"} in alpha.points
    assert (cka.points, gap.points) == (({},), ({},))
    assert [one.reads_matches for one in (alpha, cka, gap)] == [False, True, False]


def test_an_argument_that_a_user_set_is_a_point_and_the_default() -> None:
    nodes = config.probe_configs(["mle_text_k20"], {"mle_text_k20": {"k": 7}})
    assert families(nodes)[0].points == tuple({"k": k} for k in (7, 5, 10, 20, 40))


def test_every_choice_that_a_class_declares_is_one_of_its_arguments() -> None:
    for family in families(config.shipped_probes()):
        for point in family.points:
            config.build(config.probe_configs(family.members[0])[family.members[0]], **point)


@pytest.mark.parametrize("part", ["matched", "half"])
def test_the_default_is_what_the_summary_correlates(folder: Path, found: Multiverse, part: str) -> None:
    sweep = sweeps.read(folder)
    if part == "half":
        sweep = replace(sweep, matching=sweep.matching._replace(n=min(found.size) // 2))
    known = {(row.model, row.bench, row.probe): row.mean for row in matched.measure(sweep).matched}
    for name in ("rankme_text", "twonn_text"):
        values = [known[cell.model, cell.bench, name] for cell in sweep.scored]
        expected = scipy.stats.spearmanr(values, [cell.scores["H"] for cell in sweep.scored]).statistic
        row = next(row for row in found.choices if row.probe == name and row.n_rows == part)
        assert row.value == pytest.approx(expected, rel=1e-12)
        assert (row.cells, row.default) == (6, part == "matched")


def test_seeds_of_a_recipe_are_one_unit_as_in_the_summary(tmp_path: Path) -> None:
    folder = study(tmp_path / "s", models=4, probes=("rankme_text",))
    for path in folder.glob("*/*/cell.json"):
        cell = Cell.read(path)
        if cell.model in ("m0", "m1"):
            path.write_text(replace(cell, recipe="r").to_json(), encoding="utf-8")
    listed(folder, draws=2)
    row = run(folder, n_draws=2).choices[0]
    (expected,) = summarize(sweeps.read(folder)).probes
    assert (row.cells, row.value) == (expected["n"], expected["spearman"]) == (6, row.value)


def choice(value: float | None, *, default: bool = False) -> Choice:
    sign = None if value is None else (value > 0) - (value < 0)
    return Choice("p", "", "matched", default, 6, value, sign, reads_matches=False)


def test_stability_is_the_share_with_the_sign_of_the_default() -> None:
    row = range_of([choice(-0.2), choice(0.5, default=True), choice(0.9), choice(0.1), choice(None)])
    assert row[1:7] == (0.5, -0.2, 0.9, 5, 4, 0.75)
    undefined = range_of([choice(None, default=True), choice(0.5)])
    assert (undefined.default, undefined.same_sign, undefined.defined) == (None, None, 1)
    assert "undefined at its default (1 of 2 defined)" in command.stability(undefined)


def test_the_command_writes_tables_and_the_same_figure_again(
    folder: Path, found: Multiverse, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "run", lambda *_, **__: found)
    assert command.main([str(folder)]) == 0
    told = capsys.readouterr().out
    assert "rankme_text" in told
    assert "sign kept in" in told
    svg = (folder / "report" / "multiverse.svg").read_bytes()
    assert command.main([str(folder)]) == 0
    assert (folder / "report" / "multiverse.svg").read_bytes() == svg
    assert (folder / "report" / "multiverse.png").stat().st_size > 10_000
    rows = (folder / "multiverse.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0].startswith("probe,choice,n_rows,default,cells,value,sign")
    assert len(rows) == 1 + 2 * (2 + 8)
    assert len((folder / "multiverse_ranges.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_fewer_than_four_cells_and_no_folder_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cell(tmp_path / "one", model="m", bench="b", n_items=20, h=0.5, seed=0, probes=("rankme_text",))
    assert command.main([str(tmp_path / "one")]) == 1
    assert "needs at least 4 recipes on benchmarks with H, got 1" in capsys.readouterr().err
    assert command.main([str(tmp_path / "none")]) == 1
    assert "no such folder" in capsys.readouterr().err
