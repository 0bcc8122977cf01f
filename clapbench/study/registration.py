"""What a study will test, said before its cells exist: study.yaml, and the lock that holds it to that.

A study names its tests with their signs; whatever else the tables show is exploratory. `lock` writes a hash of the
study's content and the date beside it (study.lock), `registered` reads both and says whether the one still fits the
other. Only what was made after the lock was registered.

Source: the distinction is that of Wagenmakers et al. 2012 (An agenda for purely confirmatory research).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from annotated_types import Ge, Gt, Le
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from clapbench import files
from clapbench.results.provenance import provenance

Sign = Literal["positive", "negative", "either"]
BOTH_OBJECTIVES = "both"
EACH = "each"  # of the benchmarks
SCORE = r"^(([a-z_]+_)?[FGH]|pair_assignment|mean_margin)$"  # ``pool_F`` is F under the protocol ``pool``


class Stated(BaseModel):
    """What a study states: no key more, no value of another kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Correlations(Stated):
    """Probes that will be correlated with one score over the cells of a sweep, each with the sign that is expected."""

    probes: dict[str, Sign] = Field(min_length=1)  # the name of a probe tells its side
    score: Annotated[str, Field(pattern=SCORE)] = "H"
    protocol: str = "official"
    bench: str = "pooled"
    coefficient: Literal["spearman", "pearson", "kendall"] = "spearman"
    n: Annotated[int, Ge(4)] | None = None  # rows of each side; None: the fewest among the cells


class Slope(Stated):
    """A regulariser's dose with a number of the validation, over the trainings of one design.

    ``sign`` "none" claims that nothing happens: the change between the ends of ``doses`` is smaller than ``margin``.
    """

    dose: str  # of a regulariser; of several that go together, joined by +
    number: str  # H, rankme_text ...
    bench: str = EACH
    objective: str = BOTH_OBJECTIVES
    doses: tuple[float, float] | None = Field(default=None, strict=False)  # ends, both included; None: all
    sign: Literal["positive", "negative", "either", "none"]
    margin: Annotated[float, Gt(0)] | None = None
    check: bool = False  # that the dose does what it is for: reported, no finding, and not corrected for

    @model_validator(mode="after")
    def ends_rise(self) -> Slope:
        """From the smaller dose to the larger."""
        if self.doses is not None and not self.doses[0] < self.doses[1]:
            raise ValueError("doses go from the smaller to the larger")
        return self

    @model_validator(mode="after")
    def margin_goes_with_none(self) -> Slope:
        """No effect is a claim only with a margin."""
        if (self.sign == "none") != (self.margin is not None):
            raise ValueError("sign: none goes with a margin, and a margin with none")
        return self


class Contrast(Stated):
    """One objective against another, without regularisers: the difference of a number."""

    objective: str
    against: str
    number: str
    bench: str = EACH
    sign: Sign
    check: bool = False

    @model_validator(mode="after")
    def two_objectives(self) -> Contrast:
        """One of each."""
        if BOTH_OBJECTIVES in (self.objective, self.against) or self.objective == self.against:
            raise ValueError("objective and against are two objectives, each by its name")
        return self


class Within(Stated):
    """A correlation of a probe with a score over trainings, centred within their objectives."""

    probe: str
    score: str = "H"
    bench: str = EACH
    sign: Sign


class Study(Stated):
    """The content of a study.yaml."""

    question: str
    design: dict[str, str | int | float | list[int]] = Field(default_factory=dict)
    level: Annotated[float, Gt(0), Le(0.2)] = 0.05
    correlations: Correlations | None = None
    slopes: list[Slope] = Field(default_factory=list)
    contrasts: list[Contrast] = Field(default_factory=list)
    within: list[Within] = Field(default_factory=list)

    @model_validator(mode="after")
    def tests_something(self) -> Study:
        """A study without a test is none."""
        if not (self.correlations or self.slopes or self.contrasts or self.within):
            raise ValueError("it names no test: correlations, slopes, contrasts or within")
        return self

    @property
    def sha256(self) -> str:
        """Of what its file states, whatever its comments and the order of its keys."""
        stated = json.dumps(
            self.model_dump(mode="json", exclude_unset=True), sort_keys=True, ensure_ascii=False
        )
        return sha256(stated.encode()).hexdigest()


class Lock(Stated):
    """The content of a study.lock."""

    sha256: str
    locked: AwareDatetime
    commit: str | None  # of the code; None where it lies in no repository
    version: str  # of clapbench

    @model_validator(mode="before")
    @classmethod
    def moment(cls, given: Any) -> Any:
        """A date is written as ISO 8601."""
        if isinstance(given, dict) and isinstance(given.get("locked"), str):
            given = {**given, "locked": datetime.fromisoformat(given["locked"])}
        return given


