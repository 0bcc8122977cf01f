"""A fine-tuning says what of an encoder moves, at which learning rate, and what is kept of it.

`apply` marks an encoder for good: the parameters that require a gradient, the modules that ``train()`` reaches, the
blocks whose activations are computed again. Everything else reads these marks, so that any number of objects agree.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, TypedDict

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from clapbench.encoders.base import Encoder
from clapbench.kinds import Positive, Rule
from clapbench.training.finetune import anatomy

Mode = Annotated[str, Rule("eval or train", ("eval", "train").__contains__, "eval")]


class Group(TypedDict):
    """A group of an optimizer: ``rate`` multiplies its learning rate, ``decays`` says whether weights decay."""

    params: list[nn.Parameter]
    rate: float
    name: str
    decays: bool


class Finetune(ABC):
    """What moves is a subclass's to `choose`.

    ``mode`` is that of dropout and BatchNorm in parts that move; all others stay as in evaluation. ``*_rate``
    multiplies the optimizer's learning rate for a side's tower, or for the heads of both sides.
    ``gradient_checkpointing`` computes the activations of moving towers a second time in place of keeping them: a third
    more time, and of each block no more than its input in memory.
    """

    def __init__(
        self,
        *,
        mode: Mode = "eval",
        audio_rate: Positive = 1.0,
        text_rate: Positive = 1.0,
        head_rate: Positive = 1.0,
        gradient_checkpointing: bool = False,
    ) -> None:
        if mode not in ("eval", "train"):
            raise ValueError(f"finetune.mode: needed eval or train, got {mode!r}.")
        self.mode, self.gradient_checkpointing = mode, gradient_checkpointing
        self.rates = {"audio": audio_rate, "text": text_rate, "head": head_rate}

    @abstractmethod
    def choose(self, encoder: Encoder) -> None:
        """Sets ``requires_grad`` of what moves, where nothing does yet; ValueError where the encoder has none of it."""

    def apply(self, encoder: Encoder) -> None:
        """Marks the encoder, once. ``encoder.train()`` keeps to the ``mode`` from then on, whoever calls it."""
        encoder.requires_grad_(False)
        self.choose(encoder)
        if self.gradient_checkpointing:
            recompute_blocks(encoder)
        trained = anatomy.moving_modules(encoder) if self.mode == "train" else set()
        encoder.train = partial(train_only, encoder, frozenset(trained))  # type: ignore[method-assign]
        encoder.train()

    @abstractmethod
    def asks_for(self) -> set[str]:
        """The parts of `anatomy.PARTS` that move where an encoder has them, as far as the configuration tells."""

    def sides_of(self, encoder: type[Encoder]) -> set[str]:
        """The sides that move in encoders of this class, told without weights; both where it declares no parts."""
        declared = anatomy.prefixes(encoder)
        moving = {name for part in self.asks_for() for name in declared.get(part, ())}
        sides = {part.partition(".")[0] for part, names in declared.items() if moving & set(names)}
        return sides if declared and anatomy.REST not in self.asks_for() else set(encoder.sides)

    def moving_sides(self, encoder: Encoder) -> set[str]:
        """The sides whose features training changes."""
        return anatomy.moving_sides(encoder)

    def groups(self, encoder: Encoder) -> list[Group]:
        """What moves, by part; matrices apart from gains, biases and the like, which do not decay."""
        found: dict[tuple[str, bool], list[nn.Parameter]] = {}
        for name, parameter in encoder.named_parameters():
            if parameter.requires_grad:
                key = rated(anatomy.parts_of(name, encoder)), parameter.ndim >= 2
                found.setdefault(key, []).append(parameter)
        return [
            Group(
                params=parameters,
                rate=self.rates.get(part, 1.0),
                name=f"{part}/{'matrices' if decays else 'others'}",
                decays=decays,
            )
            for (part, decays), parameters in found.items()
        ]

    def trained_keys(self, encoder: Encoder) -> set[str]:
        """Keys of the encoder's ``state_dict`` that training changes: parameters, and buffers of layers in train mode.

        All else is as `apply` left it, so that these are enough to go on from.
        """
        modules = anatomy.moving_modules(encoder) if self.mode == "train" else set()
        return {
            key
            for key, value in encoder.state_dict(keep_vars=True).items()
            if value.requires_grad
            or (not isinstance(value, nn.Parameter) and key.rpartition(".")[0] in modules)
        }

    def merged(self, encoder: Encoder) -> dict[str, Tensor]:
        """The weights to save: under the keys of an encoder that no fine-tuning has touched."""
        return {key: value.detach() for key, value in encoder.state_dict().items()}


def rated(parts: set[str]) -> str:
    """By which rate a parameter of these parts moves; one that a head shares with another part, by the head's."""
    kinds = {part.partition(".")[2]: part.partition(".")[0] for part in parts}
    return "head" if "head" in kinds else kinds.get("tower", anatomy.REST)


def train_only(encoder: Encoder, names: frozenset[str], mode: bool = True) -> Encoder:
    """``encoder.train(mode)`` for the modules of these names; the others are in evaluation in either mode."""
    type(encoder).train(encoder, False)
    for name, module in encoder.named_modules():
        if mode and name in names:
            module.training = True
    return encoder


def recompute_blocks(encoder: Encoder) -> None:
    """The blocks of moving towers forget their activations in the forward pass and compute them again for gradients."""
    patterns = re.compile("|".join(encoder.blocks) or "(?!)")
    towers = {part for part in anatomy.moving(encoder) if part.endswith((".tower", anatomy.REST))}
    blocks = [
        module
        for name, module in encoder.named_modules()
        if patterns.fullmatch(name) and (anatomy.parts_of(name, encoder) or {anatomy.REST}) & towers
    ]
    if not blocks:
        raise ValueError(
            f"{who(encoder)}: finetune.gradient_checkpointing needs blocks in a tower that moves; "
            f"{'the model names none' if not encoder.blocks else 'none of its blocks moves'}. "
            f"Set finetune.gradient_checkpointing=false."
        )
    for block in blocks:
        block.forward = partial(recomputed, block.forward)


def recomputed(forward: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """``forward``, without its activations where there are gradients."""
    if not torch.is_grad_enabled():
        return forward(*arguments, **named)
    return checkpoint(forward, *arguments, use_reentrant=False, **named)


def who(encoder: Encoder) -> str:
    """The encoder's name for a message."""
    return f"model {getattr(encoder, 'name', type(encoder).__name__)!r}"
