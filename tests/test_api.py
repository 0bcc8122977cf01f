"""The short names of ``import clapbench``: the numbers of the long ones, from whatever holds rows, or one error."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from sweep_folders import study

import clapbench
from clapbench.probes import (
    align_uniform,
    cka,
    hubness,
    lidar,
    modality_gap,
    mutual_knn,
    neighbour_dimension,
    rankme,
    relative_gap,
    residual_energy,
    separability,
    spectral_decay,
    spectrum,
    swap,
    two_nn,
)
from clapbench.schema import Embeddings
from clapbench.statistics.correlation import table

GENERATOR = np.random.default_rng(0)
X, Y = GENERATOR.standard_normal((2, 40, 6)) + 0.5
PARTNERS = np.arange(40).reshape(20, 2)
ONE_SIDE = {
    "rankme": rankme.effective_rank,
    "two_nn": two_nn.two_nn_dimension,
    "residual_energy": lambda x: residual_energy.residual_energy(x, k=3),
    "stable_rank": spectrum.stable_rank,
    "participation_ratio": spectrum.participation_ratio,
    "nesum": spectrum.nesum,
    "alpha_req": spectral_decay.alpha_req,
    "spectral_decay": spectral_decay.spectral_decay,
    "iso_score": spectrum.iso_score_star,
    "uniformity": align_uniform.uniformity,
    "hubness": hubness.hubness_skewness,
    "mle_dimension": neighbour_dimension.mle_dimension,
    "gride_dimension": neighbour_dimension.gride_dimension,
}
TWO_SIDES = {
    "alignment": align_uniform.alignment,
    "cka": cka.debiased_cka,
    "mutual_knn": mutual_knn.mutual_knn,
    "relative_gap": relative_gap.relative_modality_gap,
    "separability": lambda a, t: separability.linear_separability(a, t, groups=torch.arange(40)),
    "lidar": lambda a, t: lidar.lidar(torch.stack([torch.as_tensor(a), torch.as_tensor(t)], dim=1)),
    "shrunk_lidar": lambda a, t: lidar.shrunk_lidar(
        torch.stack([torch.as_tensor(a), torch.as_tensor(t)], dim=1)
    ),
}
SETTINGS = {"residual_energy": {"k": 3}}


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("name", ONE_SIDE)
def test_a_probe_of_one_side_is_a_float_and_that_of_the_long_name(name: str) -> None:
    value = getattr(clapbench, name)(X, **SETTINGS.get(name, {}))
    assert type(value) is float
    assert value == ONE_SIDE[name](torch.from_numpy(X)).item()


@pytest.mark.parametrize("name", TWO_SIDES)
def test_a_probe_of_two_sides_is_a_float_and_that_of_the_long_name(name: str) -> None:
    value = getattr(clapbench, name)(X, Y)
    assert type(value) is float
    assert value == TWO_SIDES[name](torch.from_numpy(X), torch.from_numpy(Y)).item()


def test_the_gap_has_three_floats() -> None:
    gap, long = clapbench.modality_gap(X, Y), modality_gap.modality_gap(X, Y)
    assert gap == tuple(value.item() for value in long)
    assert gap._fields == ("l2", "cosine", "angle_deg")
    assert all(type(value) is float for value in gap)


def test_the_probes_of_swapped_items() -> None:
    assert (
        clapbench.swap_separation(X, PARTNERS) == swap.swap_separation(X, torch.from_numpy(PARTNERS)).item()
    )
    clips, captions = X.reshape(20, 2, 6), Y.reshape(20, 2, 6)
    assert clapbench.swap_alignment(clips, captions) == swap.swap_alignment(clips, captions).item()
    apart = clapbench.two_nn(X, partners=PARTNERS.tolist())
    assert apart == two_nn.two_nn_dimension(torch.from_numpy(X), partners=torch.from_numpy(PARTNERS)).item()


def test_every_public_name_is_there_documented_and_listed() -> None:
    for name in clapbench.__all__:
        assert name in dir(clapbench)
        if name != "__version__":
            assert getattr(clapbench, name).__doc__
    assert {*ONE_SIDE, *TWO_SIDES, "modality_gap", "swap_alignment", "score", "load"} <= set(
        clapbench.__all__
    )
    with pytest.raises(AttributeError, match="module 'clapbench' has no attribute 'rank_me'"):
        clapbench.rank_me  # noqa: B018


@pytest.mark.parametrize("wing", ["probes", "scoring", "statistics"])
def test_a_wing_gives_its_public_names_without_importing_them_ahead(wing: str) -> None:
    package = getattr(clapbench, wing)
    assert len(package.__all__) >= 15
    for name in package.__all__:
        assert getattr(package, name).__doc__
        assert name in dir(package)
    with pytest.raises(AttributeError, match=f"module 'clapbench.{wing}' has no attribute 'nothing'"):
        package.nothing  # noqa: B018
    assert run(f"import sys, clapbench.{wing}; print('torch' in sys.modules)") == "False"


def test_the_version_is_that_of_the_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", lambda name: f"1.2.3 of {name}")
    assert clapbench.__version__ == "1.2.3 of clapbench"
    monkeypatch.setattr(metadata, "version", missing)
    assert clapbench.__version__ == "unknown"


def test_importing_is_quick_and_wings_come_when_used() -> None:
    slow = "[name for name in ('torch', 'pandas', 'numpy', 'torchmetrics', 'scipy') if name in sys.modules]"
    code = (
        "import sys, time; start = time.process_time(); import clapbench; took = time.process_time() - start;"
    )
    assert run(f"{code} print({slow}, took < 0.2)") == "[] True"
    assert (
        run("import clapbench; print(clapbench.probes.rankme.effective_rank([[1, 0], [0, 1]]).item())")[:3]
        == "2.0"
    )
    scores = (
        "import sys, clapbench; clapbench.score([[[1, 0], [0, 1]]]); print('torchmetrics' in sys.modules)"
    )
    assert run(scores) == "False"


# What may hold rows


def readonly(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


FORMS = {
    "tensor": torch.from_numpy,
    "with gradient": lambda x: torch.from_numpy(x).requires_grad_(),
    "not contiguous": lambda x: torch.from_numpy(x.T.copy()).T,
    "fortran": np.asfortranarray,
    "backwards": lambda x: x[::-1].copy()[::-1],
    "every other": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "read-only": readonly,
    "big-endian": lambda x: x.astype(">f8"),
    "longdouble": lambda x: x.astype(np.longdouble),
    "lists": lambda x: x.tolist(),
    "tuples": lambda x: tuple(map(tuple, x.tolist())),
    "list of rows": list,
    "list of tensors": lambda x: list(torch.from_numpy(x).requires_grad_()),
    "DataFrame": pd.DataFrame,
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_may_come_in_any_of_these_forms(form: str) -> None:
    given = FORMS[form](X)
    assert clapbench.rankme(given) == pytest.approx(clapbench.rankme(X), rel=1e-14)
    assert rankme.effective_rank(given).dtype == torch.float64


@pytest.mark.parametrize(
    "kind", ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "int8", "int64", "uint8"]
)
def test_tensors_may_have_any_real_type(kind: str) -> None:
    x = torch.from_numpy(np.abs(X) * 9).to(getattr(torch, kind))
    assert clapbench.rankme(x) == clapbench.rankme(x.double())
    assert clapbench.two_nn(x) == clapbench.two_nn(x.double())


@pytest.mark.parametrize("kind", ["float16", "float32", "int8", "uint16", "uint64"])
def test_arrays_may_have_any_real_type(kind: str) -> None:
    x = (np.abs(X) * 9).astype(kind)
    assert clapbench.rankme(x) == clapbench.rankme(x.astype(np.float64))


def test_what_is_given_stays_as_it_is() -> None:
    x, before = X.copy(), X.copy()
    for name in ONE_SIDE:
        getattr(clapbench, name)(x, **SETTINGS.get(name, {}))
    np.testing.assert_array_equal(x, before)


WRONG = {
    "1-D": (np.ones(5), ValueError, r"needs a 2-D array, one row of d numbers per item; got shape \(5,\)"),
    "3-D": (np.ones((2, 3, 4)), ValueError, r"got shape \(2, 3, 4\).*Pool over time"),
    "number": (3.5, TypeError, "got a float"),
    "none": (None, TypeError, "got None"),
    "string": ("rows.npy", TypeError, r"got 'rows.npy'. Load it first"),
    "path": (Path("rows.npy"), TypeError, "Load it first"),
    "strings": ([["a", "b"]], TypeError, "Give numbers alone"),
    "dict": ({"audio": X}, TypeError, "got a dict"),
    "complex": (X + 1j, TypeError, "of real numbers; got torch.complex128"),
    "bool": (X > 0, TypeError, "got torch.bool. Give the embeddings, not a mask"),
    "empty": (np.ones((0, 3)), ValueError, "needs at least 1 row, got 0"),
    "no columns": (np.ones((3, 0)), ValueError, r"rows of at least 1 number, got shape \(3, 0\)"),
    "nan": ([[1.0, 2.0], [np.nan, 0.0], [np.nan, 1.0]], ValueError, r"2 of 3 are not \(first: 1\)"),
    "ragged": ([[1.0, 2.0], [3.0]], ValueError, "got a list that numpy takes for none"),
    "ragged tensors": ([torch.ones(2), torch.ones(3)], ValueError, r"different shapes, \[\(2,\), \(3,\)\]"),
    "masked": (np.ma.masked_less(X, 0), TypeError, "got a masked array"),
    "words in a frame": (pd.DataFrame({"model": ["a"], "H": [1.0]}), TypeError, "of a DataFrame the columns"),
    "both sides": (
        Embeddings(X, tuple(map(str, range(40))), Y, tuple(map(str, range(40)))),
        TypeError,
        r"got an Embeddings, which has two sides. Pass its .audio or its .text",
    ),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("name", ["rankme", "two_nn", "uniformity", "hubness"])
def test_what_holds_no_rows_is_refused_in_one_sentence_by_name(name: str, what: str) -> None:
    given, kind, message = WRONG[what]
    with pytest.raises(kind, match=f"(?s)^{name}: .*{message}"):
        getattr(clapbench, name)(given)


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("name", ["modality_gap", "alignment", "cka", "mutual_knn"])
def test_the_side_that_holds_no_rows_is_named(name: str, what: str) -> None:
    given, kind, _ = WRONG[what]
    with pytest.raises(kind, match=r" \(text\): needs "):
        getattr(clapbench, name)(X, given)


@pytest.mark.parametrize("name", TWO_SIDES)
def test_sides_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="as many of each; got 40 and 39"):
        getattr(clapbench, name)(X, Y[:39])
    if name not in ("cka", "mutual_knn"):
        with pytest.raises(ValueError, match="both sides in one space; got audio rows of 6 numbers"):
            getattr(clapbench, name)(X, Y[:, :5])


@pytest.mark.parametrize(
    ("partners", "message"),
    [([[0, 40]], "from 0 to 39; got 0 to 40"), ([[0, 1, 2]], r"got shape \(1, 3\)"), ([], "got 0")],
)
def test_partners_that_name_no_rows_are_refused(partners: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=f"^swap_separation.*{message}"):
        clapbench.swap_separation(X, partners)


# Centred rows


def test_centred_rank_and_energy_are_those_of_the_rows_less_their_mean() -> None:
    centred = X - X.mean(axis=0)
    assert clapbench.rankme(X, center=True) == pytest.approx(clapbench.rankme(centred), rel=1e-12)
    for k in (0, 2, 5):
        found = clapbench.residual_energy(X, k=k, center=True)
        assert found == pytest.approx(clapbench.residual_energy(centred, k=k), rel=1e-12)
    assert clapbench.rankme(X + 1000, center=True) == pytest.approx(clapbench.rankme(centred), rel=1e-9)
    assert clapbench.rankme(X) != clapbench.rankme(X, center=True)


@pytest.mark.parametrize("name", ["rankme", "residual_energy"])
def test_equal_rows_have_no_centred_shape(name: str) -> None:
    with pytest.raises(ValueError, match="all 20 rows are equal"):
        getattr(clapbench, name)(np.full((20, 3), 0.1), center=True)


# Scores


def blocks(n: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((n, 2, 2))


def test_scores_are_those_of_a_loop_whichever_way_they_are_asked_for() -> None:
    s = blocks(50)
    four = {"s_pp": s[:, 0, 0], "s_pr": s[:, 1, 0], "s_rp": s[:, 0, 1], "s_rr": s[:, 1, 1]}
    f = [pp > rp and rr > pr for pp, pr, rp, rr in zip(*four.values(), strict=True)]
    g = [pp > pr and rr > rp for pp, pr, rp, rr in zip(*four.values(), strict=True)]
    wanted = {"F": np.mean(f), "G": np.mean(g), "H": np.mean(np.array(f) & np.array(g))}
    ways = [
        clapbench.score(s),
        clapbench.score(torch.from_numpy(s).float().double()),
        clapbench.score(**{name: list(values) for name, values in four.items()}),
        clapbench.score(**{name: pd.Series(values) for name, values in four.items()}),
        clapbench.score(pd.DataFrame(four)),
    ]
    for found in ways:
        assert {name: float(score) for name, score in found.items()} == wanted
    h = ways[0]["H"]
    assert (h.n, h.direction, h.chance) == (50, "both", 1 / 6)
    assert h.ci95[0] < h.value < h.ci95[1]
    assert 0 < h.p_chance <= 1
    assert ways[0] == ways[2]


def test_single_asks_the_first_pair_alone_and_triplet_all_three() -> None:
    s = blocks(50)
    assert clapbench.score(s, protocol="single")["F"].value == np.mean(s[:, 0, 0] > s[:, 1, 0])
    three = np.random.default_rng(2).standard_normal((30, 3, 3))
    own = np.diagonal(three, axis1=1, axis2=2)[:, :, None] >= three
    assert clapbench.score(three, protocol="triplet")["F"].value == np.mean(own.all(axis=(1, 2)))


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({}, TypeError, "got nothing"),
        ({"s_pp": [1.0], "s_pr": [0.0]}, TypeError, "got s_pp, s_pr"),
        ({"similarities": blocks(2), "s_pp": [1.0]}, TypeError, "got similarities and s_pp"),
        ({"similarities": np.ones((3, 2))}, ValueError, r"got shape \(3, 2\)"),
        ({"similarities": np.ones((3, 4, 4))}, ValueError, r"got \(3, 4, 4\)"),
        ({"similarities": blocks(2), "protocol": "triplet"}, ValueError, r"\(n, 3, 3\) for 'triplet'"),
        ({"similarities": blocks(2), "protocol": "pool"}, ValueError, "the whole benchmark"),
        ({"similarities": blocks(2), "protocol": "best"}, ValueError, "must be one of official"),
        ({"similarities": np.full((1, 2, 2), np.nan)}, ValueError, "needs finite similarities; 1 of 1"),
        (
            {"s_pp": [1.0], "s_pr": [0.0], "s_rp": [0.0], "s_rr": [1.0, 2.0]},
            ValueError,
            r"as many of each similarity; got \{'s_pp': 1",
        ),
    ],
)
def test_similarities_that_are_none_are_refused(arguments: dict, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"^score.*{message}"):
        clapbench.score(**arguments)


def test_similarities_of_rows_score_a_retrieval() -> None:
    s = clapbench.similarity(3 * X, 2 * X)
    np.testing.assert_allclose(np.diag(s), 1)
    found = clapbench.retrieval(s, np.eye(40, dtype=bool))
    assert found["t2a_R@1"] == found["a2t_mAP@10"] == 1.0
    assert found["t2a_R@5_chance"] == pytest.approx(5 / 40)
    with pytest.raises(
        ValueError, match=r"retrieval \(captions\): needs a match for each row; 1 of 2 have none"
    ):
        clapbench.retrieval([[1.0, 0.0], [0.0, 1.0]], [[True, False], [True, False]])
    with pytest.raises(ValueError, match=r"similarity \(text\): row 0 is all zeros"):
        clapbench.similarity(X, np.zeros((1, 6)))


def test_zero_shot_takes_numbers_of_classes_or_a_mask() -> None:
    s, target = GENERATOR.standard_normal((30, 4)), GENERATOR.integers(0, 4, 30)
    found = clapbench.zeroshot(s, target, labels=["dog", "rain", "bell", "car"])
    assert found == clapbench.zeroshot(
        s, np.eye(4, dtype=bool)[target], labels=["dog", "rain", "bell", "car"]
    )
    assert found["accuracy"] == np.mean(s.argmax(axis=1) == target)
    assert set(found["per_class"]) == {"dog", "rain", "bell", "car"}
    with pytest.raises(ValueError, match="zeroshot: needs a class from 0 to 3"):
        clapbench.zeroshot(s, target + 1)


# Evidence


def test_correlate_gives_the_rows_of_the_table_for_a_sweep(tmp_path: Path) -> None:
    study(tmp_path / "sweep")
    cells = clapbench.load(tmp_path / "sweep", cache_dir=tmp_path / "cache")
    found = clapbench.correlate(cells, draws=50)
    probes = ["rankme_audio", "rankme_text", "twonn_text", "gap_angle_deg"]
    assert list(dict.fromkeys(found.loc[found["kind"] == "probe", "name"])) == probes
    assert "log_n_items" in set(found.loc[found["kind"] == "null predictor", "name"])
    rows = table(
        {name: cells[name].to_numpy() for name in probes},
        cells["H"].to_numpy(),
        models=list(cells["model"]),
        benches=list(cells["bench"]),
        score_name="H",
        score_variance=(cells["H"] * (1 - cells["H"]) / (cells["n_items"] - 1)).to_numpy(),
        draws=50,
    )
    pd.testing.assert_frame_equal(
        found[found["kind"] == "probe"].reset_index(drop=True),
        pd.DataFrame([row._asdict() for row in rows]),
        check_dtype=False,
    )


def test_a_table_of_ones_own_needs_model_bench_and_a_score() -> None:
    frame = pd.DataFrame(
        {"model": list("abcabc"), "bench": list("xxxyyy"), "F": range(6), "mine": [1, 2, 4, 3, 5, 6.5]}
    )
    found = clapbench.correlate(frame, score="F", coefficients=["pearson"])
    assert list(found["name"]) == ["mine"]
    assert found.loc[0, "value"] == pytest.approx(np.corrcoef(frame["F"], frame["mine"])[0, 1])
    for wrong, message in [
        (frame, "missing: H"),
        (frame.rename(columns={"F": "H"}).assign(H=[1, 2] + 4 * [None]), "at least 3 cells with H, got 2"),
        (frame.rename(columns={"F": "H"}).drop(columns="mine"), "no column of numbers that may be a probe"),
        (frame.rename(columns={"F": "H"}).assign(bench="x"), "comes twice"),
    ]:
        with pytest.raises(ValueError, match=message):
            clapbench.correlate(wrong)
    told = frame.rename(columns={"F": "H"}).assign(
        H_chance=3, H_high=[1, 4, 6, 2, 9, 9], mine=frame["F"][::-1]
    )
    row = clapbench.correlate(told, coefficients=["pearson"], signs={"mine": "negative"}, parts={"mine": "a"})
    assert (row.loc[0, "controls"], row.loc[0, "part"], row.loc[0, "alternative"]) == ("a", "a", "negative")
    assert clapbench.correlate(told, controls=["b", "c"]).loc[0, "controls"] == "b, c"
    code = (
        "import clapbench\ntry: clapbench.correlate('outputs/demo')\nexcept TypeError as error: print(error)"
    )
    assert run(code) == "correlate: needs a DataFrame with a row per cell, got a str."
