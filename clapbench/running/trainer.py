"""The Trainer of a configuration, without Lightning's own bars, tables and tips; and what can be refused without it.

Importing Lightning takes seconds, so only what makes a Trainer imports it.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import DictConfig, ListConfig

from clapbench import config
from clapbench.running.stopping import raise_if_stopped

if TYPE_CHECKING:
    import pytorch_lightning as pl

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
    raise config.ConfigError(
        f"trainer.devices: needed one device, got {told}{f', num_nodes={nodes}' if nodes != 1 else ''}. "
        f"A cell is computed on one. Set trainer.devices=1, and to use several GPUs, type one command for some of "
        f"the models on each, with CUDA_VISIBLE_DEVICES=0, 1, ... before it and the same sweep=NAME."
    )


def check_accelerator(accelerator: str) -> None:
    """Refuses a name that Lightning does not know, or hardware that torch does not find."""
    if accelerator not in ACCELERATORS:
        raise config.unknown("trainer.accelerator", accelerator, ACCELERATORS)
    here = {
        "auto": True,
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "tpu": importlib.util.find_spec("torch_xla") is not None,
    }
    here["gpu"] = here["cuda"] or here["mps"]
    if not here[accelerator]:
        raise config.ConfigError(
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
        raise config.ConfigError(
            f"trainer.devices: needed 1, got {devices!r}. Set trainer.devices=1."
        ) from None


def make_trainer(
    trainer: DictConfig, *, root: str, logger: Any, callbacks: list[pl.Callback] | None = None
) -> pl.Trainer:
    """The configured Trainer; it stops after a batch where somebody asked it to (see `stopping`).

    ``root`` is the folder of whatever Lightning writes. What it refuses is a `config.ConfigError`.
    """
    from pytorch_lightning.callbacks import LambdaCallback

    quiet_lightning()
    between = {f"on_{loop}_batch_end": look_for_a_stop for loop in ("train", "validation", "test", "predict")}
    try:
        built: pl.Trainer = config.build(
            trainer,
            logger=logger or False,
            callbacks=[*(callbacks or []), LambdaCallback(**between)],
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            default_root_dir=root,
        )
    except (
        Exception
    ) as error:  # a MisconfigurationException, a ValueError, a TypeError, as the argument may be
        raise config.ConfigError(
            f"trainer: Lightning refuses accelerator={trainer.get('accelerator')!r}, "
            f"devices={trainer.get('devices')!r}, precision={trainer.get('precision')!r}: {error} "
            f"Set trainer=cpu or trainer=auto."
        ) from error
    return built


def look_for_a_stop(*batch: Any) -> None:
    raise_if_stopped()


def quiet_lightning() -> None:
    """Keeps Lightning's notes on hardware and its tips out of the output; warnings stay."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Lightning 2.6 calls what torch 2.13 deprecates; a hint on worker processes, where none are needed.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
