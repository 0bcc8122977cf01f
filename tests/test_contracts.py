"""Walks every yaml of every config group and holds the contract of its kind, without being told its name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, Compose, yamls
from fixtures import FIXTURES, OUTSIDE, overrides
from hydra.utils import get_object, instantiate
from omegaconf import OmegaConf
from safetensors import safe_open

from clapbench import config
from clapbench.benchmarks.base import Benchmark
from clapbench.benchmarks.compositional import Compositional
from clapbench.config.check import signature_kinds
from clapbench.encoders.base import Encoder, fingerprint, unit
from clapbench.encoders.outside import Outside
from clapbench.probes.base import Probe
from clapbench.probes.paired import bind
from clapbench.running import certificate
from clapbench.running.plan import check
from clapbench.schema import Case, Embeddings
from clapbench.training.clouds import Clouds
from clapbench.training.objectives.base import Objective
from clapbench.training.regularizers.base import Regularizer

CAPTIONS = [
    "A bell ringing before rain falling",
    "A dog",
    "Loud rain and then a quiet engine, again and again",
]


@pytest.fixture(scope="module")
def encoders() -> dict[str, Encoder]:
    return {}


@pytest.fixture
def encoder(model: str, encoders: dict[str, Encoder], composed: Compose, tmp_path: Path) -> Encoder:
    """The encoder of conf/model/MODEL.yaml, built once for all its tests."""
    if model not in encoders:
        cfg = composed("evaluate", *overrides("model", model, tmp_path))
        encoders[model] = config.build(cfg.model).eval()
    return encoders[model]


def waves(encoder: Encoder) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    seconds = (0.3, 2.5, (encoder.window or 4.0) + 1.0)
    return [0.1 * torch.randn(round(s * encoder.sample_rate), generator=generator) for s in seconds]


def models(kind: type) -> list[str]:
    """The models of conf/model whose class is a ``kind``."""
    targets = {
        name: OmegaConf.load(ROOT / "conf" / "model" / f"{name}.yaml")._target_ for name in yamls("model")
    }
    return [name for name, target in targets.items() if issubclass(get_object(target), kind)]


def inputs(encoder: Encoder) -> list[tuple[Callable[[list[Any]], torch.Tensor], list[Any]]]:
    """What each side of the encoder embeds, and with what."""
    sides = {"audio": (encoder.embed_audio, waves(encoder)), "text": (encoder.embed_text, CAPTIONS)}
    return [sides[side] for side in encoder.sides]


def test_every_model_runs_here_or_elsewhere() -> None:
    assert sorted([*models(Encoder), *models(Outside)]) == yamls("model")


@pytest.mark.parametrize("model", models(Encoder))
class TestModel:
    def test_rows_have_unit_length(self, encoder: Encoder) -> None:
        with torch.inference_mode():
            for embed, given in inputs(encoder):
                rows = embed(given)
                torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))

    def test_certificate(self, encoder: Encoder) -> None:
        """The same answer twice, in any order, in a batch of 1 and of all."""
        with torch.inference_mode():
            for embed, given in inputs(encoder):
                batches = certificate.batches(len(given))
                drift = certificate.drift([embed([given[row] for row in batch]) for batch in batches])
                assert drift["again"] == 0
                assert max(drift.values()) < 1e-5

    def test_a_side_that_is_not_there_is_refused_by_name(self, encoder: Encoder) -> None:
        if "text" not in encoder.sides:
            with pytest.raises(ValueError, match=encoder.name):
                encoder.embed_text(CAPTIONS)

    def test_a_wave_that_holds_nothing_is_refused(self, encoder: Encoder) -> None:
        good = waves(encoder)[0]
        for bad in (good[:0], torch.full_like(good, torch.nan)):
            with pytest.raises(ValueError, match="wave 1 of 2"):
                encoder.embed_audio([good, bad])

    def test_tokens_give_the_same_as_captions(self, encoder: Encoder) -> None:
        if "text" not in encoder.sides:
            return
        with torch.inference_mode():
            from_tokens = encoder.embed_tokens(*encoder.tokenize(CAPTIONS))
            assert (from_tokens - encoder.embed_text(CAPTIONS)).norm(dim=1).max() < 1e-6

    def test_only_the_window_from_the_head_counts(self, encoder: Encoder) -> None:
        if encoder.window is None:
            return
        long = waves(encoder)[-1]
        head = long[: round(encoder.window * encoder.sample_rate)]
        with torch.inference_mode():
            assert torch.equal(encoder.embed_audio([long]), encoder.embed_audio([head]))

    def test_fingerprint_holds_the_content_not_the_place(
        self, model: str, composed: Compose, tmp_path: Path
    ) -> None:
        node = composed("evaluate", *overrides("model", model, tmp_path)).model
        arguments = {key: value for key, value in OmegaConf.to_container(node).items() if key != "_target_"}
        kind = get_object(node._target_)
        first = fingerprint(kind, arguments)
        assert first == fingerprint(kind, arguments | {"name": "another"})
        assert first != fingerprint(kind, arguments | {"window": 1.5})


def named(names: Iterable[str], parts: Iterable[str]) -> set[str]:
    """Those of ``names`` that are in the ``parts`` of an encoder's towers or heads."""
    return {name for name in names for part in parts if name == part or name.startswith(f"{part}.")}


