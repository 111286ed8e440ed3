"""When a search is no longer worth it: what is left to gain is less than luck.

The model of the trials says what the best next step is worth an epoch; times the epochs
that remain, that is about the most that can still be gained, since the best steps are
taken first. Luck is no gain: what a new configuration comes to on average counts.
The same model says by how much two trainings of one configuration differ: what is a
trial's own, and noise. A kink in the curves would pass for noise, too: where enough
trials have ended, their ends alone must be as noisy. Once the gain is below that, and
the last third of the trials gained no more either, who goes on searches for a lucky
seed. All this is in the warped units of :mod:`tunekit.surrogate`.

What was found is written to the study's user attribute ``flat``, so that whoever goes
on after a stop, and every worker, decides the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from tunekit.paused import reached, waiting
from tunekit.rungs import Begin, Chooser, Promote
from tunekit.sampler import CoarseToFineSampler
from tunekit.sampler.belief import Belief, warped
from tunekit.sampler.candidates import propose
from tunekit.sampler.history import History
from tunekit.surrogate import Observations, Surrogate

__all__ = ["FLAT", "Flat", "Remaining", "why_ended"]

FLAT = "flat"
"""The study's user attribute: what was found last."""
_FEWEST = 20
"""Trials before anything is found."""
_IN_A_ROW = 3
"""So often, each time with more known, it must be found."""


@dataclass(frozen=True)
class Remaining:
    """Epochs that a budget leaves.

    Args:
        max_epochs: The longest a trial trains.
        n_trials: The budget in trials, if it has one.
        epochs: The budget in epochs, if it has one.
    """

    max_epochs: int
    n_trials: int | None = None
    epochs: int | None = None

    def of(self, trials: Sequence[FrozenTrial]) -> float:
        """Epochs left after these trials; one full training where only time ends it.

        Example:
            >>> Remaining(40, n_trials=30).of([]), Remaining(40).of([])
            (300.0, 40.0)
        """
        if self.epochs is not None:
            spent = sum(len(trial.intermediate_values) for trial in trials)
            return float(max(0, self.epochs - spent))
        if self.n_trials is not None:
            return max(0, self.n_trials - len(trials)) * self.max_epochs / 4
        return float(self.max_epochs)


class Flat:
    """Asks another chooser, until nothing is left to gain.

    Args:
        inner: Decides while the search goes on.
        study: The study, whose attributes hold what was found.
        model: Has the model of its trials.
        remaining: What the budget leaves. Another budget is judged anew.
    """

    def __init__(
        self,
        inner: Chooser,
        study: optuna.Study,
        model: CoarseToFineSampler,
        remaining: Remaining,
    ) -> None:
        self._inner, self._study, self._model = inner, study, model
        self._remaining = remaining
        self._budget = [remaining.n_trials, remaining.epochs]

    @property
    def begin(self) -> Begin:
        """A new trial, should nothing else be possible."""
        return self._inner.begin

    def choose(self, trials: Sequence[FrozenTrial]) -> Promote | Begin | None:
        """What the other says; None once the search is over."""
        return None if self._over(trials) else self._inner.choose(trials)

    def surplus(self, trials: Sequence[FrozenTrial]) -> list[int]:
        """What the other says."""
        return self._inner.surplus(trials)

    def _over(self, trials: Sequence[FrozenTrial]) -> bool:
        known: Mapping[str, Any] = self._study.user_attrs.get(FLAT) or {}
        before = known.get("in_a_row", 0) if known.get("budget") == self._budget else 0
        # What is still open may come to something else: over is over all the same.
        if before >= _IN_A_ROW:
            return True
        found = self._found(trials)
        if found is None:
            return False
        rows, gain, noise = found
        in_a_row = 0
        if gain < noise:
            # Asked twice of one moment, it has not been found twice.
            in_a_row = before if before and rows <= known["rows"] else before + 1
        if in_a_row != known.get("in_a_row", 0) or known.get("budget") != self._budget:
            entry = {"budget": self._budget, "in_a_row": in_a_row, "rows": rows}
            told = {"trials": len(trials), "gain": gain, "noise": noise}
            self._study.set_user_attr(FLAT, {**entry, **told})
        return in_a_row >= _IN_A_ROW

    def _found(self, trials: Sequence[FrozenTrial]) -> tuple[int, float, float] | None:
        """Rows known, the gain that is left, the noise; None where it is too early.

        The gain is no less than what the last trials gained.
        """
        model, last = self._model, self._remaining.max_epochs
        space = model.space_of(trials)
        ended = any(_to_its_end(trial, last) for trial in trials)
        left = self._remaining.of(trials)
        # With less left than one training the search ends by itself.
        if not space or not ended or left < last:
            return None
        history = model.reader(self._study, space).read(trials)
        if len(history) < _FEWEST or model.starting(history):
            return None
        belief = model.belief(self._study, history)
        rows, noise, gained = len(history.values), belief.model.noise, _gained(history)
        if gained >= noise:
            return rows, gained, noise  # whatever may still come
        rate = _rate(belief, trials[-1].number + 1)
        if paused := history.indices(waiting(trials, last)):
            rate = max(rate, float(belief.rates_of(paused).max()))
        gain = max(rate * left, gained)
        if gain < noise:
            noise = min(noise, _noise_of_ends(history))
        return rows, gain, noise


def why_ended(found: Mapping[str, Any] | None) -> str:
    """Why a search ended before its budget, in a sentence; or nothing.

    Args:
        found: The study's user attribute ``flat``.

    Example:
        >>> why_ended({"in_a_row": 1, "trials": 40}), why_ended(None)
        ('', '')
        >>> why_ended({"in_a_row": 3, "trials": 40}).split(":")[0]
        'The search ended after 40 trials, before its budget was spent'
    """
    if not found or found["in_a_row"] < _IN_A_ROW:
        return ""
    return (
        f"The search ended after {found['trials']} trials, before its budget was "
        "spent: all that was left could be expected to gain less than another random "
        "seed changes."
    )


def _gained(history: History) -> float:
    """By how much the last third of the trials lowered the best value."""
    values = warped(history)
    before = history.trial < 2 * len(history) // 3
    return float(values[before].min() - values.min())


def _rate(belief: Belief, number: int) -> float:
    """What the best new trial is worth an epoch, luck on either side left out.

    The best value seen was lucky, and next to it nothing would seem worth trying:
    what counts is the best that any configuration is believed to come to on average.
    Nor is it a gain that of many trainings one is lucky.
    """
    history = belief.history
    points = belief.conditions.masked(history.cube.snapped(history.points))
    model = belief.model.without_luck()
    mean, _ = model.predict(history.cube.features(points), np.ones(1))
    calm = replace(belief, model=model, best=float(mean.min()))
    return propose(calm, np.random.default_rng([number, 2])).rate


def _noise_of_ends(history: History) -> float:
    """The noise that the ends of training show; infinite where few are known."""
    ends = np.flatnonzero(history.t >= 1.0)
    if len(ends) < _FEWEST:
        return math.inf
    cube, trial = history.cube, history.trial[ends]
    model = Surrogate(cube.n_features)
    features = cube.features(history.points[trial])
    model.fit(Observations(features, history.t[ends], trial, warped(history)[ends]))
    return model.noise


def _to_its_end(trial: FrozenTrial, max_epochs: int) -> bool:
    complete: bool = trial.state == TrialState.COMPLETE
    return complete or reached(trial) >= max_epochs
