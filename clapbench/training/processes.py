"""Several processes that train one model: their ranks, and the rows of all of them with gradients."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch import multiprocessing

from clapbench.console import console
from clapbench.running.stopping import STATE, Stopped


def rank() -> int:
    """This process's number; 0 where there is one."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gathered(rows: Tensor) -> tuple[Tensor, list[int]]:
    """The rows of every process, in the order of ranks, and how many each has. Gradients flow to where rows came from.

    Every process computes the whole loss from them. The gradient of a row is then that of each process, summed; with
    DDP's mean over processes it is the gradient of one process with the whole batch. Numbers of rows may differ.
    """
    if world() == 1:
        return rows, [len(rows)]
    counts = [torch.zeros(1, dtype=torch.long, device=rows.device) for _ in range(world())]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    sizes = [int(count) for count in counts]
    most = max(sizes)
    padded = torch.cat([rows, rows.new_zeros(most - len(rows), *rows.shape[1:])])
    if rows.requires_grad or rows.is_floating_point():
        from torch.distributed.nn.functional import all_gather  # with a gradient

        everyone = list(all_gather(padded))
    else:
        everyone = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(everyone, padded)
    return torch.cat([part[:size] for part, size in zip(everyone, sizes, strict=True)]), sizes


def joined(rows: list[list[tuple[Tensor, Tensor]]]) -> list[list[tuple[Tensor, Tensor]]]:
    """Lists of what every process encoded, list by list; the same in each process."""
    if world() == 1:
        return rows
    everyone: list[list[list[tuple[Tensor, Tensor]]] | None] = [None] * world()
    dist.all_gather_object(everyone, rows)
    return [
        [batch for part in everyone if part is not None for batch in part[number]]
        for number in range(len(rows))
    ]


def agreed(number: int) -> int:
    """The largest of every process's numbers."""
    if world() == 1:
        return number
    asked = torch.tensor([number], device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(asked, op=dist.ReduceOp.MAX)
    return int(asked)


def started_rank() -> int:
    """This process's number as whoever started it says, before any process group is there."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if name in os.environ and (name != "SLURM_PROCID" or "SLURM_NTASKS" in os.environ):
            return int(os.environ[name])
    return 0


def run(work: Callable[[Any], None], job: Any, *, n: int) -> None:
    """``work(job)`` in ``n`` processes that Lightning takes for one group; here where ``n`` is 1.

    A process that raises ends all. Signals go on to every process; each saves and ends by itself.
    """
    if n == 1:
        if started_rank() > 0:
            be_quiet()
        work(job)
        return
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # torch warns of parameters that are in use after all
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = multiprocessing.start_processes(
        _one_of, args=(work, job, n, port), nprocs=n, join=False, start_method="spawn"
    )
    STATE.in_batches = True  # a signal waits until the processes have saved
    told = False
    try:
        while not running.join(timeout=0.2):
            if STATE.asked is not None and not told:
                told = True
                for process in running.processes:
                    if process.is_alive():
                        os.kill(process.pid, signal.SIGTERM)
    except multiprocessing.ProcessExitedException as ended:
        if STATE.asked is not None:
            raise Stopped(STATE.asked) from None
        raise RuntimeError(f"a training process ended by itself: {ended}") from ended
    except multiprocessing.ProcessRaisedException as raised:
        raise raised_there(str(raised)) from None
    finally:
        STATE.in_batches = False


def raised_there(told: str) -> Exception:
    """What a process raised, in its own words where it is a mistake of the user's, which has one line."""
    last = told.strip().splitlines()[-1]
    kind, _, words = last.partition(": ")
    mistakes = ("ConfigError", "NotFiniteError", "ValueError", "ClipError", "FileNotFoundError")
    if words and kind.rpartition(".")[2] in mistakes:
        return ValueError(words)
    return RuntimeError(told)


def _one_of(number: int, work: Callable[[Any], None], job: Any, n: int, port: int) -> None:
    os.environ |= {  # what Lightning's environment and torch read
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(n),
        "NODE_RANK": "0",
        "RANK": str(number),
        "LOCAL_RANK": str(number),
    }
    if number > 0:
        be_quiet()
    from clapbench.running.stopping import stoppable

    with stoppable(""):
        work(job)


def be_quiet() -> None:
    """Leaves the talking to the first process."""
    console.quiet = True
    logging.getLogger().setLevel(logging.ERROR)