TRAINABLE = [
    name
    for name in models(Encoder)
    if get_object(OmegaConf.load(ROOT / "conf" / "model" / f"{name}.yaml")._target_).towers
]


def test_only_a_model_without_text_cannot_be_trained() -> None:
    assert set(models(Encoder)) - set(TRAINABLE) == {"m2d_stacked"}


@pytest.mark.parametrize(
    "model",
    [pytest.param(one, marks=() if one.startswith("mini") else pytest.mark.slow) for one in TRAINABLE],
)
class TestTraining:
    @pytest.fixture(autouse=True)
    def _short(self, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
        """A transformer over a second is quicker than one over ten."""
        monkeypatch.setattr(encoder, "window", 1.0)

    def test_states_may_come_from_other_batches(self, encoder: Encoder) -> None:
        clips = waves(encoder)[:2]
        with torch.inference_mode():
            heard = encoder.heard(clips)
            states = [state for clip in heard for state in encoder.audio_states([clip])]
            audio = encoder.audio_head(states), encoder.audio_features(clips)
            states = [state for caption in CAPTIONS for state in encoder.text_states([caption])]
            text = encoder.text_head(states), encoder.text_features(CAPTIONS)
        for apart, together in (audio, text):
            assert (unit(apart) - unit(together)).norm(dim=1).max() < 1e-5

    def test_what_towers_and_heads_name_is_what_learns(self, encoder: Encoder) -> None:
        """Each parameter in them gets a gradient, and no other does: several processes wait for each."""
        names = [name for name, _ in encoder.named_parameters()]
        towers, heads = ([*of["audio"], *of["text"]] for of in (encoder.towers, encoder.heads))
        assert all(named(names, [part]) for part in (*towers, *heads))
        assert not named(names, towers) & named(names, heads)
        rows = encoder.audio_features(waves(encoder)[:1]).square().sum()
        (rows + encoder.text_features(CAPTIONS).square().sum()).backward()
        learns = {name for name, parameter in encoder.named_parameters() if parameter.grad is not None}
        encoder.zero_grad(set_to_none=True)
        assert learns == named(names, [*towers, *heads])

    def test_blocks_name_modules_of_both_towers(self, encoder: Encoder) -> None:
        modules = [name for name, _ in encoder.named_modules()]
        found = [{name for name in modules if re.fullmatch(block, name)} for block in encoder.blocks]
        assert all(found)
        for parts in encoder.towers.values():
            assert named(set().union(*found), parts)

    def test_what_is_saved_comes_back(
        self, model: str, encoder: Encoder, composed: Compose, tmp_path: Path
    ) -> None:
        """All of it: with nothing of what it was trained from, neither weights nor a text encoder's."""
        path = tmp_path / "trained.safetensors"
        encoder.save(path, recipe={"seed": 1}, dtype=torch.float32, logit_scale=12.345678901234567)
        chosen = [f"model.checkpoint={path}", "model.source=null"]
        chosen += [f"model.{key}=null" for key in ("text_checkpoint", "text_source") if model == "m2d_2024"]
        cfg = composed("evaluate", *overrides("model", model, tmp_path), *chosen)
        loaded = config.build(cfg.model)
        held = loaded.state_dict()
        assert loaded.logit_scale == 12.345678901234567
        assert not loaded.training
        with safe_open(path, framework="pt") as file:
            for key, value in encoder.state_dict().items():
                assert (
                    file.get_slice(key).get_dtype() == {torch.float32: "F32", torch.int64: "I64"}[value.dtype]
                )
                assert torch.equal(held.pop(key), value)
        assert not held
        loaded.window = encoder.window
        with torch.inference_mode():
            clips = waves(encoder)[:1]
            assert torch.equal(loaded.embed_audio(clips), encoder.embed_audio(clips))
            assert torch.equal(loaded.embed_text(CAPTIONS), encoder.embed_text(CAPTIONS))
        arguments = {
            key: value for key, value in OmegaConf.to_container(cfg.model).items() if key != "_target_"
        }
        assert "text_checkpoint" not in fingerprint(type(encoder), arguments)

    def test_what_is_not_finite_is_refused_and_what_overflows_is_kept(
        self, encoder: Encoder, tmp_path: Path
    ) -> None:
        path = tmp_path / "trained.safetensors"
        key, value = next(iter(encoder.named_parameters()))
        value = value.detach().clone()
        for broken in (torch.nan, torch.inf):
            value.view(-1)[0] = broken
            with pytest.raises(
                ValueError, match=rf"{type(encoder).__name__}\.save: .*first: {re.escape(key)}\)"
            ):
                encoder.save(path, recipe={}, dtype=torch.float16, tensors={key: value})
            assert not path.exists()
        value.view(-1)[0] = 1e6
        encoder.save(path, recipe={}, dtype=torch.float16, tensors={key: value, "fits": torch.ones(2)})
        with safe_open(path, framework="pt") as file:
            assert torch.equal(file.get_tensor(key), value)
            assert file.get_tensor("fits").dtype == torch.float16


@pytest.mark.parametrize("model", models(Outside))
class TestOutside:
    @pytest.fixture
    def outside(self, model: str, composed: Compose, tmp_path: Path) -> Outside:
        return config.build(composed("evaluate", *overrides("model", model, tmp_path)).model)

    def test_unit_rows_in_the_order_given(self, outside: Outside, tmp_path: Path) -> None:
        clips = {name: tmp_path / name for name in OUTSIDE["audio"]}
        rows = outside.embed(clips=clips, captions=OUTSIDE["text"])
        back = outside.embed(clips=dict(reversed(clips.items())), captions=OUTSIDE["text"][::-1])
        assert rows.audio_id == tuple(OUTSIDE["audio"]) == back.audio_id[::-1]
        assert rows.text_id == tuple(OUTSIDE["text"]) == back.text_id[::-1]
        for one, other in ((rows.audio, back.audio), (rows.text, back.text)):
            np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1.0, atol=1e-6)
            np.testing.assert_array_equal(one, other[::-1])

    def test_fingerprint_holds_the_content_not_the_name(
        self, model: str, composed: Compose, tmp_path: Path
    ) -> None:
        node = composed("evaluate", *overrides("model", model, tmp_path)).model
        arguments = {key: value for key, value in OmegaConf.to_container(node).items() if key != "_target_"}
        kind = get_object(node._target_)
        first = kind.fingerprint(arguments)
        assert first == kind.fingerprint(arguments | {"name": "another"})
        for path in tmp_path.iterdir():
            path.write_bytes(path.read_bytes() + b"#")
        assert first != kind.fingerprint(arguments)


