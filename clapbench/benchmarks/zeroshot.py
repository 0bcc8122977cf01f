"""Zero-shot classification sets: clips and their labels from a CSV, each class turned into a caption by a template.

Formats: ESC-50 (Piczak 2015), https://github.com/karolpiczak/ESC-50; UrbanSound8K (Salamon et al. 2014),
https://urbansounddataset.weebly.com/urbansound8k.html; FSD50K (Fonseca et al. 2022), https://zenodo.org/record/4060432;
or a file and a label per row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from clapbench.benchmarks.base import Benchmark
from clapbench.benchmarks.tables import Row, Speaker, lacks_columns, read_table, refuse_twins
from clapbench.console import brief
from clapbench.kinds import File, Folder, Name
from clapbench.schema import Case, Embeddings, Judgement
from clapbench.scoring.similarity import NEAR_TIE, margins_of, similarities_of
from clapbench.scoring.zeroshot import classified, items


class Format(NamedTuple):
    """Which columns hold the file and the label, and where the clips may lie, the released layout first."""

    file: str
    label: str
    patterns: tuple[str, ...]
    underscores: bool = False  # stand for spaces in labels
    separators: str = ";"  # between the labels of one clip
    always: bool = False  # the file's column is what tells the format, even where bench.file makes the path


FSD50K = ("{fname}.wav", "FSD50K.dev_audio/{fname}.wav", "FSD50K.eval_audio/{fname}.wav", "{fname}")
FORMATS = (
    Format("filename", "category", ("audio/{filename}", "{filename}"), underscores=True),  # ESC-50
    Format(
        "slice_file_name",
        "class",
        ("audio/fold{fold}/{slice_file_name}", "fold{fold}/{slice_file_name}", "{slice_file_name}"),
        underscores=True,
    ),  # UrbanSound8K
    Format("fname", "labels", FSD50K, underscores=True, separators=",;", always=True),
    *(Format(file, "label", (f"{{{file}}}",)) for file in ("file", "file_name", "filename", "audio")),
    Format("fname", "label", FSD50K, underscores=True, separators=",;", always=True),
)
Label = str | int | float | bool | None  # as yaml reads bench.labels


class ZeroShot(Benchmark):
    """Clips and their labels from a CSV of ESC-50, UrbanSound8K or FSD50K, or with a file and a label per row.

    ``template`` holds ``{label}``. ``labels`` are the classes to choose from, with spaces or as the CSV writes them;
    None those of the CSV. ``file`` makes a clip's path below ``root`` from the columns of its row, None finds where the
    format's clips lie. Rows with several labels, as ``dog;rain`` (FSD50K: ``Dog,Animal``), leave mAP and no accuracy.
    An item is a clip. A column ``fold`` gives an accuracy per fold.
    """

    def __init__(
        self,
        *,
        name: Name,
        csv: File,
        root: Folder,
        template: str = "This is a sound of {label}.",
        labels: Sequence[Label] | None = None,
        file: str | None = None,
        allow_missing: bool = False,
    ) -> None:
        root = Path(root).expanduser()
        super().__init__(name=name, root=root, protocol="official", allow_missing=allow_missing)
        if "{label}" not in template or template.replace("{label}", "").count("{"):
            raise ValueError(
                f"bench {name!r}: needed a template with {{label}} and no other braces, got {template!r}. "
                f"Set bench.template='This is a sound of {{label}}.'"
            )
        self.csv = Path(csv).expanduser()
        self.template, self.file = template, file
        self.given = None if labels is None else self.distinct(labels)
        # Known after `cases`:
        self.labels: tuple[str, ...] = ()
        self.first_row: dict[str, str] = {}  # of each clip
        self.fold: dict[str, str] = {}  # of each clip, where there are folds

    @property
    def n_items(self) -> int:
        """How many clips are classified."""
        return len(self.clips())

    def where(self, clip_id: str) -> str:
        """The row of the CSV that first names a clip, as errors put it."""
        return f"bench {self.name!r} {self.first_row.get(clip_id, 'row ?')}"

    def read_cases(self) -> list[Case]:
        """A case per clip with the captions of its labels; `with_clips` makes them one."""
        rows = read_table(self.csv, speaker=Speaker.bench(self.name), columns=())
        who = f"bench {self.name!r}: {brief(self.csv)}"
        form = self.format_of(list(rows[0]))
        refuse_twins(rows, (form.label,) if self.file is not None else (form.label, form.file), who=who)
        classes = self.classes(form)
        cases = []
        self.first_row, self.fold = {}, {}
        for row, path in zip(rows, self.paths(rows, form), strict=True):
            place = f"{who} {row.place}"
            clip, labels = self.files.id_of(path, who=place), labels_of(row[form.label], form=form, who=place)
            earlier = self.first_row.setdefault(clip, row.place)
            if earlier != row.place:
                raise ValueError(
                    f"{place} repeats the clip of {earlier} ({brief(clip)}). Take one out; several labels of a clip "
                    f"stand in one row, as 'dog{form.separators[0]}rain'."
                )
            if classes:
                labels = tuple(self.known(label, classes, who=place) for label in labels)
            if row.get("fold", "").strip():
                self.fold[clip] = row["fold"].strip()
            cases.append(Case(clips=(clip,), captions=labels, match=((True,) * len(labels),)))
        self.labels = classes or tuple(dict.fromkeys(label for case in cases for label in case.captions))
        if len(self.labels) < 2:
            raise ValueError(
                f"bench {self.name!r}: needed at least 2 classes to choose from, {brief(self.csv)} has only "
                f"{self.labels[0]!r}. Set bench.labels=[...] to all of them."
            )
        return cases

    def format_of(self, names: Sequence[str]) -> Format:
        """The format whose columns the CSV has. ``ValueError`` where it has none's."""
        fitting = []
        for form in FORMATS:
            fields = {form.label} if self.file is not None and not form.always else {form.label, form.file}
            if "{fold}" in form.patterns[0] and self.file is None:
                fields.add("fold")
            if fields <= set(names):
                fitting.append(form)
        if fitting:
            return min(fitting, key=lambda form: form.file not in names)
        known = dict.fromkeys(name for form in FORMATS for name in (form.file, form.label, "fold"))
        raise lacks_columns(
            f"bench {self.name!r}: {brief(self.csv)}",
            needed="filename, category (ESC-50), or slice_file_name, fold, class (UrbanSound8K), or fname, labels "
            "(FSD50K), or file, label",
            names=names,
            known=list(known),
        )

    def classes(self, form: Format) -> tuple[str, ...] | None:
        """``bench.labels`` as they stand in captions; None where the CSV's are taken."""
        if self.given is None or not form.underscores:
            return self.given
        return self.distinct([spaced(label) for label in self.given])

    def distinct(self, labels: Sequence[Label]) -> tuple[str, ...]:
        """The classes given; ValueError for fewer than 2, for a repeated one and for one without a name."""
        names = (labels,) if isinstance(labels, str) else tuple(map(written, labels))
        if len(set(names)) < max(len(names), 2) or not all(name.strip() for name in names):
            raise ValueError(
                f"bench {self.name!r}: needed bench.labels as a list of at least 2 classes, different from each other "
                f"and not empty; got {list(names)}. Set bench.labels=[dog,rain]."
            )
        return names

    def known(self, label: str, classes: Sequence[str], *, who: str) -> str:
        """The class that a label of the CSV is, as ``bench.labels`` writes it: underscores may stand for spaces."""
        if label in classes:
            return label
        alike = [known for known in classes if spaced(known) == spaced(label)]
        if len(alike) == 1:
            return alike[0]
        near = get_close_matches(label, classes, n=1)
        raise ValueError(
            f"{who}: label {label!r} is not among the {len(classes)} of bench.labels."
            f"{f' Did you mean {near[0]!r}?' if near else ''} Add it there, or correct the row."
        )

    def paths(self, rows: Sequence[Row], form: Format) -> list[str]:
        """Each row's clip; where patterns compete, by that which most rows have a file for, the first of equals."""
        patterns = form.patterns if self.file is None else (self.file,)
        return self.files.paths(rows, patterns, csv=self.csv, speaker=Speaker.bench(self.name))

    def with_clips(self, cases: list[Case]) -> list[Case]:
        """One case of the clips on disk and a caption for every class, those without clips as well."""
        kept = super().with_clips(cases)
        return [
            Case(
                clips=tuple(clip for case in kept for clip in case.clips),
                captions=tuple(self.template.replace("{label}", label) for label in self.labels),
                match=tuple(tuple(label in case.captions for label in self.labels) for case in kept),
            )
        ]

    def judge(self, embeddings: Embeddings) -> Judgement:
        """Accuracy and mAP."""
        (case,) = self.cases()
        s, match = similarities_of(embeddings, case), case.match_matrix
        margins = margins_of(s, match)
        folds = [self.fold.get(clip) for clip in case.clips]
        return Judgement(
            scores=dict.fromkeys(("F", "G", "H")),
            extra=classified(s, match, labels=self.labels, folds=folds),
            items=tuple(items(s, case, labels=self.labels, folds=folds)),
            ties=int((margins == 0).sum()),
            near_ties=int((margins.abs() <= NEAR_TIE).sum()),
        )


def labels_of(cell: str, *, form: Format, who: str) -> tuple[str, ...]:
    """The labels of one clip, in the file's order."""
    found = tuple(part.strip() for part in re.split(f"[{form.separators}]", cell))
    if form.underscores:
        found = tuple(map(spaced, found))
    if not all(found) or len(set(found)) < len(found):
        raise ValueError(
            f"{who}: needed a label, or several different ones as 'dog{form.separators[0]}rain'; {form.label} is "
            f"{cell!r}. Correct it, or take the row out."
        )
    return found


def spaced(label: str) -> str:
    """A label with spaces for its underscores."""
    return label.replace("_", " ")


def written(label: Label) -> str:
    """A class of ``bench.labels`` as a CSV writes it.

    >>> [written(label) for label in ("dog", 7, True, None)]
    ['dog', '7', 'true', 'null']
    """
    if isinstance(label, bool):
        return str(label).lower()
    return "null" if label is None else str(label)
