"""What of an encoder moves, in which mode, in which groups; adapters, and weights to save."""

from __future__ import annotations

import copy
import re

import pytest
import pytorch_lightning as pl
import torch
from small_encoder import CAPTIONS, OwnHeads, Small, applied, waves
from torch import Tensor, nn

from clapbench.encoders.base import Encoder
from clapbench.training.finetune import anatomy
from clapbench.training.finetune.base import Finetune
from clapbench.training.finetune.lora import Lora
from clapbench.training.finetune.parts import Parts


def loss(encoder: Small) -> Tensor:
    return (encoder.audio_features(waves()) - encoder.text_features(CAPTIONS)).square().sum()


def steps(encoder: Small, chosen: Finetune, n: int = 3) -> None:
    groups = chosen.groups(encoder)
    optimizer = torch.optim.SGD([{**group, "lr": 0.01 * group["rate"]} for group in groups])
    for _ in range(n):
        optimizer.zero_grad()
        loss(encoder).backward()
        optimizer.step()


def snapshot(encoder: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in encoder.state_dict().items()}


MOVES = {  # of OwnHeads: the beginnings of what changes
    "all": ("audio", "text", "words"),
    "text": ("text", "words"),
    "audio": ("audio",),
    "projection": ("audio_projection", "text_projection"),
    "lora": ("text_tower", "text_projection"),
}


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("name", MOVES)
def test_only_what_is_named_changes_and_all_of_that_is_kept(name: str, mode: str) -> None:
    encoder, chosen = applied(name, mode=mode)
    before = snapshot(encoder)
    steps(encoder, chosen)
    changed = {key for key, value in encoder.state_dict().items() if not torch.equal(value, before[key])}
    assert changed <= chosen.trained_keys(encoder) <= before.keys()
    assert changed
    assert all(key.startswith(MOVES[name]) for key in changed)
    parameters = {key for key, value in encoder.named_parameters() if value.requires_grad}
    assert parameters <= changed
    running = {key for key in changed if "running" in key}
    towers = {key.partition(".")[0] for key in MOVES[name] if mode == "train"} & {
        "audio",
        "text",
        "text_tower",
    }
    assert bool(running) == bool(towers)
    if name == "lora":
        assert not [key for key in changed if "base_layer" in key]


@pytest.mark.parametrize(
    ("name", "cuts"),
    [
        ("all", ("heard", "heard")),
        ("text", ("features", "heard")),
        ("audio", ("heard", "features")),
        ("projection", ("states", "states")),
        ("lora", ("features", "heard")),
    ],
)
def test_each_side_is_cut_where_it_begins_to_move(name: str, cuts: tuple[str, str]) -> None:
    encoder, chosen = applied(name)
    assert tuple(anatomy.cut_of(encoder, side=side) for side in ("audio", "text")) == cuts
    assert chosen.moving_sides(encoder) == {
        side for side, cut in zip(("audio", "text"), cuts, strict=True) if cut != "features"
    }


def test_a_codebook_of_both_sides_moves_both() -> None:
    encoder, chosen = applied("text", Small())
    assert encoder.codebook.requires_grad
    assert not encoder.loudness.requires_grad
    assert anatomy.cut_of(encoder, side="audio") == "states"
    assert chosen.moving_sides(encoder) == {"audio", "text"}
    assert not encoder.audio_projection[0].weight.requires_grad


def test_a_parameter_of_no_part_moves_with_all_alone_and_leaves_nothing_to_keep() -> None:
    for name in ("text", "audio", "projection", "lora"):
        assert not applied(name, Small())[0].loudness.requires_grad
    encoder, _ = applied("all", Small())
    assert encoder.loudness.requires_grad
    encoder, _ = applied("projection", Small(), moves=["rest"])
    assert [anatomy.cut_of(encoder, side=side) for side in ("audio", "text")] == ["heard", "heard"]


def test_stages_that_a_class_does_not_compute_apart_are_not_cut() -> None:
    class Whole(OwnHeads):
        audio_states, audio_head = Encoder.audio_states, Encoder.audio_head

    encoder, _ = applied("projection", Whole())
    assert anatomy.cut_of(encoder, side="audio") == "heard"
    assert anatomy.cut_of(encoder, side="text") == "states"


