"""A study of doses on trainings whose effects are known, and on tables that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from scipy import stats
from trained_tables import rows, write

from clapbench.study.doses.claims import judge
from clapbench.study.doses.design import Design, read
from clapbench.study.doses.levels import at_level, mediation
from clapbench.study.doses.responses import contrast, slopes
from clapbench.study.registration import Study, registered

STUDY = ROOT / "conf" / "studies" / "regularizer_study.yaml"


@pytest.fixture(scope="module")
def design(tmp_path_factory: pytest.TempPathFactory) -> Design:
    return read(write(tmp_path_factory.mktemp("doses"), rows()))


def test_arms_are_read_as_treatments_with_doses(design: Design) -> None:
    assert design.treatments == ["spectral_entropy", "centroid", "variance+covariance"]
    assert design.doses("spectral_entropy") == [-0.3, -0.1, 0.0, 0.1, 1.0]
    assert design.doses("variance+covariance") == [0.0, 0.3, 1.0, 3.0]
    assert (design.seeds, design.objectives) == ([0, 1, 2, 3, 4], ["InfoNce", "SwappedChoice"])
    assert len(design.runs) == 110


def test_a_slope_is_the_mean_of_each_seeds_own(design: Design) -> None:
    found = slopes(design, "spectral_entropy", number="rankme_text", bench="order", objective="InfoNce")
    own = [
        stats.linregress(
            *design.series(
                "spectral_entropy", objective="InfoNce", seed=seed, bench="order", number="rankme_text"
            )
        ).slope
        for seed in design.seeds
    ]
    assert found.effect.value == pytest.approx(np.mean(own))
    assert found.effect.p == pytest.approx(stats.ttest_1samp(own, 0).pvalue)
    assert found.effect.value == pytest.approx(40, abs=2)


def test_ends_keep_the_doses_between_them(design: Design) -> None:
    below = slopes(design, "spectral_entropy", number="H", bench="order", ends=(-0.3, 0.0))
    assert (below.low_dose, below.high_dose) == (-0.3, 0)
    assert below.effect.value == pytest.approx(0.5, abs=0.05)
    with pytest.raises(ValueError, match=r"from -0.2 to 0, got"):
        slopes(design, "spectral_entropy", number="H", bench="order", ends=(-0.2, 0.0))


def test_objectives_are_compared_without_regularisers(design: Design) -> None:
    found = contrast(design, "swapped_choice", against="infonce", number="H", bench="order")
    assert found.effect.value == pytest.approx(0.1, abs=0.02)
    assert found.objective == "SwappedChoice - InfoNce"


def test_what_was_registered_is_tested_and_corrected_over_the_findings(design: Design) -> None:
    study = registered(STUDY).study
    found = judge(study, design)
    assert len(found) == 2 * (len(study.slopes) + len(study.contrasts) + len(study.within))
    holds = {(one.claim, one.bench): one.holds for one in found}
    assert holds["H rises with spectral_entropy, -0.3 to 0", "order"]
    assert holds["H stays within 0.05 with spectral_entropy, 0 to 1", "attribute"]
    assert not holds["H changes with centroid", "order"]
    assert all(one.p_holm is None for one in found if one.check)
    findings = [one for one in found if not one.check]
    assert all(one.p_holm >= one.p for one in findings)
    assert min(one.p for one in findings) * len(findings) == pytest.approx(
        min(one.p_holm for one in findings)
    )


def test_the_sign_that_was_registered_counts(design: Design) -> None:
    wrong = Study.model_validate(
        {
            "question": "?",
            "slopes": [{"dose": "spectral_entropy", "number": "rankme_text", "sign": "negative"}],
        }
    )
    assert not any(one.holds for one in judge(wrong, design))


def test_levels_disagree_where_the_objective_moves_both(tmp_path: Path) -> None:
    """A probe and a score that both differ by objective, and within it go against each other."""
    found = rows(seeds=3, noise=0.0)
    rng = np.random.default_rng(1)
    for row in found:
        is_swapped, x = row["objective"] == "SwappedChoice", float(rng.normal())
        for bench in ("order", "attribute"):
            row[f"{bench}/rankme_text"], row[f"{bench}/H"] = 10 * is_swapped + x, 10 * is_swapped - x
    design = read(write(tmp_path, found))
    common = {"probe": "rankme_text", "score": "H", "bench": "order"}
    assert at_level(design, "pooled", **common).pearson > 0.9
    assert at_level(design, "within objective", **common).pearson == pytest.approx(-1)
    assert at_level(design, "within arm", **common).pearson == pytest.approx(-1)
    assert at_level(design, "within arm", **common).p < 0.001


def test_a_permutation_p_is_uniform_without_an_effect(tmp_path: Path) -> None:
    shares = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        found = rows(seeds=2, noise=0.0)
        arm = {key: rng.normal(size=2) for key in {row["name"].rpartition("-")[0] for row in found}}
        for row in found:  # an arm moves both, apart from each other: its seeds are no independent trainings
            for bench in ("order", "attribute"):
                row[f"{bench}/rankme_text"], row[f"{bench}/H"] = arm[
                    row["name"].rpartition("-")[0]
                ] + 0.1 * rng.normal(size=2)
        common = {"probe": "rankme_text", "score": "H", "bench": "order", "draws": 199}
        shares.append(at_level(read(write(tmp_path, found)), "within objective", **common).p)
    assert np.mean(np.array(shares) <= 0.2) == pytest.approx(0.2, abs=0.16)  # 3 standard errors


def test_a_number_that_does_not_vary_has_no_coefficient(tmp_path: Path) -> None:
    found = [{**row, "order/rankme_text": 1.0} for row in rows(seeds=2)]
    design = read(write(tmp_path, found))
    assert at_level(design, "pooled", probe="rankme_text", score="H", bench="order").pearson is None


def test_mediation_finds_the_part_that_goes_with_the_probe(tmp_path: Path) -> None:
    found = rows(seeds=4)
    rng = np.random.default_rng(2)
    for row in found:
        dose = row.get("weight.centroid", 0.0)
        m = 2.0 * dose + rng.normal(scale=0.3)
        row["order/gap_angle_deg"], row["order/H"] = m, 0.5 * m + 0.25 * dose + rng.normal(scale=0.001)
    split = mediation(
        read(write(tmp_path, found)), "centroid", probe="gap_angle_deg", score="H", bench="order"
    )
    assert split is not None
    assert split.direct.value == pytest.approx(0.25, abs=0.02)
    assert split.indirect.value == pytest.approx(1.0, abs=0.15)
    assert split.total.value == pytest.approx(split.direct.value + split.indirect.value)


def test_seeds_that_not_every_arm_has_are_left_out(tmp_path: Path) -> None:
    found = rows(seeds=3)
    design = read(write(tmp_path, [row for row in found if row["seed"] < 2 or row["objective"] == "InfoNce"]))
    assert (design.seeds, len(design.left_out)) == ([0, 1], 11)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda found: [*found, found[0]], "second training of one arm and seed"),
        (
            lambda found: [{**row, "seed": number} for number, row in enumerate(found)],
            "needed a seed that every",
        ),
        (lambda found: [{"model": "mini", "H": 1.0}], "needed the table of trainings"),
        (lambda found: [{**row, "order/H": "high"} for row in found], "needed the table of trainings"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, change, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(write(tmp_path, change(rows(seeds=1))))
