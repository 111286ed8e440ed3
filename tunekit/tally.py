"""All trials of a study, and sums over them, kept up to date.

Whoever looks at every trial for every epoch pays for a study's length again and again.
An ended trial never changes: what is seen anew is added, what changed is replaced.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import overload

from optuna.trial import FrozenTrial, TrialState

from tunekit.paused import is_paused

__all__ = ["Tally", "as_one", "ended", "opened"]


class Tally(Sequence[FrozenTrial]):
    """Trials in order of number, as they were last seen.

    Args:
        max_epochs: The longest a trial trains: one that has reached this is not paused.

    Attributes:
        epochs: Epochs trained in all, one recorded value each; those of a trial that
            goes on in another's stead count once.
        ended: Trials that have ended.

    Example:
        >>> import optuna
        >>> trial = optuna.trial.create_trial(value=1.0, intermediate_values={1: 1.0})
        >>> trial.number = 0
        >>> tally = Tally()
        >>> tally.see(trial)
        >>> len(tally), tally.epochs, tally.opened
        (1, 1, [])
    """

    def __init__(self, max_epochs: float = math.inf) -> None:
        self.epochs = self.ended = 0
        self._max_epochs = max_epochs
        self._trials: list[FrozenTrial] = []
        # Counted when seen: Optuna shares dictionaries between a trial and its copies.
        self._epochs: list[int] = []
        self._opened: dict[int, FrozenTrial] = {}
        self._paused: dict[int, FrozenTrial] = {}
        # Those that no other one continues, in order of number.
        self._last: dict[int, FrozenTrial] = {}

    @property
    def opened(self) -> list[FrozenTrial]:
        """Those that somebody trains, or should, in order of number."""
        return [self._opened[number] for number in sorted(self._opened)]

    @property
    def paused(self) -> list[FrozenTrial]:
        """Those that wait to be promoted, in order of number."""
        return [self._paused[number] for number in sorted(self._paused)]

    @property
    def as_one(self) -> Sequence[FrozenTrial]:
        """Without those that another one continues."""
        return self if len(self._last) == len(self) else [*self._last.values()]

    def is_open(self, number: int) -> bool:
        """Whether somebody trains this trial, or should."""
        return number in self._opened

    def see(self, trial: FrozenTrial) -> None:
        """Take a trial as it is now: the next one, or one that is known."""
        number, epochs = trial.number, len(trial.intermediate_values)
        if number < len(self._trials):
            before, known = self._trials[number], number in self._last
            self.ended -= before.state.is_finished()
            self.epochs -= self._epochs[number] if known else 0
            self._trials[number], self._epochs[number] = trial, epochs
        else:
            known = True
            self._trials.append(trial)
            self._epochs.append(epochs)
        self.ended += trial.state.is_finished()
        if known:
            self.epochs += epochs
            self._last[number] = trial
        continues = trial.user_attrs.get("continues")
        if continues in self._last:
            del self._last[continues]
            self.epochs -= self._epochs[continues]
        self._opened.pop(number, None)
        self._paused.pop(number, None)
        if trial.state == TrialState.RUNNING:
            paused = is_paused(trial, self._max_epochs)
            (self._paused if paused else self._opened)[number] = trial

    def __len__(self) -> int:
        return len(self._trials)

    @overload
    def __getitem__(self, index: int) -> FrozenTrial: ...
    @overload
    def __getitem__(self, index: slice) -> list[FrozenTrial]: ...
    def __getitem__(self, index: int | slice) -> FrozenTrial | list[FrozenTrial]:
        return self._trials[index]

    def __iter__(self) -> Iterator[FrozenTrial]:
        return iter(self._trials)


def as_one(trials: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
    """The trials without those that another one continues; a tally knows them.

    Example:
        >>> from optuna.trial import create_trial
        >>> old, new = (create_trial(value=1.0) for _ in range(2))
        >>> old.number, new.number, new.user_attrs = 0, 1, {"continues": 0}
        >>> [trial.number for trial in as_one([old, new])]
        [1]
    """
    if isinstance(trials, Tally):
        return trials.as_one
    gone = {
        trial.user_attrs["continues"]
        for trial in trials
        if "continues" in trial.user_attrs
    }
    return [t for t in trials if t.number not in gone] if gone else trials


def opened(trials: Sequence[FrozenTrial], max_epochs: float) -> list[FrozenTrial]:
    """Those that somebody trains, or should; a tally knows them.

    Args:
        trials: All trials.
        max_epochs: The longest a trial trains.
    """
    if isinstance(trials, Tally):
        return trials.opened
    return [
        trial
        for trial in trials
        if trial.state == TrialState.RUNNING and not is_paused(trial, max_epochs)
    ]


def ended(trials: Sequence[FrozenTrial]) -> int:
    """How many have ended; a tally knows it."""
    if isinstance(trials, Tally):
        return trials.ended
    return sum(trial.state.is_finished() for trial in trials)