def test_groups_hold_what_moves_once_with_its_rate_and_matrices_decay() -> None:
    encoder, chosen = applied("all", Small(), audio_rate=0.5, text_rate=0.1, head_rate=10.0)
    groups = chosen.groups(encoder)
    assert len({group["name"] for group in groups}) == len(groups)
    names = {id(parameter): name for name, parameter in encoder.named_parameters()}
    seen = [names[id(parameter)] for group in groups for parameter in group["params"]]
    assert sorted(seen) == sorted(names.values())
    rate = {names[id(one)]: (group["rate"], group["decays"]) for group in groups for one in group["params"]}
    assert rate["audio_tower.blocks.0.query.weight"] == (0.5, True)
    assert rate["audio_tower.norm.weight"] == (0.5, False)
    assert rate["words.weight"] == (0.1, True)
    assert rate["text_projection.0.bias"] == (10.0, False)
    assert rate["codebook"] == (10.0, True)
    assert rate["loudness"] == (1.0, False)


class Learner(pl.LightningModule):
    """Notes the modes in which it trains and validates."""

    def __init__(self, encoder: Small, chosen: Finetune) -> None:
        super().__init__()
        self.encoder, self.chosen = encoder, chosen
        self.seen: list[tuple[str, set[str]]] = []

    def note(self, when: str) -> None:
        self.seen.append((when, {name for name, module in self.encoder.named_modules() if module.training}))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.note("train")
        return loss(self.encoder)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.note("validate")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            [{"params": group["params"]} for group in self.chosen.groups(self.encoder)], lr=0.01
        )


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*in eval mode at the start")
def test_modes_survive_lightning() -> None:
    encoder, chosen = applied("text", mode="train")
    learner = Learner(encoder, chosen)
    learner.train()  # as older Lightnings do
    loader = torch.utils.data.DataLoader(torch.zeros(2, 1), batch_size=1)
    trainer = pl.Trainer(
        max_epochs=2, val_check_interval=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(learner, loader, loader)
    modes = {
        when: {frozenset(names) for step, names in learner.seen if step == when} for when, _ in learner.seen
    }
    expected = {
        name
        for name, _ in encoder.named_modules()
        if name.startswith(("text_tower", "words", "text_projection"))
    }
    assert modes == {"train": {frozenset(expected)}, "validate": {frozenset()}}


def test_modes_survive_a_copy_and_eval() -> None:
    encoder, _ = applied("audio", mode="train")
    copied = copy.deepcopy(encoder)
    encoder.eval()
    assert not any(module.training for module in encoder.modules())
    assert copied.audio_tower.norm.training
    copied.eval().train()
    assert copied.audio_tower.norm.training
    assert not copied.text_tower.norm.training
    assert not encoder.audio_tower.norm.training
    held, _ = applied("audio")
    assert not any(module.training for module in held.train().modules())


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_dropout_drops_in_moving_towers_alone(mode: str) -> None:
    encoder, _ = applied("text", mode=mode)
    text = [encoder.text_features(CAPTIONS) for _ in range(2)]
    audio = [encoder.audio_features(waves()) for _ in range(2)]
    assert torch.equal(*audio)
    assert torch.equal(*text) == (mode == "eval")


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("name", ["all", "lora"])
def test_checkpointing_gives_the_same_gradients(name: str, mode: str) -> None:
    found = []
    for checkpointing in (False, True):
        encoder, _ = applied(name, mode=mode, gradient_checkpointing=checkpointing)
        calls: list[int] = []
        encoder.text_tower.blocks[0].query.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        torch.manual_seed(1)
        loss(encoder).backward()
        assert len(calls) == 1 + checkpointing
        found.append({key: one.grad for key, one in encoder.named_parameters() if one.grad is not None})
        with torch.no_grad():
            encoder.text_features(CAPTIONS)
        assert len(calls) == 2 + checkpointing
    assert found[0].keys() == found[1].keys()
    for key, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][key])


def test_checkpointing_leaves_frozen_towers_alone() -> None:
    encoder, _ = applied("text", gradient_checkpointing=True)
    assert "forward" in vars(encoder.text_tower.blocks[0])
    assert "forward" not in vars(encoder.audio_tower.blocks[0])


