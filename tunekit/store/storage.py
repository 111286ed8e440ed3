"""Optuna's journal storage, which does not look through all trials for each new one."""

from __future__ import annotations

import copy
from collections.abc import Container

from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from tunekit.errors import ResumeError, TunekitError, one_line
from tunekit.store.journal import Journal

__all__ = ["Storage"]


class Storage(JournalStorage):
    """A journal of one study: a trial's id is its number.

    Whenever a trial is asked for, Optuna first lists those that wait in a queue. One
    that has left it never comes back, so that only later ones are looked at.

    Raises:
        ResumeError: If the journal's lines do not fit one another.
    """

    def __init__(self, journal: Journal) -> None:
        try:
            super().__init__(journal)
        except (TunekitError, OSError):
            raise
        # Lines without checksums can be damaged so that they are lines still, and
        # Optuna has no error of its own for that: any may come.
        except Exception as error:
            why = one_line(f"{type(error).__name__}: {error}")[:120]
            raise ResumeError(
                f"{journal.path} must be a journal that Optuna can read, got: {why}; "
                "restore it from a copy of the folder"
            ) from None
        self._begun = 0

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """As Optuna's; quick for those that wait."""
        if states != (TrialState.WAITING,):
            return super().get_all_trials(study_id, deepcopy, states)
        waiting: list[FrozenTrial] = []
        number = self._begun
        while True:
            try:
                trial = self.get_trial(number)
            except KeyError:
                break
            number += 1
            if trial.state == TrialState.WAITING:
                waiting.append(trial)
            elif not waiting:
                self._begun = number
        return copy.deepcopy(waiting) if deepcopy else waiting
