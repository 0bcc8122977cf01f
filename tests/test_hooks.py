"""Sweeps, as typed on a command line: what stops before the first cell, what runs on, what the folder holds after."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from conftest import ROOT, Command
from fixtures import pairs_folder

import clapbench
from clapbench.benchmarks.synthetic import SyntheticBenchmark

TINY = ("logger=none", "trainer=cpu", "probes=[rankme_text,gap_angle_deg]", "matched.draws=5")
DEMO = ("-m", "sweep=s", "model=mini,mini_bag", "bench=synth_order,synth_attribute", "bench.n=10")


def cells(folder: Path) -> dict[tuple[str, str], dict]:
    found = {}
    for path in folder.glob("*/*/cell.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        found[record["model"], record["bench"]] = record
    return found


def test_a_sweep_leaves_cells_tables_and_a_summary(command: Command, tmp_path: Path) -> None:
    done = command("evaluate.py", *DEMO, *TINY)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "outputs/s"
    assert set(cells(folder)) == {
        (m, b) for m in ("mini", "mini_bag") for b in ("synth_order", "synth_attribute")
    }
    rows = list(csv.DictReader((folder / "correlations.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["probe"] for row in rows if row["kind"] == "probe"] == ["rankme_text", "gap_angle_deg"]
    assert [row["probe"] for row in rows if row["kind"] == "null predictor"] == [
        "dim",
        "n_rows",
        "log_n_items",
        "parameters",
    ]
    assert {row["n"] for row in rows} == {"4"}
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert (summary["n_cells"], summary["n_ok"], summary["failed"]) == (4, 4, [])
    assert "ONLY 4 CELLS" in done.stdout

    again = command("evaluate.py", *DEMO, *TINY)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("done before") == 4
    planned = command("evaluate.py", *DEMO, *TINY, "plan=true")
    assert (planned.returncode, planned.stdout.count("  done\n")) == (0, 4)
    assert "encoded" not in again.stdout

    table = clapbench.load(folder)
    assert len(table) == 4
    assert set(table["status"]) == {"ok"}
    rows_of = table.embeddings("mini_bag", "synth_order")
    assert rows_of.text.shape == (20, 128)
    with pytest.raises(KeyError, match="Choose from: mini × synth_order"):
        table.embeddings("laion", "synth_order")

    report = command("-m", "clapbench.report", str(folder))
    assert report.returncode == 0, report.stderr
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8")) == summary


def test_a_sweep_is_made_comparable_by_size_and_reported(command: Command, tmp_path: Path) -> None:
    """Two benchmarks of one size and one of another, under a name that Hydra reads as a number."""
    small = ("-m", "sweep=2026", "model=mini,mini_bag", "bench=pairs", "bench.name=few", *TINY)
    few = few_pairs(tmp_path, n=6)
    large = ("-m", "sweep=2026", "model=mini,mini_bag", "bench=synth_order", "bench.n=20", *TINY)
    for typed in ((*small, *few), large):
        done = command("evaluate.py", *typed, "matched.draws=5")
        assert done.returncode == 0, done.stderr
    folder = tmp_path / "outputs/2026"
    (folder / "sweep.json").unlink()  # so that the summary covers both commands
    done = command("-m", "clapbench.report", str(folder), "--draws", "7")
    assert done.returncode == 0, done.stderr
    assert "12 clips and 12 captions, means of 7 draws" in done.stdout
    table = list(csv.DictReader((folder / "matched.csv").read_text(encoding="utf-8").splitlines()))
    assert {(row["bench"], row["n_text"], row["draws"]) for row in table} == {
        ("few", "12", "0"),
        ("synth_order", "12", "7"),
    }
    assert (folder / "report/index.html").is_file()
    again = command("-m", "clapbench.report", str(folder), "--n", "13")
    assert again.returncode == 1
    assert "matched.n: needed at most 12" in again.stderr
    record = cells(folder)["mini", "synth_order"]
    assert record["extra"]["parameters"] > 100_000
    assert (record["extra"]["repeated_audio"], record["extra"]["repeated_text"]) == (0, 0)
    assert cells(folder)["mini_bag", "synth_order"]["extra"]["repeated_text"] == 20


def few_pairs(folder: Path, *, n: int) -> list[str]:
    """A benchmark of ``n`` synthesised items in the CompA format, as overrides."""
    bench = SyntheticBenchmark(name="few", kind="order", n=n, seed=1, root=folder / "made")
    with (folder / "few.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["pair_caption", "reversed_pair_caption", "pair_file", "reversed_pair_file"])
        table.writerows([*case.captions, *case.clips] for case in bench.cases())
    return [f"bench.csv={folder / 'few.csv'}", f"bench.root={bench.root}"]


def test_the_summary_covers_the_cells_of_the_last_command(command: Command, tmp_path: Path) -> None:
    command("evaluate.py", "-m", "sweep=s", "model=mini,mini_bag", "bench.n=10", *TINY)
    done = command("evaluate.py", "-m", "sweep=s", "model=mini_bag", "bench.n=10", *TINY)
    summary = json.loads((tmp_path / "outputs/s/summary.json").read_text(encoding="utf-8"))
    assert [cell["model"] for cell in summary["cells"]] == ["mini_bag"]
    assert "the 1 cell of the last sweep" in summary["covers"]
    assert "no correlations: they need 4 finished cells" in done.stdout


@pytest.mark.parametrize("logger", ["none", "csv", "wandb"])
def test_failing_cells_leave_the_others_and_the_summary(
    logger: str, command: Command, tmp_path: Path
) -> None:
    """The bag's checkpoint fits the bag alone, and one benchmark lacks a clip: of four cells one stands."""
    for name in ("whole", "lacking"):
        (tmp_path / name).mkdir()
        pairs_folder(tmp_path / name)
    (tmp_path / "lacking/1_pair.wav").unlink()
    weights = ROOT / "clapbench/weights/mini_bag.safetensors"
    typed = ("-m", "sweep=s", "model=mini,mini_bag", f"model.checkpoint={weights}", "bench=pairs")
    typed = (
        *typed,
        "bench.name=whole,lacking",
        "bench.root=${bench.name}",
        "bench.csv=${bench.name}/items.csv",
    )
    done = command("evaluate.py", *typed, f"logger={logger}", *TINY[1:])
    assert done.returncode == 1
    assert "most recent call last" not in done.stdout + done.stderr
    assert "Traceback" in (tmp_path / "outputs/s/mini/whole/failed.txt").read_text()
    found = cells(tmp_path / "outputs/s")
    assert {name for name, record in found.items() if record["status"] == "ok"} == {("mini_bag", "whole")}
    assert "Set model.text=bag" in found["mini", "whole"]["error"]
    assert (
        "1 of 6 clips are missing under lacking (first: 1_pair.wav)" in found["mini_bag", "lacking"]["error"]
    )
    summary = json.loads((tmp_path / "outputs/s/summary.json").read_text(encoding="utf-8"))
    assert (summary["n_cells"], summary["n_ok"], len(summary["failed"])) == (4, 1, 3)
    assert (tmp_path / "outputs/s/report/index.html").is_file()
    if logger == "none":
        pairs_folder(tmp_path / "lacking")
        again = command("evaluate.py", *typed, "logger=none", *TINY[1:], "model=mini_bag")
        assert again.returncode == 0, again.stderr
        assert again.stdout.count("done before") == 1


