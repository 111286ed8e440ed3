"""Whom to promote, by where curves are going: a model of all trials decides.

A paused trial and a new configuration are weighed on one scale, that of
:mod:`tunekit.sampler.belief`: improvement to be expected per epoch yet to be paid, at
whatever rung that is most. Which configuration begins next is the study's sampler's to
say; where that is CoarseToFineSampler, it is the very one that was weighed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from tunekit.paused import is_paused, may_go_on, reached
from tunekit.rungs import Begin, Promote, next_rung
from tunekit.sampler import CoarseToFineSampler
from tunekit.sampler.history import History

__all__ = ["Promising"]

_MOST_PAUSED = 100
"""Paused trials that are kept; the least promising beyond these are let go."""
_SCOUTING = 8
"""One epoch of so many may go to trials of the coarse stage, however weak they are."""


class Promising:
    """Promotes the trial, or begins the new one, that is worth most per epoch.

    Args:
        study: The study, whose attributes hold what its model remembers.
        sampler: Has the model.
        rungs: Epochs at which trials are paused, ascending.
        n_trials: Once so many have begun, only promotions are left.
        n_first: So many configurations are fixed, and begin whatever they promise.
    """

    def __init__(
        self,
        study: optuna.Study,
        sampler: CoarseToFineSampler,
        rungs: Sequence[int],
        n_trials: int | None = None,
        n_first: int = 0,
    ) -> None:
        self.begin, self._n_first = Begin(rungs[0]), n_first
        self._study, self._sampler = study, sampler
        self._rungs, self._n_trials = tuple(rungs), n_trials

    def choose(self, trials: Sequence[FrozenTrial]) -> Promote | Begin | None:
        """What is worth most now."""
        may_begin = self._n_trials is None or len(trials) < self._n_trials
        begin = self.begin if may_begin else None
        number = trials[-1].number + 1 if trials else 0
        if may_begin and number < self._n_first:
            return begin
        history = self._history(trials)
        if history is None or (may_begin and self._sampler.starting(history)):
            return begin
        waiting = self._waiting(trials, history)
        if not waiting:
            return begin
        if (scout := self._scout(history, waiting)) is not None:
            return Promote(int(history.numbers[scout]), self._rungs[-1])
        belief = self._sampler.belief(self._study, history)
        rates = belief.rates_of(waiting)
        best = int(np.argmax(rates))
        if may_begin:
            new = self._sampler.proposal(self._study, history, number)
            if new.rate > rates[best]:
                return begin
        chosen = waiting[best]
        to_epoch = next_rung(self._rungs, int(history.epochs[chosen]))
        return Promote(int(history.numbers[chosen]), to_epoch)

    def _scout(self, history: History, waiting: Sequence[int]) -> int | None:
        """An early trial whose turn it is to be trained to its end, if there is one.

        Where every slow starter was left behind, no model can know how they end.
        """
        n_early, last = self._sampler.n_startup_trials, self._rungs[-1]
        due = int(history.epochs.sum()) // (_SCOUTING * last)
        if due <= int((history.epochs[:n_early] >= last).sum()):
            return None
        return min((i for i in waiting if i < n_early), default=None)

    def surplus(self, trials: Sequence[FrozenTrial]) -> list[int]:
        """The least promising of the paused trials, if there are too many."""
        # Those of a search that has ended are over, and cannot be ended again.
        paused = [trial for trial in trials if is_paused(trial, self._rungs[-1])]
        if len(paused) <= 1.2 * _MOST_PAUSED:
            return []
        history = self._history(trials)
        if history is None or self._sampler.starting(history):
            return []
        waiting = self._waiting(paused, history)
        rates = self._sampler.belief(self._study, history).rates_of(waiting)
        worst = np.argsort(-rates, kind="stable")[_MOST_PAUSED:]
        return sorted(int(history.numbers[waiting[each]]) for each in worst)

    def _history(self, trials: Sequence[FrozenTrial]) -> History | None:
        """What is known; None where nothing is."""
        space = self._sampler.space_of(trials)
        if not trials or not space:
            return None
        return self._sampler.reader(self._study, space).read(trials)

    def _waiting(self, trials: Sequence[FrozenTrial], history: History) -> list[int]:
        """Indices, in the history, of those of the trials that could be promoted."""
        last = self._rungs[-1]
        numbers = [t.number for t in trials if may_go_on(t, last) and reached(t) < last]
        return [int(i) for i in np.flatnonzero(np.isin(history.numbers, numbers))]