@pytest.mark.parametrize("name", yamls("bench"))
class TestBench:
    @pytest.fixture
    def bench(self, name: str, composed: Compose, tmp_path: Path) -> Benchmark:
        cfg = composed("evaluate", *overrides("bench", name, tmp_path), f"cache_dir={tmp_path}")
        return instantiate(cfg.bench)

    def test_ids_exist_and_each_case_has_a_match_and_a_mismatch(self, bench: Benchmark) -> None:
        items = len(bench.cases()) if isinstance(bench, Compositional) else len(bench.clips())
        assert bench.n_items == items > 0
        for case in bench.cases():
            match = case.match_matrix
            assert all(bench.audio_path(clip).is_file() for clip in case.clips)
            assert set(case.clips) <= set(bench.clips())
            assert set(case.captions) <= set(bench.captions())
            assert match.any(dim=0).all()
            assert match.any(dim=1).all()
            assert not match.all(dim=0).any()
            assert not match.all(dim=1).any()

    def test_fingerprint_is_stable_and_changes_with_content(
        self, bench: Benchmark, name: str, composed: Compose, tmp_path: Path
    ) -> None:
        before = bench.fingerprint()
        cfg = composed("evaluate", *overrides("bench", name, tmp_path), f"cache_dir={tmp_path}")
        assert instantiate(cfg.bench).fingerprint() == before
        clip = bench.audio_path(bench.clips()[0])
        clip.write_bytes(clip.read_bytes() + b"\0")
        assert instantiate(cfg.bench).fingerprint() != before


def rows(n: int, d: int, seed: int) -> torch.Tensor:
    cloud = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(cloud + 0.5, dim=1)


