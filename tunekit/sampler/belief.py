"""What to believe of a search after its history, and what to try next.

Whoever could be trained now, a new configuration or a paused trial, is worth its
*rate*: the improvement to be expected at the rung where that is most per epoch yet to
be paid. So a new trial and a promotion are weighed on one scale, and a rung that says
nothing is only a station on the way to one that does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunekit.sampler.conditions import Conditions, learned
from tunekit.sampler.cube import Floats
from tunekit.sampler.history import History, progress
from tunekit.sampler.region import Region, around
from tunekit.surrogate import Observations, Surrogate, Warp, expected_improvement

__all__ = ["Belief", "believe", "constants_of", "warped"]

_ROWS = 400
"""The most rows that a model is conditioned on: the best, and the latest."""
_MOST_DOUBT = 3.0
"""A model's deviation is too small by up to this many times itself.

It is by the squared number of hyperparameters (so many may go together) over trials:
its constants are found from these few, and then believed. How far it really is off was
measured, as the root mean square of what was predicted and what came, in units of its
deviation: 3.5 to 8 before 20 trials of 7 or 8 hyperparameters, 2.4 to 3.4 before 40,
about 1.5 after.
"""
_FITS_FOR_ALL = 20
"""Full trainings that a budget must hold to pay for the most doubt.

Whoever can train little cannot learn what the model does not know, and had better use
what it does.
"""


@dataclass(frozen=True)
class Belief:
    """A model of a history.

    Attributes:
        history: What it was given.
        model: The surrogate, given all that is known.
        best: The lowest warped value seen.
        promise: What each trial should come to at its end, in warped units, (T,).
        region: Where the promising trials are.
        conditions: Which hyperparameters count where.
        rungs: The epochs at which trials are compared, ascending.
        fits: Full trainings that the budget holds; many where it is not known.
    """

    history: History
    model: Surrogate
    best: float
    promise: Floats
    region: Region
    conditions: Conditions
    rungs: tuple[int, ...]
    fits: float = math.inf

    def rates(self, points_MP: Floats, rungs: Sequence[int] | None = None) -> Floats:
        """What new trials at these snapped points are worth an epoch, by rung, (H, M).

        Args:
            points_MP: Points of the cube.
            rungs: The rungs that are looked at; all when None.
        """
        rungs = self.rungs if rungs is None else rungs
        features = self.history.cube.features(self.conditions.masked(points_MP))
        mean, deviation = self.model.predict(features, self._t(rungs))
        gains = self._gains(mean, deviation)
        return np.asarray(gains / np.array(rungs, dtype=float)[:, None])

    def rates_of(self, trials_M: Sequence[int]) -> Floats:
        """What it is worth an epoch that these trials go on, (M,).

        Trials that were so bad so long ago that the model is not given them any more
        are worth nothing: it would take them for trials whose luck is yet to be met.

        Args:
            trials_M: Indices of the history, each below the last rung.
        """
        chosen = np.array(trials_M, dtype=np.int64)
        features = self.history.cube.features(self.history.points[chosen])
        mean, deviation = self.model.predict(features, self._t(self.rungs), chosen)
        gains = self._gains(mean, deviation)
        ahead = np.array(self.rungs)[:, None] - self.history.epochs[chosen]
        counts = (ahead > 0) & self.model.knows(chosen)
        return np.asarray(np.where(counts, gains / np.maximum(ahead, 1), 0.0).max(0))

    @property
    def doubt(self) -> float:
        """How many times the model's own deviation it should be taken to be off."""
        n_axes, n_trials = self.history.points.shape[1], len(self.history)
        most = _MOST_DOUBT * min(1.0, self.fits / _FITS_FOR_ALL)
        return 1.0 + min(most, float(n_axes**2) / n_trials)

    def _gains(self, mean: Floats, deviation: Floats) -> Floats:
        return expected_improvement(mean, self.doubt * deviation, self.best)

    def _t(self, rungs: Sequence[int]) -> Floats:
        return np.array([progress(rung, self.rungs[-1]) for rung in rungs])


def constants_of(history: History) -> Floats:
    """The constants of a model of this history; a function of it alone."""
    model = Surrogate(history.cube.n_features)
    model.fit(_observations(history))
    return model.constants


def believe(history: History, constants: Floats, rungs: Sequence[int]) -> Belief:
    """What to believe after a history.

    What runs on is taken to come to what is expected of it (Ginsbourger, Le Riche &
    Carraro 2010), so that who asks meanwhile looks elsewhere.

    Args:
        history: What was recorded.
        constants: Of the surrogate, from this history or an earlier part of it.
        rungs: The epochs at which trials are compared, ascending.
    """
    cube, seen = history.cube, _observations(history)
    lowest = float(seen.z.min())
    if len(seen) > _ROWS:
        best = np.argsort(seen.z, kind="stable")[: _ROWS // 2]
        latest = np.arange(len(seen) - _ROWS // 2, len(seen))
        seen = seen.rows(np.union1d(best, latest))
    model = Surrogate(cube.n_features)
    model.constants = constants
    model.given(seen)
    features = cube.features(history.points)
    promise = model.mean(features, 1.0, np.arange(len(history)))
    if len(history.pending):
        model.given(_imagined(history, model, seen))
    region = around(cube, history.points, promise)
    conditions = learned(cube, history.points)
    return Belief(history, model, lowest, promise, region, conditions, tuple(rungs))


def warped(history: History) -> Floats:
    """The values of a history as its model sees them, (N,); the lower the better.

    Where curves are known, most values are on their way, and the last gains are judged
    as they are; where ends alone are, they are magnified the nearer to the best.
    """
    curves = bool((history.t < 1.0).any())
    return Warp(history.values, 2.0 if curves else 0.3).of(history.values)


def _imagined(history: History, model: Surrogate, seen: Observations) -> Observations:
    """What was seen, and what is expected of what runs on: there, and at its end.

    At a first rung little is learned of the end, for which it began: who asks next
    would begin the same again.
    """
    n = len(history.pending)
    waiting = history.cube.features(history.pending)
    trial, t = history.pending_trial, history.pending_t
    times, of_n = np.unique(np.append(t, 1.0), return_inverse=True)
    mean, _ = model.predict(waiting, times, trial)
    named = np.where(trial < 0, len(history) + np.arange(n), trial)
    on_the_way = np.flatnonzero(t < 1.0)
    which = np.concatenate([np.arange(n), on_the_way])
    when = np.concatenate([of_n[:n], np.full(len(on_the_way), of_n[n])])
    return Observations(
        np.concatenate([seen.x, waiting[which]]),
        np.concatenate([seen.t, times[when]]),
        np.concatenate([seen.trial, named[which]]),
        np.concatenate([seen.z, mean[when, which]]),
    )


def _observations(history: History) -> Observations:
    return Observations(
        history.cube.features(history.points)[history.trial],
        history.t,
        history.trial,
        warped(history),
    )
