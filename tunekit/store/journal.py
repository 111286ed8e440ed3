"""The journal of trials: opened under a lock that dies with its process, and mended."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from filelock import FileLock
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

__all__ = ["open_journal", "quiet_optuna"]


def open_journal(folder: Path) -> JournalStorage:
    """The storage in ``folder/journal.log``, which is made if it is not there."""
    lock = _JournalLock(folder / "journal.lock")
    _mend(folder / "journal.log", lock)
    backend = JournalFileBackend(
        str(folder / "journal.log"),
        lock,  # type: ignore[arg-type]
    )
    return JournalStorage(backend)


class _JournalLock:
    """An operating-system lock for the journal: it dies with its process.

    Optuna's own locks are files that outlive a killed process for half a minute.
    """

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path)

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._lock.acquire()
        return True

    def release(self) -> None:
        """Give it back."""
        self._lock.release()


def _mend(journal: Path, lock: _JournalLock) -> None:
    """Cut off a last line that a full disk or a power failure left unfinished.

    Readers pass over it, but the next line would be glued on to it, and the journal
    unreadable from then on.
    """
    lock.acquire()
    try:
        if not journal.exists() or not journal.stat().st_size:
            return
        with journal.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
    finally:
        lock.release()


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Without Optuna's line about every study it opens."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
