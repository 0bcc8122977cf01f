"""Fine-tuning of whole parts: heads, a tower, everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clapbench.encoders.base import Encoder
from clapbench.training.finetune import anatomy
from clapbench.training.finetune.anatomy import PARTS, REST, Part
from clapbench.training.finetune.base import Finetune, who


class Parts(Finetune):
    """Arguments are those of conf/finetune/all.yaml.

    ``moves`` lists parts: audio.tower, audio.head, text.tower, text.head, and the rest, which no side declares. One
    that the encoder does not have is passed over: M2D has no head on its text side.
    """

    def __init__(
        self,
        *,
        moves: Sequence[Part],
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        unknown = [part for part in moves if part not in PARTS]
        if unknown or not moves:
            raise ValueError(
                f"finetune.moves: needed one or more of {', '.join(PARTS)}, "
                f"got {f'{unknown[0]!r}' if unknown else 'none'}."
            )
        self.moves = tuple(moves)

    def asks_for(self) -> set[str]:
        """What the configuration lists."""
        return set(self.moves)

    def choose(self, encoder: Encoder) -> None:
        """Every parameter of the parts moves."""
        present = set()
        for name, parameter in encoder.named_parameters(remove_duplicate=False):
            own = anatomy.parts_of(name, encoder) or {REST}
            present |= own
            if own & set(self.moves):
                parameter.requires_grad_(True)
        if not present & set(self.moves):
            raise ValueError(
                f"{who(encoder)}: finetune.moves asks for {', '.join(self.moves)}, none of which this model has. "
                f"It has {', '.join(part for part in PARTS if part in present)}. Set finetune=all, or choose of these."
            )
