"""What a store does with leases: trials are taken up, suspected, and given back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial

from tunekit.paused import reached
from tunekit.store.leases import Leases
from tunekit.store.owners import Owner
from tunekit.store.revived import revived
from tunekit.tally import Tally

__all__ = ["Leased"]


class Leased(ABC):
    """The half of a :class:`tunekit.store.Store` that knows whose trials are whose."""

    study: optuna.Study
    _storage: BaseStorage
    _leases: Leases

    @abstractmethod
    def tally(self) -> Tally:
        """All trials."""

    @abstractmethod
    def together(self) -> AbstractContextManager[None]:
        """One write."""

    def take_up(
        self,
        frozen: FrozenTrial,
        suggest: Callable[[Trial], Any],
        *,
        alone: bool = False,
    ) -> Trial | None:
        """An abandoned trial, leased to us; None if it is not to be had.

        Args:
            frozen: One that somebody trains, or should.
            suggest: As for :meth:`next_trial`.
            alone: Whether it may be one that must be tried alone first.
        """
        number, leases = frozen.number, self._leases
        with self.together():
            if not leases.take(number, reached(frozen)):
                return None
            # Its owner may have ended it between our look and our lease.
            owner, is_open = leases.owner(number), self.tally().is_open(number)
            if is_open and (alone or not (owner.suspected or owner.doomed)):
                trial = self._revive(number)
                suggest(trial)
                return trial
            leases.release(number)
            return None

    def suspects(self) -> list[tuple[FrozenTrial, Owner]]:
        """Abandoned trials that may have ended their processes, and what is known.

        Those that did so alone come last: a process that is killed for another reason
        seldom meets the same one twice.
        """
        found = []
        with self.together():
            for frozen in self.tally().opened:
                if self._leases.take(frozen.number, reached(frozen)):
                    owner = self._leases.owner(frozen.number)
                    self._leases.release(frozen.number)
                    if owner.suspected or owner.doomed:
                        found.append((frozen, owner))
        return sorted(found, key=lambda each: (each[1].alone, each[0].number))

    def begin_epoch(self, numbers: Collection[int]) -> None:
        """These trials, which are ours, begin an epoch that was never recorded."""
        self._leases.begin(numbers)

    def absolve(self, number: int) -> None:
        """A suspected trial did not end its process, and goes back to be taken up."""
        self._leases.absolve(number)
        self._leases.release(number)

    def forgive(self, pids: Collection[int]) -> None:
        """Processes that we have ended: their trials are not to blame for it."""
        self._leases.forgive(pids)

    def release_all(self) -> None:
        """Give every lease back; what was running can be taken up by anyone."""
        self._leases.release_all()

    def _revive(self, number: int) -> Trial:
        return revived(self.study, self._storage, number)
