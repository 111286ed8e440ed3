"""What is trained next: a new trial each time, or paused ones promoted."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from tunekit.paused import is_paused, may_go_on, reached
from tunekit.rungs import (
    Begin,
    Promote,
    Seen,
    halving,
    ladder,
    next_rung,
)

__all__ = ["Halving", "Straight"]

_MOST_PAUSED = 500
"""Paused trials whose checkpoints are kept; the least promising are let go."""


class Straight:
    """Every trial is trained to its end; none is paused.

    Example:
        >>> Straight(30).choose([])
        Begin(to_epoch=30)
    """

    def __init__(self, max_epochs: int) -> None:
        self.begin = Begin(max_epochs)

    def choose(self, trials: Sequence[FrozenTrial]) -> Begin:
        """Always a new trial."""
        return self.begin

    def surplus(self, trials: Sequence[FrozenTrial]) -> list[int]:
        """None: none is paused."""
        return []


class Halving:
    """Asynchronous successive halving with trials that are paused and promoted.

    Args:
        max_epochs: The longest a trial trains.
        n_trials: Once so many have begun, what is left of the budget promotes the best
            of the highest rung, where the rule alone would begin another.
        eta: Of so many at a rung one goes on.
        first: The first rung's least epochs.
        most_paused: Paused trials beyond these are let go.

    Example:
        >>> Halving(30).choose([])
        Begin(to_epoch=1)
    """

    def __init__(
        self,
        max_epochs: int,
        n_trials: int | None = None,
        *,
        eta: int = 3,
        first: int = 1,
        most_paused: int = _MOST_PAUSED,
    ) -> None:
        self._max_epochs, self._n_trials = max_epochs, n_trials
        self._eta, self._most_paused = eta, most_paused
        self._rungs = ladder(max_epochs, eta=eta, first=first)
        self.begin = Begin(self._rungs[0])

    def choose(self, trials: Sequence[FrozenTrial]) -> Promote | Begin:
        """Promote whom the rule promotes, else begin a new trial."""
        seen = [self._seen(trial) for trial in trials]
        if promoted := halving(seen, self._rungs, self._eta):
            return promoted
        if self._n_trials is not None and len(trials) >= self._n_trials:
            waiting = [t for t, each in zip(trials, seen, strict=True) if each.paused]
            if waiting:
                best = min(waiting, key=self._rank)
                return Promote(best.number, next_rung(self._rungs, reached(best)))
        return self.begin

    def surplus(self, trials: Sequence[FrozenTrial]) -> list[int]:
        """The paused trials of the lowest rungs and highest losses, if too many."""
        waiting = [t for t in trials if is_paused(t, self._max_epochs)]
        if len(waiting) <= self._most_paused:
            return []
        waiting.sort(key=self._rank)
        return sorted(trial.number for trial in waiting[self._most_paused :])

    def _seen(self, trial: FrozenTrial) -> Seen:
        """A trial as the rule sees it."""
        lowest, losses = math.inf, []
        values = trial.intermediate_values
        rungs = iter(self._rungs)
        rung = next(rungs)
        for epoch in sorted(values):
            lowest = min(lowest, values[epoch])
            if epoch == rung:
                losses.append(lowest)
                rung = next(rungs, 0)
        return Seen(trial.number, tuple(losses), may_go_on(trial, self._max_epochs))

    def _rank(self, trial: FrozenTrial) -> tuple[int, float, int]:
        """The most promising first: of the highest rung the lowest loss."""
        rung = sum(rung <= reached(trial) for rung in self._rungs)
        losses = trial.intermediate_values.values()
        return -rung, min(losses, default=math.inf), trial.number
