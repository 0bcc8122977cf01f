"""Fine-tuning of whole parts: heads, a tower, everything."""

from __future__ import annotations

from collections.abc import Sequence

from clapbench.encoders.base import Encoder
from clapbench.kinds import Positive
from clapbench.training.finetune import anatomy
from clapbench.training.finetune.anatomy import PARTS, REST, Part
from clapbench.training.finetune.base import Finetune, Mode, who


class Parts(Finetune):
    """Arguments are those of conf/finetune/all.yaml.

    ``moves`` lists parts: audio.tower, audio.head, text.tower, text.head, and the rest, which no side declares. One
    that the encoder does not have is passed over: M2D has no head on its text side.
    """

    def __init__(
        self,
        *,
        moves: Sequence[Part],
        mode: Mode = "eval",
        audio_rate: Positive = 1.0,
        text_rate: Positive = 1.0,
        head_rate: Positive = 1.0,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__(
            mode=mode,
            audio_rate=audio_rate,
            text_rate=text_rate,
            head_rate=head_rate,
            gradient_checkpointing=gradient_checkpointing,
        )
        unknown = [part for part in moves if part not in PARTS]
        if unknown or not moves:
            raise ValueError(
                f"finetune.moves: needed one or more of {', '.join(PARTS)}, "
                f"got {f'{unknown[0]!r}' if unknown else 'none'}."
            )
        self.moves = tuple(moves)

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
