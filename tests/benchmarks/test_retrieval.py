"""Retrieval: the three file formats, ranks with ties against the model, parity with torchmetrics, honest errors."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional.retrieval import retrieval_average_precision, retrieval_hit_rate

from clapbench.benchmarks.retrieval import Retrieval
from clapbench.schema import Embeddings, Judgement
from clapbench.scoring.retrieval import match_ranks, recall_chance, retrieved

CLOTHO = "file_name," + ",".join(f"caption_{number}" for number in range(1, 6))
AUDIOCAPS = "audiocap_id,youtube_id,start_time,caption"


def bench(folder: Path, text: str, *, clips: str | None = None, **arguments: object) -> Retrieval:
    """A benchmark of a CSV with this text, and an empty file for each of ``clips``."""
    for clip in (clips or "").split():
        (folder / clip).parent.mkdir(parents=True, exist_ok=True)
        (folder / clip).touch()
    (folder / "items.csv").write_text(text, encoding="utf-8")
    return Retrieval(name="set", csv=folder / "items.csv", root=folder, **arguments)  # type: ignore[arg-type]


def clotho(folder: Path, rows: list[tuple[str, list[str]]]) -> Retrieval:
    with (folder / "clotho.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([CLOTHO.split(","), *([clip, *captions] for clip, captions in rows)])
    for clip, _ in rows:
        (folder / clip).touch()
    return Retrieval(name="clotho", csv=folder / "clotho.csv", root=folder)


def embedded(given: Retrieval, similarity: np.ndarray, *, seed: int | None = None) -> Embeddings:
    """Rows with these similarities [clip, caption], up to a factor, in the benchmark's order or another."""
    k, n = similarity.shape
    assert np.abs(similarity).max() <= 1
    # Clips are unit vectors; a caption has its similarities as coordinates, and one more that makes its length 1.
    text = np.zeros((n, k + n), dtype=np.float32)
    text[:, :k] = similarity.T / math.sqrt(k)
    text[np.arange(n), k + np.arange(n)] = np.sqrt(1 - (text[:, :k].astype(np.float64) ** 2).sum(axis=1))
    audio = np.eye(k, k + n, dtype=np.float32)
    rng = np.random.default_rng(seed)
    clip_order, caption_order = (np.arange(m) if seed is None else rng.permutation(m) for m in (k, n))
    return Embeddings(
        audio=audio[clip_order],
        audio_id=tuple(given.clips()[row] for row in clip_order),
        text=text[caption_order],
        text_id=tuple(given.captions()[row] for row in caption_order),
    )


def test_clotho(tmp_path: Path) -> None:
    given = bench(
        tmp_path,
        f'\ufeff{CLOTHO}\r\n"a b, c.wav",A dog,"Rain, falling",Wind,Bell,Car\r\nsub/d.wav,Cat,Wind,Sea,Bird,Door\r\n',
        clips="sub/d.wav",
    )
    (tmp_path / "a b, c.wav").touch()
    (case,) = given.cases()
    assert case.clips == given.clips() == ("a b, c.wav", "sub/d.wav")
    assert case.captions == ("A dog", "Rain, falling", "Wind", "Bell", "Car", "Cat", "Sea", "Bird", "Door")
    assert given.n_items == 2
    wind = case.captions.index("Wind")
    assert case.match_matrix[:, wind].tolist() == [True, True]  # it stands for both
    assert case.match_matrix.sum(dim=1).tolist() == [5, 5]
    assert given.where("sub/d.wav") == "bench 'set' row 2"
    assert len(given.fingerprint()) == 64


@pytest.mark.parametrize(
    "names", ["xyz.wav -q1.wav", "Yxyz.wav Y-q1.wav", "xyz_30.wav -q1_120.wav"], ids=["id", "Yid", "id_start"]
)
def test_audiocaps_collects_a_clips_rows_and_finds_its_files(tmp_path: Path, names: str) -> None:
    text = f"{AUDIOCAPS}\n1,xyz,30,A dog\n2,-q1,120,Rain\n3,xyz,30,A dog barks\n"
    (case,) = bench(tmp_path, text, clips=names).cases()
    assert case.clips == tuple(names.split())
    assert case.captions == ("A dog", "A dog barks", "Rain")
    assert case.match == ((True, True, False), (False, False, True))