@pytest.mark.parametrize("name", config.shipped_probes())
class TestProbe:
    n, d = 60, 16

    def build(self, name: str) -> Probe:
        """The probe, told that clip i and caption i match and that 2 i and 2 i + 1 are swap partners."""
        probe = instantiate(config.probe_configs(name)[name])
        ids = tuple(map(str, range(self.n)))
        cases = [
            Case(clips=ids[i : i + 2], captions=ids[i : i + 2], match=((True, False), (False, True)))
            for i in range(0, self.n, 2)
        ]
        nothing = np.zeros((self.n, 1), dtype=np.float32)
        bind([probe], cases=cases, embeddings=Embeddings(nothing, ids, nothing, ids))
        return probe

    def value(self, name: str, *, order: torch.Tensor, cuts: list[int]) -> float:
        probe = self.build(name)
        audio, text = rows(self.n, self.d, 1), rows(self.n, self.d, 2)
        for chunk in order.tensor_split(cuts):
            probe.update(audio=audio[chunk], text=text[chunk], audio_index=chunk, text_index=chunk)
        return float(probe.compute())

    def test_finite_and_independent_of_order_and_batches(self, name: str) -> None:
        in_order = torch.arange(self.n)
        shuffled = torch.randperm(self.n, generator=torch.Generator().manual_seed(3))
        whole = self.value(name, order=in_order, cuts=[])
        assert np.isfinite(whole)
        assert self.value(name, order=in_order, cuts=[7, 30]) == pytest.approx(whole, rel=1e-9)
        assert self.value(name, order=shuffled, cuts=[1, 50]) == pytest.approx(whole, rel=1e-9)

    def test_refuses_nan_and_too_few_rows_by_name(self, name: str) -> None:
        probe = self.build(name)
        broken = rows(4, self.d, 1)
        broken[2, 0] = torch.nan
        index = torch.arange(4)
        with pytest.raises(ValueError, match=type(probe).__name__):
            probe.update(audio=broken, text=broken, audio_index=index, text_index=index)
        few = rows(1, self.d, 1)
        probe.reset()
        probe.update(audio=few, text=few, audio_index=index[:1], text_index=index[:1])
        with pytest.raises(ValueError, match=type(probe).__name__):
            probe.compute()


