"""The end of a study: by one process at a time, and whether what it made is whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from tunekit.errors import DataError

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["alone", "unjudged"]

_POLL_SECONDS = 0.1


@contextmanager
def alone(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Let one process at a time judge the winner; the lock dies with its process.

    Args:
        folder: The study's.
        say: Hears of it when another process is waited for.
    """
    lock = FileLock(folder / "leases" / "ending.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        say("another command judges the winner: waiting for it")
        lock.acquire(poll_interval=_POLL_SECONDS)
    try:
        # What a process left that was killed while it saved a model: the lock is ours.
        for left in folder.glob(".model-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()


def unjudged(folder: Path, best: FrozenTrial | None) -> str:
    """What is missing or damaged of the winner's files, in words; empty for nothing.

    Args:
        folder: The study's.
        best: The winning trial.
    """
    from tunekit.predict.model import FOLDER, read
    from tunekit.report.reading import read_final

    try:
        final = read_final(folder)
    except DataError:
        return "final.json is damaged"
    if final is None:
        return "final.json is missing"
    if best is None or final["number"] != best.number:
        return "final.json is of another trial"
    if not (folder / FOLDER).exists():
        return f"{FOLDER}/ is missing"
    try:
        described, _ = read(folder / FOLDER)
    except DataError:
        return f"{FOLDER}/ is damaged"
    info = {"trial": final["number"], **final["model"]}
    return "" if described.get("info") == info else f"{FOLDER}/ is of another trial"
