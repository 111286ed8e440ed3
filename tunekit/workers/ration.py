"""Sharing out what is left of a budget among the trials that are open."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from optuna.trial import FrozenTrial, Trial

from tunekit.budget import Budget
from tunekit.rungs import Begin, Promote
from tunekit.store import Store
from tunekit.trial import Heard
from tunekit.workers.attempt import Attempt

__all__ = ["Ration"]


class Ration:
    """What a budget gives the trials that are open in this process.

    Args:
        store: The study.
        budget: When to stop.
        attempts: All that are open, by key of their run; looked at whenever asked.
    """

    def __init__(
        self, store: Store, budget: Budget, attempts: Mapping[str, Attempt]
    ) -> None:
        self._store, self._budget, self._open = store, budget, attempts
        self._told = time.monotonic()
        self._epoch_seconds: float | None = None

    def begin_round(self) -> None:
        """The engine is about to train an epoch of every open trial."""
        self._told = time.monotonic()

    def end_round(self, n_epochs: int) -> None:
        """So many epochs were trained since; each had its share of that time."""
        self._epoch_seconds = (time.monotonic() - self._told) / n_epochs

    def allows(
        self, trials: Sequence[FrozenTrial], step: Promote | Begin | None
    ) -> bool:
        """Whether the budget gives this step, and all that is open, some depth.

        A small budget over many trials would train none. Where time is limited, the
        first epoch of all is awaited: until then nobody knows what a round takes.
        """
        if not self._budget.allows(trials, step):
            return False
        if not self._open:
            return True
        if self._store.pauses:
            # Those that are open get to their rungs; whoever comes last may be paused
            # on its way.
            depth = step.to_epoch if isinstance(step, Begin) else 1
            needed = depth + sum(a.to_go for a in self._open.values())
            ours = self._numbers()
        else:
            depth = max(1, self._store.settings["max_epochs"] // 3)
            needed = (len(self._open) + 1) * depth
            ours = set()
        if self._budget.epochs_left(trials, ours) < needed:
            return False
        if self._budget.seconds_left is None:
            return True
        if self._epoch_seconds is None:
            return False
        return bool(self._budget.seconds_left(trials) >= needed * self._epoch_seconds)

    def can_pay(self, trial: Trial) -> bool:
        """Whether one more epoch of this trial can be paid, and of all open ones."""
        trials = self._store.tally()
        ours = {trial.number, *self._numbers()}
        return self._budget.epochs_left(trials, ours) >= len(ours)

    def unpaid(self, heard: Sequence[Heard]) -> list[Attempt]:
        """Those for whom the budget has no epoch left, given the epochs of a round."""
        trials = self._store.tally()
        left = self._budget.epochs_left(trials, self._numbers())
        return _unpaid(self._open, heard, left, self._rounds_left(trials))

    def _rounds_left(self, trials: Sequence[FrozenTrial]) -> float:
        """Epochs of a single trial for which there is time; one round is many."""
        if self._budget.seconds_left is None:
            return math.inf
        seconds = self._budget.seconds_left(trials)
        if seconds <= 0 or not self._epoch_seconds:
            return 0.0 if seconds <= 0 else math.inf
        # The oldest may always go on: it alone is an epoch too late at most.
        return max(1.0, seconds / self._epoch_seconds)

    def _numbers(self) -> set[int]:
        """The trials that are open here."""
        return {attempt.trial.number for attempt in self._open.values()}


def _unpaid(
    attempts: Mapping[str, Attempt],
    heard: Sequence[Heard],
    left: float,
    rounds: float,
) -> list[Attempt]:
    """Those for whom no epoch is left; the earlier trials come first.

    Args:
        attempts: All that are open, by key of their run.
        heard: The epochs of this round.
        left: Epochs that may still begin.
        rounds: Epochs of a single trial for which there is time.
    """
    now = {each.run.key: each for each in heard}
    stopped = []
    for key, attempt in sorted(attempts.items(), key=lambda item: item[1].number):
        each = now.get(key)
        done = attempt.stopped or attempt.pausing
        if done or (each is not None and each.over):
            continue
        # One that is behind is only trained again: it costs nothing, and those that
        # wait for it have been given their next epoch already.
        paid = each is None or each.epoch >= each.run.reached
        if each is not None and (rounds < 1 or (paid and left < 1)):
            stopped.append(attempt)
        else:
            left -= 1
            rounds -= 1
    return stopped
