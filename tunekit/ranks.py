"""One run that several processes train at once: rank zero asks, and all ranks obey.

The Trainer's own launcher starts the processes from a thread, while this one answers:
decisions, writes and signals stay in the main thread of the process that searches.

    rank 0 ── epoch, metrics ──▶ here            every rank ◀── broadcast ── rank 0
           ◀── verdict ─────────
           ── what it came to ─▶
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from torch.multiprocessing.spawn import (
    ProcessExitedException,
    ProcessRaisedException,
)

from tunekit.errors import ConfigError
from tunekit.follower import Follower
from tunekit.trial import Metrics, Verdict

__all__ = ["Link", "fit_in_processes", "strategy_of"]

_POLL_SECONDS = 0.05
_PATIENCE_SECONDS = 30.0
_BEGIN_SECONDS = 1.0
_SPAWNED = {
    "auto": "ddp_spawn",
    "ddp": "ddp_spawn",
    "ddp_find_unused_parameters_true": "ddp_spawn_find_unused_parameters_true",
    "ddp_find_unused_parameters_false": "ddp_spawn_find_unused_parameters_false",
}
"""A strategy that runs the whole script once more in every process would search in
every one of them."""
_KNOWN = ("ddp_spawn", "ddp_fork", "ddp_notebook")


class Link:
    """Rank zero's end of the line, in place of whoever hears of epochs.

    Args:
        line: To the process that searches.
    """

    def __init__(self, line: Connection) -> None:
        self._line = line

    def __call__(self, epoch: int, metrics: Metrics) -> Verdict:
        """Ask what becomes of the run."""
        self._line.send((epoch, metrics))
        return Verdict(self._line.recv())

    def send(self, outcome: Any) -> None:
        """Tell what training came to."""
        self._line.send(outcome)


def strategy_of(given: Any) -> str:
    """The strategy with which several processes train one run.

    Args:
        given: What the user's Trainer has.

    Raises:
        ConfigError: If that cannot be led from here.
    """
    name = _SPAWNED.get(given, given)
    if not isinstance(name, str) or not name.startswith(_KNOWN):
        raise ConfigError(
            "trainer's strategy must be one of auto, ddp, ddp_spawn, ddp_fork and "
            f"their variants where there are several devices, got {given!r}"
        )
    return name


def fit_in_processes(
    trainer: Any, fit: Callable[[], None], line: Connection, follower: Follower
) -> Any:
    """Train in the processes of a Trainer's launcher.

    Args:
        trainer: The Trainer.
        fit: Calls its ``fit``.
        line: To rank zero.
        follower: Whose ``on_epoch`` answers.

    Returns:
        What rank zero has sent last, as bytes; None where it has sent nothing.

    Raises:
        ConfigError: What rank zero says is not the run's fault.
        Exception: Whatever ended one of the processes.
    """
    errors: list[BaseException] = []

    begun = threading.Event()

    def run() -> None:
        begun.set()
        try:
            fit()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="fit", daemon=True)
    outcome: Any = None
    refused = ""
    try:
        thread.start()
        while thread.is_alive() or line.poll():
            if not line.poll(_POLL_SECONDS):
                continue
            told = line.recv()
            if isinstance(told, tuple):
                line.send(follower.answer(*told).value)
            elif isinstance(told, str):
                refused = told
            else:
                outcome = told
    except EOFError:
        pass  # rank zero is gone: the thread knows why
    except BaseException:
        with suppress(BaseException):
            # Who was stopped while it began sees it alive only when it has begun.
            begun.wait(_BEGIN_SECONDS)
        _end(trainer, thread)
        raise
    thread.join(_PATIENCE_SECONDS)
    if refused:
        raise ConfigError(refused)
    # A process that has told what it came to may still stumble on its way out.
    late = outcome is not None
    if errors and not (late and isinstance(errors[0], ProcessExitedException)):
        raise _reason(errors[0])
    return outcome


def _end(trainer: Any, thread: threading.Thread) -> None:
    """End the processes, also those that are yet to be started, whatever comes."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while thread.is_alive() and time.monotonic() < until:
        # Another signal, or an alarm that rings again, must not leave them behind.
        with suppress(BaseException):
            trainer.strategy.launcher.kill(signal.SIGKILL)
            thread.join(_POLL_SECONDS)


def _reason(error: BaseException) -> Exception:
    """Why a process ended: the last line of its traceback tells the most."""
    if isinstance(error, ProcessRaisedException):
        lines = [line for line in str(error).splitlines() if line.strip()]
        found = RuntimeError(lines[-1] if lines else "a process of the run failed")
        found.__cause__ = error
        return found
    if isinstance(error, Exception):
        return error
    return RuntimeError(f"a process of the run ended with {type(error).__name__}")
