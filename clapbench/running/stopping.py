"""Ctrl-C and SIGTERM: a command ends after the batch that is running, with one line and the exit code of its signal.

Lightning catches a KeyboardInterrupt itself, and takes no notice of SIGTERM while it predicts. So both signals are
handled here: outside of batches they raise `Stopped` at once; within `finishing_batches` the first one waits for
`raise_if_stopped`, which every Trainer of `trainer.make_trainer` calls after a batch, and a second one waits no more.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from clapbench.console import complain

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Stopped(SystemExit):
    """Somebody ended the command: exit code 130 or 143. No ``Exception``, so nothing takes it for a failed cell."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number
        self.said = False


@dataclass
class State:
    """Of this process: a signal is known to its handler alone."""

    asked: int | None = None  # the number of a signal that waits for the end of a batch
    in_batches: bool = False
    handlers: dict[signal.Signals, Any] = field(default_factory=dict)  # while they are ours


STATE = State()


@contextmanager
def stoppable(advice: str) -> Iterator[None]:
    """Within the block either signal raises `Stopped`, after one line on stderr that ends with ``advice``.

    Blocks may be nested: the innermost one speaks, none where its advice is empty. Elsewhere than in the main thread
    signals cannot be handled.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != ours:
            return  # a forked worker, which ends with its loader
        if STATE.in_batches and STATE.asked is None:
            STATE.asked = number
        else:
            raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in NAMES}
    outer, STATE.handlers = STATE.handlers, dict.fromkeys(NAMES, stop)
    try:
        yield
        raise_if_stopped()
    except Stopped as stopped:
        if advice and not stopped.said:
            complain(f"stopped by {NAMES[signal.Signals(stopped.number)]}. {advice}")
            stopped.said = True
        raise
    finally:
        STATE.asked, STATE.handlers = None, outer
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def finishing_batches() -> Iterator[None]:
    """Within the block a signal waits for the end of a batch. What fails after one, as a worker that it ended, is its
    consequence.
    """
    STATE.in_batches = True
    try:
        yield
    except BaseException as error:
        if STATE.asked is not None and not isinstance(error, Stopped):
            raise Stopped(STATE.asked) from error
        raise
    finally:
        STATE.in_batches = False


def handle_again() -> None:
    """Takes the signals back from a library that has put handlers of its own around ours."""
    for number, handler in STATE.handlers.items():
        signal.signal(number, handler)


def raise_if_stopped() -> None:
    """Raises `Stopped` where a signal has come."""
    if STATE.asked is not None:
        raise Stopped(STATE.asked)
