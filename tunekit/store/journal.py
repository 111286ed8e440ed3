"""The journal of trials: opened under a lock that dies with its process, and mended.

The file is Optuna's: one JSON line a log, and any JournalFileBackend reads it; each
line carries a checksum (:mod:`tunekit.lines`). What is written in a ``together`` block
waits in memory and reaches the file as one write:

    lock ── append, read, append, … (memory) ── one write, one fsync ── copy ── unlock

The copy lies beside it, and is written without waiting for the disk: it is there for a
journal that is damaged later (:mod:`tunekit.store.mending`), and may lack its end.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.storages.journal import BaseJournalBackend

from tunekit.errors import StoppedError
from tunekit.lines import CREATES, Operation, creations, opened, sealed
from tunekit.reading import JOURNAL
from tunekit.store.mending import copy_on, cut_torn, mend

__all__ = ["Journal", "quiet_optuna"]

_POLL_SECONDS = 0.005
"""Between two looks whether another process has given the lock back."""


@dataclass
class _Block:
    """What is written together: the logs that follow the first ``base`` in the file.

    ``n_trials`` have been made by the end of it.
    """

    base: int
    n_trials: int
    lines: list[bytes] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)


class Journal(BaseJournalBackend):
    """Optuna's journal in ``folder/journal.log``, which is made if it is not there.

    Raises:
        ResumeError: If it is damaged, and a process is at work on the study.
        StoppedError: If the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        mend(folder)
        self._folder, self.path = folder, folder / JOURNAL
        self._lock = FileLock(folder / "journal.lock")
        self._file = self.path.stat().st_ino
        # So many logs fill so many bytes and make so many trials: to read on from.
        self._place = 0, 0, 0
        # Opening a block and appending take first this, then the lock of the file;
        # whoever has the file for a block wants this only for a moment.
        self._threads = threading.RLock()
        self._block: _Block | None = None
        self._depth = 0
        self.changed: set[int] = set()
        """Ids of trials that logs have told of since whoever follows them looked."""
        self._failure: OSError | None = None

    @property
    def broken(self) -> bool:
        """Whether a block could not be written: the file ends before what was told."""
        return self._failure is not None

    def check(self) -> None:
        """Refuse to go on after a block that could not be written.

        Raises:
            OSError: What it failed with.
        """
        if self._failure is not None:
            raise OSError(*self._failure.args) from self._failure

    @contextmanager
    def together(self) -> Iterator[None]:
        """Append what the block writes in one piece, however it is left.

        No other process writes meanwhile. An inner block is part of the outer one.

        Raises:
            OSError: If it cannot be written; then neither can anything later, and what
                can be read stays as it was told.
        """
        with self._threads:
            self.check()
            if not self._depth:
                self._acquire()
                try:
                    self._block = _Block(*self._count())
                except BaseException:
                    self._lock.release()
                    raise
            self._depth += 1
        try:
            yield
        finally:
            with self._threads:
                self._depth -= 1
                if not self._depth:
                    self._end()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write down, at once or at the end of the block."""
        with self._threads:
            self.check()
            block = self._block
            if block is not None:
                block.n_trials = _numbered(logs, block.n_trials)
                lines = [sealed(log) for log in logs]
                block.lines += lines
                # As they will be read: enumerations are numbers, keys are text.
                block.logs += map(json.loads, lines)
                return
            self._acquire()
            try:
                _numbered(logs, self._count()[1])
                self._write([sealed(log) for log in logs])
            finally:
                self._lock.release()

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Everything from this log on."""
        for log in self._logs(log_number_from):
            if "trial_id" in log:
                self.changed.add(log["trial_id"])
            yield log

    def _logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        block = self._block
        if block is None:
            yield from self._in_file(log_number_from)
            return
        if log_number_from < block.base:
            yield from islice(
                self._in_file(log_number_from), block.base - log_number_from
            )
        yield from block.logs[max(0, log_number_from - block.base) :]

    def _in_file(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        number, offset, n_trials = self._place
        if log_number_from < number:
            number = offset = n_trials = 0
        if self.path.stat().st_size <= offset:
            return
        with self.path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_ino != self._file:
                return  # written anew for a wider space: what was told stays
            end = found.st_size
            file.seek(offset)
            for line in file:
                offset += len(line)
                if offset > end or not line.endswith(b"\n"):
                    return  # somebody is still writing it
                wanted = number >= log_number_from
                log = opened(line) if wanted else {}
                if log is None:
                    raise StoppedError(
                        f"{self.path} must stay as it is written, got a damaged line; "
                        "run the same command again: that mends it"
                    )
                number += 1
                n_trials += line.startswith(CREATES)
                self._place = number, offset, n_trials
                if wanted:
                    yield log

    def _count(self) -> tuple[int, int]:
        """How many logs the file holds, and how many of them make a trial.

        The lock is ours, thus every line is whole.
        """
        number, offset, n_trials = self._place
        with self.path.open("rb") as file:
            file.seek(offset)
            rest = file.read()
        return number + rest.count(b"\n"), n_trials + creations(rest)

    def _end(self) -> None:
        """Write the block, and give the file to others."""
        block = self._block
        assert block is not None
        try:
            if block.lines:
                end = self._write(block.lines)
                self._place = block.base + len(block.lines), end, block.n_trials
            self._block = None
        except BaseException as error:
            # How much of it the file has got is not known. The block stays, so that
            # what is read goes on to be what was told.
            interrupted = OSError("the last write was interrupted")
            self._failure = error if isinstance(error, OSError) else interrupted
            raise
        finally:
            self._lock.release()

    def _write(self, lines: list[bytes]) -> int:
        """Append and wait for the disk, all or nothing; where the file ends now."""
        content = b"".join(lines)
        # Without a buffer, whose rest would be written when the file is closed.
        with self.path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                written = 0
                while written < len(content):
                    written += file.write(content[written:])
                os.fsync(file.fileno())
            except BaseException:
                # Half a block would be a history that never was: who goes on from it
                # would decide otherwise.
                with suppress(OSError):
                    file.truncate(before)
                raise
        # What is written is written: without the copy, too.
        with suppress(OSError):
            copy_on(self._folder)
        return before + len(content)

    def _acquire(self) -> None:
        """Wait for the lock; the journal is whole then, and still the one we opened.

        Optuna's own locks are files that outlive a killed process for half a minute;
        this one dies with its process.

        Raises:
            OSError: If another process has written it anew.
        """
        self._lock.acquire(poll_interval=_POLL_SECONDS)
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_ino != self._file:
                    raise OSError(f"{JOURNAL} was written anew by another process")
                end = file.seek(0, os.SEEK_END)
                if end:
                    file.seek(end - 1)
                    torn = file.read(1) != b"\n"
                else:
                    torn = False
            if torn:
                cut_torn(self._folder)
        except BaseException:
            self._lock.release()
            raise


def _numbered(logs: list[dict[str, Any]], n_trials: int) -> int:
    """Tell those that make a trial its number; how many trials there are then."""
    for log in logs:
        if log["op_code"] == Operation.CREATE_TRIAL:
            log["trial_id"] = n_trials
            n_trials += 1
    return n_trials


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Without Optuna's line about every study it opens."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
