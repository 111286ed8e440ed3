"""What a study's trials have come to, as a model of it reads them.

Trials in any state count: complete ones with their value, pruned and paused ones with
what they had reached. Of a long curve the rungs are kept: the epochs 1, 2, 6, 17, 50, …
that are powers of three away from its end, and its last. A value there is the lowest so
far, so that a curve falls and its noise counts once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from tunekit.sampler.cube import Cube, Floats

__all__ = ["History", "Reader", "progress", "union_space"]

_ETA = 3
_AIM = "to_epoch"
"""The user attribute of a trial that is trained to a rung: its epoch."""

_STEAD = "continues"
"""The user attribute of a trial that goes on in another's stead: its number."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class History:
    """One row a trial and rung.

    Attributes:
        cube: The space.
        horizon: The epoch at which training ends; 1 where no epochs are told.
        numbers: Trials with a value, in the order of their numbers, (T,).
        points: Their points in the cube, (T, P).
        epochs: Epochs that each has reached, (T,).
        trial: Which of them (an index, 0 to T - 1) each row is of, (N,).
        t: Progress of each row, (N,).
        values: The lowest so far, lower better, (N,); infinite where it diverged.
        pending: Points of what runs on, (M, P).
        pending_trial: Which trial (an index) that is, -1 if it has no value yet, (M,).
        pending_t: The progress it runs to, (M,).
    """

    cube: Cube
    horizon: int
    numbers: Ints
    points: Floats
    epochs: Ints
    trial: Ints
    t: Floats
    values: Floats
    pending: Floats
    pending_trial: Ints
    pending_t: Floats

    def __len__(self) -> int:
        """Trials with a value."""
        return len(self.numbers)

    @property
    def key(self) -> tuple[bytes, ...]:
        """Equal for equal histories."""
        arrays = (self.numbers, self.points, self.t, self.values, self.pending)
        return (*(a.tobytes() for a in arrays), self.pending_t.tobytes())


@dataclass(frozen=True)
class _Read:
    """One trial as it was read, when it was this version of itself."""

    version: tuple[Any, ...]
    point: Floats
    epoch: int
    curve: list[tuple[float, float]]


class Reader:
    """Reads trials; again only those that have changed.

    Args:
        cube: The space.
        maximize: Whether higher values are better; they are turned.
        last: The epoch at which training ends; the latest of any trial when None.
    """

    def __init__(self, cube: Cube, *, maximize: bool, last: int | None = None) -> None:
        self.cube = cube
        self._sign, self._last = -1.0 if maximize else 1.0, last
        self._read: dict[int, _Read] = {}
        self._horizon = last or 0
        self._unread = 0

    def read(self, trials: Sequence[FrozenTrial], but: int = -1) -> History:
        """The history of some trials.

        Args:
            trials: All of a study, in the order of their numbers.
            but: The number of a trial that is asked for: it has no history.
        """
        self._look_ahead(trials)
        gone = {t.user_attrs[_STEAD] for t in trials if _STEAD in t.user_attrs}
        found: list[tuple[int, _Read]] = []
        pending: list[tuple[Floats, int, float]] = []
        for trial in trials:
            if trial.number == but or trial.number in gone:
                continue
            each = self._one(trial)
            if each is None:
                continue
            if each.curve:
                found.append((trial.number, each))
            if trial.state == TrialState.RUNNING and trial.params:
                aim = int(trial.user_attrs.get(_AIM, self._horizon))
                if each.epoch < aim or not each.curve:
                    index = len(found) - 1 if each.curve else -1
                    pending.append((each.point, index, progress(aim, self._horizon)))
        return self._history(found, pending)

    def _look_ahead(self, trials: Sequence[FrozenTrial]) -> None:
        """Note the horizon; where it grows, progress is another for all."""
        if self._last is not None:
            return
        # Trials that ended were looked at: from the first that may have changed.
        before = self._horizon
        for trial in trials[self._unread :]:
            self._horizon = max(
                self._horizon, max(trial.intermediate_values, default=0)
            )
        while self._unread < len(trials) and trials[self._unread].state.is_finished():
            self._unread += 1
        if self._horizon != before:
            self._read.clear()

    def _one(self, trial: FrozenTrial) -> _Read | None:
        """One trial; None where its hyperparameters are not of this space."""
        aim = trial.user_attrs.get(_AIM)
        # Another study of the same name has other trials of the same numbers.
        steps, began = len(trial.intermediate_values), trial.datetime_start
        version = trial.state, aim, steps, len(trial.params), began
        known = self._read.get(trial.number)
        if known is not None and known.version == version:
            return known
        if not _fits(trial, self.cube):
            return None
        curve = _curve(trial, self._horizon, self._sign)
        axes = self.cube.axes
        point = self.cube.point({k: v for k, v in trial.params.items() if k in axes})
        epoch = max(trial.intermediate_values, default=0)
        self._read[trial.number] = _Read(version, point, epoch, curve)
        return self._read[trial.number]

    def _history(
        self,
        found: list[tuple[int, _Read]],
        pending: list[tuple[Floats, int, float]],
    ) -> History:
        n = len(self.cube.axes)
        rows = [(i, t, v) for i, (_, read) in enumerate(found) for t, v in read.curve]
        index, t, values = zip(*rows, strict=True) if rows else ((), (), ())
        return History(
            self.cube,
            max(1, self._horizon),
            np.array([number for number, _ in found], dtype=np.int64),
            np.array([read.point for _, read in found]).reshape(len(found), n),
            np.array([read.epoch for _, read in found], dtype=np.int64),
            np.array(index, dtype=np.int64),
            np.array(t, dtype=float),
            np.array(values, dtype=float),
            np.array([point for point, _, _ in pending]).reshape(len(pending), n),
            np.array([trial for _, trial, _ in pending], dtype=np.int64),
            np.array([t for _, _, t in pending], dtype=float),
        )


