"""One step of a small model by every objective and regulariser, alone or as one of several processes.

Started by `tests/training/test_processes.py`: a process of its own can import this module and no test.
"""

from __future__ import annotations

import warnings
from datetime import timedelta
from pathlib import Path

import torch
from conftest import ROOT, yamls
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch import distributed as dist
from training_clouds import clouds, of_pairs

from clapbench.training.clouds import Clouds, gather_clouds

Step = dict[str, Tensor]  # the loss, and the gradient of each parameter
PAIRS = (
    [0, 3, 1, 4, 7, 9, 11],
    [2, 5, 6, 8, 10],
)  # of the processes; the first also has every swapped caption


def batch_of(rows: list[int]) -> Clouds:
    """What pairs enter the model as. Pairs of one clip, and of one meaning, lie in different processes."""
    return of_pairs(clouds(swapped_of=(3, 7, 0), step=3), rows)


def terms() -> dict[str, nn.Module]:
    """Every yaml of both groups, built, in float64."""
    found = {}
    for group in ("objective", "regularizer"):
        for name in yamls(group):
            node = OmegaConf.load(ROOT / "conf" / group / f"{name}.yaml")
            found[f"{group}={name}"] = instantiate(node[name] if group == "regularizer" else node).double()
    return found


def steps(batch: Clouds) -> dict[str, Step]:
    """The loss and gradients of each term, on features that a layer for each side makes of ``batch``."""
    found = {}
    for name, term in terms().items():
        generator = torch.Generator().manual_seed(9)
        audio, text = (
            (0.2 * torch.randn(5, 4, generator=generator, dtype=torch.float64)).requires_grad_()
            for _ in range(2)
        )
        features = gather_clouds(
            Clouds(
                audio=batch.audio @ audio,
                text=batch.text @ text,
                swapped=batch.swapped @ text,
                swapped_of=batch.swapped_of,
                clip=batch.clip,
                caption=batch.caption,
                swapped_caption=batch.swapped_caption,
                step=batch.step,
            )
        )
        loss = term(features)
        loss.backward()
        parameters = {"audio": audio, "text": text, **dict(term.named_parameters())}
        gradients = {key: one.grad for key, one in parameters.items() if one.grad is not None}
        found[name] = {"loss": loss.detach(), **gradients}
    return found


def run(rank: int, folder: str) -> None:
    """Process number ``rank`` of two: writes what it finds into ``folder``. A warning is an error."""
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/meeting",
            rank=rank,
            world_size=len(PAIRS),
            timeout=timedelta(seconds=60),
        )
        batch = batch_of(PAIRS[rank])
        found = {"steps": steps(batch), "clouds": vars(gather_clouds(batch))}
        torch.save(found, Path(folder) / f"{rank}.pt")
        dist.destroy_process_group()
