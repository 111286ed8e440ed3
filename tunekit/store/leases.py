"""Who trains which trial: a lock for each, which dies with its process."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

__all__ = ["Leases"]


class Leases:
    """The leases that this process holds on a study's trials.

    Args:
        folder: Where the locks lie.

    Attributes:
        asking: The lock of whoever decides what is trained next.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.asking: AbstractContextManager[Any] = FileLock(folder / "asking.lock")
        self._held: dict[int, FileLock] = {}

    def take(self, number: int) -> bool:
        """Take a trial's lease, unless another process, or this one, holds it."""
        if number in self._held:
            return False
        lock = FileLock(self._folder / f"trial-{number:05d}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        self._held[number] = lock
        return True

    def release(self, number: int) -> None:
        """Give a trial's lease back, if it is held."""
        lock = self._held.pop(number, None)
        if lock is not None:
            # While it is held: later the file may be another process's lease. (Where an
            # open file cannot be removed, the lock does so itself.)
            with suppress(OSError):
                Path(lock.lock_file).unlink()
            lock.release()

    def release_all(self) -> None:
        """Give every lease back."""
        for number in [*self._held]:
            self.release(number)
