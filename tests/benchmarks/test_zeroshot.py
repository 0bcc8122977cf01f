"""Zero-shot classification: the three file formats, parity with torchmetrics, known answers, honest errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_average_precision,
    multilabel_average_precision,
)

from clapbench.benchmarks.zeroshot import ZeroShot, margins_of
from clapbench.schema import Embeddings
from clapbench.scoring.zeroshot import average_precision, classified

ESC50 = "filename,fold,target,category,esc10,src_file,take"
URBAN = "slice_file_name,fsID,start,end,salience,fold,classID,class"


def bench(folder: Path, text: str, *, clips: str | None = None, **arguments: object) -> ZeroShot:
    """A benchmark of a CSV with this text, and an empty file for each of ``clips``."""
    for clip in (clips or "").split():
        (folder / clip).parent.mkdir(parents=True, exist_ok=True)
        (folder / clip).touch()
    (folder / "items.csv").write_text(text, encoding="utf-8")
    return ZeroShot(name="set", csv=folder / "items.csv", root=folder, **arguments)  # type: ignore[arg-type]


def embedded(given: ZeroShot, similarity: Sequence[Sequence[float]], *, seed: int = 0) -> Embeddings:
    """Rows with these similarities [clip, class] up to a factor, in another order than the benchmark's."""
    s = np.array(similarity)
    k, n = s.shape
    audio = np.zeros((k, n + k))
    audio[:, :n] = s / math.sqrt(n)
    audio[np.arange(k), n + np.arange(k)] = np.sqrt(1 - (audio[:, :n] ** 2).sum(axis=1))
    rng = np.random.default_rng(seed)
    clips, captions = rng.permutation(k), rng.permutation(n)
    return Embeddings(
        audio=audio[clips].astype(np.float32),
        audio_id=tuple(given.clips()[row] for row in clips),
        text=np.eye(n, n + k, dtype=np.float32)[captions],
        text_id=tuple(given.captions()[row] for row in captions),
    )


@pytest.mark.parametrize("place", ["audio/", ""])
def test_esc50(tmp_path: Path, place: str) -> None:
    text = f"{ESC50}\n1-a.wav,1,0,crying_baby,False,1,A\n2-b.wav,2,1,dog,True,2,B\n1-c.wav,1,1,dog,True,3,A\n"
    names = [f"{place}{name}" for name in ("1-a.wav", "2-b.wav", "1-c.wav")]
    given = bench(tmp_path, text, clips=" ".join(names))
    (case,) = given.cases()
    assert case.clips == tuple(names)
    assert case.captions == ("This is a sound of crying baby.", "This is a sound of dog.")
    assert case.match == ((True, False), (False, True), (False, True))
    assert given.n_items == 3
    assert given.where(names[1]) == "bench 'set' row 2"
    extra = given.judge(embedded(given, [[0.9, 0.1], [0.8, 0.2], [0.1, 0.3]])).extra
    assert {fold: (found["n"], found["accuracy"]) for fold, found in extra["per_fold"].items()} == {
        "1": (2, 1.0),
        "2": (1, 0.0),
    }


@pytest.mark.parametrize("place", ["audio/fold{}/", "fold{}/", ""])
def test_urbansound(tmp_path: Path, place: str) -> None:
    text = f"{URBAN}\n7-3-0.wav,7,0,1,1,5,3,dog_bark\n9-1-0.wav,9,0,1,1,10,1,car_horn\n"
    names = [place.format(5) + "7-3-0.wav", place.format(10) + "9-1-0.wav"]
    given = bench(tmp_path, text, clips=" ".join(names), template="{label}")
    assert given.clips() == tuple(names)
    assert given.captions() == ("dog bark", "car horn")
    extra = given.judge(embedded(given, [[0.9, 0.1], [0.8, 0.2]])).extra
    assert list(extra["per_fold"]) == ["5", "10"]


@pytest.mark.parametrize("column", ["file", "file_name", "filename", "audio"])
def test_plain_takes_labels_as_they_are(tmp_path: Path, column: str) -> None:
    text = f"\ufeff{column},label\r\nsub/a.wav, big_dog \r\nb.wav,Rain\r\n"
    given = bench(tmp_path, text, clips="sub/a.wav b.wav")
    assert given.clips() == ("sub/a.wav", "b.wav")
    assert given.labels == ("big_dog", "Rain")
    assert "per_fold" not in given.judge(embedded(given, [[0.9, 0.1], [0.8, 0.2]])).extra


FSD50K = 'fname,labels,mids,split\n64,"Bass_guitar,Music","/m/1,/m/2",val\n7,Rain,/m/3,train\n'


