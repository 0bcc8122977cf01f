"""Features of clips and captions to train on: what does not move is computed once, the rest with gradients.

Each side of an encoder is cut where it begins to move (`finetune.anatomy.cut_of`). Stages before the cut run without
gradients, in evaluation mode and in float32 whatever the precision around them, and their rows go to a `RowStore`:

    audio   waves -> heard -> states -> features        text   captions -> states -> features

What a clip is *heard* as takes as much room as its sound, so it is kept only where that is asked for: where one pool
of clips serves many trainings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from clapbench.encoders.base import Encoder
from clapbench.files import key_of
from clapbench.training.finetune import anatomy
from clapbench.training.store import RowStore

RECIPE = 1  # of what is kept: another number makes all of it again
HEARD = 4 << 30  # bytes that one training adds of what the audio tower hears; more is heard again each time
PASSING = 1 << 30  # bytes of rows that no later training reads; clips without end would fill any memory


class Features:
    """The two sides of an encoder on which a `Finetune` has been applied.

    ``content`` is what decides the encoder's weights and preprocessing (`encoders.base.fingerprint`): with it and a
    ``folder``, rows stay there for later trainings, below a name that holds the content, the side, the cut and the
    frozen weights themselves. Without, they stay in memory. ``keep_heard`` keeps what the audio tower hears of each
    named clip, where that tower moves.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        content: Mapping[str, Any] | None = None,
        folder: Path | None = None,
        keep_heard: bool = False,
    ) -> None:
        self.encoder = encoder
        self.cuts = {side: anatomy.cut_of(encoder, side=side) for side in ("audio", "text")}
        self.stores: dict[str, RowStore] = {}
        for side, cut in self.cuts.items():
            if cut == "heard" and not (side == "audio" and keep_heard):
                continue
            place = None
            if folder is not None and content is not None:
                place = folder / key_of([RECIPE, content, side, cut, digest(encoder, side=side)])[:16]
            self.stores[side] = RowStore(place, most=HEARD if cut == "heard" else None)
        self.sounds: dict[str, str] = {}  # what tells a clip's sound from all others, by the clip's name
        self.passing = RowStore(most=PASSING)  # of clips of which that is not known: for this training alone

    def audio(
        self, waves: Sequence[Float[Tensor, " _"]], clips: Sequence[str] | None = None
    ) -> Float[Tensor, "n d"]:
        """Features of mono waves at the encoder's rate, with gradients from the cut on.

        ``clips`` names them: what is kept of a name is not computed again, and ``waves`` may be empty where all are
        kept. For later trainings only what `prepare` has an identity of is kept: a name may be another sound's there.
        ValueError for a clip that is neither given nor kept.
        """
        if clips is None or "audio" not in self.stores:
            return self.after_cut("audio", self.before_cut("audio", waves))
        keys = [self.key(clip) for clip in clips]
        return self.after_cut("audio", self.rows("audio", waves, keys=keys, store=self.store_of(clips)))

    def text(self, captions: Sequence[str]) -> Float[Tensor, "n d"]:
        """Features of captions, with gradients from the cut on."""
        if self.cuts["text"] == "heard":
            return self.encoder.text_features(list(captions))
        return self.after_cut("text", self.rows("text", captions, keys=captions, store=self.stores["text"]))

    def store_of(self, clips: Sequence[str]) -> RowStore:
        """Where rows of these clips are kept."""
        store = self.stores["audio"]
        return store if store.folder is None or all(clip in self.sounds for clip in clips) else self.passing

    def flush(self) -> None:
        """Brings what is kept to the disk, where there is a folder: at the end of what may have kept more."""
        for store in self.stores.values():
            store.flush()

    def key(self, clip: str) -> str:
        """The key of a clip's rows."""
        sound = self.sounds.get(clip, clip)
        return json.dumps([sound, self.encoder.sample_rate, self.encoder.window])

    def rows(self, side: str, given: Sequence[Any], *, keys: Sequence[str], store: RowStore) -> list[Tensor]:
        """What stands at the cut of a side, on the encoder's device; what the store has not goes there."""
        missing = {key: row for row, key in enumerate(keys) if key not in store}
        if missing and len(given) != len(keys):
            raise ValueError(
                f"training: nothing is kept of {len(missing)} of {len(keys)} clips, and their waves are not here "
                f"(first: {next(iter(missing))}). Type the same command again: what is missing is computed first."
            )
        made: dict[str, Tensor] = {}
        for keys_made, rows_given in self.together(side, missing, given):
            made |= zip(keys_made, self.before_cut(side, rows_given), strict=True)
        store.put(made)
        return [self.here(made[key] if key in made else store.get(key)) for key in keys]

    def together(
        self, side: str, missing: Mapping[str, int], given: Sequence[Any]
    ) -> Iterator[tuple[list[str], list[Any]]]:
        """What is missing, in the groups that are computed at once.

        A clip is heard alone, so that what is kept of it does not depend on when it came and in which batch: a training
        that goes on has forgotten all of it.
        """
        if self.cuts[side] == "heard":
            yield from (([key], [given[row]]) for key, row in missing.items())
        elif missing:
            yield list(missing), [given[row] for row in missing.values()]

    def is_kept(self, clip: str) -> bool:
        """Whether a store holds what the encoder makes of a clip."""
        return "audio" in self.stores and self.key(clip) in self.store_of([clip])

    def before_cut(self, side: str, given: Sequence[Any]) -> list[Tensor]:
        """The stages of a side that do not move; each row in float32."""
        encoder, cut = self.encoder, self.cuts[side]
        given = [one.to(self.device) if isinstance(one, Tensor) else one for one in given]
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            if cut == "features":
                made = list(
                    encoder.audio_features(given) if side == "audio" else encoder.text_features(given)
                )
            elif side == "text":
                made = encoder.text_states(given)
            else:
                heard = encoder.heard(given)
                made = heard if cut == "heard" else encoder.audio_states(heard)
        return [row.float() if row.dtype in (torch.float16, torch.bfloat16) else row for row in made]

    def after_cut(self, side: str, rows: list[Tensor]) -> Float[Tensor, "n d"]:
        """The stages that move."""
        match side, self.cuts[side]:
            case "audio", "heard":
                return self.encoder.audio_head(self.encoder.audio_states(rows))
            case "audio", "states":
                return self.encoder.audio_head(rows)
            case "text", "states":
                return self.encoder.text_head(rows)
        return torch.stack(rows)

    @property
    def device(self) -> torch.device:
        """Where the encoder is."""
        return next(self.encoder.parameters()).device

    def here(self, row: Tensor) -> Tensor:
        """A row on the encoder's device, in the precision of its weights."""
        weights = next(self.encoder.parameters())
        return row.to(weights.device, weights.dtype) if row.is_floating_point() else row.to(weights.device)


def digest(encoder: Encoder, *, side: str) -> str:
    """SHA-256 of the weights that the rows of a side depend on: its own before the cut, and those of no part."""
    found = hashlib.sha256()
    before: dict[anatomy.Cut, set[str]] = {
        "features": {f"{side}.tower", f"{side}.head"},
        "states": {f"{side}.tower"},
        "heard": set(),
    }
    own = before[anatomy.cut_of(encoder, side=side)]
    for key, value in encoder.state_dict().items():
        parts = anatomy.parts_of(key, encoder)
        if not parts or parts & own:
            found.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
            found.update(value.contiguous().cpu().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()