def test_audiocaps_with_a_pattern_of_ones_own(tmp_path: Path) -> None:
    text = f"{AUDIOCAPS}\n1,xyz,30,A dog\n2,xyz,60,Rain\n"
    names = "test/xyz-30.flac test/xyz-60.flac"
    given = bench(tmp_path, text, clips=names, file="test/{youtube_id}-{start_time}.flac")
    assert given.clips() == tuple(names.split())


@pytest.mark.parametrize("column", ["file_name", "file", "audio", "filename"])
def test_plain_rows_collect_captions(tmp_path: Path, column: str) -> None:
    text = f"{column},caption,split\na.wav,A dog,test\nb.wav,Rain,test\n./a.wav,Barking,test\n"
    (case,) = bench(tmp_path, text, clips="a.wav b.wav").cases()
    assert (case.clips, case.captions) == (("a.wav", "b.wav"), ("A dog", "Barking", "Rain"))
    assert case.match == ((True, True, False), (False, False, True))


@pytest.mark.parametrize(
    "header",
    [
        "caption,caption",
        "caption_0,caption_1",
        "caption1,caption2",
        "caption_1,caption_1",
        "caption,caption.1",
    ],
)
def test_every_column_of_captions_counts(tmp_path: Path, header: str) -> None:
    given = bench(tmp_path, f"file,{header}\na.wav,A dog,Barking\nb.wav,Rain,Wind\n", clips="a.wav b.wav")
    (case,) = given.cases()
    assert case.captions == ("A dog", "Barking", "Rain", "Wind")
    assert case.match == ((True, True, False, False), (False, False, True, True))


def test_names_with_spaces_as_clotho_has_them(tmp_path: Path) -> None:
    names = [" lead.wav", "trail.wav ", "two  spaces.wav", "plain.wav"]
    given = clotho(tmp_path, [(name, [f"{name}{number}" for number in range(5)]) for name in names])
    assert given.clips() == tuple(names)
    assert [given.audio_path(clip).name for clip in given.clips()] == names
    assert given.where(" lead.wav") == "bench 'clotho' row 1"
    assert len(given.fingerprint()) == 64
    (tmp_path / " lead.wav").rename(tmp_path / "lead.wav")
    again = Retrieval(name="clotho", csv=tmp_path / "clotho.csv", root=tmp_path)
    assert again.clips()[0] == "lead.wav"


def test_cells_of_a_pattern_are_tried_as_written_and_then_without_spaces(tmp_path: Path) -> None:
    text = f"{AUDIOCAPS}\n1,xyz ,30,A dog\n2, q,7,Rain\n3,plain,7,Wind\n"
    (tmp_path / " q.wav").touch()
    given = bench(tmp_path, text, clips="xyz.wav plain.wav")
    assert given.clips() == ("xyz.wav", " q.wav", "plain.wav")


def test_two_columns_of_files_that_differ_are_a_doubt(tmp_path: Path) -> None:
    text = "file,file,caption\na.wav,a.wav,A dog\nb.wav,{},Rain\n"
    assert bench(tmp_path, text.format("b.wav"), clips="a.wav b.wav").n_items == 2
    with pytest.raises(
        ValueError, match=r"row 2: needed one column file, got two that differ: 'b.wav' and 'c"
    ):
        bench(tmp_path, text.format("c.wav")).cases()


def test_a_name_that_no_file_can_have_is_missing(tmp_path: Path) -> None:
    text = f"file,caption\na.wav,A dog\nb.wav,Rain\n{'x' * 400}.wav,Wind\nfolder,Sea\n"
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileNotFoundError, match="2 of 4 clips are missing"):
        bench(tmp_path, text, clips="a.wav b.wav").cases()
    given = bench(tmp_path, text, allow_missing=True)
    assert (given.clips(), given.dropped) == (("a.wav", "b.wav"), 2)


