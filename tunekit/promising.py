"""Whom to promote, by where curves are going: a model of all trials decides.

A paused trial and a new configuration are weighed on one scale, that of
:mod:`tunekit.sampler.belief`: improvement to be expected per epoch yet to be paid, at
whatever rung that is most. Which configuration begins next is the study's sampler's to
say; where that is CoarseToFineSampler, it is the very one that was weighed. Where
configurations are drawn at random, what one is worth on average is weighed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from tunekit.paused import is_paused, waiting
from tunekit.rungs import Begin, Promote, next_rung
from tunekit.sampler import CoarseToFineSampler
from tunekit.sampler.belief import Belief
from tunekit.sampler.candidates import by_chance
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
        random: Whether new configurations are drawn at random: then the best that the
            model could propose says nothing of the next.
    """

    def __init__(
        self,
        study: optuna.Study,
        sampler: CoarseToFineSampler,
        rungs: Sequence[int],
        n_trials: int | None = None,
        n_first: int = 0,
        *,
        random: bool = False,
    ) -> None:
        self.begin, self._n_first, self._random = Begin(rungs[0]), n_first, random
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
        paused = history.indices(waiting(trials, self._rungs[-1]))
        if not paused:
            return begin
        if (scout := self._scout(history, paused)) is not None:
            return Promote(int(history.numbers[scout]), self._rungs[-1])
        belief = self._sampler.belief(self._study, history)
        rates = belief.rates_of(paused)
        best = int(np.argmax(rates))
        if may_begin and self._new(belief, number) > rates[best]:
            return begin
        chosen = paused[best]
        to_epoch = next_rung(self._rungs, int(history.epochs[chosen]))
        return Promote(int(history.numbers[chosen]), to_epoch)

    def _new(self, belief: Belief, number: int) -> float:
        """What the next new trial is worth an epoch."""
        if self._random:
            return by_chance(belief, np.random.default_rng(number))
        return self._sampler.proposal(self._study, belief.history, number).rate

    def _scout(self, history: History, paused: Sequence[int]) -> int | None:
        """An early trial whose turn it is to be trained to its end, if there is one.

        Where every slow starter was left behind, no model can know how they end. A
        configuration that somebody has named is a good guess, and the first to go.
        """
        n_early, last = self._sampler.n_startup_trials, self._rungs[-1]
        due = int(history.epochs.sum()) // (_SCOUTING * last) + min(self._n_first, 1)
        on_its_way = history.pending_trial[history.pending_t >= 1.0]
        sent = np.union1d(np.flatnonzero(history.epochs >= last), on_its_way)
        if due <= int(((sent >= 0) & (sent < n_early)).sum()):
            return None
        return min((i for i in paused if i < n_early), default=None)

    def surplus(self, trials: Sequence[FrozenTrial]) -> list[int]:
        """The least promising of the paused trials, if there are too many."""
        # Those of a search that has ended are over, and cannot be ended again.
        paused = [trial for trial in trials if is_paused(trial, self._rungs[-1])]
        if len(paused) <= 1.2 * _MOST_PAUSED:
            return []
        history = self._history(trials)
        if history is None or self._sampler.starting(history):
            return []
        known = history.indices([trial.number for trial in paused])
        rates = self._sampler.belief(self._study, history).rates_of(known)
        worst = np.argsort(-rates, kind="stable")[_MOST_PAUSED:]
        return sorted(int(history.numbers[known[each]]) for each in worst)

    def _history(self, trials: Sequence[FrozenTrial]) -> History | None:
        """What is known; None where nothing is."""
        space = self._sampler.space_of(trials)
        if not trials or not space:
            return None
        return self._sampler.reader(self._study, space).read(trials)