@pytest.mark.parametrize("place", ["{}.wav", "FSD50K.dev_audio/{}.wav", "FSD50K.eval_audio/{}.wav", "{}"])
def test_fsd50k(tmp_path: Path, place: str) -> None:
    given = bench(tmp_path, FSD50K, clips=f"{place.format(64)} {place.format(7)}", template="{label}")
    (case,) = given.cases()
    assert case.clips == (place.format(64), place.format(7))
    assert case.captions == ("Bass guitar", "Music", "Rain")
    assert case.match == ((True, True, False), (False, False, True))
    judgement = given.judge(embedded(given, [[0.9, 0.1, 0.2], [0.2, 0.1, 0.3]]))
    assert "accuracy" not in judgement.extra
    assert judgement.items[0]["label"] == "Bass guitar;Music"


@pytest.mark.parametrize("file", [None, "{fname}.wav"])
def test_a_comma_parts_labels_in_fsd50k_alone(tmp_path: Path, file: str | None) -> None:
    given = bench(
        tmp_path, 'fname,label\na,"Dog,Animal"\nb,Rain\n', clips="a.wav b.wav", file=file, template="{label}"
    )
    assert given.captions() == ("Dog", "Animal", "Rain")
    plain = bench(tmp_path, 'fname,file,label\nx,a.wav,"dog, big"\ny,b.wav,rain\n', template="{label}")
    assert plain.captions() == ("dog, big", "rain")
    assert plain.clips() == ("a.wav", "b.wav")
    with pytest.raises(ValueError, match=r"several different ones as 'dog,rain'; labels is 'Rain,Rain'"):
        bench(tmp_path, 'fname,labels\na,"Rain,Rain"\nb,Dog\n').cases()


@pytest.mark.parametrize(
    ("text", "labels", "captions"),
    [
        ("filename,category\na.wav,dog_bark\nb.wav,rain\n", ["rain", "dog_bark"], ["rain", "dog bark"]),
        ("filename,category\na.wav,dog_bark\nb.wav,rain\n", ["rain", "dog bark"], ["rain", "dog bark"]),
        ('fname,labels\na,"Dog_bark,Dog"\nb,Dog\n', ["Dog", "Dog_bark"], ["Dog", "Dog bark"]),
        ("file,label\na.wav,dog_bark\nb.wav,rain\n", ["rain", "dog_bark"], ["rain", "dog_bark"]),
        ("file,label\na.wav,dog_bark\nb.wav,rain\n", ["rain", "dog bark"], ["rain", "dog bark"]),
        ("file,label\na.wav,dog bark\nb.wav,rain\n", ["rain", "dog_bark"], ["rain", "dog_bark"]),
        ("file,label\na.wav,true\nb.wav,7\n", [True, False, 7, None], ["true", "false", "7", "null"]),
    ],
)
def test_classes_may_be_given_as_the_csv_writes_them(
    tmp_path: Path, text: str, labels: list[object], captions: list[str]
) -> None:
    given = bench(tmp_path, text, clips="a.wav b.wav", labels=labels, template="{label}")
    (case,) = given.cases()
    assert case.captions == tuple(captions)
    assert all(any(row) for row in case.match)


def test_classes_that_are_one_when_written_with_spaces_are_refused(tmp_path: Path) -> None:
    text = "filename,category\na.wav,dog_bark\nb.wav,rain\n"
    with pytest.raises(ValueError, match="different from each other"):
        bench(tmp_path, text, clips="a.wav b.wav", labels=["dog_bark", "dog bark", "rain"]).cases()


def test_two_columns_of_labels_that_differ_are_a_doubt(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"row 2: needed one column label, got two that differ: 'rain' and 'sea'"
    ):
        bench(tmp_path, "file,label,label\na.wav,dog,dog\nb.wav,rain,sea\n", clips="a.wav b.wav").cases()


