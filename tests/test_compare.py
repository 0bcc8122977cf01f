"""Single items on disk, and two models on the same items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Command, Compose
from fixtures import pairs_folder
from oracles import by_loop
from scipy.stats import binomtest

from clapbench import compare, files
from clapbench.benchmarks.pairs import PairsBenchmark
from clapbench.results import cache, table
from clapbench.results.sweep import cases
from clapbench.running import evaluate
from clapbench.schema import Cell, Embeddings
from clapbench.study import paired


@pytest.fixture
def small(composed: Compose, tmp_path: Path):
    common = ("bench.n=40", "logger=none", "trainer=cpu", f"outputs={tmp_path}", "probes=[gap_l2]")
    return lambda *overrides: composed("evaluate", *common, *overrides)


def cell_of(tmp_path: Path, model: str) -> Path:
    return tmp_path / "default" / model / "synth_order" / "cell.json"


def test_items_hold_what_the_scores_count(small, tmp_path: Path) -> None:
    cell = evaluate.evaluate(small())
    table = pd.read_csv(cell_of(tmp_path, "mini").with_name("items.csv"))
    columns = ["item", "caption_p", "caption_r", "clip_p", "clip_r", "s_pp", "s_pr", "s_rp", "s_rr"]
    columns += ["F", "G", "H", "margin_F", "margin_G"]
    assert list(table.columns)[:14] == columns
    assert "template" in table.columns
    assert len(table) == 40
    for name in ("F", "G", "H"):
        assert table[name].mean() == pytest.approx(cell.scores[name])
    f = (table.s_pp > table.s_rp) & (table.s_rr > table.s_pr)  # s_tc: each clip picks its caption
    assert (f == table["F"].astype(bool)).all()
    assert ((table.margin_F > 0) == table["F"].astype(bool)).all()
    by_template = table.groupby("template")["H"].mean()
    assert len(by_template) > 1


def test_attribute_items_name_their_attribute(small, tmp_path: Path) -> None:
    evaluate.evaluate(small("bench=synth_attribute"))
    table = pd.read_csv(tmp_path / "default" / "mini" / "synth_attribute" / "items.csv")
    assert table.groupby("attribute")["H"].count().eq(8).all()


@pytest.mark.parametrize("protocol", ["official", "single", "pool"])
def test_given_embeddings_through_the_command_line_equal_a_plain_loop(
    protocol: str, command: Command, tmp_path: Path
) -> None:
    chosen = pairs_folder(tmp_path)
    cases = PairsBenchmark(name="x", csv=tmp_path / "items.csv", root=tmp_path).cases()
    rng = np.random.default_rng(3)
    clips = [clip for case in cases for clip in case.clips]
    captions = [caption for case in cases for caption in case.captions]
    rows = Embeddings(  # few directions: many ties
        audio=np.eye(4, dtype=np.float32)[rng.integers(2, size=len(clips))],
        audio_id=tuple(clips),
        text=np.eye(4, dtype=np.float32)[rng.integers(2, size=len(captions))],
        text_id=tuple(captions),
    )
    cache.save(tmp_path / "rows.npz", rows)
    done = command(
        "evaluate.py",
        "model=precomputed",
        f"model.file={tmp_path / 'rows.npz'}",
        "bench=pairs",
        *chosen,
        f"bench.protocol={protocol}",
        "logger=none",
        "probes=[gap_l2]",
    )
    assert done.returncode == 0, done.stderr
    cell = Cell.read(tmp_path / "outputs/default/precomputed/pairs/cell.json")
    assert cell.scores == by_loop(rows, cases)[protocol]
    assert cell.ties > 0
    assert set(cell.protocols) == {"official", "single", "pool", "triplet"}


def test_two_models_differ_by_their_single_items(
    small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for model in ("mini", "mini_negatives"):
        evaluate.evaluate(small(f"model={model}"))
    a, b = (cell_of(tmp_path, model) for model in ("mini_negatives", "mini"))
    found = paired.compare(a, b)
    tables = [pd.read_csv(path.with_name("items.csv")) for path in (a, b)]
    only_a = int(((tables[0].H == 1) & (tables[1].H == 0)).sum())
    only_b = int(((tables[0].H == 0) & (tables[1].H == 1)).sum())
    assert (found["H"].a_only, found["H"].b_only) == (only_a, only_b)
    assert found["H"].p == pytest.approx(binomtest(only_a, only_a + only_b).pvalue)
    assert found["H"].value == pytest.approx(Cell.read(a).scores["H"] - Cell.read(b).scores["H"])
    assert found["H"].ci95.low <= found["H"].value <= found["H"].ci95.high
    assert compare.main([str(a), str(b)]) == 0
    assert "McNemar" in capsys.readouterr().out


@pytest.fixture
def sweeps(tmp_path: Path) -> Path:
    """Sweeps one (models a, b, on order and attribute; b on retrieval too) and two (model a, on order)."""
    rng = np.random.default_rng(0)
    for sweep, model, bench in (
        ("one", "a", "order"),
        ("one", "a", "attribute"),
        ("one", "b", "order"),
        ("one", "b", "attribute"),
        ("two", "a", "order"),
    ):
        hits = rng.integers(2, size=(30, 2))
        rows = [
            [i, f"p{i}", f"r{i}", f"p{i}.wav", f"r{i}.wav", f, g, int(f and g)]
            for i, (f, g) in enumerate(hits)
        ]
        items = pd.DataFrame(rows, columns=["item", "caption_p", "caption_r", "clip_p", "clip_r", *"FGH"])
        scores = {name: float(items[name].mean()) for name in "FGH"}
        cell = Cell(status="ok", model=model, bench=bench, n_items=30, scores=scores)
        folder = tmp_path / sweep / model / bench
        files.write_text(folder / "cell.json", cell.to_json())
        files.write_text(folder / "items.csv", items.to_csv(index=False))
    for model in "ab":
        cell = Cell(status="ok", model=model, bench="clotho", n_items=30, scores=dict.fromkeys("FGH"))
        files.write_text(tmp_path / "one" / model / "clotho/cell.json", cell.to_json())
    return tmp_path


@pytest.mark.parametrize(
    ("a", "b", "titles"),
    [
        ("one/a", "one/b", ["a: a, b: b, on attribute (", "a: a, b: b, on order ("]),
        ("one/a/order", "one/b/order/cell.json", ["a: a, b: b, on order ("]),
        ("one/a/order/cell.json", "one/b", ["a: a, b: b, on order ("]),
        ("one/a", "one/b/order", ["a: a, b: b, on order ("]),
        ("one", "two", ["two/a/order, on order ("]),
        ("one/b", "two/a", ["a: b, b: a, on order ("]),
    ],
)
def test_folders_are_compared_on_what_both_have(
    sweeps: Path, a: str, b: str, titles: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.main([str(sweeps / a), str(sweeps / b)]) == 0
    printed = "".join(capsys.readouterr().out.splitlines(keepends=True))
    assert printed.count("McNemar p") == len(titles)
    places = [printed.index(title) for title in titles]
    assert places == sorted(places)


def test_the_table_shows_the_numbers_of_the_comparison(
    sweeps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (sweeps / "one" / model / "order/cell.json" for model in "ab")
    assert compare.main([str(a.parent), str(b)]) == 0
    found = paired.compare(a, b)["H"]
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("H ")]
    assert line.split() == [
        "H",
        f"{Cell.read(a).scores['H']:.3f}",
        f"{Cell.read(b).scores['H']:.3f}",
        f"{found.value:+.3f}",
        f"{found.ci95.low:+.3f}",
        "to",
        f"{found.ci95.high:+.3f}",
        str(found.a_only),
        str(found.b_only),
        f"{found.p:.3g}",
    ]


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ("one", "one/a", "needed two of one kind, got a sweep"),
        ("one/a/attribute", "two/a", "needed a benchmark that both have, got attribute in"),
        ("one/a", "nowhere", "found none at"),
        ("one/a/clotho", "one/b/clotho", "it is no benchmark of pairs"),
        ("one/a/order", "one/b/attribute", "needed one benchmark"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_line(
    sweeps: Path, a: str, b: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.main([str(sweeps / a), str(sweeps / b)]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "cell.json").write_text("{"), "needed a cell.json"),
        (lambda folder: (folder / "items.csv").unlink(), "force=true"),
        (lambda folder: (folder / "items.csv").write_text(""), "items.csv is damaged: it is empty"),
        (
            lambda folder: (folder / "items.csv").write_text((folder / "items.csv").read_text()[:-40]),
            "is damaged: its last row is cut",
        ),
        (
            lambda folder: (folder / "items.csv").write_text(
                "".join((folder / "items.csv").read_text().splitlines(keepends=True)[:-1])
            ),
            "holds 29 of the cell's 30 items",
        ),
        (
            lambda folder: files.write_text(
                folder / "cell.json", Cell(status="failed", model="b", bench="order", error="x").to_json()
            ),
            "needed two finished cells, got a failed one",
        ),
    ],
)
def test_one_damaged_cell_leaves_the_others_compared(
    sweeps: Path, change, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(sweeps / "one/b/order")
    assert compare.main([str(sweeps / "one/a"), str(sweeps / "one/b")]) == 1
    told = capsys.readouterr()
    assert words in told.err
    assert told.err.count("\n") == 1
    assert "on attribute (" in told.out


def test_compare_takes_two_paths(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ([], ["x"], ["x", "y", "z"]):
        with pytest.raises(SystemExit) as ended:
            compare.main(wrong)
        assert ended.value.code == 2
    with pytest.raises(SystemExit) as ended:
        compare.main(["--help"])
    assert ended.value.code == 0
    assert "usage: clapbench compare" in capsys.readouterr().out


def test_other_items_or_another_protocol_are_refused(
    small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate.evaluate(small())
    first = cell_of(tmp_path, "mini")
    evaluate.evaluate(small("bench.seed=7", "model.name=other"))
    assert compare.main([str(first), str(cell_of(tmp_path, "other"))]) == 1
    assert "needed the same items" in capsys.readouterr().err
    evaluate.evaluate(small("bench.protocol=pool", "model.name=third"))
    assert compare.main([str(first), str(cell_of(tmp_path, "third"))]) == 1
    assert "needed one protocol" in capsys.readouterr().err
    first.with_name("items.csv").unlink()
    assert compare.main([str(first), str(first)]) == 1
    assert "force=true" in capsys.readouterr().err


def test_a_bench_with_columns_named_as_ours_and_captions_like_formulas(
    composed: Compose, tmp_path: Path
) -> None:
    """Its items.csv is that of the same bench without these columns, and what reads it works."""
    common = ("logger=none", "trainer=cpu", f"outputs={tmp_path}", "probes=[gap_l2]", "bench=pairs")
    pairs_folder(tmp_path)
    header, *rows = (tmp_path / "items.csv").read_text(encoding="utf-8").splitlines()
    extra = [f"7,x.wav,1,0.5,{number}" for number in range(len(rows))]
    for name, head, ends in (("ours", f"{header},item,clip_third,H,F_a,s_pp", extra), ("none", header, None)):
        lines = [f"{row},{end}" for row, end in zip(rows, ends, strict=True)] if ends else rows
        text = "\n".join([head, *lines]).replace("Dog 1 before", "=1+1 before")
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
        chosen = (f"bench.csv={tmp_path / name}.csv", f"bench.root={tmp_path}", f"bench.name={name}")
        evaluate.evaluate(composed("evaluate", *common, *chosen))
    paths = [tmp_path / "default" / "mini" / name / "cell.json" for name in ("ours", "none")]
    ours, none = (paired.read_items(path, Cell.read(path)) for path in paths)
    assert ours[none.columns].equals(none)
    assert list(ours["user_item"]) == ["7", "7", "7"]
    assert list(ours["user_H"]) == ["1", "1", "1"]
    difference = paired.compare(paths[0], paths[0])["H"]
    assert (difference.value, difference.a_only, difference.b_only) == (0, 0, 0)
    cell = Cell.read(paths[0])
    assert ours["H"].mean() == pytest.approx(cell.scores["H"])
    bench = PairsBenchmark(name="ours", csv=tmp_path / "ours.csv", root=tmp_path)
    read = cases(tmp_path / "default", cell)
    assert [(case.clips, case.captions) for case in read] == [
        (case.clips, case.captions) for case in bench.cases()
    ]
    assert "=1+1 before cat" in bench.captions()


def test_the_table_of_cells_has_every_protocol_and_what_h_is_worth(small, tmp_path: Path) -> None:
    cell = evaluate.evaluate(small())
    (row,) = table.load(tmp_path / "default").to_dict(orient="records")
    for protocol in ("official", "single", "pool"):
        assert row[f"{protocol}_H"] == cell.protocols[protocol]["H"]["value"]
    assert row["H_low"] < row["H"] <= row["H_high"]
    assert row["H_chance"] == pytest.approx(1 / 6)
    assert row["pair_assignment"] == cell.extra["pair_assignment"]
