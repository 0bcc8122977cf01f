"""Zero-shot classification sets: clips and their labels from a CSV, each class turned into a caption by a template.

Formats: ESC-50 (Piczak 2015), https://github.com/karolpiczak/ESC-50; UrbanSound8K (Salamon et al. 2014),
https://urbansounddataset.weebly.com/urbansound8k.html; or a file and a label per row.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from clapbench.benchmarks.base import Benchmark, clip_id, read_table
from clapbench.schema import Case, Embeddings, Judgement
from clapbench.scoring.similarity import NEAR_TIE, margins_of, similarities_of
from clapbench.scoring.zeroshot import SEVERAL, classified, items


class Format(NamedTuple):
    """Which columns hold the file and the label, and where the clips may lie, the released layout first."""

    file: str
    label: str
    patterns: tuple[str, ...]
    underscores: bool = False  # stand for spaces in labels


FORMATS = (
    Format("filename", "category", ("audio/{filename}", "{filename}"), underscores=True),  # ESC-50
    Format(
        "slice_file_name",
        "class",
        ("audio/fold{fold}/{slice_file_name}", "fold{fold}/{slice_file_name}", "{slice_file_name}"),
        underscores=True,
    ),  # UrbanSound8K
    *(Format(file, "label", (f"{{{file}}}",)) for file in ("file", "file_name", "filename", "audio")),
)


class ZeroShot(Benchmark):
    """Clips and their labels from a CSV in the format of ESC-50, of UrbanSound8K, or with a file and a label per row.

    ``template`` holds ``{label}``. ``labels`` are the classes to choose from, None those of the CSV. ``file`` makes a
    clip's path below ``root`` from the columns of its row, None finds where the format's clips lie. Rows with several
    labels, as ``dog;rain``, leave mAP and no accuracy. An item is a clip. A column ``fold`` gives an accuracy per fold.
    """

    def __init__(
        self,
        *,
        name: str,
        csv: str | Path,
        root: str | Path,
        template: str = "This is a sound of {label}.",
        labels: Sequence[str] | None = None,
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
        self.first_row: dict[str, int] = {}  # of each clip
        self.fold: dict[str, str] = {}  # of each clip, where there are folds

    @property
    def n_items(self) -> int:
        """How many clips are classified."""
        return len(self.clips())

    def where(self, clip_id: str) -> str:
        """The row of the CSV that first names a clip, as errors put it."""
        return f"bench {self.name!r} row {self.first_row.get(clip_id, '?')}"

    def read_cases(self) -> list[Case]:
        """A case per clip with the captions of its labels; `with_clips` makes them one."""
        rows = read_table(self.csv, name=self.name, columns=())
        form = self.format_of(list(rows[0]))
        cases = []
        self.first_row, self.fold = {}, {}
        for number, (row, path) in enumerate(zip(rows, self.paths(rows, form), strict=True), start=1):
            who = f"bench {self.name!r}: {self.csv} row {number}"
            clip, labels = clip_id(path, who=who), labels_of(row[form.label], form=form, who=who)
            earlier = self.first_row.setdefault(clip, number)
            if earlier != number:
                raise ValueError(
                    f"{who} repeats the clip of row {earlier} ({clip}). Take one out; several labels of a clip "
                    f"stand in one row, as 'dog{SEVERAL}rain'."
                )
            for label in labels:
                self.check_known(label, who=who)
            if row.get("fold", "").strip():
                self.fold[clip] = row["fold"].strip()
            cases.append(Case(clips=(clip,), captions=labels, match=((True,) * len(labels),)))
        self.labels = self.given or tuple(dict.fromkeys(label for case in cases for label in case.captions))
        if len(self.labels) < 2:
            raise ValueError(
                f"bench {self.name!r}: needed at least 2 classes to choose from, {self.csv} has only "
                f"{self.labels[0]!r}. Set bench.labels=[...] to all of them."
            )
        return cases

    def format_of(self, names: Sequence[str]) -> Format:
        """The format whose columns the CSV has. ``ValueError`` where it has none's."""
        for form in FORMATS:
            fields = {form.label} if self.file is not None else {form.label, form.file}
            if "{fold}" in form.patterns[0] and self.file is None:
                fields.add("fold")
            if fields <= set(names):
                return form
        raise ValueError(
            f"bench {self.name!r}: {self.csv} needs the columns filename, category (ESC-50), or slice_file_name, fold, "
            f"class (UrbanSound8K), or file, label; it has {', '.join(names)}. Rename its columns."
        )

    def distinct(self, labels: Sequence[str]) -> tuple[str, ...]:
        """The classes given; ValueError for fewer than 2, for a repeated one and for one without a name."""
        names = (labels,) if isinstance(labels, str) else tuple(map(str, labels))
        if len(set(names)) < max(len(names), 2) or not all(name.strip() for name in names):
            raise ValueError(
                f"bench {self.name!r}: needed bench.labels as a list of at least 2 classes, different from each other "
                f"and not empty; got {list(names)}. Set bench.labels=[dog,rain]."
            )
        return names

    def check_known(self, label: str, *, who: str) -> None:
        """ValueError for a label that is not among the classes given."""
        if self.given is not None and label not in self.given:
            near = get_close_matches(label, self.given, n=1)
            raise ValueError(
                f"{who}: label {label!r} is not among the {len(self.given)} of bench.labels."
                f"{f' Did you mean {near[0]!r}?' if near else ''} Add it there, or correct the row."
            )

    def paths(self, rows: Sequence[dict[str, str]], form: Format) -> list[str]:
        """Each row's clip; where patterns compete, by that which most rows have a file for, the first of equals."""
        patterns = form.patterns if self.file is None else (self.file,)
        try:
            named = {pattern: [pattern.format_map(row) for row in rows] for pattern in patterns}
        except (KeyError, ValueError, IndexError, AttributeError) as error:
            raise ValueError(
                f"bench {self.name!r}: bench.file needs a pattern of the columns of {self.csv}, "
                f"{', '.join(rows[0])}; got {self.file!r} ({error!r}). Correct it."
            ) from error
        here = {
            pattern: sum((self.root / path).is_file() for path in paths) for pattern, paths in named.items()
        }
        return named[max(patterns, key=here.__getitem__)]

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
    found = tuple(part.strip() for part in cell.split(SEVERAL))
    if form.underscores:
        found = tuple(label.replace("_", " ") for label in found)
    if not all(found) or len(set(found)) < len(found):
        raise ValueError(
            f"{who}: needed a label, or several different ones as 'dog{SEVERAL}rain'; {form.label} is {cell!r}. "
            f"Correct it, or take the row out."
        )
    return found
