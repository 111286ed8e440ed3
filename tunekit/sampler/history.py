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

__all__ = [
    "AIM",
    "History",
    "Ints",
    "curve_of",
    "fits",
    "progress",
    "union_space",
]

_ETA = 3
AIM = "to_epoch"
"""The user attribute of a trial that is trained to a rung: its epoch."""

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

    def indices(self, numbers: Sequence[int]) -> list[int]:
        """Those of the trials with these numbers that have a value, ascending."""
        return [int(i) for i in np.flatnonzero(np.isin(self.numbers, numbers))]

    @property
    def key(self) -> tuple[bytes, ...]:
        """Equal for equal histories."""
        arrays = (self.numbers, self.points, self.t, self.values, self.pending)
        return (*(a.tobytes() for a in arrays), self.pending_t.tobytes())


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


def fits(trial: FrozenTrial, cube: Cube) -> bool:
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


def curve_of(trial: FrozenTrial, last: int, sign: float) -> list[tuple[float, float]]:
    """(progress, lowest so far) of a trial at the rungs it has reached, and its end."""
    found: list[tuple[float, float]] = []
    steps = _positive(trial.intermediate_values)
    if steps and last > 0:
        rungs = _rungs(last)
        lowest, top = math.inf, max(steps)
        ended = trial.state != TrialState.RUNNING or top >= trial.user_attrs.get(AIM, 0)
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
