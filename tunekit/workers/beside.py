"""Searching with several worker processes, beside the command that watches them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from optuna.trial import FrozenTrial

from tunekit.errors import StoppedError
from tunekit.machine import cores
from tunekit.store import Store
from tunekit.workers.processes import Worker, stop

__all__ = ["search_beside"]

_POLL_SECONDS = 0.2


def search_beside(
    store: Store,
    folder: Path,
    n_workers: int,
    *,
    until: float | None,
    on_end: Callable[[FrozenTrial], None],
    say: Callable[[str], None],
) -> None:
    """Start workers on a study and watch them until they are done.

    Args:
        store: The study, to see what they record.
        folder: Its folder.
        n_workers: How many; they share the processors.
        until: When they must end (``time.monotonic()``), if ever.
        on_end: Hears of every trial that ends.
        say: Hears of a worker that ended early.

    Raises:
        StoppedError: If one of them had to stop, with its reason.
    """
    extra: dict[str, str] = {}
    threads = max(1, cores() // n_workers)
    seen = {t.number for t in store.trials() if t.state.is_finished()}
    workers: list[Worker] = []
    try:
        for _ in range(n_workers):
            if until is not None:
                extra["seconds"] = str(max(0.0, until - time.monotonic()))
            workers.append(Worker.start(folder, threads, extra))
        running = True
        while running:
            running = any(worker.code is None for worker in workers)
            for trial in store.trials():
                if trial.state.is_finished() and trial.number not in seen:
                    seen.add(trial.number)
                    on_end(trial)
            if running:
                time.sleep(_POLL_SECONDS)
        for worker in workers:
            if worker.code == 3:
                raise StoppedError(worker.last_words())
            if worker.code:
                say(f"a worker ended early: {worker.last_words()}")
    finally:
        store.forgive(stop(workers))
