"""Whether the devices that a configuration asks for can be had, told without importing Lightning."""

from __future__ import annotations

import importlib.util
import os
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
    n, told = asked(cfg)
    if n == 1:
        return
    raise ConfigError(
        f"trainer.devices: needed one device, got {told}. "
        f"A cell is computed on one. Set trainer.devices=1, and to use several GPUs, type one command for some of "
        f"the models on each, with CUDA_VISIBLE_DEVICES=0, 1, ... before it and the same sweep=NAME."
    )


def asked(cfg: DictConfig) -> tuple[int, str]:
    """How many devices on all nodes a configuration asks for, and in what words."""
    devices, nodes = cfg.trainer.get("devices", 1), int(cfg.trainer.get("num_nodes", 1))
    n = count_devices(devices, accelerator=str(cfg.trainer.get("accelerator")))
    told = f"devices={devices} ({n} devices)" if str(devices) != str(n) else f"devices={devices}"
    return n * nodes, told + (f", num_nodes={nodes}" if nodes != 1 else "")


def started_elsewhere() -> bool:
    """Whether torchrun, Slurm or the like has started this process as one of several."""
    slurm = int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in os.environ
    return "LOCAL_RANK" in os.environ or slurm


def check_processes(cfg: DictConfig) -> None:
    """Refuses more processes for a training than there are devices or pairs, and machines that none was started on."""
    if "accelerator" in cfg.trainer:
        check_accelerator(str(cfg.trainer.accelerator))
    n, told = asked(cfg)
    if int(cfg.trainer.get("num_nodes", 1)) > 1 and not started_elsewhere():
        raise ConfigError(
            f"trainer.num_nodes: needed a process on each machine, got {told} and one process. Start train.py by "
            f"torchrun or a launcher there, or set trainer.num_nodes=1."
        )
    if n == 1:
        return
    batch = cfg.data.get("batch_size")
    if isinstance(batch, int) and batch < n:
        raise ConfigError(
            f"data.batch_size: needed a pair for each of {n} processes, got {batch}. Set data.batch_size={2 * n}."
        )
    if "ddp" not in str(cfg.trainer.get("strategy", "")):
        raise ConfigError(
            f"trainer.strategy: needed ddp for {told}, got {cfg.trainer.get('strategy', 'auto')}. Set trainer=ddp."
        )
    if cfg.finetune.get("mode") == "train" and not cfg.trainer.get("sync_batchnorm"):
        raise ConfigError(
            f"finetune.mode: train needs BatchNorm over {told} together. Set "
            f"+trainer.sync_batchnorm=true (on GPUs), or finetune.mode=eval."
        )
    here = torch.cuda.device_count() if cfg.trainer.accelerator != "cpu" else n
    if not started_elsewhere() and 0 < here < n:
        raise ConfigError(f"trainer.devices: needed at most {here} GPUs, all that are here, got {told}.")


def processes_to_start(cfg: DictConfig) -> int:
    """How many processes a training has to start by itself: one where it has one device, or is one of several."""
    return 1 if started_elsewhere() else asked(cfg)[0]


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