def test_a_single_run_tells_one_error_and_no_traceback(command: Command, tmp_path: Path) -> None:
    weights = ROOT / "clapbench/weights/mini_bag.safetensors"
    typed = (f"model.checkpoint={weights}", "bench.n=10", *TINY)
    done = command("evaluate.py", *typed)
    assert done.returncode == 1
    assert "Set model.text=bag" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert cells(tmp_path / "outputs/default")["mini", "synth_order"]["status"] == "failed"
    done = command("evaluate.py", *typed, "debug=true")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["-m", "model=mini,minni"], "model 'minni' is not there. Did you mean 'mini'?"),
        (["-m", "model=mini,mini_bag", "model.windw=1"], "Did you mean model.window?"),
        (["-m", "model=mini,mini", "bench.n=10"], "two jobs would write"),
        (["-m", "sweep=a,b"], "sweep: needed one folder for the whole command"),
        (["matched.draws=1"], "matched.draws: needed a whole number, 2 or more, got 1"),
    ],
)
def test_what_is_mistyped_stops_before_any_cell(
    command: Command, tmp_path: Path, typed: list[str], words: str
) -> None:
    """As processes; tests/config/test_wrong_lines.py has many more."""
    done = command("evaluate.py", *typed, "logger=none")
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_an_output_folder_that_cannot_be_written_is_said_first(command: Command, tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file in the way", encoding="utf-8")
    done = command("evaluate.py", "-m", "model=mini,mini_bag", *TINY)
    assert done.returncode == 1
    assert "needed a folder that can be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_plan_writes_nothing(command: Command, tmp_path: Path) -> None:
    done = command("evaluate.py", "experiment=demo", "plan=true")
    assert done.returncode == 0, done.stderr
    assert "mini_bag × synth_attribute  render 200 items, encode, score, 13 probes" in done.stdout
    assert not (tmp_path / "outputs").exists()


def test_plan_touches_no_cell_whatever_it_is_given(command: Command, tmp_path: Path) -> None:
    typed = ("bench=synth_attribute", "bench.n=10", *TINY)
    assert command("evaluate.py", *typed).returncode == 0
    path = tmp_path / "outputs/default/mini/synth_attribute/cell.json"
    before = path.read_bytes()
    for chosen in (("bench.n=15",), ("-m", "bench.n=15", "model=mini,mini_bag"), ("bench.n=12",)):
        done = command("evaluate.py", "bench=synth_attribute", *chosen, *TINY, "plan=true")
        assert ("render 15 items" in done.stdout) == (done.returncode == 0) == ("bench.n=15" in chosen)
        assert path.read_bytes() == before
    assert {child.name for child in (tmp_path / "outputs").iterdir()} == {"default", "cache"}


def test_what_is_typed_replaces_that_axis_of_an_experiment(command: Command) -> None:
    done = command("evaluate.py", "experiment=demo", "model=mini_bag", "plan=true")
    assert done.returncode == 0, done.stderr
    planned = [line.split("  ")[0] for line in done.stdout.splitlines() if " × " in line]
    assert planned == ["mini_bag × synth_order", "mini_bag × synth_attribute"]


def test_joblib_gives_the_same_results(command: Command, tmp_path: Path) -> None:
    demo = ("experiment=demo", "model=mini,mini_bag", "bench.n=10", *TINY)
    one = command("evaluate.py", *demo, "sweep=one")
    many = command(
        "evaluate.py", *demo, "sweep=many", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "force=true"
    )
    assert one.returncode == many.returncode == 0, one.stderr + many.stderr
    first, second = cells(tmp_path / "outputs/one"), cells(tmp_path / "outputs/many")
    assert len(first) == 4
    assert first.keys() == second.keys()
    for name, record in first.items():
        for field in ("scores", "ties", "config_key"):
            assert record[field] == second[name][field], (name, field)
        # A worker has fewer threads, which sum float32 embeddings in another order.
        assert record["probes"] == pytest.approx(second[name]["probes"], rel=1e-6)


def test_wandb_writes_a_run_per_cell_and_one_for_the_summary(command: Command, tmp_path: Path) -> None:
    typed = ("-m", "sweep=s", "model=mini,mini_bag", "bench.n=10", "probes=[gap_l2]")
    done = command("evaluate.py", *typed)
    assert done.returncode == 0, done.stderr
    runs = [path.name.rpartition("-")[2] for path in (tmp_path / "outputs/s/wandb").glob("offline-run-*")]
    assert len(runs) == len(set(runs)) == 3
    hint = [line for line in done.stdout.splitlines() if "wandb sync" in line]
    assert len(hint) == 1
    single = command("evaluate.py", "sweep=one", "bench.n=10", "probes=[gap_l2]")
    assert single.stdout.count("wandb sync") == 1
    again = command("evaluate.py", *typed)
    assert again.returncode == 0, again.stderr
    assert len(list((tmp_path / "outputs/s/wandb").glob("offline-run-*"))) == 3


def test_a_study_is_typed_by_its_name_or_its_file(command: Command, tmp_path: Path) -> None:
    """conf/studies is no group of Hydra's; and what the sweep does not measure is told before it is encoded."""
    named = command("evaluate.py", "study=demo", "plan=true")
    assert (named.returncode, named.stderr) == (0, "")
    mine = tmp_path / "mine.yaml"
    mine.write_text("question: Why?\ncorrelations: {probes: {twonn_txt: either}}\n", encoding="utf-8")
    wrong = command("evaluate.py", f"study={mine}", "plan=true")
    assert wrong.returncode == 1
    assert "study mine: probe 'twonn_txt' is not there. Did you mean 'twonn_text'?" in wrong.stderr
