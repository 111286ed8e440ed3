"""What a store writes: at once, or all of a block at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunekit.interrupt import shield
from tunekit.store.checkpoints import Checkpoints
from tunekit.store.folder import writing
from tunekit.store.journal import Journal
from tunekit.store.leases import Leases

__all__ = ["Writes"]


class Writes:
    """The writes of one open study; no signal ends the process amid one.

    Args:
        folder: The study's.
        journal: All trials.
        leases: Which trials are whose.
        checkpoints: States of paused trials, weights of the best ones.
    """

    def __init__(
        self, folder: Path, journal: Journal, leases: Leases, checkpoints: Checkpoints
    ) -> None:
        self._folder, self._journal = folder, journal
        self._leases, self._checkpoints = leases, checkpoints
        self._depth = 0

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """The block's writes, each for itself unless it is within :meth:`together`.

        Raises:
            StoppedError: If one cannot be written.
        """
        with shield(), writing(self._folder):
            yield

    @contextmanager
    def together(self) -> Iterator[None]:
        """The block's writes as one; see :meth:`tunekit.store.Store.together`.

        Raises:
            StoppedError: If it cannot be written.
        """
        # In the order of next_trial: two locks taken in two orders could wait for each
        # other. And an ended trial, whose lease is free, is nobody's until it is told.
        with writing(self._folder), self._leases.asking, shield():
            self._depth += 1
            try:
                with self._journal.together():
                    yield
            finally:
                self._depth -= 1
                if self._journal.broken:
                    # Numbers of trials that nobody heard of are the next one's.
                    self._leases.release_all()
                elif not self._depth:
                    self._checkpoints.clear()

    def clear(self) -> None:
        """Remove states that are replaced, unless a block is yet to be written."""
        if not self._depth:
            self._checkpoints.clear()
