"""What a search may spend, and what its trials have come to so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from optuna.trial import FrozenTrial, TrialState

from tunekit.paused import reached
from tunekit.rungs import Begin, Promote
from tunekit.tally import Tally, as_one, opened

__all__ = ["Budget", "best_of", "epochs_of", "final_seconds"]


@dataclass(frozen=True)
class Budget:
    """What the search may spend; a limit that is None does not hold."""

    n_trials: int | None = None
    epochs: int | None = None
    seconds_left: Callable[[Sequence[FrozenTrial]], float] | None = None
    """Seconds that remain for the search, given the trials so far."""
    max_epochs: float = math.inf
    """The longest a trial trains: one that has reached this is not paused."""
    first_rung: int = 1
    """Epochs with which a trial begins, where trials are paused."""

    def allows(
        self, trials: Sequence[FrozenTrial], step: Promote | Begin | None
    ) -> bool:
        """Whether one more trial may begin, or a paused one go on.

        Where the number of trials is given, all of them shall begin: a promotion must
        leave enough for those that have not begun yet.

        Args:
            trials: All trials.
            step: What is to be done; None for anything at all.
        """
        if isinstance(step, Begin):
            return self.may_start(trials)
        left = self.epochs_left(trials, set())
        if left < 1 or not self.has_time(trials):
            return False
        if step is None or self.n_trials is None:
            return True
        to_begin = self.n_trials - len(as_one(trials))
        if to_begin <= 0 or left == math.inf:
            return True
        # Of each open one, epochs_left has counted one.
        going = sum(_to_go(trial) - 1 for trial in opened(trials, self.max_epochs))
        cost = step.to_epoch - reached(trials[step.number])
        return left - going - cost >= to_begin * self.first_rung

    def may_start(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether one more trial may begin."""
        if self.n_trials is not None and len(as_one(trials)) >= self.n_trials:
            return False
        return self.epochs_left(trials, set()) >= 1 and self.has_time(trials)

    def epochs_left(
        self, trials: Sequence[FrozenTrial], ours: Collection[int]
    ) -> float:
        """Epochs that may still begin, in our trials or a new one.

        Every other running trial may be in the middle of an epoch that is not recorded
        yet; each counts as one, so that the limit is never exceeded.

        Args:
            trials: All trials.
            ours: The numbers of those whose epochs are all recorded.
        """
        if self.epochs is None:
            return math.inf
        others = sum(t.number not in ours for t in opened(trials, self.max_epochs))
        return self.epochs - epochs_of(trials) - others

    def has_time(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether time remains, if it is limited."""
        return self.seconds_left is None or self.seconds_left(trials) > 0


def epochs_of(trials: Sequence[FrozenTrial]) -> int:
    """Epochs trained in all: one recorded value each."""
    if isinstance(trials, Tally):
        return trials.epochs
    return sum(len(trial.intermediate_values) for trial in as_one(trials))


def best_of(
    trials: Sequence[FrozenTrial], *, maximize: bool = False
) -> FrozenTrial | None:
    """The trial with the best (lowest, say) value at any epoch, in any state."""
    sign = -1.0 if maximize else 1.0
    best: tuple[float, FrozenTrial] | None = None
    for trial in as_one(trials):
        for value in trial.intermediate_values.values():
            if math.isfinite(value) and (best is None or sign * value < best[0]):
                best = (sign * value, trial)
    return best[1] if best else None


def final_seconds(
    trials: Sequence[FrozenTrial], n_seeds: int, max_epochs: int
) -> float:
    """How long it would take to train the best trial anew with so many seeds.

    The two baselines that are trained are counted as one and a half of trial 0, which
    is the default recipe; a quarter is added for what cannot be known.
    """
    # Those that are open share the machine.
    running = len(opened(trials, max_epochs))
    trials = as_one(trials)
    timed = [t for t in trials if _epoch_seconds(t, running) is not None]
    ranked = [t for t in timed if _lowest(t) < math.inf]
    if not ranked:
        return 0.0
    best = min(ranked, key=lambda t: (_lowest(t), t.number))
    winner = _full_seconds(best, max_epochs, running)
    default = _full_seconds(timed[0], max_epochs, running)
    return 1.25 * (n_seeds * winner + 1.5 * default)


def _to_go(trial: FrozenTrial) -> int:
    """Epochs until an open trial is where it was sent; one, should it be there."""
    to_epoch: int = trial.user_attrs.get("to_epoch", 0)
    return max(1, to_epoch - reached(trial))


def _full_seconds(trial: FrozenTrial, max_epochs: int, running: int) -> float:
    """What training a trial's recipe to its end takes.

    One that was stopped as weak, or paused, would have gone on; one that the budget
    stopped, or that is still running to its end, is trained anew for as long as it was.
    """
    cut = trial.user_attrs.get("stopped") in ("weak", "paused")
    if trial.state == TrialState.RUNNING:
        cut = trial.user_attrs.get("to_epoch", max_epochs) < max_epochs
    epochs = max_epochs if cut else _epochs(trial)
    return (_epoch_seconds(trial, running) or 0.0) * epochs


def _epoch_seconds(trial: FrozenTrial, running: int) -> float | None:
    """What one of its epochs costs, if it has had one."""
    epochs = _epochs(trial)
    if not epochs:
        return None
    if "seconds" in trial.user_attrs:
        return float(trial.user_attrs["seconds"]) / epochs
    if trial.datetime_start is None:
        return None
    wall = (datetime.now() - trial.datetime_start).total_seconds()
    return wall / epochs / max(1, running)


def _epochs(trial: FrozenTrial) -> int:
    return int(trial.user_attrs.get("epochs") or len(trial.intermediate_values))


def _lowest(trial: FrozenTrial) -> float:
    losses = [v for v in trial.intermediate_values.values() if math.isfinite(v)]
    return min(losses, default=math.inf)
