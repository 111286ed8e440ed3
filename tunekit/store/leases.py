"""Who trains which trial: a lock for each, which dies with its process.

Where a folder is shared, a file system may lock within one host only. So whoever holds
a lock also says who it is in a file beside it, and touches that from time to time: what
another host has touched of late is held, whatever the lock says.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock, Timeout

from tunekit.errors import ResumeError
from tunekit.interrupt import before_the_end
from tunekit.store.owners import SILENT_SECONDS, Owner

__all__ = ["Leases"]

_BEAT_SECONDS = 30.0


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
        self._owners: dict[int, Owner] = {}
        _Heart.keep(self)

    def take(self, number: int, epochs: int | None = None) -> bool:
        """Take a trial's lease, unless another process, or this one, holds it.

        Args:
            number: The trial.
            epochs: How many are recorded of it; as many as before when None.
        """
        if number in self._held:
            return False
        lock = FileLock(self._folder / f"trial-{number:05d}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        before = Owner.read(self._path(number))
        if before is not None and before.is_elsewhere and self._heard_of(number):
            lock.release()
            return False
        self._held[number] = lock
        self._say(number, Owner.here().after(before, epochs))
        return True

    def owner(self, number: int) -> Owner:
        """What is known of a lease that is held."""
        return self._owners[number]

    def begin(self, numbers: Collection[int]) -> None:
        """These trials, which are held, begin an epoch that was never recorded."""
        doing = "alone" if len(numbers) == 1 else "company"
        for number in numbers:
            self._say(number, replace(self._owners[number], doing=doing))

    def absolve(self, number: int) -> None:
        """A trial that is held did not end its process, where it was suspected to."""
        self._say(number, replace(self._owners[number], doing="", alone=0, company=0))

    def release(self, number: int, *, settled: bool = False) -> None:
        """Give a trial's lease back, if it is held.

        Args:
            number: The trial.
            settled: It got where it was to get: what ended its processes is forgotten.
        """
        lock = self._held.pop(number, None)
        if lock is None:
            return
        owner = self._owners.pop(number)
        with suppress(OSError):
            if owner.deaths and not settled:
                replace(owner, doing="").write(self._path(number))
            else:
                self._path(number).unlink()
        # While it is held: later the file may be another process's lease. (Where an
        # open file cannot be removed, the lock does so itself.)
        with suppress(OSError):
            Path(lock.lock_file).unlink()
        lock.release()

    @contextmanager
    def all_taken(self, held: str) -> Iterator[None]:
        """Nobody trains in this block, nor decides what is trained next.

        Args:
            held: The line to refuse with, where a process trains.

        Raises:
            ResumeError: If one does.
        """
        with self.asking:
            try:
                for path in self._folder.glob("trial-*.lock"):
                    if not self.take(int(path.stem.split("-")[1])):
                        raise ResumeError(held)
                yield
            finally:
                self.release_all()

    def release_all(self) -> None:
        """Give every lease back."""
        for number in [*self._held]:
            self.release(number)

    def forgive(self, pids: Collection[int]) -> None:
        """Processes of this host that were ended on purpose: by no trial of theirs.

        Args:
            pids: Of this process, or of others that are gone.
        """
        here = Owner.here()
        for path in self._folder.glob("owner-*.json"):
            owner = Owner.read(path)
            if owner is None or owner.pid not in pids or not owner.doing:
                continue
            if (owner.host, owner.boot) == (here.host, here.boot):
                with suppress(OSError):
                    replace(owner, doing="").write(path)

    def touch(self) -> None:
        """Let other hosts know that what is held is held."""
        for number in [*self._held]:
            with suppress(OSError):
                os.utime(self._path(number))

    def _path(self, number: int) -> Path:
        return self._folder / f"owner-{number:05d}.json"

    def _say(self, number: int, owner: Owner) -> None:
        """Write down who holds a lease, if that is news."""
        if self._owners.get(number) != owner:
            self._owners[number] = owner
            # On a full disk the lock alone must do.
            with suppress(OSError):
                owner.write(self._path(number))

    def _heard_of(self, number: int) -> bool:
        """Whether a lease's owner has touched its file of late.

        By the clock of whoever keeps the folder: those of two hosts may differ.
        """
        lock = self._folder / f"trial-{number:05d}.lock"
        try:
            os.utime(lock)
            silent = lock.stat().st_mtime - self._path(number).stat().st_mtime
        except OSError:
            return False
        return silent < SILENT_SECONDS


class _Heart:
    """A thread that touches what this process holds, for as long as it lives."""

    _all: ClassVar[weakref.WeakSet[Leases]] = weakref.WeakSet()
    _lock = threading.Lock()
    _thread: threading.Thread | None = None

    @classmethod
    def keep(cls, leases: Leases) -> None:
        """Touch these, too."""
        with cls._lock:
            cls._all.add(leases)
            if cls._thread is None or not cls._thread.is_alive():
                cls._thread = threading.Thread(target=cls._beat, daemon=True)
                cls._thread.start()

    @classmethod
    def stop(cls) -> None:
        """This process is ended by a person, not by what it trains."""
        for leases in [*cls._all]:
            leases.forgive([os.getpid()])

    @classmethod
    def _beat(cls) -> None:
        while True:
            time.sleep(_BEAT_SECONDS)
            with cls._lock:
                for leases in cls._all:
                    leases.touch()


before_the_end(_Heart.stop)