@pytest.mark.parametrize("sides", [["text"], ["audio", "text"]])
def test_adapters_begin_at_the_model_and_merge_into_it(sides: list[str]) -> None:
    plain = OwnHeads().eval()
    encoder, chosen = applied("lora", sides=sides)
    torch.testing.assert_close(encoder.text_features(CAPTIONS), plain.text_features(CAPTIONS))
    steps(encoder, chosen, n=5)
    before = snapshot(encoder)
    merged = chosen.merged(encoder)
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    fresh = OwnHeads(seed=5).eval()
    assert merged.keys() == fresh.state_dict().keys()
    assert not any(value.requires_grad for value in merged.values())
    fresh.load_state_dict(merged)
    with torch.no_grad():
        for given, old, new, features in [
            (CAPTIONS, plain, fresh, "text_features"),
            (waves(), plain, fresh, "audio_features"),
        ]:
            rows = getattr(encoder, features)(given)
            assert (rows - getattr(new, features)(given)).abs().max() < 1e-5
            moved = (rows - getattr(old, features)(given)).abs().max() > 1e-3
            assert bool(moved) == (features.partition("_")[0] in sides)


def test_merged_weights_of_parts_are_the_weights() -> None:
    encoder, chosen = applied("text")
    assert chosen.merged(encoder).keys() == OwnHeads().state_dict().keys()


def test_adapters_alone_move_without_heads_and_take_their_seed() -> None:
    encoder, chosen = applied("lora", heads=False, targets=["query"])
    assert {key.rsplit(".", 3)[1] for key in chosen.trained_keys(encoder)} == {"lora_A", "lora_B"}
    assert {group["name"] for group in chosen.groups(encoder)} == {"text/matrices"}
    again, _ = applied("lora", heads=False, targets=["query"])
    for key, value in snapshot(again).items():
        assert torch.equal(value, encoder.state_dict()[key])


def test_dropout_of_adapters_follows_the_mode() -> None:
    for mode in ("eval", "train"):
        encoder, _ = applied("lora", dropout=0.5, mode=mode)
        adapter = encoder.get_submodule("text_tower.blocks.0.query.lora_dropout.default")
        assert adapter.training == (mode == "train")
        assert not encoder.eval().get_submodule("text_tower.blocks.0.query.lora_dropout.default").training


class Bare(OwnHeads):
    towers: dict[str, tuple[str, ...]] = {}
    heads: dict[str, tuple[str, ...]] = {}
    blocks = ()


class NoTextHead(OwnHeads):
    heads = {"audio": ("audio_projection.",)}


def test_a_part_that_is_not_there_is_passed_over_where_another_moves() -> None:
    encoder, chosen = applied("projection", NoTextHead())
    assert {key.partition(".")[0] for key in chosen.trained_keys(encoder)} == {"audio_projection"}
    assert chosen.moving_sides(encoder) == {"audio"}
    encoder, _ = applied("all", Bare())
    assert all(one.requires_grad for one in encoder.parameters())
    assert [anatomy.cut_of(encoder, side=side) for side in ("audio", "text")] == ["heard", "heard"]


@pytest.mark.parametrize(
    ("name", "encoder", "changes", "words"),
    [
        ("text", Bare, {}, "model 'small': finetune.moves asks for text.tower, text.head, none .* It has rest"),
        ("text", NoTextHead, {"moves": ["text.head"]}, "asks for text.head, none .* It has audio.tower, audio.head"),
        ("lora", Bare, {}, "no linear layer named query or value or qkv in text.tower; it has no such tower"),
        ("lora", OwnHeads, {"targets": ["qkv"]}, "named qkv in text.tower; those there are named query, value"),
        ("projection", OwnHeads, {"gradient_checkpointing": True}, "needs blocks .* none of its blocks moves"),
        ("all", Bare, {"gradient_checkpointing": True}, "needs blocks .* the model names none"),
    ],
)  # fmt: skip
def test_what_an_encoder_does_not_have_is_refused(
    name: str, encoder: type[Small], changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        applied(name, encoder(), **changes)


def test_arguments_speak_for_themselves() -> None:
    with pytest.raises(ValueError, match=re.escape("needed one or more of audio.tower")):
        Parts(moves=[])
    with pytest.raises(ValueError, match="got 'text'"):
        Parts(moves=["text"])
    with pytest.raises(ValueError, match=r"finetune\.mode: needed eval or train"):
        Parts(moves=["text.head"], mode="training")
    with pytest.raises(ValueError, match=r"finetune\.sides: needed audio, text or both"):
        Lora(sides=["texts"])