def test_a_pattern_and_classes_of_ones_own(tmp_path: Path) -> None:
    text = "clip,fold,label\na,1,dog\nb,2,rain\n"
    given = bench(
        tmp_path, text, clips="f1/a.wav f2/b.wav", file="f{fold}/{clip}.wav", labels=["rain", "sea", "dog"]
    )
    (case,) = given.cases()
    assert case.clips == ("f1/a.wav", "f2/b.wav")
    assert case.match == ((False, False, True), (True, False, False))
    extra = given.judge(embedded(given, [[0.1, 0.2, 0.3], [0.2, 0.3, 0.1]])).extra
    assert extra["accuracy_chance"] == 1 / 3
    assert (extra["classes"], extra["mAP_classes"]) == (3, 2)
    assert list(extra["per_class"]) == ["rain", "dog"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Filename,Category\na.wav,x\n", r"perhaps Filename to filename, Category to category"),
        ("file|label\na.wav|x\n", r"its separator looks like '\|'"),
        ("filename,target\na.wav,x\n", r"needs the columns .*ESC-50.* it has filename, target"),
        ("slice_file_name,class\na.wav,x\n", "it has slice_file_name, class"),
        ("file,label\n", "0 rows"),
        ("", "not a CSV"),
        ("file,label\na.wav,x\nb.wav, \n", "row 2: needed a label, .* label is ' '"),
        ("file,label\na.wav,x;\nb.wav,y\n", "row 1: needed a label"),
        ("file,label\na.wav,x; x\nb.wav,y\n", "row 1: needed a label, or several different ones"),
        ("file,label\na.wav,x\nb.wav,y\na.wav,x\n", r"row 3 repeats the clip of row 1 \(a.wav\)"),
        ("file,label\n../a.wav,x\nb.wav,y\n", "row 1: .* below it, got '../a.wav'"),
        ("file,label\na.wav,x\nb.wav,x\n", "at least 2 classes to choose from, .* has only 'x'"),
    ],
)
def test_bad_files_are_one_clear_error(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        bench(tmp_path, text, clips="a.wav b.wav").cases()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"labels": ["dogs", "rain"]}, r"row 1: label 'dog' is not among the 2 .* Did you mean 'dogs'\?"),
        ({"labels": ["dog", "rain", "dog"]}, "different from each other"),
        ({"labels": "dog"}, "as a list of at least 2 classes"),
        ({"labels": ["dog", ""]}, "not empty"),
        ({"template": "A sound"}, r"needed a template with \{label\}"),
        ({"template": "{label} {name}"}, "no other braces"),
        ({"file": "{clip}.wav"}, r"bench.file needs a pattern of the columns .* file, label"),
    ],
)
def test_bad_arguments_are_one_clear_error(tmp_path: Path, arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        bench(tmp_path, "file,label\na.wav,dog\nb.wav,rain\n", clips="a.wav b.wav", **arguments).cases()


def test_missing_clips_are_an_error_or_left_out_and_their_class_stays_a_choice(tmp_path: Path) -> None:
    text = "file,label\na.wav,dog\nb.wav,rain\nc.wav,sea\n"
    with pytest.raises(FileNotFoundError, match="1 of 3 clips are missing"):
        bench(tmp_path, text, clips="a.wav b.wav").cases()
    given = bench(tmp_path, text, allow_missing=True)
    (case,) = given.cases()
    assert case.clips == ("a.wav", "b.wav")
    assert len(case.captions) == 3
    assert (given.n_items, given.dropped) == (2, 1)


def test_known_answer_by_hand(tmp_path: Path) -> None:
    text = "file,label\na.wav,dog\nb.wav,dog\nc.wav,rain\nd.wav,sea\n"
    given = bench(tmp_path, text, clips="a.wav b.wav c.wav d.wav")
    s = [[0.9, 0.1, 0.2], [0.3, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.4, 0.4]]
    judgement = given.judge(embedded(given, s))
    extra, rows = judgement.extra, judgement.items
    assert judgement.scores == {"F": None, "G": None, "H": None}
    assert (extra["accuracy"], extra["clips"], extra["classes"]) == (0.5, 4, 3)
    assert extra["accuracy_chance"] == 1 / 3
    assert extra["accuracy_p_chance"] == pytest.approx(0.6049, abs=1e-3)  # P(0) + P(2) + P(3) + P(4)
    low, high = extra["accuracy_ci95"]
    assert low == pytest.approx(0.1500, abs=1e-4)
    assert high == pytest.approx(0.8500, abs=1e-4)
    # dog: a, then b with c tied; rain: c; sea: d.
    precision = {"dog": (1 + 2 / 3) / 2, "rain": 1.0, "sea": 1.0}
    assert {label: of["average_precision"] for label, of in extra["per_class"].items()} == pytest.approx(
        precision
    )
    assert extra["mAP"] == pytest.approx(sum(precision.values()) / 3)
    assert {label: (of["n"], of["accuracy"]) for label, of in extra["per_class"].items()} == {
        "dog": (2, 0.5),
        "rain": (1, 1.0),
        "sea": (1, 0.0),
    }
    assert [row["rank"] for row in rows] == [1, 3, 1, 2]
    assert [row["predicted"] for row in rows] == ["dog", "rain", "rain", "rain"]  # a tie is a miss
    assert [row["margin"] > 0 for row in rows] == [True, False, True, False]
    assert judgement.ties == 1
    assert list(rows[0]) == ["item", "clip", "label", "predicted", "rank", "similarity", "margin"]


def test_several_labels_leave_the_map(tmp_path: Path) -> None:
    text = "file,label\na.wav,dog; rain\nb.wav,sea\nc.wav,rain;sea;dog\n"
    given = bench(tmp_path, text, clips="a.wav b.wav c.wav")
    judgement = given.judge(embedded(given, [[0.1, 0.8, 0.2], [0.5, 0.3, 0.4], [0.3, 0.2, 0.1]]))
    assert "accuracy" not in judgement.extra
    precision = {"dog": (1 / 2 + 2 / 3) / 2, "rain": (1 + 2 / 3) / 2, "sea": (1 + 2 / 3) / 2}
    assert judgement.extra["mAP"] == pytest.approx(sum(precision.values()) / 3)
    assert judgement.extra["per_class"]["dog"] == {
        "n": 2,
        "average_precision": pytest.approx(precision["dog"]),
    }
    assert [row["label"] for row in judgement.items] == ["dog;rain", "sea", "dog;rain;sea"]
    assert [row["rank"] for row in judgement.items] == [1, 2, 1]
    assert judgement.items[2]["margin"] is None  # every class is its own


def clips_of(n: int, classes: int, *, levels: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    s = torch.rand(n, classes, generator=rng, dtype=torch.float64)
    own = torch.cat([torch.arange(classes), torch.randint(classes, (n - classes,), generator=rng)])
    s[torch.arange(n), own] += 0.3
    if levels:
        s = (s * levels).round() / levels
    return s, own


@pytest.mark.parametrize("levels", [0, 4, 10])
def test_equal_to_torchmetrics(levels: int) -> None:
    s, own = clips_of(120, 7, levels=levels, seed=levels)
    match = torch.nn.functional.one_hot(own, 7).bool()
    found = classified(s, match, labels=list("abcdefg"), folds=[None] * 120)
    expected = multiclass_average_precision(s / 2, own, num_classes=7, average="none")
    precision = [of["average_precision"] for of in found["per_class"].values()]
    assert precision == pytest.approx(expected.tolist(), abs=1e-6)
    assert found["mAP"] == pytest.approx(float(expected.mean()), abs=1e-6)
    against = s - 1e-9 * match  # torchmetrics gives a tie to the first class
    for average, ours in (("micro", found["accuracy"]), ("macro", None)):
        theirs = float(multiclass_accuracy(against, own, num_classes=7, average=average))
        ours = ours or sum(of["accuracy"] for of in found["per_class"].values()) / 7
        assert ours == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("levels", [0, 5])
def test_equal_to_torchmetrics_with_several_labels(levels: int) -> None:
    s, own = clips_of(80, 6, levels=levels, seed=1)
    match = torch.nn.functional.one_hot(own, 6).bool() | (s > 1.0)
    found = classified(s, match, labels=list("abcdef"), folds=[None] * 80)
    expected = multilabel_average_precision(s / 2, match.long(), num_labels=6)
    assert found["mAP"] == pytest.approx(float(expected), abs=1e-6)


def test_average_precision_is_a_plain_loop_over_its_definition() -> None:
    s, own = clips_of(60, 5, levels=6, seed=2)
    for t in range(5):
        values, hits = s[:, t].tolist(), (own == t).tolist()
        expected, recall = 0.0, 0.0
        for level in sorted(set(values), reverse=True):
            taken = [hit for value, hit in zip(values, hits, strict=True) if value >= level]
            expected += (sum(taken) / sum(hits) - recall) * sum(taken) / len(taken)
            recall = sum(taken) / sum(hits)
        assert average_precision(s[:, t], own == t) == pytest.approx(expected)


def test_the_order_of_rows_does_not_matter() -> None:
    s, own = clips_of(50, 4, levels=8, seed=3)
    match = torch.nn.functional.one_hot(own, 4).bool()
    folds = [str(row % 3) for row in range(50)]
    clips, classes = (torch.randperm(n, generator=torch.Generator().manual_seed(5)) for n in (50, 4))
    one = classified(s, match, labels=list("abcd"), folds=folds)
    other = classified(
        s[clips][:, classes],
        match[clips][:, classes],
        labels=["abcd"[t] for t in classes],
        folds=[folds[c] for c in clips],
    )
    assert other == {**one, "per_class": {label: one["per_class"][label] for label in other["per_class"]}}
    assert (margins_of(s, match)[clips] == margins_of(s[clips][:, classes], match[clips][:, classes])).all()