def test_a_caption_that_one_clip_has_twice_counts_once_and_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = f"{AUDIOCAPS}\n1,x,0,A dog\n2,y,0,Rain\n3,x,0,A dog\n"
    given = bench(tmp_path, text, clips="x.wav y.wav")
    assert given.captions() == ("A dog", "Rain")
    assert "1 captions" in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("File_Name,Caption 1\na.wav,x\n", r"perhaps File_Name to file_name, Caption 1 to caption_1"),
        ("file_name;caption\na.wav;x, y\n", r"its separator looks like ';'"),
        ("file_name,text\na.wav,x\n", r"needs the columns .*Clotho.* it has file_name, text"),
        ("caption\nx\n", "it has caption"),
        ("youtube_id,caption\nx,y\n", "it has youtube_id, caption"),
        ("file,caption\n", "0 rows"),
        ("", "not a CSV"),
        ("file,caption\na.wav,x\nb.wav, \n", "row 2: needed a caption, caption is empty"),
        (f"{CLOTHO}\na.wav,1,2,,4,5\nb.wav,1,2,3,4,5\n", "row 1: needed a caption, caption_3 is empty"),
        ("file,caption\na.wav,x\nb.wav,y\na.wav,x\n", r"row 3 repeats row 1 \(a.wav: 'x'\)"),
        ("file,caption\n../a.wav,x\nb.wav,y\n", "row 1: .* below it, got '../a.wav'"),
        ("file,caption\n,x\nb.wav,y\n", "row 1: needed a clip's path"),
        ("file,caption\na.wav,x\na.wav,y\n", "at least 2 clips to choose from, got 1"),
        (f"{AUDIOCAPS}\n1,a,0,x\n2,a,7,y\n3,b,0,z\n", r"row 2: needed one file per segment, got a.wav"),
    ],
)
def test_bad_files_are_one_clear_error(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        bench(tmp_path, text, clips="a.wav b.wav").cases()


@pytest.mark.parametrize("pattern", ["{video}.wav", "{file", "{file.name}", "{0}"])
def test_a_pattern_that_the_columns_do_not_fill_is_refused(tmp_path: Path, pattern: str) -> None:
    given = bench(tmp_path, "file,caption\na.wav,x\nb.wav,y\n", clips="a.wav b.wav", file=pattern)
    with pytest.raises(ValueError, match=r"bench.file needs a pattern of the columns .* file, caption"):
        given.cases()


def test_audiocaps_without_any_file_names_the_patterns(tmp_path: Path) -> None:
    given = bench(tmp_path, f"{AUDIOCAPS}\n1,a,0,x\n2,b,7,y\n")
    with pytest.raises(
        FileNotFoundError, match=r"\{youtube_id\}.wav or Y\{youtube_id\}.wav .*Set bench.root"
    ):
        given.cases()


def test_missing_clips_are_an_error_or_left_out_with_the_captions_that_only_they_have(tmp_path: Path) -> None:
    text = "file,caption\na.wav,x\nb.wav,y\nc.wav,z\nc.wav,x\n"
    with pytest.raises(FileNotFoundError, match="1 of 3 clips are missing"):
        bench(tmp_path, text, clips="a.wav b.wav").cases()
    given = bench(tmp_path, text, allow_missing=True)
    (case,) = given.cases()
    assert (case.clips, case.captions) == (("a.wav", "b.wav"), ("x", "y"))
    assert (given.n_items, given.dropped) == (2, 1)
    (tmp_path / "b.wav").unlink()
    with pytest.raises(ValueError, match=r"got 1 \(2 left out\)"):
        bench(tmp_path, text, allow_missing=True).cases()


def test_known_answer_by_hand(tmp_path: Path) -> None:
    text = "file,caption\na.wav,A1\na.wav,A2\nb.wav,B\nc.wav,C\n"
    given = bench(tmp_path, text, clips="a.wav b.wav c.wav")
    #             A1   A2   B    C
    s = np.array(
        [
            [0.9, 0.2, 0.5, 0.2],  # a: ranks 1 and, with B and the tied C before A2, 4
            [0.1, 0.6, 0.6, 0.1],  # b: B ties with A2, rank 2
            [0.1, 0.7, 0.1, 0.8],  # c: rank 1
        ]
    )
    judgement = given.judge(embedded(given, s, seed=1))
    extra = judgement.extra
    assert judgement.scores == {"F": None, "G": None, "H": None}
    assert [row["rank"] for row in judgement.items] == [1, 3, 1, 1]
    assert (extra["t2a_n"], extra["t2a_candidates"], extra["a2t_n"], extra["a2t_candidates"]) == (4, 3, 3, 4)
    assert extra["t2a_R@1"] == 3 / 4
    assert extra["t2a_R@5"] == 1.0
    assert extra["t2a_mAP@10"] == pytest.approx((1 + 1 / 3 + 1 + 1) / 4)
    assert extra["t2a_medR"] == 1
    assert extra["a2t_R@1"] == 2 / 3
    assert extra["a2t_mAP@10"] == pytest.approx(((1 + 2 / 4) / 2 + 1 / 2 + 1) / 3)
    assert extra["t2a_R@1_chance"] == pytest.approx(1 / 3)
    assert extra["a2t_R@1_chance"] == pytest.approx((2 / 4 + 1 / 4 + 1 / 4) / 3)
    low, high = extra["t2a_R@1_ci95"]
    assert 0.30 < low < 0.75 < high < 0.96
    assert judgement.ties == 1  # clip b between its own B and A2; A2 is behind others anyway for clip a
    worst = judgement.items[1]
    assert (worst["caption"], worst["clip"], worst["best_wrong_clip"]) == ("A2", "a.wav", "c.wav")
    assert worst["margin"] == pytest.approx(worst["similarity"] - worst["wrong_similarity"])
    assert worst["margin"] < 0


def test_a_caption_of_every_clip_has_nothing_to_lose_against(tmp_path: Path) -> None:
    given = bench(tmp_path, "file,caption\na.wav,noise\nb.wav,noise\na.wav,A\n", clips="a.wav b.wav")
    judgement = given.judge(embedded(given, np.array([[0.1, 0.2], [0.3, 0.4]])))
    row = judgement.items[0]
    assert (row["rank"], row["clip"], row["best_wrong_clip"], row["margin"]) == (1, "b.wav", None, None)
    assert judgement.extra["t2a_R@1"] == 0.5
    assert judgement.ties == 0


def sets(seed: int, *, levels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random similarities of 30 queries among 40 candidates with 1 to 6 matches; few levels make many ties."""
    rng = torch.Generator().manual_seed(seed)
    s = torch.rand(30, 40, generator=rng, dtype=torch.float64) * 0.8 + 0.1
    if levels:
        s = (s * levels).round() / levels + 0.1
    match = torch.zeros(30, 40, dtype=torch.bool)
    for row in match:
        m = int(torch.randint(1, 7, (1,), generator=rng))
        row[torch.randperm(40, generator=rng)[:m]] = True
    return s + 0.2 * match * (levels == 0), match


@pytest.mark.parametrize(("seed", "levels"), [(0, 0), (1, 0), (2, 5), (3, 2)])
def test_equal_to_torchmetrics_with_ties_turned_against_the_model(seed: int, levels: int) -> None:
    s, match = sets(seed, levels=levels)
    found = retrieved("t2a", s, match)
    against = s - 1e-6 * match  # torchmetrics breaks ties by position
    for k in (1, 5, 10):
        rates = [retrieval_hit_rate(row, own, top_k=k) for row, own in zip(against, match, strict=True)]
        assert found[f"t2a_R@{k}"] == pytest.approx(float(torch.stack(rates).mean()), abs=1e-6)
    expected = []
    for row, own in zip(against, match, strict=True):
        # torchmetrics divides by the matches found among 10; we by all that could be.
        found_10 = own[row.argsort(descending=True)[:10]].sum()
        expected.append(retrieval_average_precision(row, own, top_k=10) * found_10 / own.sum())
    assert found["t2a_mAP@10"] == pytest.approx(float(torch.stack(expected).mean()), abs=1e-6)


def test_ranks_are_a_plain_loop_over_the_definition() -> None:
    s, match = sets(4, levels=4)
    for row, own in zip(s.tolist(), match.tolist(), strict=True):
        wrong = [x for x, hit in zip(row, own, strict=True) if not hit]
        nearest = sorted((x for x, hit in zip(row, own, strict=True) if hit), reverse=True)
        expected = [j + sum(x >= y for x in wrong) for j, y in enumerate(nearest, start=1)]
        assert match_ranks(torch.tensor(row, dtype=torch.float64), torch.tensor(own)).tolist() == expected


def test_more_than_ten_matches_can_be_perfect() -> None:
    s = torch.arange(40, dtype=torch.float64).flip(0)[None]
    assert retrieved("t2a", s, s >= 25)["t2a_mAP@10"] == pytest.approx(1.0)


def test_chance_agrees_with_a_simulation() -> None:
    n = 4000
    s = torch.rand(n, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    match = torch.zeros(n, 30, dtype=torch.bool)
    match[:, :3] = True
    found = retrieved("a2t", s, match)
    for k in (1, 5, 10):
        level = recall_chance(k, matches=3, candidates=30)
        assert found[f"a2t_R@{k}_chance"] == pytest.approx(level)
        assert abs(found[f"a2t_R@{k}"] - level) < 4 * math.sqrt(level * (1 - level) / n)
    assert recall_chance(10, matches=1, candidates=4) == 1.0


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [(f"{clip}.wav", [f"caption {clip} {number}" for number in range(5)]) for clip in range(12)]
    rows[3][1][2] = rows[7][1][0]  # stands for both
    cloud = {id: x for clip, captions in rows for id in (clip, *captions) for x in [rng.standard_normal(16)]}

    def judged(rows: list[tuple[str, list[str]]]) -> Judgement:
        given = clotho(tmp_path, rows)
        audio, text = (np.stack([cloud[id] for id in ids]) for ids in (given.clips(), given.captions()))
        audio, text = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (audio, text))
        return given.judge(
            Embeddings(
                audio=audio.astype(np.float32),
                audio_id=given.clips(),
                text=text.astype(np.float32),
                text_id=given.captions(),
            )
        )

    one, other = judged(rows), judged([(clip, captions[::-1]) for clip, captions in reversed(rows)])
    assert one.extra == other.extra
    key = {row["caption"]: row | {"item": 0} for row in one.items}
    assert len(key) == 59
    assert key == {row["caption"]: row | {"item": 0} for row in other.items}


class TestSwapped:
    TEXT = (
        "file,caption\na.wav,Rain before wind\nb.wav,A dog\nb.wav,Wind before rain\n"
        "c.wav,Loud rain and a quiet dog\n"
    )

    def test_captions_are_chosen_against_their_swapped_forms(self, tmp_path: Path) -> None:
        given = bench(tmp_path, self.TEXT, clips="a.wav b.wav c.wav", swapped="rules")
        plain = bench(tmp_path, self.TEXT)
        assert given.captions() == (*plain.captions(), "Quiet rain and a loud dog")
        assert given.fingerprint() != plain.fingerprint()
        s = np.array(
            [
                [0.9, 0.2, 0.5, 0.2, 0.1],  # a: its caption before the other order
                [0.6, 0.3, 0.6, 0.1, 0.1],  # b: a tie is a miss
                [0.1, 0.7, 0.1, 0.4, 0.8],  # c: nearer to the swapped form
            ]
        )
        extra = given.judge(embedded(given, s, seed=1)).extra
        assert (extra["swapped_n"], extra["swapped_captions"]) == (3, 3)
        assert extra["swapped_accuracy"] == pytest.approx(1 / 3)
        assert extra["swapped_accuracy_chance"] == 0.5
        low, high = extra["swapped_accuracy_ci95"]
        assert 0 < low < 1 / 3 < high < 1
        others = {name: value for name, value in extra.items() if not name.startswith("swapped")}
        assert others == plain.judge(embedded(plain, s[:, :4])).extra

    def test_a_form_that_is_true_as_well_is_not_asked(self, tmp_path: Path) -> None:
        text = f"{self.TEXT}a.wav,Wind before rain\n"
        given = bench(tmp_path, text, clips="a.wav b.wav c.wav", swapped="rules")
        extra = given.judge(embedded(given, np.full((3, 5), 0.5))).extra
        assert (extra["swapped_n"], extra["swapped_accuracy"]) == (2, 0.0)

    def test_where_nothing_can_be_swapped_there_is_no_share(self, tmp_path: Path) -> None:
        given = bench(tmp_path, "file,caption\na.wav,A\nb.wav,B\n", clips="a.wav b.wav", swapped="rules")
        extra = given.judge(embedded(given, np.eye(2))).extra
        assert (extra["swapped_n"], extra["swapped_accuracy"]) == (0, None)
