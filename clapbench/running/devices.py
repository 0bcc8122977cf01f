"""Whether the devices that a configuration asks for can be had, told without importing Lightning."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import torch
from omegaconf import DictConfig, ListConfig

from clapbench.config import ConfigError, unknown

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps", "tpu")


def check_devices(cfg: DictConfig) -> None:
    """Refuses an accelerator that this machine has not, and more than one device.

    To run on several, Lightning starts the command again in a process for each, and every one of them would go
    through the whole of evaluate.py: the files, the scores, the sweep.
    """
    if "accelerator" in cfg.trainer:  # else the target is no Trainer of Lightning's
        check_accelerator(str(cfg.trainer.accelerator))
    devices, nodes = cfg.trainer.get("devices", 1), cfg.trainer.get("num_nodes", 1)
    n = count_devices(devices, accelerator=str(cfg.trainer.get("accelerator")))
    if n == 1 and nodes == 1:
        return
    told = f"devices={devices} ({n} devices)" if str(devices) != str(n) else f"devices={devices}"
    raise ConfigError(
        f"trainer.devices: needed one device, got {told}{f', num_nodes={nodes}' if nodes != 1 else ''}. "
        f"A cell is computed on one. Set trainer.devices=1, and to use several GPUs, type one command for some of "
        f"the models on each, with CUDA_VISIBLE_DEVICES=0, 1, ... before it and the same sweep=NAME."
    )


def check_accelerator(accelerator: str) -> None:
    """Refuses a name that Lightning does not know, or hardware that torch does not find."""
    if accelerator not in ACCELERATORS:
        raise unknown("trainer.accelerator", accelerator, ACCELERATORS)
    here = {
        "auto": True,
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "tpu": importlib.util.find_spec("torch_xla") is not None,
    }
    here["gpu"] = here["cuda"] or here["mps"]
    if not here[accelerator]:
        raise ConfigError(
            f"trainer: needed hardware for accelerator={accelerator!r}, torch {torch.__version__} finds none here. "
            f"Set trainer=cpu or trainer=auto."
        )


def count_devices(devices: object, *, accelerator: str) -> int:
    """How many devices ``trainer.devices`` asks for: a number, a list of indices, "auto" or -1 for all there are.

    >>> [count_devices(devices, accelerator="cpu") for devices in (1, "2", [3], "0,1", "auto")]
    [1, 2, 1, 2, 1]
    """
    if isinstance(devices, ListConfig | Sequence) and not isinstance(devices, str):
        return len(devices)
    text = str(devices).strip()
    if "," in text:
        return len([index for index in text.split(",") if index.strip()])
    if text in ("auto", "-1"):
        return max(1, torch.cuda.device_count()) if accelerator in ("auto", "gpu", "cuda") else 1
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"trainer.devices: needed 1, got {devices!r}. Set trainer.devices=1.") from None