class Registered(BaseModel):
    """A study with its lock, as it lies on disk."""

    model_config = ConfigDict(frozen=True)

    name: str
    study: Study
    lock: Lock | None

    @property
    def fits(self) -> bool:
        """Whether the lock is of this very content."""
        return self.lock is not None and self.lock.sha256 == self.study.sha256

    def came_first(self, made: Iterable[str | None]) -> bool:
        """Whether what was ``made`` (ISO 8601, UTC) came after the lock, all of it."""
        moments = [datetime.fromisoformat(one) if one else None for one in made]
        return self.fits and all(
            one is not None and self.lock is not None and one > self.lock.locked for one in moments
        )

    def words(self, made: Iterable[str | None], *, what: str) -> str:
        """What came first, in a sentence; ``what`` names the things made, as "cells"."""
        moments = list(made)
        if self.lock is None:
            return f"Study {self.name} is not locked: all of it is exploratory. Lock it before the {what} are made."
        if not self.fits:
            when = day(self.lock.locked)
            return f"Study {self.name} was changed after it was locked on {when}: all of it is exploratory."
        early = sum(not self.came_first([one]) for one in moments)
        if early:
            return (
                f"Study {self.name} was locked on {day(self.lock.locked)}, when {early} of {len(moments)} {what} were "
                f"there: all of it is exploratory."
            )
        when = day(self.lock.locked)
        return f"Study {self.name} was locked on {when}, before the first of the {len(moments)} {what}."


def as_record(found: Registered) -> dict[str, Any]:
    """A study with its lock in plain values, for sweep.json."""
    return {
        "name": found.name,
        "study": found.study.model_dump(mode="json", exclude_unset=True),
        "lock": found.lock.model_dump(mode="json") if found.lock else None,
    }


def of_record(record: Mapping[str, Any]) -> Registered:
    """What `as_record` gave. ValueError for anything else."""
    held = record["lock"]
    return Registered(
        name=str(record["name"]),
        study=Study.model_validate(record["study"]),
        lock=None if held is None else Lock.model_validate(held),
    )


def day(moment: datetime) -> str:
    """``2026-11-27 10:15 UTC``."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def lock_of(path: Path) -> Path:
    """Where the lock of a study lies."""
    return path.with_suffix(".lock")


def read(path: Path) -> Study:
    """The study in a yaml file; ValueError says what is wrong with it."""
    from omegaconf import OmegaConf  # not where a summary is only read
    from omegaconf.errors import OmegaConfBaseException

    try:
        return Study.model_validate(
            OmegaConf.to_container(OmegaConf.load(path))
        )  # it refuses a key given twice
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise ValueError(
            f"study {path}: {place}: {first['msg']}. Correct it; see docs/registration.md."
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, OmegaConfBaseException, RecursionError) as error:
        told = getattr(error, "strerror", None) or " ".join(str(error).split())[:300]
        raise ValueError(
            f"study {path}: needed a yaml file, got: {told}. See docs/registration.md."
        ) from error


def registered(path: Path) -> Registered:
    """A study with its lock, where it has one; ValueError for a file that is none."""
    study, beside = read(path), lock_of(path)
    lock = None
    if beside.is_file():
        try:
            lock = Lock.model_validate(yaml.safe_load(beside.read_text(encoding="utf-8")))
        except (ValueError, OSError, yaml.YAMLError) as error:
            raise ValueError(
                f"study {path}: its lock {beside} is damaged. Restore it from where it was published."
            ) from error
    return Registered(name=path.stem, study=study, lock=lock)


def lock(path: Path) -> Lock:
    """Locks a study: writes its hash and the date beside it. ValueError where other content of it is locked."""
    found = registered(path)
    if found.lock is not None:
        if found.fits:
            return found.lock
        raise ValueError(
            f"study {path} was locked on {day(found.lock.locked)} with other content. Restore that, or give the new "
            f"study a file of its own."
        )
    made = provenance()
    new = Lock(
        sha256=found.study.sha256,
        locked=datetime.now(timezone.utc).replace(microsecond=0),
        commit=made["git_sha"],
        version=made["versions"]["clapbench"],
    )
    lines = {**new.model_dump(), "locked": new.locked.isoformat()}
    files.write_text(lock_of(path), yaml.safe_dump(lines, sort_keys=False))
    return new
