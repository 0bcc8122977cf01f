"""Whether the device that a configuration names is on this machine, told without importing Lightning."""

from __future__ import annotations

import torch

from clapbench.config import ConfigError


def check_accelerator(accelerator: str) -> None:
    """`ConfigError` where ``trainer.accelerator`` names what this machine lacks."""
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "tpu": False,
    }
    there |= {"gpu": there["cuda"] or there["mps"], "cpu": True, "auto": True}
    if not there.get(accelerator, True):
        raise ConfigError(
            f"trainer.accelerator: needed one that this machine has, got {accelerator}, and torch sees none. "
            f"Set trainer=cpu or trainer=auto."
        )
