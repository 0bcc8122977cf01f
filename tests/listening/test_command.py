"""The command `clapbench listening`: what it prints, and one line for what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from listening_studies import long, ratings, sounds, written

from clapbench import cli
from clapbench.listening import simulate

CSV = ROOT / "tests" / "reference" / "generation" / "mushra.csv"


def test_read_prints_scores_rejections_and_the_ceiling(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["listening", "read", str(CSV)]) == 0
    told = capsys.readouterr().out
    lines = [line.split() for line in told.splitlines()]
    assert ["sys_a", "81.6", "77.1", "to", "86.3", "82.0", "15.8"] in lines
    assert [line[0] for line in lines[3:11]] == [
        *("reference", "sys_a", "sys_b", "sys_c", "sys_d", "anchor70", "sys_e", "anchor35")
    ]
    for words in (
        "mushra.csv: MUSHRA\n",
        "11 of 14 listeners × 8 trials; 95 %: 2000 draws of listeners and trials, seed 0",
        "rejected uuid-07: hidden reference below 90 in 5 of 8 trials (62.5 %; at most 15 %)",
        "ICC(2,11) 0.987 (0.976 to 0.993); of one listener: ICC(2,1) 0.877",
        "Krippendorff's alpha 0.741",
        "ceiling: nothing is expected to correlate with the means above 0.994 (0.988 to 0.996)",
        "note: 11 listeners: fewer than 20",
    ):
        assert words in told
    assert cli.main(["listening", "read", str(CSV), "--all", "--draws", "100", "--seed", "3"]) == 0
    told = capsys.readouterr().out
    assert "14 of 14 listeners" in told
    assert "no post-screening: it would reject 3 of 14 listeners" in told


def test_simulated_listeners_are_named_so_in_the_title(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.csv").write_text(simulate({"a": 70.0, "b": 40.0}).to_csv(), encoding="utf-8")
    assert cli.main(["listening", "read", str(tmp_path / "x.csv")]) == 0
    told = capsys.readouterr().out
    assert told.startswith("x.csv: MUSHRA, SIMULATED listeners\n")
    assert "note: the listeners are simulated: they say nothing of how anything sounds" in told


def test_one_system_has_no_reliability_and_the_table_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for row in ratings() if row[2] != "sys_b"]
    assert cli.main(["listening", "read", str(long(tmp_path / "x.csv", rows))]) == 0
    assert "reliability: needs at least two targets and two raters, got 1 and 4" in capsys.readouterr().out


def test_read_prints_paired_preferences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(f"u{i}", "new", "old", "new" if i else "old") for i in range(6)]
    assert (
        cli.main(
            ["listening", "read", str(written(tmp_path / "p.csv", ("listener", "a", "b", "winner"), rows))]
        )
        == 0
    )
    told = capsys.readouterr().out
    assert told.startswith("p.csv: paired preferences\n")
    new, old = (line.split() for line in told.splitlines()[3:5])
    assert (new[0], new[1], new[-2]) == ("new", "+0.65", "83")
    assert old[:2] == ["old", "-0.65"]
    assert "6 answers of 6 listeners; Bradley-Terry, .5 added to every pair" in told


def test_prepare_then_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = {name: sounds(tmp_path / name, seed=0) for name in ("ref", "net")}
    line = [
        "listening",
        "prepare",
        str(clips["net"]),
        f"other={clips['ref']}",
        "--reference",
        str(clips["ref"]),
    ]
    assert cli.main([*line, "--out", str(tmp_path / "study"), "--seed", "2"]) == 0
    told = capsys.readouterr().out
    assert "2 systems in 3 trials at -23.0 LUFS" in told
    assert "note: 3 clips: BS.1534-3 recommends at least 5" in told
    rows = []
    for listener in ("u0", "u1"):
        for row in (tmp_path / "study" / "key.csv").read_text("utf-8").splitlines()[1:]:
            trial, stimulus, system, *_ = row.split(",")
            rows.append((listener, trial, stimulus, {"reference": 95, "net": 60}.get(system, 30)))
    answers = long(tmp_path / "x.csv", rows)
    assert cli.main(["listening", "read", str(answers), "--key", str(tmp_path / "study" / "key.csv")]) == 0
    assert "\nnet        60.0" in capsys.readouterr().out
    assert cli.main([*line, "--out", str(tmp_path / "study")]) == 1
    assert "a key that is overwritten is lost" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["read", "nowhere.csv"], "listening study nowhere.csv: no such file"),
        (["read", str(CSV), "--reference", "nobody"], "needed reference= one of the stimuli"),
        (["prepare", "a=x", "a=y", "--reference", "r", "--out", "o"], "got 'a' twice"),
        (["prepare", "a=x", "--reference", "r", "--out", "o"], "reference: needed a folder of clips"),
    ],
)
def test_mistakes_are_one_line(
    line: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["listening", *line]) == 1
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_command_line_is_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    for line in (
        [],
        ["read"],
        ["read", str(CSV), "--draws", "0"],
        ["read", str(CSV), "--seed", "-1"],
        ["prepare", "a=x"],
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main(["listening", *line])
        assert ended.value.code == 2
    for line in (["--help"], ["prepare", "--help"], ["read", "--help"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(["listening", *line])
        assert ended.value.code == 0


def test_help_and_reading_import_nothing_slow() -> None:
    slow = ("torch", "pandas", "matplotlib", "hydra", "pyloudnorm", "soundfile")
    for line in ("--help", f"read {CSV}"):
        code = (
            "import sys, contextlib\nfrom clapbench import cli\n"
            f"with contextlib.suppress(SystemExit): cli.main(['listening', *{line.split()!r}])\n"
            f"print([name for name in {slow!r} if name in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1] == "[]"