def clouds(*, spread: bool) -> Clouds:
    """Spread: paired isotropic clouds. Collapsed: each side on a line in half of the coordinates, no caption told
    from its swapped one.
    """
    n, d = 1024, 16
    generator = torch.Generator().manual_seed(0)
    if spread:
        audio = 1.5 * torch.randn(n, d, generator=generator)
        text = audio.clone()
        swapped = text.roll(1, dims=0)
    else:
        line = torch.zeros(d)
        line[: d // 2] = 1.0
        text = 1.0 + 0.5 * torch.randn(n, 1, generator=generator) * line
        audio, swapped = -text, text.clone()
    return Clouds(
        audio=audio.requires_grad_(),
        text=text.requires_grad_(),
        swapped=swapped.requires_grad_(),
        swapped_of=torch.arange(n),
        clip=torch.arange(n),
        caption=torch.arange(n),
        swapped_caption=torch.arange(n, 2 * n),
    )


def moved(batch: Clouds) -> set[str]:
    """The parts of a batch that a backward pass has given a gradient other than 0; each gradient is finite."""
    gradients = {name: getattr(batch, name).grad for name in ("audio", "text", "swapped")}
    given = {name: gradient for name, gradient in gradients.items() if gradient is not None}
    assert all(gradient.isfinite().all() for gradient in given.values())
    return {name for name, gradient in given.items() if gradient.any()}


@pytest.mark.parametrize("name", yamls("objective"))
class TestObjective:
    @pytest.fixture
    def objective(self, name: str, tmp_path: Path) -> Objective:
        assert overrides("objective", name, tmp_path)
        return instantiate(config.shipped(config.find("objective", name)))

    def test_finite_loss_and_gradient_and_swapped_captions_read_where_it_is_said(
        self, objective: Objective
    ) -> None:
        for spread in (True, False):
            batch = clouds(spread=spread)
            loss = objective(batch)
            assert loss.isfinite()
            loss.backward()
            assert moved(batch) == {"audio", "text"} | ({"swapped"} if objective.reads_swapped else set())

    def test_lower_on_pairs_that_match_than_on_a_collapsed_cloud(self, objective: Objective) -> None:
        assert objective(clouds(spread=True)) < objective(clouds(spread=False))

    def test_the_temperature_of_the_configuration_is_the_start(self, name: str, tmp_path: Path) -> None:
        node = config.shipped(config.find("objective", name))
        objective = instantiate(node, temperature=0.02)
        objective.start(30.0)
        torch.testing.assert_close(objective.scale.detach(), torch.tensor(50.0))


@pytest.mark.parametrize("name", yamls("regularizer"))
class TestRegularizer:
    @pytest.fixture
    def build(self, name: str, composed: Compose, tmp_path: Path):
        def with_weight(weight: float) -> Regularizer:
            chosen = f"regularizer=[{name}]"
            cfg = composed("train", chosen, f"regularizer.{name}.weight={weight}")
            assert overrides("regularizer", name, tmp_path)
            return instantiate(cfg.regularizer[name])

        return with_weight

    def test_finite_gradient_of_the_sides_that_are_named(self, build) -> None:
        for spread in (True, False):
            batch, term = clouds(spread=spread), build(1.0)
            term(batch).backward()
            named = term.sides | ({"swapped"} if term.reads_swapped else set())
            assert moved(batch) <= named
        assert moved(batch) == named  # a collapsed cloud

    def test_weight_scales_and_zero_adds_nothing(self, build) -> None:
        batch = clouds(spread=False)
        assert build(0.0)(batch) == 0
        torch.testing.assert_close(build(2.0)(batch), 2 * build(1.0)(batch))

    def test_lower_on_a_spread_cloud_than_on_a_collapsed_one(self, build) -> None:
        assert build(1.0)(clouds(spread=True)) < build(1.0)(clouds(spread=False))


@pytest.mark.parametrize(("group", "name"), [(g, n) for g in ("trainer", "logger") for n in yamls(g)])
def test_trainer_and_logger_take_their_arguments(
    group: str, name: str, composed: Compose, tmp_path: Path
) -> None:
    cfg = composed("evaluate", *overrides(group, name, tmp_path))
    config.check_node(cfg[group], group=group)
    if group == "logger":
        parameters = inspect.signature(get_object(cfg.logger._target_)).parameters
        assert {"folder", "group", "run", "run_id", "content"} <= set(parameters)


@pytest.mark.parametrize("name", yamls("probe_set"))
def test_a_set_of_probes_lists_probes(name: str, tmp_path: Path) -> None:
    assert overrides("probe_set", name, tmp_path)
    listed = config.probe_configs(name)
    assert listed
    assert set(listed) <= set(config.shipped_probes())


@pytest.mark.parametrize("name", yamls("experiment"))
def test_an_experiment_composes_under_the_root_it_is_for(
    name: str, composed: Compose, tmp_path: Path
) -> None:
    chosen = overrides("experiment", name, tmp_path)
    trains = not (ROOT / "conf" / "experiment" / f"{name}.yaml").read_text(encoding="utf-8").count("sweep:")
    if trains:
        config.check(composed("train", *chosen), root="train")
    else:
        check(composed("evaluate", *chosen))


@pytest.mark.parametrize("name", yamls("arm"))
def test_an_arm_composes_over_a_training(name: str, composed: Compose, tmp_path: Path) -> None:
    config.check(composed("train", *overrides("arm", name, tmp_path)), root="train")


@pytest.mark.parametrize("group", ["model", "bench", "objective", "regularizer", "finetune"])
def test_every_argument_has_a_kind(group: str) -> None:
    """A key without an annotation is one that nobody checks."""
    for name in yamls(group):
        node = config.shipped(ROOT / "conf" / group / f"{name}.yaml")
        node = node[name] if group == "regularizer" else node
        kinds = signature_kinds(get_object(node._target_))
        assert [key for key in OmegaConf.to_container(node) if key in kinds and kinds[key] is Any] == []


@pytest.mark.parametrize("group", sorted(FIXTURES))
def test_every_yaml_has_its_entry_and_every_entry_its_yaml(group: str, tmp_path: Path) -> None:
    for name in yamls(group):
        assert overrides(group, name, tmp_path)[0] == f"{group}={name}"
    assert set(FIXTURES[group]) <= set(yamls(group))


def test_a_yaml_without_an_entry_is_told_how_to_add_one(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"conf/model/new.yaml has no entry.*FIXTURES\['model'\]"):
        overrides("model", "new", tmp_path)


def test_no_group_is_left_out() -> None:
    groups = {path.name for path in (ROOT / "conf").iterdir() if path.is_dir()} - {
        "studies"
    }  # no group of Hydra
    assert groups == set(FIXTURES)
