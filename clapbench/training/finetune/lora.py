r"""Low-rank adapters: linear layers of a tower keep their weights and learn a small change.

$W' = W + \frac{\alpha}{r} B A$ with $A \in \mathbb{R}^{r \times k}$ random and $B \in \mathbb{R}^{d \times r}$ zero
at the start, so that training begins at the model itself. By peft.

Source: Hu et al. 2022 (LoRA: Low-Rank Adaptation of Large Language Models), section 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from clapbench.encoders.base import Encoder
from clapbench.kinds import Count, Positive, Share, Side, Text
from clapbench.training.finetune import anatomy
from clapbench.training.finetune.base import Finetune, who

ADAPTER = "default"  # peft's name for the only one


class Lora(Finetune):
    """Arguments are those of conf/finetune/lora.yaml.

    ``targets`` are last names of linear layers in the towers of ``sides``. With ``heads`` the heads of these sides move
    too, as a whole. ``dropout`` is the share of an adapter's inputs that are left out under ``mode=train``. Random
    numbers are torch's own: seed them before `apply`.
    """

    def __init__(
        self,
        *,
        rank: Count = 8,
        alpha: Positive = 16,
        dropout: Share = 0.0,
        sides: Sequence[Side] = ("text",),
        targets: Sequence[Text] = ("query", "value", "qkv"),
        heads: bool = True,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        if not sides or not set(sides) <= {"audio", "text"}:
            raise ValueError(f"finetune.sides: needed audio, text or both, got {list(sides)}.")
        self.rank, self.alpha, self.dropout = rank, alpha, dropout
        self.sides, self.targets, self.heads = tuple(sides), tuple(targets), heads

    def asks_for(self) -> set[str]:
        """Towers of its sides, and their heads."""
        kinds = ("tower", "head") if self.heads else ("tower",)
        return {f"{side}.{kind}" for side in self.sides for kind in kinds}

    def choose(self, encoder: Encoder) -> None:
        """Puts adapters into the towers, one for each layer that is a target."""
        from peft import LoraConfig, inject_adapter_in_model  # a slow import

        layers = [layer for side in self.sides for layer in self.layers(encoder, side=side)]
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]  # peft's hint says int, its formula takes any number
            lora_dropout=self.dropout,
            target_modules=layers,
            bias="none",
        )
        inject_adapter_in_model(config, encoder, adapter_name=ADAPTER)
        heads = {f"{side}.head" for side in self.sides if self.heads}
        for name, parameter in encoder.named_parameters(remove_duplicate=False):
            if anatomy.parts_of(name, encoder) & heads:
                parameter.requires_grad_(True)

    def layers(self, encoder: Encoder, *, side: str) -> list[str]:
        """Names of the target layers of a side; ValueError where there is none."""
        tower = f"{side}.tower"
        linear = [
            name
            for name, module in encoder.named_modules()
            if isinstance(module, nn.Linear) and tower in anatomy.parts_of(name, encoder)
        ]
        found = [name for name in linear if name.rpartition(".")[2] in self.targets]
        if not found:
            last = sorted({name.rpartition(".")[2] for name in linear})
            there = f"those there are named {', '.join(last)}" if linear else "it has no such tower or layer"
            raise ValueError(
                f"{who(encoder)}: finetune=lora found no linear layer named {' or '.join(self.targets)} in {tower}; "
                f"{there}. Set finetune.targets=[NAME] or finetune.sides=[SIDE]."
            )
        return found

    def merged(self, encoder: Encoder) -> dict[str, Tensor]:
        """The weights to save: each target's with its adapter added, under the key that it had. Changes nothing."""
        from peft.tuners.lora import Linear

        changes = {
            f"{name}.weight": module.get_delta_weight(ADAPTER).detach()
            for name, module in encoder.named_modules()
            if isinstance(module, Linear)
        }
        weights = {}
        for key, value in super().merged(encoder).items():
            plain = key.replace(".base_layer.", ".")
            if ".lora_" not in key:
                weights[plain] = value + changes[plain].to(value.dtype) if plain in changes else value
        return weights
