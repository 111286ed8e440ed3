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
    journal = folder / "journal.log"
    lock = _JournalLock(folder / "journal.lock", journal)
    backend = JournalFileBackend(str(journal), lock)  # type: ignore[arg-type]
    return JournalStorage(backend)


class _JournalLock:
    """An operating-system lock for the journal: it dies with its process.

    Optuna's own locks are files that outlive a killed process for half a minute.
    Whoever gets the lock finds the journal whole: a last line that a full disk or a
    power failure left unfinished is cut off. Readers pass over such a line, but the
    next one would be glued on to it, and the journal unreadable from then on.
    """

    def __init__(self, path: Path, journal: Path) -> None:
        self._lock, self._journal = FileLock(path), journal

    def acquire(self) -> bool:
        """Wait for the lock, and mend the journal."""
        self._lock.acquire()
        try:
            self._mend()
        except BaseException:
            self._lock.release()
            raise
        return True

    def release(self) -> None:
        """Give it back."""
        self._lock.release()

    def _mend(self) -> None:
        if not self._journal.exists() or not self._journal.stat().st_size:
            return
        with self._journal.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Without Optuna's line about every study it opens."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
