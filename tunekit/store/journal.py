"""The journal of trials: opened under a lock that dies with its process, and mended.

The file is Optuna's: one JSON line a log, and any JournalFileBackend reads it. What is
written in a ``together`` block waits in memory and reaches the file as one write:

    lock ── append, read, append, … (memory) ── one write, one fsync ── unlock
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

__all__ = ["Journal", "quiet_optuna"]

_POLL_SECONDS = 0.005
"""Between two looks whether another process has given the lock back."""
_PIECE = 1 << 20


@dataclass
class _Block:
    """What is written together: the logs that follow the first ``base`` in the file."""

    base: int
    lines: list[str] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)


class Journal(BaseJournalBackend):
    """Optuna's journal in ``folder/journal.log``, which is made if it is not there."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "journal.log"
        self._lock = _JournalLock(folder / "journal.lock", self._path)
        if not self._path.exists():
            self._path.open("ab").close()
        self._file = self._path.stat().st_ino
        self._place = 0, 0  # so many logs fill so many bytes: a place to read on from
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
                self._lock.acquire()
                try:
                    self._block = _Block(self._count())
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
            lines = [json.dumps(log, separators=(",", ":")) for log in logs]
            if self._block is not None:
                self._block.lines += lines
                # As they will be read: enumerations are numbers, keys are text.
                self._block.logs += map(json.loads, lines)
                return
            self._lock.acquire()
            try:
                self._write(lines)
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
        number, offset = self._place
        if log_number_from < number:
            number = offset = 0
        if self._path.stat().st_size <= offset:
            return
        with self._path.open("rb") as file:
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
                log = json.loads(line) if wanted else {}
                number += 1
                self._place = number, offset
                if wanted:
                    yield log

    def _count(self) -> int:
        """How many logs the file holds; the lock is ours, thus every line is whole."""
        number, offset = self._place
        with self._path.open("rb") as file:
            file.seek(offset)
            while piece := file.read(_PIECE):
                number += piece.count(b"\n")
        return number

    def _end(self) -> None:
        """Write the block, and give the file to others."""
        block = self._block
        assert block is not None
        try:
            if block.lines:
                end = self._write(block.lines)
                self._place = block.base + len(block.lines), end
            self._block = None
        except BaseException as error:
            # How much of it the file has got is not known. The block stays, so that
            # what is read goes on to be what was told.
            interrupted = OSError("the last write was interrupted")
            self._failure = error if isinstance(error, OSError) else interrupted
            raise
        finally:
            self._lock.release()

    def _write(self, lines: list[str]) -> int:
        """Append and wait for the disk, all or nothing; where the file ends now."""
        content = ("\n".join(lines) + "\n").encode("utf-8")
        # Without a buffer, whose rest would be written when the file is closed.
        with self._path.open("ab", buffering=0) as file:
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
            return before + len(content)


class _JournalLock:
    """An operating-system lock for the journal: it dies with its process.

    Optuna's own locks are files that outlive a killed process for half a minute.
    Whoever gets the lock finds the journal whole: a last line that a full disk or a
    power failure left unfinished is cut off. Readers pass over such a line, but the
    next one would be glued on to it, and the journal unreadable from then on.
    """

    def __init__(self, path: Path, journal: Path) -> None:
        self._lock, self._journal = FileLock(path), journal

    def acquire(self) -> None:
        """Wait for the lock, and mend the journal."""
        self._lock.acquire(poll_interval=_POLL_SECONDS)
        try:
            self._mend()
        except BaseException:
            self._lock.release()
            raise

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
