"""All trials of a study, and sums over them, kept up to date.

Whoever looks at every trial for every epoch pays for a study's length again and again.
An ended trial never changes: what is seen anew is added, what changed is replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

from optuna.trial import FrozenTrial, TrialState

__all__ = ["Tally"]


class Tally(Sequence[FrozenTrial]):
    """Trials in order of number, as they were last seen.

    Attributes:
        epochs: Epochs trained in all: one recorded value each.

    Example:
        >>> import optuna
        >>> trial = optuna.trial.create_trial(value=1.0, intermediate_values={1: 1.0})
        >>> trial.number = 0
        >>> tally = Tally()
        >>> tally.see(trial)
        >>> len(tally), tally.epochs, tally.running
        (1, 1, [])
    """

    def __init__(self) -> None:
        self.epochs = 0
        self._trials: list[FrozenTrial] = []
        # Counted when seen: Optuna shares dictionaries between a trial and its copies.
        self._epochs: list[int] = []
        self._running: dict[int, FrozenTrial] = {}

    @property
    def running(self) -> list[FrozenTrial]:
        """Those that have not ended, in order of number."""
        return [*self._running.values()]

    def see(self, trial: FrozenTrial) -> None:
        """Take a trial as it is now: the next one, or one that is known."""
        number, epochs = trial.number, len(trial.intermediate_values)
        if number < len(self._trials):
            self.epochs -= self._epochs[number]
            self._trials[number], self._epochs[number] = trial, epochs
        else:
            self._trials.append(trial)
            self._epochs.append(epochs)
        self.epochs += epochs
        if trial.state == TrialState.RUNNING:
            self._running[number] = trial
        else:
            self._running.pop(number, None)

    def __len__(self) -> int:
        return len(self._trials)

    @overload
    def __getitem__(self, index: int) -> FrozenTrial: ...
    @overload
    def __getitem__(self, index: slice) -> list[FrozenTrial]: ...
    def __getitem__(self, index: int | slice) -> FrozenTrial | list[FrozenTrial]:
        return self._trials[index]
