"""Starts the processes that train one model together, and passes signals on to them."""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

from torch import multiprocessing

from clapbench.console import LogHandler, console
from clapbench.running.stopping import STATE, Stopped, stoppable


def started_rank() -> int:
    """This process's number as whoever started it says, before any process group is there."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if name in os.environ and (name != "SLURM_PROCID" or "SLURM_NTASKS" in os.environ):
            return int(os.environ[name])
    return 0


def run(work: Callable[[Any], None], job: Any, *, n: int) -> None:
    """``work(job)`` in ``n`` processes that Lightning takes for one group; here where ``n`` is 1.

    A process that raises ends all. A signal goes on to every process, once; they save together, and end.
    """
    if n == 1:
        if started_rank() > 0:
            be_quiet()
        work(job)
        return
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # DDP warns where every parameter is in use
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # it tells of each that it ends
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
        raise ValueError(
            f"a process of the training was ended from outside ({ended}). Type the same command again to go on from "
            f"its last checkpoint."
        ) from ended
    except multiprocessing.ProcessRaisedException as raised:
        raise raised_there(str(raised)) from None
    finally:
        STATE.in_batches = False


def raised_there(told: str) -> Exception:
    """What a process raised, in its own words where it is a mistake of the user's, which has one line."""
    last = told.strip().splitlines()[-1]
    kind, _, words = last.partition(": ")
    mistakes = ("ConfigError", "NotFiniteError", "ValueError", "ClipError", "OSError", "FileNotFoundError")
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
    else:
        logging.basicConfig(level=logging.INFO, handlers=[LogHandler()], format="%(message)s")
    with stoppable(""):  # the parent speaks, and passes the signals of a terminal on
        STATE.handlers.pop(signal.SIGINT, None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        work(job)


def be_quiet() -> None:
    """Leaves the talking to the first process."""
    console.quiet = True
    logging.getLogger().setLevel(logging.ERROR)