def progress(epoch: float, last: int) -> float:
    """How far an epoch is on the way to the last: 0 at the first, 1 at the last.

    On a logarithmic scale, as curves fall.

    Example:
        >>> progress(1, 100), round(progress(10, 100), 6), progress(100, 100)
        (0.0, 0.5, 1.0)
    """
    if last <= 1 or epoch >= last:
        return 1.0
    return math.log(max(epoch, 1)) / math.log(last)


def union_space(trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
    """Every hyperparameter that any trial had, with its latest distribution.

    Those of a condition are among them; whoever does not ask for one does not get it.
    """
    space: dict[str, BaseDistribution] = {}
    for trial in trials:
        space.update(trial.distributions)
    return {name: d for name, d in space.items() if not d.single()}


def _fits(trial: FrozenTrial, cube: Cube) -> bool:
    """Whether a trial's hyperparameters are of the kinds that the cube has."""
    return all(
        type(distribution) is type(cube.space[name])
        and _holds(cube.space[name], trial.params[name])
        for name, distribution in trial.distributions.items()
        if name in cube.space
    )


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a value is one of a distribution."""
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except ValueError:
        return False


def _curve(trial: FrozenTrial, last: int, sign: float) -> list[tuple[float, float]]:
    """(progress, lowest so far) of a trial at the rungs it has reached, and its end."""
    found: list[tuple[float, float]] = []
    steps = _positive(trial.intermediate_values)
    if steps and last > 0:
        rungs = _rungs(last)
        lowest, top = math.inf, max(steps)
        ended = trial.state != TrialState.RUNNING or top >= trial.user_attrs.get(
            _AIM, 0
        )
        for step in sorted(steps):
            value = sign * steps[step]
            lowest = min(lowest, value if math.isfinite(value) else math.inf)
            # Of one on its way to a rung, what is between rungs is not looked at: it
            # would make what is decided depend on how far others happen to be.
            if step in rungs or (step == top and ended):
                found.append((progress(step, last), lowest))
    if trial.state == TrialState.COMPLETE and trial.value is not None:
        value = sign * trial.value
        value = value if math.isfinite(value) else math.inf
        lowest = min([value, *(v for _, v in found)])
        found = [(t, v) for t, v in found if t < 1.0] + [(1.0, lowest)]
    return found


def _rungs(last: int) -> set[int]:
    """Epochs that are powers of three away from the last."""
    rungs, rung = {last}, last
    power = 1
    while rung > 1:
        power *= _ETA
        rung = math.ceil(last / power)
        rungs.add(rung)
    return rungs


def _positive(reported: Mapping[int, float]) -> dict[int, float]:
    """Reports of epochs; step 0 is before any."""
    return {step: value for step, value in reported.items() if step > 0}
