"""What is done next in a study: a new trial, a paused one, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import optuna
from optuna.trial import FrozenTrial

from tunekit.paused import may_go_on
from tunekit.rungs import Begin, Chooser, Promote
from tunekit.store.leases import Leases
from tunekit.store.revived import continued
from tunekit.tally import as_one

__all__ = ["Allows", "Steps"]

Allows = Callable[[Sequence[FrozenTrial], Promote | Begin | None], bool]
"""Whether a budget allows a step, given all trials; None stands for any at all."""


class Steps:
    """The steps of one study, as its chooser says and a budget allows.

    Args:
        study: The study.
        chooser: What decides between new trials and paused ones.
        leases: Which trials are whose.
        max_epochs: The longest a trial trains.
    """

    def __init__(
        self, study: optuna.Study, chooser: Chooser, leases: Leases, max_epochs: int
    ) -> None:
        self._study, self._chooser, self._leases = study, chooser, leases
        self._max_epochs = max_epochs

    @property
    def pauses(self) -> bool:
        """Whether trials are ever paused."""
        return bool(self._chooser.begin.to_epoch < self._max_epochs)

    def next(
        self, trials: Sequence[FrozenTrial], allows: Allows
    ) -> Promote | Begin | None:
        """What would be done next; None for nothing."""
        return self._step(trials, as_one(trials), allows)

    def take(
        self, trials: Sequence[FrozenTrial], allows: Allows
    ) -> Promote | Begin | None:
        """The same, to be done now; a trial that is promoted is ours then."""
        candidates = as_one(trials)
        while True:
            step = self._step(trials, candidates, allows)
            if not isinstance(step, Promote):
                return step
            number = step.number
            if trials[number].state.is_finished():
                number = continued(self._study, trials[number])
            if self._leases.take(number):
                return Promote(number, step.to_epoch)
            # Another process has reported its epoch, and is yet to write its state.
            candidates = [t for t in candidates if t.number != number]

    def surplus(self, trials: Sequence[FrozenTrial]) -> Sequence[int]:
        """Numbers of the paused trials that are not worth their checkpoints."""
        return self._chooser.surplus(as_one(trials))

    def waiting(self, trials: Sequence[FrozenTrial], sign: float) -> list[int]:
        """Numbers of the trials that may go on, the best values first.

        Args:
            trials: All of the study.
            sign: -1 where higher values are better.
        """
        found = [
            (min(sign * v for v in trial.intermediate_values.values()), trial.number)
            for trial in as_one(trials)
            if may_go_on(trial, self._max_epochs) and trial.intermediate_values
        ]
        return [number for _, number in sorted(found)]

    def _step(
        self,
        trials: Sequence[FrozenTrial],
        candidates: Sequence[FrozenTrial],
        allows: Allows,
    ) -> Promote | Begin | None:
        """What the chooser says, if that is allowed."""
        # Whatever a model would say: asking it takes long.
        if self.pauses and not allows(trials, None):
            return None
        step = self._chooser.choose(candidates)
        if step is not None and allows(trials, step):
            return step
        # A promotion that would leave too little for those that are yet to begin.
        begin = self._chooser.begin
        return begin if isinstance(step, Promote) and allows(trials, begin) else None
